"""Answering: steps, halting, and rows that leave the batch."""

from dataclasses import dataclass

import pytest
import torch

from hybrid.adapters import Features
from hybrid.inference.thinking import think
from hybrid.recursion.cycle import relative_motion
from hybrid.recursion.halting import Fixed, Halting

FIXED = Fixed(Fixed.Config())


@dataclass
class Plan(Halting):
    """Stops row r of the whole batch after plan[r] steps."""

    plan: list

    def __post_init__(self):
        self.alive, self.step = list(range(len(self.plan))), 0

    def stop(self, halt_bk, motion_b):
        self.step += 1
        assert len(motion_b) == len(self.alive) == len(halt_bk)
        stop = torch.tensor([self.plan[row] == self.step for row in self.alive])
        self.alive = [row for row in self.alive if self.plan[row] != self.step]
        return stop


@pytest.fixture
def features():
    rows = [torch.randn(length, 2, 32) for length in (4, 3, 5, 4)]
    return Features.pad(rows, [3, 3, 5, 2])


@torch.no_grad()
def test_the_steps_are_those_of_a_plain_loop(model, features):
    thoughts = think(model.head, features, FIXED, 4)
    head = model.head
    workspace = head.encode(features)
    state = head.reasoner.start(workspace.x)
    for step in range(4):
        before, state = state, head.step(workspace, state)
        assert torch.equal(thoughts.symbols[:, step], head.decoder(state[0]).argmax(-1))
        torch.testing.assert_close(thoughts.halt[:, step], head.halt(workspace, state))
        torch.testing.assert_close(thoughts.motion[:, step], relative_motion(before, state, workspace.mask))
    torch.testing.assert_close(thoughts.answers, state[0])
    assert thoughts.steps.tolist() == [4] * 4 and not thoughts.halted.any()


def test_halted_rows_keep_their_answer(model, features):
    whole = think(model.head, features, FIXED, 6)
    plan = [2, 9, 4, 1]
    thoughts = think(model.head, features, Plan(plan), 6)
    assert thoughts.steps.tolist() == [2, 6, 4, 1] and thoughts.halted.tolist() == [True, False, True, True]
    for row, last in enumerate([2, 6, 4, 1]):
        for step in range(6):
            same = min(step, last - 1)
            assert torch.equal(thoughts.symbols[row, step], whole.symbols[row, same])
            torch.testing.assert_close(thoughts.halt[row, step], whole.halt[row, same], rtol=0, atol=1e-5)
        assert (thoughts.motion[row, last:] == 0).all() and (thoughts.motion[row, :last] > 0).all()
        alone = think(model.head, features, FIXED, last).answers[row]
        torch.testing.assert_close(thoughts.answers[row], alone, rtol=0, atol=1e-4)


def test_thinking_ends_when_all_rows_have_halted(model, features):
    thoughts = think(model.head, features, Plan([1, 2, 2, 1]), 6)
    assert thoughts.symbols.shape[1] == 2 and thoughts.halted.all()


def test_a_row_that_would_halt_at_the_last_step_counts_as_not_halted(model, features):
    thoughts = think(model.head, features, Plan([3, 3, 3, 3]), 3)
    assert not thoughts.halted.any() and thoughts.steps.tolist() == [3] * 4


def test_halted_rows_are_not_computed_any_more(model, features):
    sizes = []
    handle = model.head.reasoner.core.network.register_forward_hook(lambda module, args, out: sizes.append(len(out)))
    think(model.head, features, Plan([1, 9, 1, 2]), 3)
    handle.remove()
    calls = len(sizes) // 3
    assert sizes == [4] * calls + [2] * calls + [1] * calls


def test_nothing_is_remembered_for_gradients(model, features):
    thoughts = think(model.head, features, FIXED, 2)
    assert not thoughts.answers.requires_grad
