"""Gradient schemes against autograd through an unrolled loop in float64."""

import pytest
import torch

from hybrid.errors import ConfigError
from hybrid.recursion.block import AttentionBlock
from hybrid.recursion.cores import CORES, TRM, FeedForward
from hybrid.recursion.gradients import GRADIENTS, Full, LastCycle, LastK, OneStep
from hybrid.recursion.workspace import Workspace

BLOCK = AttentionBlock.Config(num_heads=2)
N, CYCLES = 2, 3
TOTAL = (N + 1) * CYCLES


@pytest.fixture
def core():
    return TRM(TRM.Config(num_layers=1, num_latent_steps=N), BLOCK, 16).double()


@pytest.fixture
def inputs():
    return [torch.randn(2, 4, 16, dtype=torch.float64) for _ in range(3)]


def unrolled(core, y, z, x, num_calls):
    """One supervision step call by call; everything before the last `num_calls` is detached."""
    for call in range(TOTAL):
        if call == TOTAL - num_calls:
            y, z = y.detach(), z.detach()
        if call % (N + 1) < N:
            z = core.network(z + y + x)
        else:
            y = core.network(y + z)
    return y, z


def gradients(run, core, inputs):
    y, z, x = (part.clone().requires_grad_() for part in inputs)
    out = run(y, z, x)
    total = sum((part * torch.linspace(0.5, 2, 16)).cos().sum() for part in out)
    found = torch.autograd.grad(total, [x, *core.parameters()], allow_unused=True, materialize_grads=True)
    return [*out, *found]


@pytest.mark.parametrize(
    ("scheme", "num_calls"),
    [(OneStep.Config(), 2), (LastCycle.Config(), N + 1), (Full.Config(), TOTAL)]
    + [(LastK.Config(k), min(k, TOTAL)) for k in (1, 2, 4, 7, TOTAL, TOTAL + 5)],
)
def test_a_scheme_equals_autograd_through_its_last_calls(core, inputs, scheme, num_calls):
    rule = GRADIENTS.build(scheme)
    mine = gradients(lambda y, z, x: rule.run(core, (y, z), Workspace(x, None), CYCLES), core, inputs)
    theirs = gradients(lambda y, z, x: unrolled(core, y, z, x, num_calls), core, inputs)
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


def test_full_agrees_with_finite_differences(core, inputs):
    y, z, x = inputs
    weight = core.network.layers[0].mlp.down.weight

    def value():
        out = GRADIENTS.build(Full.Config()).run(core, (y, z), Workspace(x, None), CYCLES)
        return (out[0] * torch.linspace(0.5, 2, 16)).sum()

    (gradient,) = torch.autograd.grad(value(), weight)
    direction = torch.randn_like(weight)
    with torch.no_grad():
        weight += 1e-5 * direction
        above = value()
        weight -= 2e-5 * direction
        below = value()
    torch.testing.assert_close((above - below) / 2e-5, (gradient * direction).sum(), rtol=1e-7, atol=1e-8)


def test_every_scheme_gives_the_same_state(core, inputs):
    y, z, x = inputs
    schemes = (OneStep.Config(), LastCycle.Config(), LastK.Config(4), Full.Config())
    states = [GRADIENTS.build(scheme).run(core, (y, z), Workspace(x, None), CYCLES) for scheme in schemes]
    assert all(torch.equal(a, b) for state in states[1:] for a, b in zip(state, states[0], strict=True))


def test_one_step_reaches_both_states():
    core = TRM(TRM.Config(num_latent_steps=4), BLOCK, 16)
    assert OneStep(OneStep.Config()).num_calls(core, 99) == 2
    y, z = GRADIENTS.build(OneStep.Config()).run(core, (torch.randn(1, 3, 16),) * 2, Workspace(torch.randn(1, 3, 16), None), 2)
    assert y.requires_grad and z.requires_grad


@pytest.mark.parametrize(("kind", "calls"), [("single_state", 1), ("trm", 2), ("hrm", 2)])
def test_one_step_is_last_k_of_one_call_for_each_state(kind, calls):
    core = CORES.build(CORES[kind].Config(num_latent_steps=N), BLOCK, 16).double()
    x, *state = (torch.randn(2, 4, 16, dtype=torch.float64) for _ in range(1 + core.num_states))
    results = []
    for scheme in (OneStep.Config(), LastK.Config(calls)):
        out = GRADIENTS.build(scheme).run(core, tuple(state), Workspace(x, None), CYCLES)
        total = sum((part * torch.linspace(0.5, 2, 16)).cos().sum() for part in out)
        results.append(torch.autograd.grad(total, list(core.parameters())))
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def test_schemes_serve_a_core_without_recursion():
    core = FeedForward(FeedForward.Config(), BLOCK, 16)
    for kind in ("one_step", "last_cycle", "last_k", "full"):
        (y,) = GRADIENTS.build(GRADIENTS[kind].Config()).run(
            core, (torch.zeros(1, 3, 16),), Workspace(torch.randn(1, 3, 16), None), 4
        )
        assert y.requires_grad


def test_k_below_one_is_refused():
    with pytest.raises(ConfigError, match=r"gradient\.k is 0"):
        LastK.Config(0)
