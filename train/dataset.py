"""Problems as tensors: features from the backbone, labels from the answers.

Shapes: b batch, p positions of features, o output positions (answers first, then path).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hybrid.adapters import Features
from hybrid.errors import InputError
from hybrid.losses import IGNORE
from hybrid.model import HybridModel
from hybrid.problem import Problem
from hybrid.train.feature_cache import CachedFeatures, LiveFeatures, Reading, cached_features
from hybrid.train.processes import Team


@dataclass(frozen=True)
class Batch:
    """Features and labels of some problems; labels (b, o) int64, IGNORE where a position has none."""

    features: Features
    labels: Tensor

    def to(self, device: torch.device | str) -> Batch:
        """Return the same batch on `device`."""
        return Batch(self.features.to(device), self.labels.to(device))

    def select(self, rows: Tensor) -> Batch:
        """Keep only some rows (index tensor)."""
        return Batch(self.features.select(rows), self.labels[rows])

    def replace(self, rows: Tensor, fresh: Batch) -> None:
        """Overwrite the rows given by an index tensor, in place; shapes stay."""
        self.features.states[rows] = fresh.features.states
        self.features.mask[rows] = fresh.features.mask
        self.features.num_answers[rows] = fresh.features.num_answers
        self.labels[rows] = fresh.labels

    def answer_labels(self) -> Tensor:
        """Return the labels with path positions set to IGNORE."""
        return self.labels.where(self.features.answer_mask(self.labels.shape[1]), torch.full_like(self.labels, IGNORE))


class Dataset:
    """Problems with their features; rows are taken by index, padded to the longest problem of all."""

    def __init__(
        self,
        model: HybridModel,
        problems: Sequence[Problem],
        *,
        cache: bool = True,
        say: Callable[[str], None] = lambda text: None,
        progress: Callable[[int], None] = lambda rows: None,
        team: Team | None = None,
    ) -> None:
        if not problems:
            raise InputError("there are no problems to train on; give at least one")
        self.problems = tuple(problems)
        spans = [model.config.layout.spans(problem.prompt) for problem in problems]
        reads_spans = model.head.encoder.reads == "spans"
        encoded = model.backbone.encode([problem.prompt for problem in problems])
        readings = [
            Reading(tokens, answer + context if reads_spans else None)
            for tokens, (answer, context) in zip(encoded, spans, strict=True)
        ]
        self.num_positions = max(reading.num_positions for reading in readings)
        self.num_answers = [len(problem.answer) for problem in problems]
        rows = [self._labels(model, i, len(s[0]), len(s[1]) if reads_spans else 0) for i, s in enumerate(spans)]
        self.labels = torch.full((len(rows), max(map(len, rows))), IGNORE)
        for place, row in zip(self.labels, rows, strict=True):
            place[: len(row)] = torch.tensor(row)
        self.features: CachedFeatures | LiveFeatures = (
            cached_features(model.backbone, readings, say=say, progress=progress, team=team)
            if cache
            else LiveFeatures(model.backbone, readings)
        )

    def _labels(self, model: HybridModel, row: int, num_spans: int, num_context: int) -> list[int]:
        problem, layout = self.problems[row], model.config.layout
        wanted = num_spans if layout.answer is not None else layout.num_answers
        if len(problem.answer) != wanted:
            raise InputError(f"problem {row} has {len(problem.answer)} answer symbols where its prompt has {wanted} places")
        if problem.path and num_context and len(problem.path) != num_context:
            raise InputError(f"problem {row} has {len(problem.path)} path symbols where its prompt has {num_context} places")
        symbols = problem.answer + (problem.path if num_context else ())
        return [model.head.decoder.index(symbol) for symbol in symbols]

    def __len__(self) -> int:
        return len(self.problems)

    def batch(self, indices: Sequence[int]) -> Batch:
        """Return the problems at `indices` as one batch on the CPU, in the backbone's precision."""
        rows = self.features.rows(indices)
        features = Features.pad(rows, [self.num_answers[i] for i in indices], self.num_positions)
        return Batch(features, self.labels[list(indices)])
