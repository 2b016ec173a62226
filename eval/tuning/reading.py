"""Batches of texts for the methods that train a language model: padded ids, and what was written as texts.

Prompts are padded on the left, so that whatever follows them stands in the same columns; what follows, on the right.

Shapes: b batch, s positions of a pass, t tokens of the longest answer, h width, v vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hybrid.backbone.writing import Pass

IGNORED = -100
"""Label of padding."""


@dataclass(frozen=True)
class Written:
    """One answer: its text, its tokens (the one that ends it included), and whether it ended of itself."""

    text: str
    tokens: int
    ended: bool


def pad(rows: Sequence[Sequence[int]], side: str, device: Any) -> tuple[Tensor, Tensor]:
    """Return token ids and mask, both (b, longest) int64; padding is on `side`, left or right.

    Example:
        >>> pad([[5, 6], [7]], "left", "cpu")[0].tolist()
        [[5, 6], [0, 7]]
    """
    longest = max(len(row) for row in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        place = slice(longest - len(row), longest) if side == "left" else slice(0, len(row))
        ids[i, place] = torch.tensor(row, dtype=torch.int64)
        mask[i, place] = 1
    return ids.to(device), mask.to(device)


class Reading(Pass):
    """A pass that tells what it wrote as texts."""

    def write(self, logits_bv: Tensor, end: int, max_new_tokens: int) -> list[Written]:
        """Go on greedily from these logits until every row wrote `end`, or for `max_new_tokens`."""
        written = []
        for row in self.greedy(logits_bv, end, max_new_tokens).tolist():
            stop = row.index(end) if end in row else len(row)
            text = self.backbone.tokenizer.decode(row[:stop], skip_special_tokens=True)
            written.append(Written(text, min(stop + 1, len(row)), end in row))
        return written
