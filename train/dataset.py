"""Problems as tensors: features from the backbone, labels from the answers.

Shapes: b batch, p positions of features, o output positions (answers first, then path).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hybrid.adapters import Features
from hybrid.errors import InputError
from hybrid.faults import Faults
from hybrid.losses import IGNORE
from hybrid.model import HybridModel
from hybrid.offsets import Encoded
from hybrid.problem import Problem
from hybrid.train.feature_cache import CachedFeatures, LiveFeatures, Reading, cached_features
from hybrid.train.processes import Team


@dataclass(frozen=True)
class Batch:
    """Features and labels of some problems.

    Args:
        features: of the prompts.
        labels: (b, o) int64, IGNORE where a position has none.
        weights: of each label's loss against its row's others, (b, o) float32.
    """

    features: Features
    labels: Tensor
    weights: Tensor

    def to(self, device: torch.device | str) -> Batch:
        """Return the same batch on `device`."""
        return Batch(self.features.to(device), self.labels.to(device), self.weights.to(device))

    def select(self, rows: Tensor) -> Batch:
        """Keep only some rows (index tensor)."""
        return Batch(self.features.select(rows), self.labels[rows], self.weights[rows])

    def replace(self, rows: Tensor, fresh: Batch) -> None:
        """Overwrite the rows given by an index tensor, in place; shapes stay."""
        self.features.states[rows] = fresh.features.states
        self.features.mask[rows] = fresh.features.mask
        self.features.num_answers[rows] = fresh.features.num_answers
        self.labels[rows] = fresh.labels
        self.weights[rows] = fresh.weights

    def answer_labels(self) -> Tensor:
        """Return the labels with path positions set to IGNORE."""
        return self.labels.where(self.features.answer_mask(self.labels.shape[1]), torch.full_like(self.labels, IGNORE))


@dataclass(frozen=True)
class Row:
    """One problem as the dataset keeps it: what the backbone reads, answer positions, labels (answers, then path)."""

    reading: Reading
    num_answers: int
    labels: list[int]


class Dataset:
    """Problems with their features; rows are taken by index, padded to the longest problem of all.

    Raises:
        DataError: problems are empty, longer than the model's context or the encoder's room, or do not fit the layout;
            the message names each by where it was read, or by its index.
    """

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
        rows = _checked(model, self.problems)
        readings = [row.reading for row in rows]
        self.num_positions = max(reading.num_positions for reading in readings)
        self.num_answers = [row.num_answers for row in rows]
        self.labels = torch.full((len(rows), max(len(row.labels) for row in rows)), IGNORE)
        for place, row in zip(self.labels, rows, strict=True):
            place[: len(row.labels)] = torch.tensor(row.labels)
        self.weights = torch.ones(self.labels.shape)
        for place, problem in zip(self.weights, self.problems, strict=True):
            place[: len(problem.weights)] = torch.tensor(problem.weights)
        self.features: CachedFeatures | LiveFeatures = (
            cached_features(model.backbone, readings, say=say, progress=progress, team=team)
            if cache
            else LiveFeatures(model.backbone, readings)
        )

    def __len__(self) -> int:
        return len(self.problems)

    def batch(self, indices: Sequence[int]) -> Batch:
        """Return the problems at `indices` as one batch on the CPU, in the backbone's precision."""
        rows = self.features.rows(indices)
        features = Features.pad(rows, [self.num_answers[i] for i in indices], self.num_positions)
        return Batch(features, self.labels[list(indices)], self.weights[list(indices)])


def _checked(model: HybridModel, problems: Sequence[Problem]) -> list[Row]:
    rows, faults = [], Faults()
    for number, (problem, tokens) in enumerate(zip(problems, _encoded(model, problems), strict=True)):
        try:
            if isinstance(tokens, InputError):
                raise tokens
            rows.append(_row(model, problem, tokens))
        except InputError as error:
            faults.add(f"{problem.where or f'problem {number}'}: {error}")
    faults.check()
    return rows


def _encoded(model: HybridModel, problems: Sequence[Problem]) -> Sequence[Encoded | InputError]:
    """Return the tokens of each prompt, or what is wrong with it."""
    try:
        return model.backbone.encode([problem.prompt for problem in problems])
    except InputError as error:
        if len(problems) == 1:
            return [error]
        return [tokens for problem in problems for tokens in _encoded(model, [problem])]


def _row(model: HybridModel, problem: Problem, tokens: Encoded) -> Row:
    layout, encoder = model.config.layout, model.head.encoder
    answer, context = layout.spans(problem.prompt, problem.spans)
    reads_spans = encoder.reads == "spans"
    reading = Reading(tokens, answer + context if reads_spans else None)
    if encoder.longest is not None and reading.num_positions > encoder.longest:
        name = "max_positions" if reads_spans else "max_tokens"
        raise InputError(f"{reading.num_positions} positions, but encoder.{name} is {encoder.longest}; attach with a larger one")
    places, room = layout.length(answer), getattr(model.config.encoder, "max_answers", None)
    if room is not None and places > room:
        raise InputError(f"the answer has {places} places, but encoder.max_answers is {room}; attach with a larger one")
    labels = answer_labels(model, problem, places)
    if problem.weights and len(problem.weights) != len(labels):
        raise InputError(f"there are {len(problem.weights)} weights where the answer has {len(labels)} places")
    if any(not 0 <= weight < math.inf for weight in problem.weights):
        raise InputError(f"weights are {problem.weights}; give finite numbers of at least 0")
    if reads_spans and context and problem.path:
        if len(problem.path) != len(context):
            raise InputError(f"there are {len(problem.path)} path symbols where the prompt has {len(context)} places")
        labels += [model.head.decoder.index(symbol) for symbol in problem.path]
    return Row(reading, places, labels)


def answer_labels(model: HybridModel, problem: Problem, places: int) -> list[int]:
    """Return one label a place; behind the END of an answer that is shorter stands IGNORE.

    Raises:
        InputError: the head cannot write the answer, or not in so many places.
    """
    decoder = model.head.decoder
    labels = decoder.labels(problem.answer)
    if decoder.end is None and len(labels) != places:
        raise InputError(f"there are {len(labels)} answer symbols where the prompt has {places} places")
    if len(labels) > places:
        raise InputError(f"the answer takes {len(labels)} places of {places}; give layout.num_answers {len(labels)}, or drop it")
    ended = labels if decoder.end is None or len(labels) == places else [*labels, decoder.end]
    return ended + [IGNORE] * (places - len(ended))
