"""Targets: what each supervision step of a batch should answer.

Shapes: b batch, n lines, o output positions (answers first, then path, then words; all of them once more for each further
label that a word can have).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from hybrid.recursion.losses import IGNORE
from hybrid.recursion.rows import Rows


class Goal(NamedTuple):
    """What one supervision step is taught, and what would be the whole answer.

    Args:
        labels: (b, o) int64, IGNORE where a position has none.
        weights: of each label's loss against its row's others, (b, o) float32.
        answer: (b, o) int64, the labels of the final answer, IGNORE behind it.
    """

    labels: Tensor
    weights: Tensor
    answer: Tensor

    def first(self, count: int, num_word_labels: int = 1) -> Goal:
        """Return the first `count` positions, of each of so many labels that a position can have."""
        return Goal(*(part.view(len(part), num_word_labels, -1)[:, :, :count].flatten(1) for part in self))


@dataclass(frozen=True)
class Targets(Rows):
    """Labels of a batch, a line for each of the first n supervision steps; the last line is the final answer.

    Args:
        labels: (b, n, o) integers, IGNORE where a position has none. A row of fewer lines repeats its last.
        num_answers: answer positions of each row, (b,) int64.
        weights: of each label's loss against its row's others, (b, o) float32.
    """

    labels: Tensor
    num_answers: Tensor
    weights: Tensor

    @property
    def answer(self) -> Tensor:
        """The final answer's labels (b, o) int64, IGNORE behind it."""
        return self.labels[:, -1].long().where(self._inside(), IGNORE)

    def at(self, steps_b: Tensor, path_weight: float = 1.0) -> Goal:
        """Return what is taught after so many supervision steps (b,), counted from 1; `path_weight` is that of path positions."""
        line_b = steps_b.clamp(1, self.labels.shape[1]) - 1
        labels_bo = self.labels[torch.arange(len(line_b), device=line_b.device), line_b].long()
        return Goal(labels_bo, torch.where(self._inside(), 1.0, path_weight) * self.weights, self.answer)

    def _inside(self) -> Tensor:
        places = torch.arange(self.labels.shape[2], device=self.labels.device)
        return places < self.num_answers[:, None]
