"""Coconut: stages, how a trace is split, and gradients through thoughts as in a loop without a cache."""

import pytest
import torch

from hybrid import Backbone
from hybrid.backbone.tuner import Lora
from hybrid.errors import ConfigError, InputError
from hybrid.eval.baselines import METHODS
from hybrid.eval.baselines.coconut import split
from hybrid.eval.tasks import Sort, StateTracking, Sudoku
from hybrid.problem import Problem

TASK = Sort(Sort.Config(length=4))
PROBLEMS = TASK.problems("train", 3)


def build(backbone, **fields):
    config = METHODS["coconut"].Config(**(dict(tuner=Lora.Config(r=2), chat_template=False, num_stages=3) | fields))
    method = METHODS["coconut"](config, backbone, TASK)
    method._measure(PROBLEMS)
    method._adapter = method._fresh(0)
    return method


def test_the_stages_follow_one_another_and_the_last_is_how_problems_are_answered(backbone):
    method = build(backbone, thoughts_per_step=2, steps_share=0.4, answer_share=0.3)
    shares = [0.0, 0.39, 0.41, 0.52, 0.65, 0.7, 1.0]
    assert [method.stage(share) for share in shares] == [0, 0, 1, 2, 3, 4, 4]
    assert [method.num_steps(share) for share in shares] == [0, 0, 2, 4, 6, 6, 6]
    assert [method.num_marks(share) for share in shares] == [0, 0, 2, 2, 2, 2, 2]


def test_thoughts_take_the_place_of_the_first_steps(backbone):
    method = build(backbone)
    problem = Problem("", (), trace="0 once. 3 twice. 5 once. 6 once.\nAnswer: 0 3 3 5")
    written = [method.target(problem, share) for share in (0.0, 0.41, 0.52, 0.65, 1.0)]
    assert written == [
        problem.trace,
        "3 twice. 5 once. 6 once.\nAnswer: 0 3 3 5",
        "5 once. 6 once.\nAnswer: 0 3 3 5",
        "6 once.\nAnswer: 0 3 3 5",
        "Answer: 0 3 3 5",
    ]


def test_without_a_number_the_stages_are_the_steps_of_the_longest_trace_up_to_six(backbone):
    assert build(backbone, num_stages=None).num_stages == max(len(split(problem)[0]) for problem in PROBLEMS)
    method = build(backbone, num_stages=None)
    method._measure([*PROBLEMS, Problem("x", (), trace="1 once. " * 9 + "Answer: 1")])
    assert method.num_stages == 6


@pytest.mark.parametrize(
    ("task", "count"),
    [
        (StateTracking(StateTracking.Config(objects=3, swaps=4)), 4),
        (Sudoku(Sudoku.Config(size=4, min_blanks=9, max_blanks=9)), 9),
    ],
    ids=["state_tracking", "sudoku"],
)
def test_a_trace_is_split_into_the_solvers_steps(task, count):
    for problem in task.problems("train", 5):
        steps, answer = split(problem)
        assert len(steps) == count and "".join(steps) + answer == problem.trace and answer.startswith("Answer:")


def test_a_trace_without_an_answer_is_refused():
    with pytest.raises(InputError, match='has a trace without "Answer:"'):
        split(Problem("p", (), trace="1 once."))


def unrolled(method, problem, num_thoughts):
    """Logits of the answer, every thought from a run over everything before it."""
    model, before, after = method.backbone.model, *method._trained.embeddings
    table = model.get_input_embeddings().weight
    prompt, target = method._ids([method.prompt(problem), method.target(problem, 1.0)])
    read = torch.cat([table[prompt], before[None]])
    for _ in range(num_thoughts):
        hidden = model.model(inputs_embeds=read[None], use_cache=False).last_hidden_state
        read = torch.cat([read, hidden[0, -1:]])
    read = torch.cat([read, after[None], table[target]])
    return model(inputs_embeds=read[None], use_cache=False).logits[0, -len(target) - 1 :]


def test_gradients_flow_through_thoughts_as_in_a_loop_without_a_cache(new_llama, new_tokenizer):
    tokenizer = new_tokenizer()
    method = build(Backbone(new_llama(len(tokenizer)).double(), tokenizer, "double", (0,)), thoughts_per_step=2)
    trainable = list(method._trained.trainable)
    for parameter in trainable:
        parameter.data = torch.randn(parameter.shape, dtype=torch.float64) * 0.2
    problems = [PROBLEMS[0], PROBLEMS[2]]
    with method._trained.attached():
        predicted = method.predict(problems, 1.0)
        naive = [unrolled(method, problem, 6) for problem in problems]
        answers = predicted.labels != -100
        torch.testing.assert_close(predicted.logits[answers], torch.cat(naive))
        ours = torch.autograd.grad(predicted.logits[answers].square().sum(), trainable, retain_graph=True)
        theirs = torch.autograd.grad(torch.cat(naive).square().sum(), trainable)
        assert all(gradient.abs().sum() > 0 for gradient in ours)
        for one, other in zip(ours, theirs, strict=True):
            # Llama normalises in float32 whatever the weights are, so the last digits differ.
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * float(other.abs().max()))


def test_a_thought_changes_what_is_written(backbone):
    method = build(backbone)
    with torch.no_grad(), method._trained.attached():
        thinking = method.predict(PROBLEMS, 1.0).logits
        method.num_stages = 1
        assert not torch.allclose(method.predict(PROBLEMS, 1.0).logits, thinking)


@pytest.mark.parametrize(
    "fields", [{"thoughts_per_step": 0}, {"num_stages": 0}, {"steps_share": -0.1}, {"steps_share": 0.8}, {"answer_share": 0.0}]
)
def test_values_out_of_range_are_refused_by_name(fields):
    with pytest.raises(ConfigError, match=rf"method\.{next(iter(fields)).replace('answer_share', 'steps_share')}"):
        METHODS["coconut"].Config(**fields)
