"""The order of training problems: every epoch all of them, in batches of like length, so that little is padding."""

from __future__ import annotations

import random
from collections.abc import Sequence

WINDOW = 16
"""Batches sorted by length together: more waste less padding, and mix less."""


class Order:
    """Batches of an endless run; the batch of a step follows from the seed alone.

    Args:
        lengths: of each problem, in the order of sorting: (prompt tokens, answer tokens).
        batch_size: problems a step.
        seed: of the shuffling.

    Example:
        >>> order = Order([(3, 1)] * 5, 2, seed=0)
        >>> sorted(i for step in range(3) for i in order.batch(step))
        [0, 1, 2, 3, 4]
    """

    def __init__(self, lengths: Sequence[tuple[int, int]], batch_size: int, seed: int) -> None:
        self.lengths, self.batch_size, self.seed = lengths, batch_size, seed
        self._epoch, self._batches = -1, self._shuffled(0)

    def batch(self, step: int) -> list[int]:
        """Return the problems of step `step`, counted from 0."""
        epoch, place = divmod(step, len(self._batches))
        if epoch != self._epoch:
            self._epoch, self._batches = epoch, self._shuffled(epoch)
        return self._batches[place]

    def _shuffled(self, epoch: int) -> list[list[int]]:
        rng = random.Random(f"{self.seed} {epoch}")
        order = list(range(len(self.lengths)))
        rng.shuffle(order)
        window, batches = WINDOW * self.batch_size, []
        for start in range(0, len(order), window):
            part = sorted(order[start : start + window], key=lambda i: self.lengths[i])
            batches += [part[i : i + self.batch_size] for i in range(0, len(part), self.batch_size)]
        rng.shuffle(batches)
        return batches
