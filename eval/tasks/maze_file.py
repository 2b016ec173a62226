"""Reads mazes from a CSV or JSONL file, plain, .gz or .xz, or from a data set of the Hugging Face hub.

Holds the checks of a row; reading rows is rows.py's. A row's question is the maze in one string, row by row, in the
alphabet "# SG" of the TRM and HRM papers' mazes, "." for " " allowed; its answer is the same with "o" on a shortest path.
"""

from __future__ import annotations

from hybrid.errors import InputError
from hybrid.eval.tasks.maze_grid import FREE, GOAL, PATH, START, SYMBOLS, is_solution
from hybrid.eval.tasks.rows import read_rows


def read_mazes(source: str, size: int, columns: tuple[str, str]) -> list[tuple[str, str]]:
    """Return (maze, solved maze) of every row, "." for free cells.

    Args:
        source: path of a file, or `hub:owner/name`, of which all splits are taken.
        size: cells a row of the maze.
        columns: names of the question's and the answer's column.

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
