"""Prompted methods: what is asked, what is scored, what it costs."""

import pytest

from hybrid.errors import ConfigError
from hybrid.eval.baselines import METHODS, prompting
from hybrid.eval.cost import text_cost
from hybrid.eval.generation import Generated
from hybrid.eval.tasks import Sort

TASK = Sort(Sort.Config(length=3))
KINDS = ["direct", "zero_shot_cot", "few_shot_cot"]


def build(kind, backbone, **fields):
    return METHODS[kind](METHODS[kind].Config(**fields), backbone, TASK)


@pytest.fixture
def writes(monkeypatch):
    """Makes the language model write given texts, and records what it was asked."""

    def make(*texts, tokens=5, prompt_tokens=40):
        asked = []

        def generate(backbone, prompts, max_new_tokens):
            asked.append((prompts, max_new_tokens))
            return [Generated(text, tokens, prompt_tokens) for text in texts[: len(prompts)]]

        monkeypatch.setattr(prompting, "generate", generate)
        return asked

    return make


@pytest.mark.parametrize(
    ("kind", "shots", "name"),
    [
        ("direct", 3, "direct, 3 shots"),
        ("direct", 0, "direct"),
        ("zero_shot_cot", 0, "zero shot cot"),
        ("few_shot_cot", 2, "few shot cot, 2 shots"),
    ],
)
def test_a_name_tells_the_kind_and_the_shots(backbone, kind, shots, name):
    assert build(kind, backbone, shots=shots).name == name
    assert METHODS[kind].Config().shots == (shots or METHODS[kind].Config().shots)


def test_direct_asks_for_the_answer_alone_and_shows_answers(backbone):
    method, problem = build("direct", backbone, shots=2), TASK.problems("test", 1)[0]
    turns = method.messages(problem)
    assert [turn["role"] for turn in turns] == ["user", "assistant"] * 2 + ["user"]
    assert turns[-1]["content"] == f"{problem.prompt.rstrip()}\n{TASK.instructions('direct')}"
    for example, asked, told in zip(method.examples, turns[::2], turns[1::2], strict=False):
        assert asked["content"] == method.question(example) and told["content"] == " ".join(example.answer)


def test_few_shot_cot_shows_a_solvers_steps_that_lead_to_the_answer(backbone):
    method = build("few_shot_cot", backbone)
    turns = method.messages(TASK.problems("test", 1)[0])
    assert len(turns) == 5
    for example, told in zip(method.examples, turns[1::2], strict=False):
        assert told["content"] == example.trace and "Answer:" in example.trace and TASK.score(told["content"], example)
    assert turns[-1]["content"].endswith(TASK.instructions("cot"))


def test_zero_shot_cot_asks_for_steps_and_shows_nothing(backbone):
    problem = TASK.problems("test", 1)[0]
    (turn,) = build("zero_shot_cot", backbone).messages(problem)
    assert turn == {"role": "user", "content": f"{problem.prompt.rstrip()}\n{TASK.instructions('cot')}"}


def test_examples_come_from_the_training_split_and_are_always_the_same(backbone):
    method = build("few_shot_cot", backbone)
    assert all(TASK.split_of(example.key) == "train" for example in method.examples)
    assert method.examples == build("direct", backbone).examples


@pytest.mark.parametrize("kind", KINDS)
def test_a_worked_example_has_room_in_what_may_be_written(backbone, kind):
    method = build(kind, backbone)
    lengths = [len(backbone.tokenizer(method.reply(example))["input_ids"]) for example in method.examples]
    assert max(lengths) < method.max_new_tokens <= 2 * max(lengths) + 8
    assert build(kind, backbone, max_new_tokens=7).max_new_tokens == 7


def test_steps_get_more_room_than_the_answer_alone(backbone):
    assert build("zero_shot_cot", backbone).max_new_tokens > build("direct", backbone).max_new_tokens


def test_the_tasks_scorer_decides_and_the_costs_are_the_formulas(backbone, writes):
    problems = TASK.problems("test", 3)
    method = build("few_shot_cot", backbone)
    right = f"I think. Answer: {' '.join(problems[0].answer)}"
    asked = writes(right, "no idea", f"Answer: {' '.join(reversed(problems[2].answer))} 0", tokens=9, prompt_tokens=50)
    attempts = method.attempt(problems)
    assert [attempt.right for attempt in attempts] == [True, False, False]
    assert attempts[0].text == right and [attempt.tokens for attempt in attempts] == [9] * 3
    assert [attempt.flops for attempt in attempts] == [text_cost(backbone).flops(50, 9)] * 3
    assert all(attempt.steps == 0 and attempt.right_by_step is None for attempt in attempts)
    ((prompts, limit),) = asked
    assert limit == method.max_new_tokens and len(prompts) == 3
    for prompt, problem in zip(prompts, problems, strict=True):
        assert prompt.endswith(f"{method.question(problem)}\n\n") and prompt.count("Sort") + prompt.count("order") > 0


def test_the_real_model_answers_a_batch_as_it_answers_one_by_one(backbone):
    method, problems = build("direct", backbone, shots=0), TASK.problems("test", 3)
    together = method.attempt(problems)
    assert together == [method.attempt([problem])[0] for problem in problems]
    assert all(0 < attempt.tokens <= method.max_new_tokens and attempt.flops > 0 for attempt in together)


@pytest.mark.parametrize(("field", "value"), [("shots", -1), ("max_new_tokens", 0)])
@pytest.mark.parametrize("kind", KINDS)
def test_values_out_of_range_are_refused_by_name(kind, field, value):
    with pytest.raises(ConfigError, match=rf"method\.{field} is {value}"):
        METHODS[kind].Config(**{field: value})
