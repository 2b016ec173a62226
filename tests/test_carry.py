"""The carry: detached, refilled slot by slot, never changing its shape."""

import torch

from hybrid.recursion.carry import Carry


def carry(halted):
    state = (torch.ones(3, 2, 4) * 5, torch.ones(3, 2, 4) * 6)
    return Carry(state, torch.tensor([1, 2, 3]), torch.tensor(halted))


def test_a_fresh_carry_has_all_slots_free_and_no_graph():
    fresh = Carry.start((torch.randn(3, 2, 4, requires_grad=True) * 2,))
    assert fresh.halted.all() and fresh.steps.tolist() == [0, 0, 0] and not fresh.state[0].requires_grad


def test_halted_slots_start_again_and_the_others_go_on():
    initial = (torch.zeros(3, 2, 4), torch.ones(3, 2, 4))
    after = carry([True, False, True]).refill(initial)
    assert after.steps.tolist() == [0, 2, 0] and not after.halted.any()
    assert after.state[0][:, 0, 0].tolist() == [0, 5, 0] and after.state[1][:, 0, 0].tolist() == [1, 6, 1]


def test_refilling_leaves_the_old_carry_as_it_was():
    old = carry([True, True, True])
    old.refill((torch.zeros(3, 2, 4),) * 2)
    assert old.steps.tolist() == [1, 2, 3] and old.halted.all() and (old.state[0] == 5).all()


def test_advancing_counts_a_step_and_cuts_the_graph():
    state = tuple(torch.randn(3, 2, 4, requires_grad=True) * 2 for _ in range(2))
    after = carry([False] * 3).advance(state, torch.tensor([False, True, False]))
    assert after.steps.tolist() == [2, 3, 4] and after.halted.tolist() == [False, True, False]
    assert not any(part.requires_grad for part in after.state) and torch.equal(after.state[1], state[1])


def test_selecting_keeps_rows_together():
    kept = carry([True, False, True]).select(torch.tensor([2, 1]))
    assert kept.steps.tolist() == [3, 2] and kept.halted.tolist() == [True, False] and kept.state[0].shape == (2, 2, 4)
