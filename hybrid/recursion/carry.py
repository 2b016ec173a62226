"""The carry: what is kept from one supervision step to the next, detached.

A batch has slots. A slot whose problem halted takes a new problem and starts again from the initial states; the others
go on. The batch keeps its rows, which keeps the ranks of a distributed run in lock-step. Follows the training loop of HRM
(arXiv 2506.21734, section 2, adaptive computation time).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hybrid.recursion.cycle import State
from hybrid.recursion.rows import Rows


@dataclass(frozen=True)
class Carry(Rows):
    """Latent states and counters of a batch.

    Args:
        state: tensors (b, l, d), detached; the first is y.
        steps: supervision steps taken by each slot's problem, (b,) int64.
        halted: slots that are free for a new problem, (b,) bool.
    """

    state: State
    steps: Tensor
    halted: Tensor

    @classmethod
    def start(cls, initial: State) -> Carry:
        """Return a carry for fresh problems, with all slots free."""
        rows, device = initial[0].shape[0], initial[0].device
        zeros = torch.zeros(rows, dtype=torch.int64, device=device)
        return cls(tuple(s.detach() for s in initial), zeros, torch.ones(rows, dtype=torch.bool, device=device))

    def refill(self, initial: State) -> Carry:
        """Put the initial states (b, l, d) into the halted slots and set their counters to zero."""
        free_b11 = self.halted[:, None, None]
        state = tuple(torch.where(free_b11, fresh, kept) for fresh, kept in zip(initial, self.state, strict=True))
        return Carry(state, self.steps.masked_fill(self.halted, 0), torch.zeros_like(self.halted))

    def advance(self, state: State, halted: Tensor) -> Carry:
        """Return the carry after a supervision step that ended in `state` and halted these slots (b,)."""
        return Carry(tuple(s.detach() for s in state), self.steps + 1, halted)
