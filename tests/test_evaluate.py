"""Evaluation: accuracy after every step, and what was right."""

import pytest
import torch

from hybrid.recursion.halting import Converged, Fixed
from hybrid.train.dataset import Dataset
from hybrid.train.evaluate import evaluate


@pytest.fixture
def data(model, problems):
    """Problems whose answers are what the model says after two steps, for every second one."""
    prompts = [*problems(7), *problems(3, length=2)]
    said = model.solve([p.prompt for p in prompts], halting=Fixed.Config(), num_steps=2)
    wrong = lambda s: (str((int(s[0]) + 1) % 10), *s[1:])  # noqa: E731
    answers = [s.symbols if i % 2 else wrong(s.symbols) for i, s in enumerate(said)]
    changed = [type(p)(p.prompt, answer) for p, answer in zip(prompts, answers, strict=True)]
    return Dataset(model, changed)


def test_accuracy_is_the_share_of_wholly_right_answers_after_each_step(model, data):
    found = evaluate(model.head, data, num_steps=4)
    said = model.solve([p.prompt for p in data.problems], halting=Fixed.Config(), num_steps=4)
    for step in range(4):
        right = [s.trajectory[step] == p.answer for s, p in zip(said, data.problems, strict=True)]
        assert found.exact_by_step[step] == sum(right) / 10  # To the last bit: a target is compared with it.
    assert found.exact == found.exact_by_step[-1] and found.steps == 4.0
    assert evaluate(model.head, data, num_steps=2).exact == 0.5


def test_symbols_count_one_by_one_within_each_problem(model, data):
    lengths = [len(p.answer) for p in data.problems]
    expected = sum(1.0 if i % 2 else 1 - 1 / length for i, length in enumerate(lengths)) / 10
    assert evaluate(model.head, data, num_steps=2).symbols == pytest.approx(expected)


@pytest.mark.parametrize("batch_size", [1, 3, 10, 128])
def test_the_figures_do_not_depend_on_the_batch(model, data, batch_size):
    whole, cut = evaluate(model.head, data, num_steps=3), evaluate(model.head, data, num_steps=3, batch_size=batch_size)
    assert cut.exact_by_step == pytest.approx(whole.exact_by_step) and cut.symbols == pytest.approx(whole.symbols)
    assert torch.equal(cut.right, whole.right) and cut.right.shape == (10,)


def test_halting_rows_are_judged_by_the_answer_that_they_halted_with(model, data):
    found = evaluate(model.head, data, num_steps=4, halting=Converged.Config(tolerance=1e9))
    first = evaluate(model.head, data, num_steps=1)
    assert found.steps == 1.0 and found.exact_by_step == first.exact_by_step * 4


def test_evaluating_changes_no_weight_and_keeps_no_graph(model, data):
    before = [p.clone() for p in model.head.parameters()]
    evaluate(model.head, data, num_steps=2)
    assert all(torch.equal(a, b) and b.grad is None for a, b in zip(before, model.head.parameters(), strict=True))
