"""Mazes: mark the shortest path between two cells of a grid, generated or read from a file.

Holds the task: its prompts, splits, scorer and picture, and the checks of a file's rows, in the alphabet of the TRM and HRM
papers' mazes. Geometry and drawing are grid.py's, reading rows is table's. A generated maze has one shortest path
only, so that a trained head, which is taught one answer, is never told off for another that is as good. A maze from a file
may have many: any of them is right (`Maze.right`), but training teaches the file's own, so that its dev exact match, which
compares symbol by symbol, is then too low.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

from hybrid.errors import InputError
from hybrid.eval.tasks.answers import read_drawing
from hybrid.eval.tasks.maze.grid import (
    FREE,
    GOAL,
    PATH,
    START,
    SYMBOLS,
    WALL,
    MazeSymmetry,
    distances,
    draw_maze,
    is_solution,
    marked,
    maze_key,
    search_steps,
    shortest_path,
)
from hybrid.eval.tasks.show import Cell, Picture
from hybrid.eval.tasks.table.rows import read_rows
from hybrid.eval.tasks.task import TASKS, Task, changes, worked
from hybrid.eval.tasks.written import in_form, symbol_grids
from hybrid.kinds import A_PATH, require
from hybrid.layout import LayoutConfig, SpanPattern
from hybrid.problem import Problem

OTHER_SIGNS = (
    ("█", WALL),
    ("■", WALL),
    ("X", WALL),
    (" ", FREE),
    ("_", FREE),
    ("·", FREE),
    ("E", GOAL),
    ("s", START),
    ("g", GOAL),
)
"""What people write for a wall, a free cell, start and goal."""


@TASKS.register("maze")
class Maze(Task):
    """Mark a shortest path. Mazes are equivalent under turning, mirroring and exchange of start and goal."""

    @dataclass(frozen=True)
    class Config:
        """Settings of the mazes.

        Args:
            size: cells a row, 4 to 30.
            min_steps: fewest steps of the shortest path; None for `size`, or for no bound with a file.
            file: a .csv or .jsonl file (also .gz, .xz) or `hub:owner/name` with mazes; None to generate them.
            question_column: column of the file that holds the maze, row by row in one string, " " or "." for a free cell.
            answer_column: column of the file that holds the same with "o" on a shortest path.
        """

        size: int = 8
        min_steps: int | None = None
        file: str | None = field(default=None, metadata=A_PATH)
        question_column: str = "question"
        answer_column: str = "answer"

        def __post_init__(self) -> None:
            require(4 <= self.size <= 30, f"maze.size is {self.size}; give 4 to 30")
            most = self.size * self.size // 2 if self.file else 2 * self.size
            require(2 <= self.least <= most, f"maze.min_steps is {self.least}; give 2 to {most} for size {self.size}")

        @property
        def least(self) -> int:
            """Fewest steps, with the default filled in."""
            return self.min_steps if self.min_steps is not None else 2 if self.file else self.size

    wordings: ClassVar = {
        "train": (
            "Find the shortest way from S to G.\n{grid}\n",
            "Maze, # is a wall:\n{grid}\nMark the shortest path with o.",
            "Walk from S to G in as few steps as you can.\n{grid}\n",
            "In this maze . is free and # is a wall.\n{grid}\nWhich is the shortest path?",
        ),
        "held_out": (
            "A mouse sits at S, the cheese at G. Show the mouse its quickest way.\n{grid}\n",
            "The map:\n{grid}\nDraw the least number of steps that leads to G.",
        ),
    }

    def __init__(self, config: Config) -> None:
        self.config = config
        self.symbols, self.symmetry = SYMBOLS, MazeSymmetry(config.size)
        cell = f"[{WALL}{FREE}{START}{GOAL}]"
        self.layout = LayoutConfig(
            answer=SpanPattern(rf"(?m)^{cell}(?: {cell}){{{config.size - 1}}}(?=[ \t\r]*$)", cell),
            num_answers=config.size**2,
            row_length=config.size,
        )

    @property
    def answer_form(self) -> str:
        """The answer's form in words."""
        return f"the maze in {self.config.size} lines, with o on the cells of the shortest path between S and G"

    def read(self, text: str, problem: Problem) -> tuple[str, ...] | None:
        """Return the one grid with a marked path in the final part of the text."""
        return read_drawing(text, self.config.size, self.symbols, mark=PATH)

    def right(self, symbols: Sequence[str] | None, problem: Problem) -> bool:
        """Say whether this is the maze with a shortest path marked, whichever."""
        return symbols is not None and is_solution(self.config.size, self._maze(problem.prompt), symbols)

    def solve(self, prompt: str) -> tuple[str, ...]:
        """Return the maze with a shortest path marked, found by breadth-first search."""
        maze = self._maze(prompt)
        if (maze.count(START), maze.count(GOAL)) != (1, 1):
            raise InputError(f"the maze has {maze.count(START)} S and {maze.count(GOAL)} G; give one of each")
        path = shortest_path(self.config.size, maze)
        if path is None:
            raise InputError("no way leads from S to G; give a maze with one")
        return tuple(marked(maze, path))

    def understood(self, prompt: str) -> str:
        """See Task.understood: rows of signs with blanks between them or without, blanks or dots for free cells."""
        found = symbol_grids(prompt, self.config.size, "".join(SYMBOLS[:-1]), OTHER_SIGNS)
        return in_form(prompt, found, self.layout, write=self._in_words, names="mazes", missing=self._missing)

    def _in_words(self, rows: Sequence[str]) -> str:
        return str(self.wordings["train"][0].format(grid=self.layout.write("".join(rows))))

    def _missing(self) -> str:
        size = self.config.size
        example = "\n".join([START + FREE * (size - 1), *[FREE * (size - 1) + WALL] * (size - 2), FREE * (size - 1) + GOAL])
        return f"no maze of {size} rows of {size} cells was found; # is a wall, S start, G goal, such as:\n{example}"

    def refuse(self, prompt: str) -> None:
        """See Task.refuse: start or goal missing or twice, or no way."""
        self.solve(prompt)

    def check(self, prompt: str, symbols: Sequence[str]) -> bool | None:
        """See Task.check: the maze itself, with one of its shortest paths marked."""
        return is_solution(self.config.size, self._maze(prompt), symbols)

    def picture(self, prompt: str, symbols: Sequence[str], previous: Sequence[str] | None = None) -> Picture:
        """Return the grid, start and goal marked as given."""
        size = self.config.size
        marks = zip(symbols, self._maze(prompt), changes(symbols, previous), strict=True)
        cells = [Cell(symbol, given=there in (START, GOAL), changed=changed) for symbol, there, changed in marks]
        return Picture(tuple(tuple(cells[start : start + size]) for start in range(0, len(cells), size)))

    def _maze(self, prompt: str) -> str:
        spans, _ = self.layout.spans(prompt)
        return "".join(prompt[start:end] for start, end in spans)

    @cached_property
    def _rows(self) -> list[tuple[str, str]]:
        config = self.config
        return read_mazes(config.file or "", config.size, (config.question_column, config.answer_column))

    def _instances(self, rng: random.Random) -> Iterator[tuple[str, str]]:
        """Yield (maze, solved maze)."""
        config = self.config
        if config.file:
            rows = [row for row in self._rows if row[1].count(PATH) + 1 >= config.least]
            yield from rng.sample(rows, len(rows))
            return
        while True:
            maze = draw_maze(config.size, config.least, rng)
            path = maze and shortest_path(config.size, maze)
            if not maze or not path:
                raise InputError(f"no maze of size {config.size} with {config.least} steps was found; lower maze.min_steps")
            yield maze, marked(maze, path)

    def _key(self, instance: tuple[str, str]) -> str:
        return maze_key(self.config.size, instance[0])

    def _problem(self, instance: tuple[str, str], key: str, wording: str, rng: random.Random) -> Problem:
        maze, solved = instance
        answer = self.layout.write(solved)
        far = distances(self.config.size, [symbol != WALL for symbol in maze], maze.index(START))
        free = [cell for cell, symbol in enumerate(maze) if symbol == FREE]
        return Problem(
            prompt=wording.format(grid=self.layout.write(maze)),
            answer=tuple(solved),
            trace="\n".join([*search_steps(self.config.size, maze), "Answer:", answer]),
            difficulty=solved.count(PATH) + 1,
            key=key,
            steps=worked(tuple(solved), sorted(free, key=lambda cell: far[cell])),
        )


def read_mazes(source: str, size: int, columns: tuple[str, str]) -> list[tuple[str, str]]:
    """Return (maze, solved maze) of every row, "." for free cells.

    Args:
        source: path of a file, or `hub:owner/name`, of which all splits are taken.
        size: cells a row of the maze.
        columns: names of the question's column, the maze row by row, and of the answer's, the same with "o" on a path.

    Raises:
        InputError: the source cannot be read, lacks a column, or has a row that is no such maze; the message names the
            source and the row, counted from 1 without the header.
    """
    mazes = []
    for number, row in enumerate(read_rows(source, columns), 1):
        # Line breaks may part the rows; blanks are free cells, so only breaks are dropped.
        maze, solved = ("".join(text.splitlines()).replace(" ", FREE) for text in row)
        fault = _fault(size, maze, solved)
        if fault:
            raise InputError(f"{source} row {number}: {fault}")
        mazes.append((maze, solved))
    if not mazes:
        raise InputError(f"{source} holds no mazes; give a file with at least one row")
    return mazes


def _fault(size: int, maze: str, solved: str) -> str | None:
    """Return what is wrong with a row, and what to do."""
    for name, text in (("question", maze), ("answer", solved)):
        if len(text) != size * size:
            root = round(len(text) ** 0.5)
            hint = f"; set size to {root}" if root > 1 and root * root == len(text) else ""
            return f"the {name} has {len(text)} cells where {size * size} are needed{hint}"
        wrong = set(text) - set(SYMBOLS if name == "answer" else SYMBOLS[:-1])
        if wrong:
            return f"the {name} holds {sorted(wrong)[0]!r}; its cells are #, blank or full stop, S, G, and {PATH} in the answer"
    if (maze.count(START), maze.count(GOAL)) != (1, 1):
        return f"the maze has {maze.count(START)} S and {maze.count(GOAL)} G; give one of each"
    if not is_solution(size, maze, solved):
        return "the answer is not the maze with a shortest path marked; mend or drop the row"
    return None
