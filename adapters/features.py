"""Features: what an encoder adapter gets of the hidden states, for a batch.

Shapes: b batch, p positions, k chosen layers, h channels of a state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from hybrid.backbone.writing import padded
from hybrid.recursion.rows import Rows


@dataclass(frozen=True)
class Features(Rows):
    """Hidden states of the positions that an encoder reads.

    Args:
        states: (b, p, k, h). Positions are prompt tokens, or spans where the encoder reads spans: the answer spans
            first, the context spans right behind them, padding last.
        mask: (b, p) bool, True at real positions; None where nothing is padded.
        num_answers: answer positions of each row, (b,) int64.
        fewest, most: bounds of `num_answers`, known without asking the device.
        links: numbers of each position's word and sentence, (b, p, 2) int32; None where the reader gives none.
        prompt: tokens that a decoder writes behind, (b, s) int32, -1 behind the end; None where no text is written.
    """

    states: Tensor
    mask: Tensor | None
    num_answers: Tensor
    fewest: int
    most: int
    links: Tensor | None = None
    prompt: Tensor | None = None

    @classmethod
    def of(
        cls,
        states: Tensor,
        lengths: Sequence[int],
        num_answers: Sequence[int],
        links: Tensor | None = None,
        prompt: Tensor | None = None,
    ) -> Features:
        """Describe states (b, p, k, h) of rows of these lengths, with these numbers of answer positions, links and prompts."""
        device, positions = states.device, states.shape[1]
        padded = min(lengths) < positions
        mask = torch.arange(positions) < torch.tensor(list(lengths))[:, None] if padded else None
        counts = torch.tensor(list(num_answers)).to(device)
        bounds = min(num_answers), max(num_answers)
        mask, links, prompt = (each if each is None else each.to(device) for each in (mask, links, prompt))
        return cls(states, mask, counts, *bounds, links, prompt)

    @classmethod
    def pad(
        cls,
        rows: Sequence[Tensor],
        num_answers: Sequence[int],
        num_positions: int | None = None,
        links: Sequence[Sequence[int]] | None = None,
        prompts: Sequence[Sequence[int]] | None = None,
    ) -> Features:
        """Stack rows (p_i, k, h) of different lengths, and links of 2 p_i numbers, padded to `num_positions` or the longest."""
        lengths = [len(row) for row in rows]
        longest = num_positions or max(lengths)
        states = torch.stack([row if len(row) == longest else F.pad(row, (0, 0, 0, 0, 0, longest - len(row))) for row in rows])
        linked, prompt = None if links is None else padded_links(links, longest), None if prompts is None else padded(prompts)
        return cls.of(states, lengths, num_answers, linked, prompt)

    def answers(self, num_slots: int) -> Tensor | None:
        """Return which of the first positions hold an answer, (b, num_slots) bool; None where all do."""
        if self.fewest >= num_slots:
            return None
        return torch.arange(num_slots, device=self.num_answers.device) < self.num_answers[:, None]


def padded_links(rows: Sequence[Sequence[int]], num_positions: int) -> Tensor:
    """Return links (b, num_positions, 2) int32 from one sequence a row, of two numbers a position; -1 behind its end."""
    links = torch.full((len(rows), 2 * num_positions), -1, dtype=torch.int32)
    for place, row in zip(links, rows, strict=True):
        place[: len(row)] = torch.tensor(row, dtype=torch.int32)
    return links.view(len(rows), num_positions, 2)
