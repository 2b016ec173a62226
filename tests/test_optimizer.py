"""Optimizer and learning-rate schedule."""

import math

import pytest
import torch

from hybrid.errors import ConfigError
from hybrid.train.optimizer import OPTIMIZERS, AdamAtan2, Muon, OptimizerConfig, clip


def build_optimizer(config, module):
    return OPTIMIZERS.build(config).build(module)[0]


def test_the_rate_rises_then_falls_along_a_cosine():
    config = OptimizerConfig(learning_rate=2.0, warmup_steps=10, final_share=0.1)
    assert config.rate(0, 0.0) == pytest.approx(0.2) and config.rate(4, 0.0) == pytest.approx(1.0)
    assert config.rate(9, 0.0) == pytest.approx(2.0)
    for progress in (0.25, 0.5, 0.9):
        expected = 2 * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * progress)))
        assert config.rate(100, progress) == pytest.approx(expected)
    assert config.rate(100, 1.0) == config.rate(100, 1.7) == pytest.approx(0.2)


def test_a_constant_rate_stays():
    config = OptimizerConfig(learning_rate=0.5, warmup_steps=0, schedule="constant")
    assert config.rate(0, 0.0) == config.rate(99, 0.99) == 0.5


def test_matrices_are_decayed_and_vectors_are_not(model):
    optimizer = build_optimizer(OptimizerConfig(weight_decay=0.3), model.head)
    decayed, free = optimizer.param_groups
    assert decayed["weight_decay"] == 0.3 and free["weight_decay"] == 0.0
    assert all(p.ndim >= 2 for p in decayed["params"]) and all(p.ndim < 2 for p in free["params"])
    assert len(decayed["params"]) + len(free["params"]) == len(list(model.head.parameters()))


def test_frozen_parameters_are_left_out():
    layer = torch.nn.Linear(2, 2)
    layer.weight.requires_grad_(False)
    assert [len(group["params"]) for group in build_optimizer(OptimizerConfig(), layer).param_groups] == [0, 1]


@pytest.mark.parametrize(
    "fields",
    [
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"beta1": 1.0},
        {"beta2": -0.1},
        {"weight_decay": -1.0},
        {"warmup_steps": -1},
        {"final_share": -0.1},
        {"max_norm": 0.0},
    ],
)
def test_values_out_of_range_are_refused_by_name(fields):
    with pytest.raises(ConfigError, match=rf"optimizer\.{next(iter(fields))}"):
        OptimizerConfig(**fields)


def test_atan2_equals_its_formula_over_three_steps():
    weight = torch.nn.Parameter(torch.tensor([[1.0, -2.0]]))
    (optimizer,) = OPTIMIZERS.build(AdamAtan2.Config(learning_rate=0.1, weight_decay=0.5)).build(torch.nn.ParameterList([weight]))
    p, m, v = weight.detach().clone(), torch.zeros(1, 2), torch.zeros(1, 2)
    for step, gradient in enumerate(torch.tensor([[[0.3, 0.0]], [[-0.1, 1e-12]], [[5.0, 2.0]]]), 1):
        weight.grad = gradient.clone()
        optimizer.step()
        m, v = 0.9 * m + 0.1 * gradient, 0.95 * v + 0.05 * gradient**2
        p = p * (1 - 0.1 * 0.5) - 0.1 / (1 - 0.9**step) * torch.atan2(m, (v / (1 - 0.95**step)).sqrt())
        torch.testing.assert_close(weight.detach(), p)


class Tables(torch.nn.Module):
    """A vector beside a puzzle table."""

    def __init__(self):
        super().__init__()
        self.bias = torch.nn.Parameter(torch.ones(2))
        self.puzzles = torch.nn.Parameter(torch.ones(2, 2, dtype=torch.float64))


def test_atan2_decays_vectors_too_and_moves_the_rows_of_a_puzzle_table_that_are_read_by_sign():
    module = Tables()
    (optimizer,) = OPTIMIZERS.build(AdamAtan2.Config(learning_rate=0.1, weight_decay=0.5)).build(module)
    module.bias.grad = torch.zeros(2)
    module.puzzles.grad = torch.tensor([[1e-9, -4.0], [0.0, 0.0]], dtype=torch.float64)
    optimizer.step()
    assert torch.equal(module.bias.detach(), torch.full((2,), 1 - 0.1 * 0.5))
    moved = [[1 - 0.1 * 0.5 - 0.1, 1 - 0.1 * 0.5 + 0.1], [1.0, 1.0]]
    torch.testing.assert_close(module.puzzles.detach(), torch.tensor(moved, dtype=torch.float64), rtol=0, atol=1e-15)


def test_gradients_are_clipped_to_a_norm_or_left():
    weight = torch.nn.Parameter(torch.zeros(2))
    weight.grad = torch.tensor([3.0, 4.0])
    clip([weight], None)
    assert weight.grad.norm() == 5
    clip([weight], 1.0)
    assert weight.grad.norm() == pytest.approx(1.0)
    assert OptimizerConfig(max_norm=None).max_norm is None


def test_muon_takes_the_matrices_of_the_core_and_nothing_else(model):
    rest, muon = OPTIMIZERS.build(Muon.Config()).build(model.head)
    assert isinstance(muon, torch.optim.Muon)
    core = {id(p) for p in model.head.reasoner.core.parameters()}
    assert {id(p) for group in muon.param_groups for p in group["params"]} == core
    count = sum(len(group["params"]) for optimizer in (rest, muon) for group in optimizer.param_groups)
    assert count == len(list(model.head.parameters()))
