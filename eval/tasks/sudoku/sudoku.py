"""Sudoku of 4 x 4, 6 x 6 or 9 x 9 cells, generated or read from a file.

Holds the task: its prompts, splits, scorer, rules and picture, and the drawing of puzzles. Solving puzzles, naming their
classes and checking a file's rows are the neighbours solver.py, symmetry.py and rows.py.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, NamedTuple

import numpy as np

from hybrid.errors import InputError
from hybrid.eval.tasks.answers import read_grid
from hybrid.eval.tasks.show import Cell, Picture
from hybrid.eval.tasks.sudoku.digit_grids import amiss, digit_grids
from hybrid.eval.tasks.sudoku.rows import Table, read_table
from hybrid.eval.tasks.sudoku.solver import (
    BOXES,
    Grid,
    Shape,
    Solved,
    holds_another_digit,
    random_solution,
    shape,
    solvable,
    solve,
)
from hybrid.eval.tasks.sudoku.symmetry import GridSymmetry, puzzle_key, puzzle_keys
from hybrid.eval.tasks.task import TASKS, Task, changes, worked
from hybrid.eval.tasks.written import as_it_stands, in_form
from hybrid.kinds import A_PATH, ADDED, require
from hybrid.layout import LayoutConfig, SpanPattern
from hybrid.problem import Problem

DEFAULT_BLANKS = {4: (8, 11), 6: (16, 24), 9: (40, 54)}
"""Fewest and most blanks of generated puzzles of every size."""

MAX_BLANKS = {4: 12, 6: 26, 9: 56}
"""Most blanks a size allows: 4 x 4 puzzles need 4 givens; of the others more blanks exist but are too rare to draw."""

_ATTEMPTS = 300
_NAMED_TOGETHER = 1000


class Instance(NamedTuple):
    """A puzzle with its solution, and the name of its class where it is known already."""

    puzzle: Grid
    solution: Grid
    key: str | None = None


@TASKS.register("sudoku")
class Sudoku(Task):
    """Fill a grid. Puzzles are equivalent under renaming of digits and the symmetries of the grid."""

    @dataclass(frozen=True)
    class Config:
        """Settings of the puzzles.

        Args:
            size: cells a row: 4, 6 (boxes of 2 rows and 3 columns) or 9.
            min_blanks: fewest blank cells; None for 8, 16 or 40 by size, or for no bound with a file.
            max_blanks: most blank cells; None for 11, 24 or 54 by size, or for no bound with a file.
            file: a .csv or .jsonl file (also .gz, .xz) or `hub:owner/name` with puzzles; None to generate them.
            question_column: column of the file that holds the puzzle, "." or "0" for a blank.
            answer_column: column of the file that holds the full grid.
            worked: solve each puzzle for its worked steps, and to see that its answer is the solver's; hard ones of 9 x 9
                cells take some 30 ms each. Without, problems have no steps and no trace.
        """

        size: int = 4
        min_blanks: int | None = None
        max_blanks: int | None = None
        file: str | None = field(default=None, metadata=A_PATH)
        question_column: str = "question"
        answer_column: str = "answer"
        worked: bool = field(default=True, metadata=ADDED)

        def __post_init__(self) -> None:
            require(self.size in BOXES, f"sudoku.size is {self.size}; choose one of: {', '.join(map(str, BOXES))}")
            low, high = self.blanks
            most = self.size**2 if self.file else MAX_BLANKS[self.size]
            require(
                0 <= low <= high <= most,
                f"sudoku.min_blanks to max_blanks is {low} to {high}; give two ascending counts from 0 to {most}",
            )

        @property
        def blanks(self) -> tuple[int, int]:
            """Fewest and most blanks, with the defaults filled in."""
            low, high = (0, self.size**2) if self.file else DEFAULT_BLANKS[self.size]
            # One bound alone moves the other's default out of its way.
            low = min(low, self.max_blanks if self.max_blanks is not None else low)
            high = max(high, self.min_blanks if self.min_blanks is not None else high)
            return (
                low if self.min_blanks is None else self.min_blanks,
                high if self.max_blanks is None else self.max_blanks,
            )

    wordings: ClassVar = {
        "train": (
            "Solve this {name}; 0 marks a blank.\n{grid}\n",
            "Fill each 0 of the {name} so that every row, column and box has 1 to {size} once.\n{grid}\n",
            "{name}:\n{grid}\nReplace every 0.",
            "Here is a {name} with blanks written as 0:\n{grid}\nGive the full grid.",
            "Complete the {name}. No digit repeats in a row, column or box.\n{grid}\n",
        ),
        "held_out": (
            "Please finish my {name}. A zero is a free cell.\n{grid}\n",
            "A friend left this {name} half done (0 = open):\n{grid}\nWhat is the finished grid?",
        ),
    }
    dev_share: ClassVar[float] = 0.1
    # A 4 x 4 grid has few classes: with 10% the test split would hang on some dozens of them.
    test_share: ClassVar[float] = 0.2

    def __init__(self, config: Config) -> None:
        self.config = config
        self._shape = shape(config.size)
        self.symmetry, self.box = GridSymmetry(self._shape), self._shape.box
        self.symbols = tuple(map(str, range(1, config.size + 1)))
        cell = f"[0-{config.size}]"
        self.layout = LayoutConfig(
            answer=SpanPattern(rf"(?m)^{cell}{{{config.size}}}(?=[ \t\r]*$)", cell),
            num_answers=config.size**2,
            separator="",
            row_length=config.size,
        )

    @property
    def answer_form(self) -> str:
        """The answer's form in words."""
        return f"the full grid in {self.config.size} lines of {self.config.size} digits"

    def read(self, text: str, problem: Problem) -> tuple[str, ...] | None:
        """Return the one full grid in the final part of the text."""
        return read_grid(text, self.config.size)

    def solve(self, prompt: str) -> tuple[str, ...]:
        """Return the full grid, found by singles and guesses."""
        solved = solve(self._shape, self._given(prompt))
        if solved is None:
            raise InputError("the puzzle has no solution; give one that has")
        return tuple(map(str, solved.grid))

    def understood(self, prompt: str) -> str:
        """See Task.understood: a grid in any usual writing, in the middle of other text."""
        own = as_it_stands(self.layout, prompt)
        if own is not None and set(own) <= {"0"}:
            return prompt  # Without a single clue no other writing can be told from other text.
        found = digit_grids(prompt, self.config.size)
        return in_form(prompt, found, self.layout, write=self._in_words, names="grids", missing=lambda: self._missing(prompt))

    def _in_words(self, rows: Sequence[str]) -> str:
        return str(self.wordings["train"][0].format(name=self._name, size=self.config.size, grid="\n".join(rows)))

    def _missing(self, prompt: str) -> str:
        size = self.config.size
        for other in BOXES:
            if other != size and digit_grids(prompt, other):
                return f"this is a {other}x{other} grid, and this head solves {size}x{size}; choose another head"
        why = amiss(prompt, size)
        found = f"no {self._name} was found" + (f": {why}" if why else "")
        return f"{found}; write {size} lines of {size} digits, 0 for a blank, such as:\n{self._example}"

    @property
    def _example(self) -> str:
        """A puzzle, in lines: a third of the clues of a simple grid."""
        size, (height, width) = self.config.size, self._shape.box
        rows = [[(width * (row % height) + row // height + cell) % size + 1 for cell in range(size)] for row in range(size)]
        return "\n".join("".join(str(0 if (i + j) % 3 else digit) for j, digit in enumerate(row)) for i, row in enumerate(rows))

    def refuse(self, prompt: str) -> None:
        """See Task.refuse: a digit twice in a row, column or box, or no grid that fits."""
        puzzle = self._given(prompt)
        for number, unit in enumerate(self._shape.units):
            seen = [puzzle[cell] for cell in unit if puzzle[cell]]
            twice = [digit for digit in seen if seen.count(digit) > 1]
            if twice:
                kind, index = divmod(number, self.config.size)
                raise InputError(f"{('row', 'column', 'box')[kind]} {index + 1} has {twice[0]} twice; no grid has that")
        if not solvable(self._shape, puzzle):
            raise InputError("no grid fits these clues: whatever is tried, a cell is left without a digit; check them")

    def check(self, prompt: str, symbols: Sequence[str]) -> bool | None:
        """See Task.check: the clues are kept, and every row, column and box has each digit once."""
        puzzle, every = self._given(prompt), set(self.symbols)
        kept = len(symbols) == len(puzzle) and all(not clue or str(clue) == s for clue, s in zip(puzzle, symbols, strict=True))
        return kept and all({symbols[cell] for cell in unit} == every for unit in self._shape.units)

    def _given(self, prompt: str) -> list[int]:
        return [int(prompt[start:end]) for start, end in self.layout.spans(prompt)[0]]

    def picture(self, prompt: str, symbols: Sequence[str], previous: Sequence[str] | None = None) -> Picture:
        """Return the grid with its boxes, the prompt's own digits marked as given."""
        size = self.config.size
        spans, _ = self.layout.spans(prompt)
        given = [prompt[start:end] != "0" for start, end in spans]
        marked = zip(symbols, given, changes(symbols, previous), strict=True)
        cells = [Cell(symbol, given=fixed, changed=changed) for symbol, fixed, changed in marked]
        rows = (tuple(cells[start : start + size]) for start in range(0, len(cells), size))
        return Picture(tuple(rows), box=self._shape.box)

    @cached_property
    def _table(self) -> Table:
        config = self.config
        return read_table(config.file or "", self._shape, (config.question_column, config.answer_column))

    def _instances(self, rng: random.Random) -> Iterator[Instance]:
        if self.config.file:
            yield from self._rows(rng)
            return
        while True:
            blanks = rng.randint(*self.config.blanks)
            drawn = draw_puzzle(self._shape, blanks, rng)
            if drawn is None:
                raise InputError(f"no {self._name} with {blanks} blanks was found; ask for fewer blanks")
            yield Instance(*drawn)

    def _rows(self, rng: random.Random) -> Iterator[Instance]:
        low, high = self.config.blanks
        blanks = (self._table.puzzles == 0).sum(axis=1)
        order = np.flatnonzero((blanks >= low) & (blanks <= high)).tolist()
        rng.shuffle(order)
        for start in range(0, len(order), _NAMED_TOGETHER):
            puzzles, answers = (
                part[order[start : start + _NAMED_TOGETHER]] for part in (self._table.puzzles, self._table.answers)
            )
            for row in zip(puzzles.tolist(), answers.tolist(), puzzle_keys(self._shape, puzzles), strict=True):
                yield Instance(tuple(row[0]), tuple(row[1]), row[2])

    def _key(self, instance: Instance) -> str:
        return instance.key or puzzle_key(self._shape, instance.puzzle)

    def _problem(self, instance: Instance, key: str, wording: str, rng: random.Random) -> Problem:
        puzzle, solution = instance[:2]
        solved = solve(self._shape, puzzle) if self.config.worked else Solved(solution, ())
        answer = tuple(map(str, solution))
        if solved is None or solved.grid != solution:
            question = "".join(map(str, puzzle))
            raise InputError(f"{self.config.file}: the puzzle {question} has another solution than its answer; drop it")
        steps = [step.text for step in solved.steps]
        return Problem(
            prompt=wording.format(name=self._name, size=self.config.size, grid=self.layout.write([*map(str, puzzle)])),
            answer=answer,
            trace="\n".join([*steps, "Answer:", self.layout.write(answer)]) if self.config.worked else "",
            difficulty=puzzle.count(0),
            key=key,
            steps=worked(answer, [step.cell for step in solved.steps]) if self.config.worked else (),
        )

    @property
    def _name(self) -> str:
        size, (height, width) = self.config.size, self._shape.box
        return f"{size}x{size} Sudoku" + ("" if height == width else f" with {height}x{width} boxes")


def draw_puzzle(shape: Shape, blanks: int, rng: random.Random) -> tuple[Grid, Grid] | None:
    """Return (puzzle, solution) with exactly `blanks` blanks and one solution.

    Cells are blanked in random order, each only if the solution stays the only one. An order that gets stuck too early
    is given up and a fresh grid drawn, so that hard counts stay as frequent as the caller draws them.

    Returns:
        None when no order got there in some hundred attempts.
    """
    for _ in range(_ATTEMPTS):
        solution = random_solution(shape, rng)
        puzzle = _blank_out(shape, solution, blanks, rng)
        if puzzle:
            return puzzle, solution
    return None


def _blank_out(shape: Shape, solution: Grid, blanks: int, rng: random.Random) -> Grid | None:
    order = list(range(shape.size**2))
    rng.shuffle(order)
    puzzle, left = list(solution), blanks
    for position, cell in enumerate(order):
        if left == 0:
            break
        if left > len(order) - position:
            return None
        puzzle[cell] = 0
        if holds_another_digit(shape, puzzle, cell, solution[cell]):
            puzzle[cell] = solution[cell]
        else:
            left -= 1
    return tuple(puzzle) if left == 0 else None
