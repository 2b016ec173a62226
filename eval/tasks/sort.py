"""Sorting: a list of one- or two-digit numbers, to be given in ascending order.

Holds the task; answers are dense, one number a position, and stand at the numbers' own places in the prompt.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import ClassVar

from hybrid.errors import InputError
from hybrid.eval.tasks.answers import read_sequence
from hybrid.eval.tasks.task import TASKS, Task, worked
from hybrid.eval.tasks.written import as_it_stands, every_number
from hybrid.kinds import require
from hybrid.layout import LayoutConfig, SpanPattern
from hybrid.problem import Problem

Numbers = tuple[int, ...]


@TASKS.register("sort")
class Sort(Task):
    """Sort a list of numbers. Two problems are equivalent when they hold the same numbers in any order."""

    @dataclass(frozen=True)
    class Config:
        """Settings of the lists.

        Args:
            length: numbers in a list, 2 to 64; the most when `min_length` is given.
            min_length: the least; lengths are then drawn uniformly. None for `length`.
            digits: digits of every number, 1 (0 to 9) or 2 (10 to 99).
        """

        length: int = 12
        min_length: int | None = None
        digits: int = 1

        def __post_init__(self) -> None:
            require(2 <= self.length <= 64, f"sort.length is {self.length}; give 2 to 64")
            require(
                self.min_length is None or 2 <= self.min_length <= self.length,
                f"sort.min_length is {self.min_length}; give 2 to the length, {self.length}, or none",
            )
            require(self.digits in (1, 2), f"sort.digits is {self.digits}; choose one of: 1, 2")

    wordings: ClassVar = {
        "train": (
            ("Sort these numbers from small to large: {numbers}.", " "),
            ("Put {numbers} in ascending order.", " "),
            ("Numbers: {numbers}\nList them again, the least first.", " "),
            ("Arrange in increasing order: {numbers}", ", "),
        ),
        "held_out": (
            ("What is the list {numbers} once it is sorted upwards?", " "),
            ("I wrote down {numbers}. Please rank them, lowest to highest.", ", "),
        ),
    }

    def __init__(self, config: Config) -> None:
        self.config = config
        self._low, self._high = (0, 9) if config.digits == 1 else (10, 99)
        self.symbols = tuple(map(str, range(self._low, self._high + 1)))
        number = rf"[0-9]{{{config.digits}}}"
        # A list with a number of another width is not found at all, rather than found in part.
        before, after = r"(?<![0-9])(?<![0-9] )(?<![0-9], )", r"(?![0-9]|,? [0-9])"
        region = rf"{before}{number}(?:,? {number})+{after}"
        fixed = config.length if config.min_length in (None, config.length) else None
        self.layout = LayoutConfig(answer=SpanPattern(region, number), num_answers=fixed)

    @property
    def answer_form(self) -> str:
        """The answer's form in words."""
        return "the sorted numbers with blanks between them"

    def read(self, text: str, problem: Problem) -> tuple[str, ...] | None:
        """Return the one run of as many numbers as the list has; the list restated as it was does not count."""
        spans, _ = self.layout.spans(problem.prompt)
        restated = [problem.prompt[start:end] for start, end in spans]
        return read_sequence(text, self.symbols, len(spans), restated=restated)

    def solve(self, prompt: str) -> tuple[str, ...]:
        """Return the list's numbers sorted."""
        spans, _ = self.layout.spans(prompt)
        return tuple(sorted(prompt[start:end] for start, end in spans))

    def understood(self, prompt: str) -> str:
        """See Task.understood: whole numbers, whatever stands between them."""
        numbers = every_number(prompt)
        if as_it_stands(self.layout, prompt) == numbers:
            return prompt
        counts = re.search(r"(\d+)\s+(?:numbers|digits|values|integers|elements)\b", prompt)
        if counts:
            raise InputError(f"{counts[1]} may be a number or say how many there are; write the numbers alone")
        least, most = self.config.min_length or self.config.length, self.config.length
        count = str(most) if least == most else f"{least} to {most}"
        wrong = [number for number in numbers if number not in self.symbols]
        if not least <= len(numbers) <= most or wrong:
            found = f"{wrong[0]} is none of them" if wrong else f"the text has {len(numbers)}"
            example = " ".join(self.symbols[-1 - i % len(self.symbols)] for i in range(most))
            raise InputError(f"this head sorts {count} numbers from {self._low} to {self._high}; {found}. Such as: {example}")
        return str(self.wordings["train"][0][0].format(numbers=" ".join(numbers)))

    def check(self, prompt: str, symbols: Sequence[str]) -> bool | None:
        """See Task.check: the list's own numbers, in order."""
        return tuple(symbols) == self.solve(prompt)

    def _instances(self, rng: random.Random) -> Iterator[Numbers]:
        least = self.config.min_length or self.config.length
        while True:
            length = rng.randint(least, self.config.length)
            yield tuple(rng.randint(self._low, self._high) for _ in range(length))

    def _key(self, instance: Numbers) -> str:
        return " ".join(map(str, sorted(instance)))

    def _problem(self, instance: Numbers, key: str, wording: tuple[str, str], rng: random.Random) -> Problem:
        template, separator = wording
        answer = tuple(map(str, sorted(instance)))
        steps = _count(instance) if self.config.digits == 1 else _gather(instance)
        return Problem(
            prompt=template.format(numbers=separator.join(map(str, instance))),
            answer=answer,
            trace=f"{' '.join(steps)}\nAnswer: {self.layout.write(answer)}",
            difficulty=len(instance),
            key=key,
            steps=worked(answer, range(len(answer))),
        )


def _count(numbers: Numbers) -> list[str]:
    """Return the steps of a counting sort.

    Example:
        >>> _count((3, 1, 3))
        ['1 once.', '3 twice.']
    """
    words = {1: "once", 2: "twice"}
    return [f"{number} {words.get(times, f'{times} times')}." for number, times in sorted(Counter(numbers).items())]


def _gather(numbers: Numbers) -> list[str]:
    """Return the steps of a bucket sort by tens.

    Example:
        >>> _gather((31, 17, 12))
        ['1x: 17 12, sorted 12 17.', '3x: 31.']
    """
    steps = []
    for ten, group in groupby(sorted(numbers, key=lambda number: number // 10), key=lambda number: number // 10):
        bucket = list(group)
        found, ordered = " ".join(map(str, bucket)), " ".join(map(str, sorted(bucket)))
        steps.append(f"{ten}x: {found}." if bucket == sorted(bucket) else f"{ten}x: {found}, sorted {ordered}.")
    return steps
