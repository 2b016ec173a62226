"""Features: what an encoder adapter gets of the backbone's hidden states, for a batch.

Shapes: b batch, p positions, k chosen layers, h backbone width, a answer positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Features:
    """Hidden states of the positions that an encoder reads.

    Args:
        states: (b, p, k, h). Positions are prompt tokens, or spans where the encoder reads spans: the answer spans
            first, the context spans right behind them, padding last.
        mask: (b, p) bool, True at real positions.
        num_answers: answer positions of each row, (b,) int64.
    """

    states: Tensor
    mask: Tensor
    num_answers: Tensor

    @classmethod
    def pad(cls, rows: Sequence[Tensor], num_answers: Sequence[int], num_positions: int | None = None) -> Features:
        """Stack rows (p_i, k, h) of different lengths, padded with zeros to `num_positions` or to the longest."""
        lengths = torch.tensor([len(row) for row in rows])
        longest = num_positions or int(lengths.max())
        states = torch.stack([F.pad(row, (0, 0, 0, 0, 0, longest - len(row))) for row in rows])
        return cls(states, torch.arange(longest) < lengths[:, None], torch.tensor(list(num_answers)))

    def to(self, device: torch.device | str) -> Features:
        """Return the same features on `device`."""
        return Features(self.states.to(device), self.mask.to(device), self.num_answers.to(device))

    def select(self, rows: Tensor) -> Features:
        """Keep only some rows (index tensor)."""
        return Features(self.states[rows], self.mask[rows], self.num_answers[rows])

    def answer_mask(self, num_positions: int) -> Tensor:
        """Return (b, num_positions) bool, True at the answer positions."""
        return torch.arange(num_positions, device=self.mask.device) < self.num_answers[:, None]
