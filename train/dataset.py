"""Problems as tensors: features from the reader, labels from the answers.

Shapes: b batch, p positions of features, n lines of a target, o output positions (answers first, then path).
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, TypeVar

import torch
from torch import Tensor

from hybrid.adapters import ENCODERS, Features, Targets
from hybrid.backbone import words
from hybrid.backbone.reader import Store
from hybrid.errors import Faults, InputError
from hybrid.kinds import require
from hybrid.model import HybridModel
from hybrid.problem import Problem
from hybrid.recursion.losses import IGNORE
from hybrid.recursion.rows import Rows
from hybrid.train.feature_cache import Held, LiveFeatures, cached_features
from hybrid.train.processes import Team

T = TypeVar("T")

TOGETHER = 512
"""Prompts made ready at once: their spans, a tuple for each symbol, are not kept."""

SLACK = 16
"""A batch takes the length of the longest row of the whole set if its own longest row is at most this much shorter."""


@dataclass(frozen=True)
class Batch(Rows):
    """Features of some problems, and what they should answer."""

    features: Features
    targets: Targets


@dataclass(frozen=True)
class Row:
    """One problem as the dataset keeps it: what the reader reads, answer positions, and a line of labels a supervision step."""

    prepared: Any
    num_answers: int
    lines: list[list[int]]


class Dataset:
    """Problems with their features; rows are taken by index, padded to the longest of the batch.

    Args:
        worked_steps: let the first supervision steps answer with the lines of `Problem.steps`; else all with the answer.

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
        worked_steps: bool = False,
        say: Callable[[str], None] = lambda text: None,
        progress: Callable[[int], None] = lambda rows: None,
        team: Team | None = None,
    ) -> None:
        if not problems:
            raise InputError("there are no problems to train on; give at least one")
        self.problems = tuple(problems)
        self._weighted = any(problem.weights for problem in self.problems)
        reader: Any = model.backbone
        prepared: Any = [] if reader.runs else bytearray()
        keep = prepared.append if reader.runs else prepared.extend
        self.num_answers, self.lengths = array("i"), array("i")
        self._labels = _Labels(model.head.encoder.num_word_labels)
        self._links: array[int] | None = array("i") if model.head.encoder.gives_links else None
        self._prompts: list[array[int]] | None = [] if model.head.decoder.writes else None
        for row in _checked(model, self.problems, worked_steps):
            keep(row.prepared)
            self.num_answers.append(row.num_answers)
            self.lengths.append(len(row.prepared))
            if self._links is not None:
                self._links.extend(row.prepared.links)
            if self._prompts is not None:
                self._prompts.append(row.prepared.prompt)
            self._labels.add(row.lines)
        self.longest = max(self.lengths)
        self._ends = array("q", [0, *accumulate(self.lengths)])
        self.features: Store
        if not reader.runs:
            self.features = Held(reader.flat(prepared).to(model.device), self._ends)
        elif cache:
            self.features = cached_features(reader, prepared, say=say, progress=progress, team=team)
        else:
            self.features = LiveFeatures(reader, prepared)

    def __len__(self) -> int:
        return len(self.problems)

    def num_positions(self, indices: Sequence[int]) -> int:
        """Return the positions that a batch of these problems has."""
        own = max(self.lengths[i] for i in indices)
        return self.longest if self.longest - own <= SLACK else own

    def links(self, indices: Sequence[int]) -> list[array[int]] | None:
        """Return the links of some problems, two numbers a position; None where the encoder takes none."""
        flat, ends = self._links, self._ends
        return None if flat is None else [flat[2 * ends[i] : 2 * ends[i + 1]] for i in indices]

    def prompts(self, indices: Sequence[int]) -> list[array[int]] | None:
        """Return the prompts' tokens of some problems; None where the decoder needs none."""
        return None if self._prompts is None else [self._prompts[i] for i in indices]

    def answers(self) -> Iterator[tuple[str, ...]]:
        """Return the answer of each problem."""
        return (problem.answer for problem in self.problems)

    def batch(self, indices: Sequence[int], num_positions: int | None = None) -> Batch:
        """Return the problems at `indices` as one batch, padded to `num_positions` or as `num_positions(indices)` says."""
        counts = [self.num_answers[i] for i in indices]
        length = num_positions or self.num_positions(indices)
        features = Features.pad(self.features.rows(indices), counts, length, self.links(indices), self.prompts(indices))
        labels = self._labels.rows(indices)
        weights = torch.ones(len(labels), labels.shape[2])
        for place, i in zip(weights, indices if self._weighted else (), strict=False):
            if own := self.problems[i].weights:
                place[: len(own)] = torch.tensor(own)
        return Batch(features, Targets(labels, torch.tensor(counts), weights))


class _Labels:
    """The labels of all problems, in as few bytes as they need; `each` lines of a problem are one supervision step's."""

    def __init__(self, each: int) -> None:
        self.each = each
        self.flat, self.ends, self.counts = array("b"), array("q", [0]), array("i")
        self.shapes: set[tuple[int, int]] = set()

    def add(self, lines: Sequence[Sequence[int]]) -> None:
        """Append the lines of one problem, all of one length."""
        top = max(map(max, lines))
        for code, most in (("h", 127), ("i", 32767)):
            if top > most and self.flat.itemsize < array(code).itemsize:
                self.flat = array(code, self.flat)
        for line in lines:
            self.flat.extend(line)
        self.ends.append(len(self.flat))
        self.counts.append(len(lines))
        self.shapes.add((len(lines), len(lines[0])))

    def rows(self, indices: Sequence[int]) -> Tensor:
        """Return the labels of some problems, (b, n, o): a short one's last step again, its further positions IGNORE."""
        most_lines, most = (max(size) for size in zip(*self.shapes, strict=True))
        kind = {"b": torch.int8, "h": torch.int16, "i": torch.int32}[self.flat.typecode]
        if len(self.shapes) == 1:
            alike = torch.frombuffer(self.flat, dtype=kind).view(-1, most_lines, most)
            return alike[torch.tensor(indices)].long().reshape(len(indices), -1, self.each * most)
        labels = torch.full((len(indices), most_lines, most), IGNORE)
        for place, i in zip(labels, indices, strict=True):
            own = torch.frombuffer(self.flat[self.ends[i] : self.ends[i + 1]], dtype=kind).view(self.counts[i], -1)
            place[: len(own), : own.shape[1]] = own
            place[len(own) :, : own.shape[1]] = own[-self.each :].repeat((most_lines - len(own)) // self.each, 1)
        return labels.reshape(len(indices), -1, self.each * most)


def _checked(model: HybridModel, problems: Sequence[Problem], worked_steps: bool) -> Iterator[Row]:
    faults = Faults()
    cuts = (problems[start : start + TOGETHER] for start in range(0, len(problems), TOGETHER))
    every = (ready for cut in cuts for ready in _prepared(model, cut))
    for number, (problem, ready) in enumerate(zip(problems, every, strict=True)):
        try:
            if isinstance(ready, InputError):
                raise ready
            yield _row(model, problem, *ready, worked_steps)
        except InputError as error:
            faults.add(f"{problem.where or f'problem {number}'}: {error}")
    faults.check()


def _prepared(model: HybridModel, problems: Sequence[Problem]) -> Sequence[tuple[Any, int] | InputError]:
    """Return each prompt ready for the reader with its number of answer positions, or what is wrong with it."""
    try:
        return model.prepare(problems)
    except InputError as error:
        if len(problems) == 1:
            return [error]
        middle = len(problems) // 2
        return [*_prepared(model, problems[:middle]), *_prepared(model, problems[middle:])]


def _row(model: HybridModel, problem: Problem, prepared: Any, places: int, worked_steps: bool) -> Row:
    encoder = model.config.encoder
    kind = ENCODERS[ENCODERS.name_of(encoder)]
    short = kind.shortage(encoder, len(prepared), places)
    if short:
        raise InputError(short)
    labels = answer_labels(model, problem.answer, places)
    if problem.weights and len(problem.weights) != len(labels):
        raise InputError(f"there are {len(problem.weights)} weights where the answer has {len(labels)} places")
    if any(not 0 <= weight < math.inf for weight in problem.weights):
        raise InputError(f"weights are {problem.weights}; give finite numbers of at least 0")
    path: list[int] = []
    spots = _spots(model, problem, prepared) if getattr(encoder, "path_at_words", False) else None
    room = kind.path_room(encoder, len(prepared), places) if spots is None else len(spots)
    if problem.path and (room or spots is not None):
        fits = len(problem.path) <= room if kind.reads == "words" and spots is None else len(problem.path) == room
        if not fits:
            raise InputError(f"there are {len(problem.path)} path symbols where the workspace has room for {room}")
        path = [model.head.decoder.index(symbol) for symbol in problem.path]
    lines = list(_lines(model, problem, places, path)) if worked_steps else []
    taught = [*lines[:-1], labels + path]  # The last worked step is the answer.
    if spots is not None and path:
        taught = [_moved(line, places, spots) for line in taught]
    each = model.head.encoder.num_word_labels
    if problem.word_labels:
        steps = list(_with_words(model, problem, prepared.links, labels + path, each))
    else:
        steps = [[line, *[[IGNORE] * len(line)] * (each - 1)] for line in taught]
    chosen = spread(steps, model.config.reasoner.num_supervision_steps)
    return Row(prepared, places, [line for step in chosen for line in step])


def spread(lines: Sequence[list[T]], num_steps: int) -> list[list[T]]:
    """Return at most `num_steps` of the lines, evenly chosen, so that the last supervision step is taught the last line.

    Example:
        >>> spread([[1], [2], [3], [4], [5]], 2)
        [[3], [5]]
    """
    count = min(len(lines), num_steps)
    return [list(lines[math.ceil((step + 1) * len(lines) / count) - 1]) for step in range(count)]


def _lines(model: HybridModel, problem: Problem, places: int, path: list[int]) -> Iterator[list[int]]:
    """Yield the labels of each worked step on the answer's places and the path; an empty symbol teaches nothing."""
    size = len(problem.answer)
    for step in problem.steps:
        if len(step) not in (size, size + len(problem.path)):
            raise InputError(f"a worked step has {len(step)} symbols; give {size}, one for each symbol of the answer")
        labels = [model.head.decoder.index(symbol) if symbol else IGNORE for symbol in step]
        yield [*labels[:size], *[IGNORE] * (places - size), *(labels[size:] if path and len(step) > size else path)]


def _spots(model: HybridModel, problem: Problem, prepared: Any) -> list[int]:
    """Return the workspace position of the word at each context span of the layout."""
    encoder, layout = model.config.encoder, model.config.layout
    require(
        layout.context is not None or not problem.path,
        "encoder.path_at_words teaches a path at the words of the layout's context, and this layout has none; leave it out, and "
        "encoder.num_thoughts has room for the path",
    )
    first, positions = model.head.encoder.word_positions(encoder, prepared.links)
    begins = [start for start, _ in words.spans(problem.prompt)]
    place = {begins[word]: first + number for number, word in enumerate(positions)}
    _, context = layout.spans(problem.prompt, problem.spans)
    lost = [problem.prompt[start:end] for start, end in context if start not in place]
    if lost:
        raise InputError(
            f"the path is taught at words, and {lost[0]!r} is none that has a position; leave encoder.left_out empty"
        )
    return [place[start] for start, _ in context]


def _moved(line: list[int], places: int, spots: Sequence[int]) -> list[int]:
    """Return labels of answers and path with the path's at the workspace positions `spots`."""
    moved = [*line[:places], *[IGNORE] * (max(spots, default=0) + 1 - places)]
    for spot, label in zip(spots, line[places:], strict=True):
        moved[spot] = label
    return moved


def _with_words(
    model: HybridModel, problem: Problem, links: Sequence[int], labels: list[int], each: int
) -> Iterator[list[list[int]]]:
    """Yield what each step teaches: `each` lines, the first with `labels` before those of the prompt's words.

    Only the last step teaches the answer.
    """
    encoder, index = model.config.encoder, model.head.decoder.index
    first, positions = model.head.encoder.word_positions(encoder, links)
    if not first:
        raise InputError(f"labels of words need the encoder words, not {ENCODERS.name_of(encoder)}; set --encoder words")
    unknown = [IGNORE] * first
    places = {links[2 * spot] for spot in positions}
    for place, line in enumerate(problem.word_labels, 1):
        lost = [word for word, symbol in line if symbol and words.number(word) not in places]
        if lost:
            raise InputError(
                f"{lost[0]!r} has a label and no place; give words of the prompt, and leave encoder.left_out without them"
            )
        own: dict[int, list[int]] = {}
        for word, symbol in line:
            own.setdefault(words.number(word), []).append(index(symbol) if symbol else IGNORE)
        most = max(map(len, own.values()), default=0)
        if most > each:
            raise InputError(f"a word has {most} labels at once; give encoder.num_word_labels {most}")
        known = (labels + unknown)[:first] if place == len(problem.word_labels) else unknown
        every = [[*own.get(links[2 * spot], ()), *[IGNORE] * each] for spot in positions]
        yield [[*(unknown if view else known), *(label[view] for label in every)] for view in range(each)]


def answer_labels(model: HybridModel, answer: Sequence[str], places: int) -> list[int]:
    """Return one label a place; behind the END of an answer that is shorter stands IGNORE.

    Raises:
        InputError: the head cannot write the answer, or not in so many places.
    """
    decoder = model.head.decoder
    labels = decoder.labels(answer)
    if decoder.end is None and len(labels) != places:
        raise InputError(f"there are {len(labels)} answer symbols where the prompt has {places} places")
    if len(labels) > places:
        raise InputError(f"the answer takes {len(labels)} places of {places}; give layout.num_answers {len(labels)}, or drop it")
    ended = labels if decoder.end is None or len(labels) == places else [*labels, decoder.end]
    return ended + [IGNORE] * (places - len(ended))
