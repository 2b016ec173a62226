"""Cores: which calls a cycle has, and what each reads."""

import pytest
import torch

from hybrid.errors import ConfigError
from hybrid.recursion.block import AttentionBlock
from hybrid.recursion.cores import CORES, TRM, FeedForward
from hybrid.recursion.workspace import Workspace

BLOCK = AttentionBlock.Config(num_heads=2)


def same(mine, theirs):
    """Sums may be taken in another order."""
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-5)


def test_a_trm_cycle_is_n_thoughts_and_one_answer():
    core = TRM(TRM.Config(num_layers=1, num_latent_steps=3), BLOCK, 16)
    assert [call.__name__ for call in core.cycle()] == ["think", "think", "think", "answer"]
    assert len(core.calls(5)) == 20


def test_thinking_reads_the_workspace_and_answering_does_not():
    core = TRM(TRM.Config(), BLOCK, 16)
    y, z, x, other = (torch.randn(1, 4, 16) for _ in range(4))
    same(core.think((y, z), Workspace(x, None))[1], core.network(z + y + x))
    assert core.think((y, z), Workspace(x, None))[0] is y
    assert torch.equal(core.answer((y, z), Workspace(x, None))[0], core.answer((y, z), Workspace(other, None))[0])
    same(core.answer((y, z), Workspace(x, None))[0], core.network(y + z))
    assert core.answer((y, z), Workspace(x, None))[1] is z


def test_feed_forward_has_the_same_weights_and_forgets_its_state():
    core = FeedForward(FeedForward.Config(), BLOCK, 16)
    recursive = TRM(TRM.Config(), BLOCK, 16)
    assert sum(p.numel() for p in core.parameters()) == sum(p.numel() for p in recursive.parameters())
    x = torch.randn(1, 4, 16)
    outs = [core.answer((torch.randn(1, 4, 16),), Workspace(x, None))[0] for _ in range(2)]
    assert torch.equal(*outs) and len(core.calls(7)) == 1 and core.num_states == 1


@pytest.mark.parametrize("fields", [{"num_layers": 0}, {"num_latent_steps": 0}])
def test_counts_below_one_are_refused(fields):
    with pytest.raises(ConfigError, match=rf"core\.{next(iter(fields))} is 0"):
        TRM.Config(**fields)
    with pytest.raises(ConfigError, match="core.num_layers"):
        FeedForward.Config(num_layers=0)


@pytest.mark.parametrize("kind", CORES)
def test_every_core_keeps_the_shapes_of_its_states_and_reads_the_workspace(kind):
    core = CORES.build(CORES[kind].Config(), BLOCK, 16)
    x = torch.randn(2, 4, 16, requires_grad=True)
    state = tuple(torch.randn(2, 4, 16) for _ in range(core.num_states))
    for call in core.calls(2):
        state = call(state, Workspace(x, None))
    assert [part.shape for part in state] == [x.shape] * core.num_states
    assert torch.autograd.grad(state[0].sum(), x)[0].abs().sum() > 0


@pytest.mark.parametrize("kind", CORES)
def test_masked_positions_never_influence_others_in_any_core(kind):
    core = CORES.build(CORES[kind].Config(), BLOCK, 16)
    mask = torch.tensor([[True, True, False, True]])
    x = torch.randn(1, 4, 16)
    results = []
    for noise in (0.0, 9.0):
        state = (torch.ones(1, 4, 16),) * core.num_states
        for call in core.calls(2):
            state = call(state, Workspace(x + noise * ~mask[..., None], None, mask))
        results.append(state[0][mask])
    assert torch.equal(*results)


def test_hrm_updates_low_n_times_and_high_once_with_networks_of_their_own():
    core = CORES.build(CORES["hrm"].Config(num_latent_steps=3), BLOCK, 16)
    high, low, x = (torch.randn(1, 4, 16) for _ in range(3))
    state = (high, low)
    for call in core.cycle():
        state = call(state, Workspace(x, None))
    for _ in range(3):
        low = core.low(low + high + x)
    high = core.high(high + low)
    same(state[0], high)
    same(state[1], low)
    assert not torch.equal(core.low(x), core.high(x))


def test_one_state_alone_serves_as_answer_and_latent():
    core = CORES.build(CORES["single_state"].Config(num_latent_steps=2), BLOCK, 16)
    z, x = torch.randn(1, 4, 16), torch.randn(1, 4, 16)
    state = (z,)
    for call in core.cycle():
        state = call(state, Workspace(x, None))
    same(state[0], core.network(core.network(core.network(z + x) + x) + x))


def test_the_deep_control_is_an_untied_stack_whatever_the_cycles():
    core = CORES.build(CORES["deep"].Config(num_networks=3), BLOCK, 16)
    x = torch.randn(1, 4, 16)
    state = (torch.randn(1, 4, 16),)
    for call in core.calls(7):
        state = call(state, Workspace(x, None))
    same(state[0], core.networks[2](core.networks[1](core.networks[0](x))))
