"""The workspace: what the recursion works on, and what it may look at again.

Shapes: b batch, l workspace positions, m memory positions, d width, a answer positions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hybrid.recursion.rows import Rows


@dataclass(frozen=True)
class Memory(Rows):
    """Positions that a block may read at each call, but never writes.

    Args:
        states: (b, m, d).
        mask: (b, m) bool, True at real positions; None where nothing is padded.
    """

    states: Tensor
    mask: Tensor | None = None


@dataclass(frozen=True)
class Workspace(Rows):
    """The encoder's result for a batch.

    Args:
        x: (b, l, d): a prefix, then the answer positions, then all others, padding last.
        num_answers: answer positions of each row, (b,) int64.
        mask: (b, l) bool, True at real positions; None where nothing is padded.
        memory: for blocks that read it; None for none.
        num_prefix: positions in front of the answers.
        links: numbers of each position's word and sentence, (b, l, 2) int32, -1 for none; for heads that look at these alone.
        prompt: tokens that a decoder writes behind, (b, s) int32, -1 behind the end; None where no text is written.
    """

    x: Tensor
    num_answers: Tensor
    mask: Tensor | None = None
    memory: Memory | None = None
    num_prefix: int = 0
    links: Tensor | None = None
    prompt: Tensor | None = None

    def split(self, size: int) -> list[Workspace]:
        """Cut the batch into parts of `size` rows."""
        parts = enumerate(torch.split(self.x, size))  # One node of autograd for all parts.
        return [replace(self.mapped(lambda t, i=i: t[i * size : (i + 1) * size]), x=x_bld) for i, x_bld in parts]  # type: ignore[misc]

    def answers(self, y_bld: Tensor, count: int) -> Tensor:
        """Return the answer state of the first `count` positions behind the prefix, (b, count, d)."""
        return y_bld[:, self.num_prefix :][:, :count]

    def summary(self, y_bld: Tensor) -> Tensor:
        """Return what the halt head reads, (b, d): the first prefix position, else the mean over the answer positions."""
        if self.num_prefix:
            return y_bld[:, 0]
        places = torch.arange(y_bld.shape[1], device=y_bld.device)
        keep_bl1 = (places < self.num_answers[:, None])[..., None].to(y_bld.dtype)
        return (y_bld * keep_bl1).sum(1) / keep_bl1.sum(1)
