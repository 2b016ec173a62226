"""The floor: what a head must beat to have read anything - the commonest answer, and a linear probe of mean states.

The probe is ridge regression from the mean hidden state of a prompt, layer by layer and of all layers, to its whole answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from hybrid.train.dataset import Dataset

FEWEST_ROWS, MOST_ROWS = 20, 20_000
"""Training rows that the probe learns from; of fewer it gives the commonest answer."""
MOST_CLASSES = 1000
"""Different answers that it can give."""
RIDGES = (1e-3, 1e-2, 1e-1, 1.0)
"""Ridges tried, as a share of the rows; the last tenth of the training rows chooses."""


@dataclass(frozen=True)
class Floor:
    """Shares of right dev answers.

    Args:
        commonest: of the commonest training answer.
        linear: of the probe of all layers.
        by_layer: of a probe of each layer alone.
    """

    commonest: float
    linear: float
    by_layer: tuple[float, ...] = ()

    def __str__(self) -> str:
        return (
            f"floor on dev: the commonest answer is right in {100 * self.commonest:.1f}%, "
            f"a linear probe of mean hidden states in {100 * self.linear:.1f}%"
        )


def floor(train: Dataset, dev: Dataset, *, by_layer: bool = False) -> Floor:
    """Return what the simplest readers of the training features score on dev.

    Args:
        train: what they learn from, its first 20,000 rows.
        dev: what they are scored on.
        by_layer: probe each layer alone too.
    """
    counted = Counter(answer for answer, _ in zip(train.answers(), range(MOST_ROWS), strict=False))
    known = {answer: place for place, (answer, _) in enumerate(counted.most_common(MOST_CLASSES))}
    truth, asked = ([known.get(answer, -1) for answer in data.answers()] for data in (train, dev))
    truth, commonest = truth[:MOST_ROWS], asked.count(0) / len(asked)
    if len(truth) < FEWEST_ROWS:
        return Floor(commonest, commonest)
    means_nkh, asked_nkh = _means(train, len(truth)), _means(dev, len(asked))
    every = [_score(means_nkh, truth, asked_nkh, asked)]
    if by_layer:
        layers = range(means_nkh.shape[1])
        every += [_score(means_nkh[:, [k]], truth, asked_nkh[:, [k]], asked) for k in layers]
    return Floor(commonest, every[0], tuple(every[1:]))


def _means(data: Dataset, count: int) -> Tensor:
    """Return the mean normalised state of each prompt, (n, k, h) float32."""
    rows: Iterator[Tensor] = (
        row for start in range(0, count, 64) for row in data.features.rows(range(start, min(start + 64, count)))
    )
    return torch.stack([F.layer_norm(row.float(), row.shape[-1:]).mean(0) for row in rows]).cpu()


def _score(means_nkh: Tensor, truth: Sequence[int], asked_nkh: Tensor, asked: Sequence[int]) -> float:
    x_nd, labels = means_nkh.flatten(1), torch.tensor(truth)
    mean, spread = x_nd.mean(0), x_nd.std(0).clamp(min=1e-6)
    x_nd, asked_nd = (x_nd - mean) / spread, (asked_nkh.flatten(1) - mean) / spread
    held = max(1, len(x_nd) // 10)
    inner = _Ridge(x_nd[:-held], labels[:-held])
    best = max(RIDGES, key=lambda ridge: float((inner.answers(x_nd[-held:], ridge) == labels[-held:]).float().mean()))
    found = _Ridge(x_nd, labels).answers(asked_nd, best)
    return float((found == torch.tensor(asked)).float().mean())


class _Ridge:
    """Ridge regression to one-hot classes: the products are made once for all ridges."""

    def __init__(self, x_nd: Tensor, labels_n: Tensor) -> None:
        x_nd, labels_n = x_nd[labels_n >= 0], labels_n[labels_n >= 0]
        self.rows = len(x_nd)
        hot_nc = F.one_hot(labels_n, int(labels_n.max()) + 1).float()
        self.prior_c = hot_nc.mean(0)
        self.gram_dd, self.goal_dc = (x_nd.T @ x_nd).double(), (x_nd.T @ (hot_nc - self.prior_c)).double()

    def answers(self, x_nd: Tensor, ridge: float) -> Tensor:
        """Return the likeliest class of each row, (n,) int64."""
        eye_dd = torch.eye(len(self.gram_dd), dtype=torch.float64)
        weights_dc = torch.linalg.solve(self.gram_dd + ridge * self.rows * eye_dd, self.goal_dc).float()
        found: Tensor = (x_nd @ weights_dc + self.prior_c).argmax(-1)
        return found
