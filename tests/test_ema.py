"""Averaged weights."""

import pytest
import torch

from hybrid.train.optimizer import averaged


def test_the_average_follows_the_formula_with_a_young_decay():
    module = torch.nn.Linear(1, 1, bias=False)
    mean = averaged(module, 0.9)
    expected = None
    for count, value in enumerate([1.0, 5.0, -3.0, 2.0]):
        with torch.no_grad():
            module.weight.fill_(value)
        mean.update_parameters(module)
        decay = min(0.9, (1 + count) / (10 + count))
        expected = value if expected is None else decay * expected + (1 - decay) * value
        assert mean.module.weight.item() == pytest.approx(expected)


def test_late_updates_use_the_decay_itself():
    module = torch.nn.Linear(1, 1, bias=False)
    mean = averaged(module, 0.5)
    for value in [0.0] * 20 + [1.0]:
        with torch.no_grad():
            module.weight.fill_(value)
        mean.update_parameters(module)
    assert mean.module.weight.item() == pytest.approx(0.5)


def test_the_average_has_weights_of_its_own_and_no_graph(model):
    mean = averaged(model.head, 0.9)
    mean.update_parameters(model.head)
    for mine, theirs in zip(mean.module.parameters(), model.head.parameters(), strict=True):
        assert mine is not theirs and torch.equal(mine, theirs)
    before = [p.clone() for p in model.head.parameters()]
    mean.update_parameters(model.head)
    assert all(torch.equal(a, b) for a, b in zip(before, model.head.parameters(), strict=True))


def test_its_count_comes_back_from_a_checkpoint():
    module = torch.nn.Linear(2, 2)
    mean, other = averaged(module, 0.9), averaged(module, 0.9)
    for _ in range(3):
        mean.update_parameters(module)
    other.load_state_dict(mean.state_dict())
    assert int(other.n_averaged) == 3
