"""The loop against a reference, and the motion of states."""

import pytest
import torch

from hybrid.recursion import cycle as recursion
from hybrid.recursion.cycle import recur, relative_motion
from hybrid.recursion.workspace import Workspace


def reference(f, x, y, z, n, cycles):
    """TRM's supervision step as in the paper: n times z, once y, the last cycle with gradient."""
    for cycle in range(cycles):
        with torch.set_grad_enabled(cycle == cycles - 1):
            for _ in range(n):
                z = f(z + y + x)
            y = f(y + z)
    return y, z


def test_the_loop_equals_the_reference_with_values_and_gradients():
    from hybrid.recursion.cores import TRM

    core = TRM(TRM.Config(num_latent_steps=3), attention(), 16).double()
    x, y, z = (torch.randn(2, 5, 16, dtype=torch.float64) for _ in range(3))
    results = []
    for run in (
        lambda x: recur(core.calls(2), (y, z), Workspace(x, None), num_gradient_calls=4),
        lambda x: reference(core.network, x, y, z, 3, 2),
    ):
        source = x.clone().requires_grad_()
        out = run(source)
        total = sum((part * torch.linspace(-1, 1, 16)).sum() for part in out)
        results.append((*out, *torch.autograd.grad(total, [source, *core.parameters()])))
    for mine, theirs in zip(*results, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("rows", [1, 9, 24])
def test_slices_of_a_batch_give_the_values_and_gradients_of_the_whole(monkeypatch, rows, masked):
    from hybrid.recursion.cores import TRM
    from hybrid.recursion.gradients import LastCycle

    core, scheme = TRM(TRM.Config(num_latent_steps=2), attention(), 16).double(), LastCycle(LastCycle.Config())
    x, y, z = (torch.randn(rows, 6, 16, dtype=torch.float64) for _ in range(3))
    mask = (torch.rand(rows, 6) > 0.3) | (torch.arange(6) == 0) if masked else None
    results = []
    for positions in (10_000, 12):
        monkeypatch.setattr(recursion, "SLICE", positions)
        source = x.clone().requires_grad_()
        out = scheme.run(core, (y, z), Workspace(source, torch.full((rows,), 6), mask), 2)
        total = sum((part * torch.linspace(-1, 1, 16)).sum() for part in out)
        results.append((*out, *torch.autograd.grad(total, [source, *core.parameters()])))
    for whole, sliced in zip(*results, strict=True):
        torch.testing.assert_close(whole, sliced, rtol=0, atol=1e-12)


def attention():
    from hybrid.recursion.block import AttentionBlock

    return AttentionBlock.Config(num_heads=2)


def scale(state, workspace):
    return (state[0] * workspace.x,)


def test_only_the_last_calls_carry_gradient():
    x = torch.tensor([[[2.0]]], requires_grad=True)
    start = (torch.ones(1, 1, 1),)
    for calls, expected in ((0, None), (1, 4.0), (2, 8.0), (3, 12.0), (9, 12.0)):
        (out,) = recur([scale] * 3, start, Workspace(x, None), num_gradient_calls=calls)
        assert out.item() == 8 and out.requires_grad == (expected is not None)
        if expected is not None:  # d/dx of x^k with the rest held fixed.
            assert torch.autograd.grad(out, x)[0].item() == expected


def test_calls_get_the_workspace():
    seen = []
    workspace = Workspace(torch.ones(1, 1, 1), torch.ones(1), torch.tensor([[True]]))
    recur([lambda state, given: seen.append(given) or state] * 2, (torch.ones(1, 1, 1),), workspace, num_gradient_calls=1)
    assert seen[0] is seen[1] is workspace


def test_motion_is_the_relative_change_of_all_states_of_a_row():
    before = (torch.zeros(2, 1, 2), torch.ones(2, 1, 2))
    after = (torch.tensor([[[3.0, 4.0]], [[0.0, 0.0]]]), torch.ones(2, 1, 2))
    torch.testing.assert_close(relative_motion(before, after), torch.tensor([(25 / 27) ** 0.5, 0.0]))


def test_padding_does_not_move():
    before, after = (torch.zeros(1, 2, 3),), (torch.tensor([[[1.0] * 3, [9.0] * 3]]),)
    mask = torch.tensor([[True, False]])
    torch.testing.assert_close(relative_motion(before, after, mask), torch.ones(1))
    assert relative_motion(before, before).item() == 0
