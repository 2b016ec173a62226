"""ARC: find the rule of a few pairs of grids, and apply it to one more grid (Chollet 2019, arXiv 1911.01547).

Holds the task: its prompts, splits, scorer and picture. Grids and symmetries are grid.py's, files files.py's.

A problem is one test input. Every grid stands on a canvas of one size, with dots outside of it, so that input, output and
demonstrations have a place for each cell and the answer may be of any size: what is no dot is the output grid. A head is told
the rule by the demonstrations in its prompt alone. In the TRM and HRM papers it is told by a vector learned for each puzzle's
number, demonstrations of the tasks that are tested included; a puzzle that was never trained has none.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, NamedTuple

from hybrid.errors import InputError
from hybrid.eval.tasks.answers import read_colours
from hybrid.eval.tasks.arc.files import ArcTask, classes, read_tasks, same_tasks
from hybrid.eval.tasks.arc.grid import COLOURS, LARGEST, OUTSIDE, ArcSymmetry, Pair, longest_side, off_canvas, on_canvas
from hybrid.eval.tasks.show import Cell, Picture
from hybrid.eval.tasks.task import TASKS, Split, Task, Wording, changes, check_arguments
from hybrid.kinds import A_PATH, require
from hybrid.layout import LayoutConfig, SpanPattern
from hybrid.problem import Problem

MOST_SHOWN = 10


class Instance(NamedTuple):
    """A pair whose output is asked for, and the pairs that are shown; `place` says which of its task it is."""

    name: str
    place: str
    key: str
    shown: tuple[Pair, ...]
    asked: Pair


@TASKS.register("arc")
class Arc(Task):
    """Find the rule of pairs of grids and apply it. Tasks are one where they share two pairs, turned or recoloured."""

    @dataclass(frozen=True)
    class Config:
        """Settings of the problems.

        Args:
            file: Kaggle's file of challenges (.json, also packed), one of the same form with all outputs, or a folder of tasks.
            solutions: Kaggle's file of solutions; None for the one beside the challenges that is called so.
            size: longest side of a grid, 1 to 30; a task with a longer one is left out and counted.
            shift: most cells by which disguises shift a grid; the canvas is longer by so many.
            shown: most demonstrations in a prompt; of a task with more, the first ones are shown.
            turns: let each demonstration of a training task also be the one that is asked for, the others shown.
        """

        file: str | None = field(default=None, metadata=A_PATH)
        solutions: str | None = field(default=None, metadata=A_PATH)
        size: int = 10
        shift: int = 1
        shown: int = 3
        turns: bool = True

        def __post_init__(self) -> None:
            require(bool(self.file), "arc.file is missing; give Kaggle's file of challenges, or a folder of tasks")
            require(1 <= self.size <= LARGEST, f"arc.size is {self.size}; give 1 to {LARGEST}")
            require(0 <= self.shift <= LARGEST, f"arc.shift is {self.shift}; give 0 to {LARGEST}")
            require(1 <= self.shown <= MOST_SHOWN, f"arc.shown is {self.shown}; give 1 to {MOST_SHOWN}")

        @property
        def side(self) -> int:
            """Cells of a side of the canvas."""
            return self.size + self.shift

    symmetry: ArcSymmetry
    wordings: ClassVar = {
        "train": (
            "Every input becomes its output by one rule. Digits are colours, 0 is black, a dot is outside the grid.\n{pairs}",
            "Find the rule that turns inputs into outputs, and apply it to the last input. Dots are no part of a grid.\n{pairs}",
            "Grids of colours 0 to 9, with dots around them. What is the last output?\n{pairs}",
        ),
        "held_out": (
            "Look at these pairs of grids (dots: nothing there). All follow the same pattern. Finish the last pair.\n{pairs}",
        ),
    }

    def __init__(self, config: Config) -> None:
        self.config, side = config, config.side
        self.symbols = (*COLOURS, OUTSIDE)
        self.symmetry = ArcSymmetry(config.size, config.shift, 1 + 2 * config.shown)
        self.box = (side, side)
        rows = rf"(?m)^(?:(?: [0-9.]){{{side}}}[ \t\r]*\n){{{side}}}"
        last = r"Output:\s*\Z"
        self.layout = LayoutConfig(
            answer=SpanPattern(f"{rows}(?={last})", "[0-9.]"),
            context=SpanPattern(f"{rows}(?!{last})", "[0-9.]"),
            num_answers=side**2,
            row_length=side,
        )

    @property
    def answer_form(self) -> str:
        """The answer's form in words."""
        return "the last output grid, a line of digits for each row"

    def read(self, text: str, problem: Problem) -> tuple[str, ...] | None:
        """Return the one grid in the final part of the text, on a canvas."""
        grid = read_colours(text)
        return None if grid is None or longest_side(grid) > self.config.side else on_canvas(grid, self.config.side)

    def right(self, symbols: Sequence[str] | None, problem: Problem) -> bool:
        """Say whether the grid on the canvas is the answer's, its size included."""
        side = self.config.side
        return symbols is not None and off_canvas(symbols, side) == off_canvas(problem.answer, side)

    def write(self, problem: Problem) -> str:
        """Return the grid of the answer, a line for each row."""
        grid = off_canvas(problem.answer, self.config.side) or ()
        return "\n".join(" ".join(row) for row in grid)

    def picture(self, prompt: str, symbols: Sequence[str], previous: Sequence[str] | None = None) -> Picture:
        """Return the canvas."""
        side, marked = self.config.side, zip(symbols, changes(symbols, previous), strict=True)
        cells = [Cell(symbol, changed=changed) for symbol, changed in marked]
        return Picture(tuple(tuple(cells[start : start + side]) for start in range(0, len(cells), side)))

    @cached_property
    def every(self) -> list[ArcTask]:
        """The tasks of the file, those that do not fit included."""
        return read_tasks(self.config.file or "", self.config.solutions)

    @cached_property
    def fitting(self) -> dict[str, tuple[ArcTask, str]]:
        """The tasks whose grids fit, by name, each with its class."""
        named = zip(self.every, classes(self.every), strict=True)
        return {task.name: (task, key) for task, key in named if self._longest(task) <= self.config.size}

    @staticmethod
    def _longest(task: ArcTask) -> int:
        return longest_side(*(grid for pair in (*task.shown, *task.tests) for grid in pair))

    @property
    def left_out(self) -> str:
        """See Task.left_out."""
        own = self.config
        lost = len(self.every) - len(self.fitting)
        short = sum(len(task.shown) > own.shown for task, _ in self.fitting.values())
        return (
            f"{own.file}: {lost:,} of {len(self.every):,} tasks are left out, as they have a grid of over {own.size} cells "
            f"a side (arc.size); {short:,} of the others show {own.shown} of their more demonstrations (arc.shown)"
        )

    def _instances(self, rng: random.Random) -> Iterator[Instance]:
        instances = [each for task, key in self.fitting.values() for each in self._own(task, key)]
        yield from rng.sample(instances, len(instances))

    def _own(self, task: ArcTask, key: str) -> Iterator[Instance]:
        yield from self._tests(task, key)
        if self.config.turns and len(task.shown) > 1 and self.split_of(key) == "train":
            for number, asked in enumerate(task.shown):
                others = (*task.shown[:number], *task.shown[number + 1 :])
                yield Instance(task.name, f"train {number + 1}", key, others[: self.config.shown], asked)

    def _tests(self, task: ArcTask, key: str) -> Iterator[Instance]:
        for number, asked in enumerate(task.tests, 1):
            yield Instance(task.name, f"test {number}", key, task.shown[: self.config.shown], asked)

    def tests(self, wording: Wording = "train") -> list[tuple[str, Problem]]:
        """Return (name of its task, problem) for every test input that fits, whatever its split, in the file's order."""
        first = self.wordings[wording][0]
        each = (own for task, key in self.fitting.values() for own in self._tests(task, key))
        return [(own.name, self._problem(own, own.key, first, random.Random(0))) for own in each]

    def problems(self, split: Split, count: int | None = None, *, seed: int = 0, wording: Wording = "train") -> list[Problem]:
        """Return `count` problems as Task.problems does; None takes all."""
        check_arguments(split, count, wording)
        if count is not None:
            return super().problems(split, count, seed=seed, wording=wording)
        most = sum(len(task.shown) + len(task.tests) for task, _ in self.fitting.values())
        found = self._some(split, most, seed, wording)
        if not found:
            raise InputError(
                f"{self.config.file} has no {split} problem that fits; raise arc.size, or give a file with more tasks"
            )
        return found

    def apart(self, trained: Task) -> None:
        """See Task.apart: a file holds a task that another file, which was trained on, holds too."""
        if not isinstance(trained, Arc) or self.config.file == trained.config.file:
            return
        self.refuse_twins(trained)

    def refuse_twins(self, trained: Arc) -> None:
        """Raise InputError where the file holds tasks that the other's file holds too; the message names some."""
        twins = same_tasks(self.every, trained.every)
        if twins:
            shown = ", ".join(name if name == other else f"{name} (there {other})" for name, other in twins[:5])
            raise InputError(
                f"{self.config.file} holds {len(twins):,} tasks of {trained.config.file}, which the head was trained on: {shown}"
                f"{', ...' if len(twins) > 5 else ''}; give a file without them, or let python -m hybrid.eval.arc --overlap drop "
                "leave them out"
            )

    def _key(self, instance: Instance) -> str:
        return instance.key

    def _problem(self, instance: Instance, key: str, wording: str, rng: random.Random) -> Problem:
        side, (given, wanted) = self.config.side, instance.asked
        shown = [f"Input:\n{self._drawn(before)}Output:\n{self._drawn(after)}" for before, after in instance.shown]
        return Problem(
            prompt=wording.format(pairs="\n".join([*shown, f"Input:\n{self._drawn(given)}Output:\n"])),
            answer=on_canvas(wanted, side),
            difficulty=longest_side(given, wanted),
            key=key,
            where=f"{self.config.file} task {instance.name} {instance.place}",
        )

    def _drawn(self, grid: tuple[str, ...]) -> str:
        """Return the lines of a canvas; each begins with a blank, so that every cell is the same token to a language model."""
        side, symbols = self.config.side, on_canvas(grid, self.config.side)
        return "".join(f" {' '.join(symbols[start : start + side])}\n" for start in range(0, side * side, side))
