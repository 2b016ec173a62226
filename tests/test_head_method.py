"""The hybrid as a method: answers of its model, and what they cost; test_flops.py has the closed forms."""

import pytest
import torch

from hybrid.adapters import Concat, CrossAttention, Pooled
from hybrid.eval.baselines import HeadMethod
from hybrid.eval.measures.cost import count_flops
from hybrid.eval.tasks import Sort
from hybrid.layout import LayoutConfig
from hybrid.problem import Problem
from hybrid.recursion.halting import Fixed, Learned

TASK = Sort(Sort.Config(length=4))


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


def test_reading_costs_the_layers_up_to_the_deepest_one_read_and_the_encoder(made):
    """Layers 0 and 2 are read: two of the model's three layers run, and never the output matrix."""
    method = method_of(made())
    llama, cost = method.model.backbone.model, method.cost(TASK.problems("test", 1), [4])
    weights = sum(p.numel() for layer in llama.model.layers[:2] for p in layer.parameters() if p.ndim == 2)
    for tokens in (5, 40, 120):
        assert cost.read.flops(tokens) == pytest.approx(2 * weights * tokens + 2 * 4 * tokens**2 * 32, rel=0.02)
    assert cost.encode.flops(4) == 2 * 4 * 32 * 16  # The encoder's projection of four spans.


def test_flops_grow_with_steps_taken_and_tokens_read(made):
    method, problems = method_of(made(), halting=Fixed.Config(), num_steps=4), TASK.problems("test", 3)
    for attempt, problem in zip(method.attempt(problems), problems, strict=True):
        tokens = len(method.model.backbone.encode([problem.prompt])[0].ids)
        cost = method.cost(problems, [4] * 3)
        assert attempt.flops == cost.flops(tokens=tokens, positions=4, answers=4, steps=4)
        read, step = cost.read.flops(tokens) + cost.encode.flops(4), cost.step.flops(4) + 4 * cost.answer
        assert attempt.flops == pytest.approx(read + 4 * step, rel=1e-12)


def test_the_cost_is_counted_once_and_not_while_problems_are_answered(made, monkeypatch):
    from hybrid.eval.baselines import head

    method, counted = method_of(made()), []
    method.attempt(TASK.problems("test", 2))
    monkeypatch.setattr(head, "count_flops", lambda work: counted.append(work) or 0)
    method.attempt(TASK.problems("test", 4))
    assert counted == []


def test_a_first_problem_that_is_too_short_to_count_on_does_not_stand_for_longer_ones(new_model):
    task = Sort(Sort.Config(length=9, min_length=2))
    model = new_model(layout=task.layout, symbols=task.symbols)
    method = HeadMethod(HeadMethod.Config(num_steps=2), model, task, Fixed.Config())
    problems = sorted(task.problems("test", 20), key=lambda problem: len(problem.answer))
    assert [len(problems[i].answer) for i in (0, -1)] == [2, 9]
    for problem in (problems[0], problems[-1]):
        (attempt,) = method.attempt([problem])
        alone = count_flops(lambda problem=problem: model.solve([problem], halting=Fixed.Config(), num_steps=2))
        assert attempt.flops == pytest.approx(alone, rel=1e-6)


@pytest.mark.parametrize("length", [2, 3])
def test_short_workspaces_are_counted_as_far_as_they_reach(new_model, length):
    task = Sort(Sort.Config(length=length))
    model = new_model(layout=task.layout, symbols=task.symbols)
    (attempt,) = HeadMethod(HeadMethod.Config(num_steps=2), model, task, Fixed.Config()).attempt(task.problems("test", 1))
    alone = count_flops(lambda: model.solve(task.problems("test", 1), halting=Fixed.Config(), num_steps=2))
    assert attempt.flops == pytest.approx(alone, rel=1e-6)


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
    assert len(method.attempt([own])[0].text.split()) == 2 and len(method.depth_curve([own], 2)) == 2


def test_the_task_says_which_answers_are_right(made):
    class Lenient(Sort):
        def right(self, symbols, problem):
            return symbols is not None

    problems = TASK.problems("test", 3)
    method = HeadMethod(HeadMethod.Config(num_steps=2), made(), Lenient(Sort.Config(length=4)))
    assert all(a.right and all(a.right_by_step) for a in method.attempt(problems))
    assert method.depth_curve(problems, 2) == [1.0, 1.0]
