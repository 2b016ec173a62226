"""The workspace: what is read of an answer state, and parts of a batch."""

import torch

from hybrid.recursion.workspace import Memory, Workspace


def test_halting_reads_the_answer_positions_alone():
    y = torch.randn(2, 5, 16)
    workspace = Workspace(torch.zeros(2, 5, 16), torch.tensor([2, 5]))
    mean = workspace.summary(y)
    torch.testing.assert_close(mean, torch.stack([y[0, :2].mean(0), y[1].mean(0)]))
    y[0, 2:] = 99
    assert torch.equal(workspace.summary(y), mean)


def test_answers_stand_behind_the_prefix_which_the_halt_head_reads():
    y, workspace = torch.randn(2, 5, 4), Workspace(torch.zeros(2, 5, 4), torch.tensor([2, 2]), num_prefix=2)
    assert torch.equal(workspace.answers(y, 2), y[:, 2:4]) and torch.equal(workspace.summary(y), y[:, 0])


def test_parts_of_a_batch_hold_all_of_their_rows():
    x, mask = torch.randn(5, 3, 4), torch.rand(5, 3) > 0.5
    whole = Workspace(x, torch.arange(5), mask, Memory(torch.randn(5, 2, 4)))
    parts = whole.split(2)
    assert [len(part.x) for part in parts] == [2, 2, 1]
    assert torch.equal(parts[1].x, x[2:4]) and torch.equal(parts[1].mask, mask[2:4]) and parts[1].num_answers.tolist() == [2, 3]
    assert torch.equal(parts[2].memory.states, whole.memory.states[4:]) and parts[2].memory.mask is None
