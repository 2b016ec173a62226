"""The hybrid as a method: answers of its model, and FLOPs as the recursion's closed form says."""

import pytest
import torch

from hybrid import BackboneConfig, HybridConfig, ReasonerConfig, attach
from hybrid.adapters import Concat, CrossAttention, Pooled, Structured
from hybrid.block import AttentionBlock, MLPBlock
from hybrid.cores import TRM
from hybrid.eval.baselines import HeadMethod
from hybrid.eval.cost import count_flops
from hybrid.eval.tasks import Sort
from hybrid.halting import Fixed, Learned
from hybrid.layout import LayoutConfig
from hybrid.problem import Problem

TASK = Sort(Sort.Config(length=4))
D, T, N, LAYERS, INNER = 16, 3, 2, 2, 64


@pytest.fixture
def made(new_model):
    """Makes a model of the task: (config fields)."""

    def make(**changes):
        model = new_model(layout=TASK.layout, symbols=TASK.symbols, **changes)
        torch.nn.init.normal_(model.head.reasoner.halt.weight)
        return model

    return make


def method_of(model, *, halting=None, **fields):
    return HeadMethod(HeadMethod.Config(**fields), model, TASK, halting, 12.5)


def reasoner(**changes):
    return ReasonerConfig(width=D, num_cycles=T, num_supervision_steps=4, core=TRM.Config(LAYERS, N), **changes)


def test_attempts_are_the_solutions_of_the_model(made):
    model, problems = made(), TASK.problems("test", 5)
    attempts = method_of(model).attempt(problems)
    for attempt, problem, solution in zip(attempts, problems, model.solve([p.prompt for p in problems]), strict=True):
        assert attempt.text == solution.text and attempt.steps == solution.steps and attempt.tokens == 0
        assert attempt.right == (solution.symbols == problem.answer)
        assert attempt.right_by_step == tuple(step == problem.answer for step in solution.trajectory)


def test_the_record_fields_are_those_of_the_model(made):
    model = made()
    method = method_of(model, name="mine")
    assert method.name == "mine" and method.train_seconds == 12.5
    assert method.trainable_parameters == model.num_trainable_parameters() == sum(p.numel() for p in model.parameters())


def test_steps_and_halting_of_the_method_replace_the_models(made):
    model, problems = made(), TASK.problems("test", 3)
    with torch.no_grad():
        model.head.reasoner.halt.bias.fill_(-50.0)
    assert {a.steps for a in method_of(model, num_steps=5).attempt(problems)} == {5}
    with torch.no_grad():
        model.head.reasoner.halt.bias.fill_(50.0)
    assert {a.steps for a in method_of(model).attempt(problems)} == {1}
    assert {a.steps for a in method_of(model, halting=Fixed.Config()).attempt(problems)} == {3}
    assert {a.steps for a in method_of(model, halting=Learned.Config(probability=0.999)).attempt(problems)} == {1}


def step_flops(length, heads_of_halting=1):
    """T (n + 1) calls of a network of attention blocks on one workspace, then decoder and halt head."""
    block = 2 * length * (4 * D * D + 3 * D * INNER) + 4 * length * length * D
    return T * (N + 1) * LAYERS * block + 2 * length * D * len(TASK.symbols) + 2 * D * heads_of_halting


def test_a_supervision_step_costs_what_the_recursion_says(made):
    model = made(reasoner=reasoner(block=AttentionBlock.Config(num_heads=2)))
    assert model.head.reasoner.core.network.layers[0].mlp.down.in_features == INNER
    _, per_step = method_of(model)._flops
    assert per_step == pytest.approx(step_flops(4), rel=1e-9)


def test_a_step_of_the_mlp_block_costs_what_its_four_products_say(made):
    model = made(reasoner=reasoner(block=MLPBlock.Config(num_positions=4, inner_positions=8)))
    block = 2 * D * 3 * 4 * 8 + 2 * 4 * 3 * D * INNER
    _, per_step = method_of(model)._flops
    assert per_step == pytest.approx(T * (N + 1) * LAYERS * block + 2 * 4 * D * 10 + 2 * D, rel=1e-9)


def test_reading_costs_the_layers_up_to_the_deepest_one_read_and_the_encoder(made):
    """Layers 0 and 2 are read: two of the model's three layers run, and never the output matrix."""
    model = made()
    llama = model.backbone.model
    problem = TASK.problems("train", 1)[0]
    tokens = len(model.backbone.encode([problem.prompt])[0].ids)
    weights = sum(p.numel() for layer in llama.model.layers[:2] for p in layer.parameters() if p.ndim == 2)
    expected = 2 * weights * tokens + 2 * 4 * tokens**2 * 32 + 2 * 4 * 32 * 16
    per_token, _ = method_of(model)._flops
    assert per_token * tokens == pytest.approx(expected, rel=0.02)
    read = count_flops(lambda: model.read([problem.prompt]))
    assert per_token * tokens - read == pytest.approx(2 * 4 * 32 * 16)  # The encoder's projection of four spans.


def test_flops_grow_with_steps_taken_and_tokens_read(made):
    method, problems = method_of(made(), halting=Fixed.Config(), num_steps=4), TASK.problems("test", 3)
    per_token, per_step = method._flops
    attempts = method.attempt(problems)
    for attempt, problem in zip(attempts, problems, strict=True):
        tokens = len(method.model.backbone.encode([problem.prompt])[0].ids)
        assert attempt.flops == pytest.approx(per_token * tokens + 4 * per_step)


def test_the_depth_curve_is_the_share_right_after_every_step(made):
    model, problems = made(), TASK.problems("test", 6)
    solutions = model.solve([p.prompt for p in problems], halting=Fixed.Config(), num_steps=7)
    problems = [
        Problem(p.prompt, s.trajectory[i]) for i, (p, s) in enumerate(zip(problems, solutions, strict=True))
    ]  # The answer that each problem has after its own step counts as right.
    curve = method_of(model).depth_curve(problems, 7)
    expected = [sum(s.trajectory[i] == p.answer for s, p in zip(solutions, problems, strict=True)) / 6 for i in range(7)]
    assert curve == pytest.approx(expected) and max(curve) > 0 and len(curve) == 7


def test_the_depth_curve_never_halts_early(made):
    model, (problem,) = made(), TASK.problems("test", 1)
    with torch.no_grad():
        model.head.reasoner.halt.bias.fill_(50.0)
    last = model.solve([problem.prompt], halting=Fixed.Config(), num_steps=5)[0].trajectory[-1]
    curve = method_of(model).depth_curve([Problem(problem.prompt, last)], 5)
    assert len(curve) == 5 and curve[-1] == 1.0


def test_a_head_without_language_model_costs_its_recursion_alone():
    config = HybridConfig(
        TASK.layout, TASK.symbols, BackboneConfig("none"), Structured.Config(TASK.symbols), reasoner(), task=None
    )
    method = method_of(attach(None, config), halting=Fixed.Config(), num_steps=2)
    (attempt,) = method.attempt(TASK.problems("test", 1))
    block = 2 * 4 * (4 * D * D + 3 * D * INNER) + 4 * 4 * 4 * D
    assert attempt.flops == pytest.approx(2 * (T * (N + 1) * LAYERS * block + 2 * 4 * D * 10 + 2 * D), rel=1e-9)


@pytest.mark.parametrize("encoder", [Concat, CrossAttention, Pooled])
def test_heads_with_slots_have_a_cost_too(new_model, encoder):
    model = new_model(layout=LayoutConfig(num_answers=4), symbols=TASK.symbols, encoder=encoder.Config())
    (attempt,) = method_of(model, num_steps=1).attempt(TASK.problems("test", 1))
    assert attempt.flops > 0


def test_problems_are_asked_with_their_own_spans(new_model):
    model = new_model(layout=LayoutConfig(given=True), symbols=TASK.symbols)
    problem = TASK.problems("test", 1)[0]
    own = Problem(problem.prompt, problem.answer[:2], spans=TASK.layout.spans(problem.prompt)[0][:2])
    method = method_of(model, num_steps=1)
    vars(method)["_flops"] = (1.0, 1.0)
    assert len(method.attempt([own])[0].text.split()) == 2 and len(method.depth_curve([own], 2)) == 2


def test_the_task_says_which_answers_are_right(made):
    class Lenient(Sort):
        def right(self, symbols, problem):
            return symbols is not None

    problems = TASK.problems("test", 3)
    method = HeadMethod(HeadMethod.Config(num_steps=2), made(), Lenient(Sort.Config(length=4)))
    assert all(a.right and all(a.right_by_step) for a in method.attempt(problems))
    assert method.depth_curve(problems, 2) == [1.0, 1.0]
