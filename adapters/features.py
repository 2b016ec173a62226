"""Features: what an encoder adapter gets of the hidden states, for a batch.

Shapes: b batch, p positions, k chosen layers, h channels of a state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from hybrid.rows import Rows


@dataclass(frozen=True)
class Features(Rows):
    """Hidden states of the positions that an encoder reads.

    Args:
        states: (b, p, k, h). Positions are prompt tokens, or spans where the encoder reads spans: the answer spans
            first, the context spans right behind them, padding last.
        mask: (b, p) bool, True at real positions; None where nothing is padded.
        num_answers: answer positions of each row, (b,) int64.
        fewest, most: bounds of `num_answers`, known without asking the device.
    """

    states: Tensor
    mask: Tensor | None
    num_answers: Tensor
    fewest: int
    most: int

    @classmethod
    def of(cls, states: Tensor, lengths: Sequence[int], num_answers: Sequence[int]) -> Features:
        """Describe states (b, p, k, h) of rows of these lengths, with these numbers of answer positions."""
        device, positions = states.device, states.shape[1]
        padded = min(lengths) < positions
        mask = torch.arange(positions) < torch.tensor(list(lengths))[:, None] if padded else None
        counts = torch.tensor(list(num_answers)).to(device)
        return cls(states, mask if mask is None else mask.to(device), counts, min(num_answers), max(num_answers))

    @classmethod
    def pad(cls, rows: Sequence[Tensor], num_answers: Sequence[int], num_positions: int | None = None) -> Features:
        """Stack rows (p_i, k, h) of different lengths, padded with zeros to `num_positions` or to the longest."""
        lengths = [len(row) for row in rows]
        longest = num_positions or max(lengths)
        states = torch.stack([F.pad(row, (0, 0, 0, 0, 0, longest - len(row))) for row in rows])
        return cls.of(states, lengths, num_answers)

    def answers(self, num_slots: int) -> Tensor | None:
        """Return which of the first positions hold an answer, (b, num_slots) bool; None where all do."""
        if self.fewest >= num_slots:
            return None
        return torch.arange(num_slots, device=self.num_answers.device) < self.num_answers[:, None]
