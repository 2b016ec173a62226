"""A table of one's own: prompts and answers in named columns of a file or of a data set of the hub.

Holds the task: its splits, its draws, its scorer. Reading sources, judging rows and checking a whole table are the
neighbours source.py, row.py and survey.py.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cached_property
from hashlib import blake2b
from heapq import heappop, heappush
from typing import ClassVar

from hybrid.errors import Faults, InputError
from hybrid.eval.tasks.answers import read_text, said
from hybrid.eval.tasks.table.row import TableConfig
from hybrid.eval.tasks.table.survey import Survey, good_rows, sources, survey, with_unit
from hybrid.eval.tasks.task import TASKS, USUAL_COUNT, Split, Task, Wording, check_arguments
from hybrid.layout import END, LayoutConfig
from hybrid.problem import Problem

MAX_ROWS = 100_000
"""Training rows that are taken where no number is asked for; with more, a number must be."""
TOKEN_SLOTS = 16
"""Slots of an answer in tokens where no number is given."""


@TASKS.register("table")
class Table(Task):
    """Rows of one's own: a CSV, JSONL or Parquet file, or a data set of the hub.

    Every row is checked before any is used. Two rows with the same prompt, blanks aside, are one problem. Rows are
    streamed: memory holds the rows that were asked for.
    """

    Config = TableConfig
    wordings: ClassVar = {"train": (None,), "held_out": ()}

    def __init__(self, config: TableConfig) -> None:
        self._given = config
        self._sources = sources(config)

    @cached_property
    def config(self) -> TableConfig:
        """The settings, with the unit that was found where it was left to the rows."""
        return with_unit(self._given)

    @cached_property
    def survey(self) -> Survey:
        """What the check of all rows found.

        Raises:
            DataError: rows cannot be used; names them.
        """
        return survey(self.config)

    @cached_property
    def symbols(self) -> tuple[str, ...]:  # type: ignore[override]
        """The answer vocabulary, END included where answers differ in length; empty for an open vocabulary."""
        config, found = self.config, self.survey
        ends = not config.aligned and config.unit != "token" and found.shortest < self._slots
        return (*found.symbols, END) if ends else found.symbols

    @cached_property
    def layout(self) -> LayoutConfig:  # type: ignore[override]
        """Finds the answer's places by the pattern, takes those of the rows, or has slots for the longest answer."""
        config = self.config
        if config.aligned:
            return LayoutConfig(answer=config.pattern, separator=config.between, given=config.spans_column is not None)
        return LayoutConfig(num_answers=self._slots, separator=config.between)

    @property
    def _slots(self) -> int:
        return self.config.num_answers or (TOKEN_SLOTS if self.config.unit == "token" else self.survey.longest)

    @property
    def answer_form(self) -> str:
        """The answer's form in words."""
        classes = self.survey.answers if self.config.unit == "whole" else ()
        return f"one of: {', '.join(classes)}" if 2 <= len(classes) <= 10 else "the answer"

    def read(self, text: str, problem: Problem) -> tuple[str, ...] | None:
        """Return the problem's answer where free text ends with it, case, marks and commas aside; else what stands there."""
        before, _, behind = (self.config.sentence or "{}").partition("{}")
        _, told, part = text.rpartition(before) if before else ("", "", text)
        if told or not before:
            text = part.partition(behind)[0] if behind else part
        return read_text(text, problem.answer, self.config.between)

    def sentence(self, problem: Problem) -> str:
        """See Task.sentence: the answer in the config's sentence."""
        return (self.config.sentence or "{}").replace("{}", self.write(problem))

    def said(self, text: str, problem: Problem, lines: int) -> tuple[str, ...] | None:
        """See Task.said."""
        return said(text, lines)

    def split_of(self, key: str) -> Split:
        """Return the split of a row of the train source; a split with a source of its own takes none of them."""
        split = super().split_of(key)
        return "train" if split in self._sources else split

    def problems(self, split: Split, count: int | None = None, *, seed: int = 0, wording: Wording = "train") -> list[Problem]:
        """Return `count` rows of a split, drawn at random by `seed`; see Task.problems.

        Args:
            split: train, dev or test.
            count: rows with different prompts; None takes all of train (up to 100,000), and up to 300 of dev and 500 of test.
            seed: of the draw; a smaller count gives the beginning of a greater one.
            wording: train, the only one.

        Raises:
            DataError: rows cannot be used.
            InputError: an argument is unknown, or the split has too few rows.
        """
        check_arguments(split, count, wording)
        if not self.wordings[wording]:
            raise InputError(f'wording "{wording}" is not there: rows of one\'s own have one wording, "train"')
        assert self.survey
        limit = count if count is not None else MAX_ROWS + 1 if split == "train" else USUAL_COUNT[split]
        found = _draw(self._rows(split), limit, f"{split} {seed}")
        source = self._sources.get(split, self.config.train)
        if count is not None and len(found) < count:
            raise InputError(
                f"{count:,} {split} rows were asked for, {source} gives {len(found):,}; ask for fewer, or for no number"
            )
        if count is None and len(found) > MAX_ROWS:
            raise InputError(f"{source} has more than {MAX_ROWS:,} {split} rows; say how many to take (--num_train)")
        if not found and count != 0:
            raise InputError(f"{source} has too few rows to draw the {split} split from; give more, or table.{split}")
        return found

    def up_to(self, split: Split, count: int, *, seed: int = 0) -> list[Problem]:
        """Return `count` rows as `problems` does, or all of the split where there are fewer."""
        check_arguments(split, count, "train")
        assert self.survey
        return _draw(self._rows(split), count, f"{split} {seed}")

    def _rows(self, split: Split) -> Iterator[Problem]:
        own, faults = self._sources, Faults()
        source = own.get(split, self.config.train)
        dropped = self.survey.dropped.get(source, frozenset())
        seen: set[int] = set()
        for problem in good_rows(self.config, source, faults):
            if problem is None or (dropped and int(problem.key, 16) in dropped):
                continue
            if (split in own and split != "train") or self.split_of(problem.key) == split:
                if self.config.duplicates == "drop":
                    if int(problem.key, 16) in seen:
                        continue
                    seen.add(int(problem.key, 16))
                yield problem
        faults.check()  # The source changed since it was surveyed.

    def _instances(self, rng: random.Random) -> Iterator[Problem]:
        return self._rows("train")

    def _key(self, instance: Problem) -> str:
        return instance.key

    def _problem(self, instance: Problem, key: str, wording: object, rng: random.Random) -> Problem:
        return instance


def _draw(rows: Iterator[Problem], count: int, seed: str) -> list[Problem]:
    """Return the `count` rows whose keys have the least digests: a uniform draw without memory of the others."""
    heap: list[tuple[int, int, Problem]] = []  # The negated digest first, so that the greatest digest is on top.
    held: set[int] = set()
    for number, problem in enumerate(rows if count else ()):
        place = -int.from_bytes(blake2b(f"{seed} {problem.key}".encode(), digest_size=16).digest(), "big")
        if place in held or (len(heap) == count and place < heap[0][0]):
            continue
        if len(heap) == count:
            held.discard(heappop(heap)[0])
        heappush(heap, (place, number, problem))
        held.add(place)
    return [problem for _, _, problem in sorted(heap, reverse=True)]
