"""Rows of a file of Sudoku puzzles, checked and kept as uint8 arrays, so that the millions of Sudoku-Extreme fit into memory.

Reading a file is rows.py's, the task sudoku.py's.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from hybrid.errors import InputError
from hybrid.eval.tasks.sudoku.solver import Shape
from hybrid.eval.tasks.table.rows import read_rows

_CHUNK = 50_000
_BLANKS = str.maketrans({".": "0"})


@dataclass(frozen=True)
class Table:
    """Checked puzzles with their answers.

    Args:
        puzzles: uint8 (rows, size * size), 0 a blank.
        answers: uint8 (rows, size * size), full and valid.
    """

    puzzles: NDArray[np.uint8]
    answers: NDArray[np.uint8]


def read_table(source: str, shape: Shape, columns: tuple[str, str]) -> Table:
    """Return all puzzles of `source`.

    Args:
        source: path of a file, or `hub:owner/name`, of which all splits are taken.
        shape: geometry that every row must have.
        columns: names of the question's and the answer's column.

    Raises:
        InputError: the source cannot be read, lacks a column, or has a row that is no such puzzle; the message names
            the source and the row, counted from 1 without the header.
    """
    rows = ((question.strip(), answer.strip()) for question, answer in read_rows(source, columns))
    parts = []
    first = 1
    while chunk := list(islice(rows, _CHUNK)):
        parts.append(_check(chunk, shape, source, first))
        first += len(chunk)
    if not parts:
        raise InputError(f"{source} holds no puzzles; give a file with at least one row")
    puzzles, answers = (np.concatenate([part[side] for part in parts]) for side in (0, 1))
    return Table(puzzles, answers)


def _check(rows: list[tuple[str, str]], shape: Shape, source: str, first: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return (puzzles, answers) of a chunk that starts at row `first`; raise InputError at its first bad row."""
    cells = shape.size**2
    digits = frozenset(map(str, range(shape.size + 1)))
    for number, row in enumerate(rows, first):
        for name, text in zip(("question", "answer"), row, strict=True):
            if len(text) != cells:
                fitting = [size for size in (4, 6, 9) if size**2 == len(text)]
                hint = f"; set size to {fitting[0]}" if fitting else ""
                raise InputError(f"{source} row {number}: the {name} has {len(text)} cells where {cells} are needed{hint}")
            if not digits.issuperset(text.translate(_BLANKS) if name == "question" else text):
                raise InputError(f"{source} row {number}: the {name} {text!r} holds more than digits up to {shape.size}")
    puzzles, answers = (_digits("".join(row[side] for row in rows), cells) for side in (0, 1))
    kept = ((puzzles == 0) | (puzzles == answers)).all(axis=1)
    # A unit holds every digit once exactly when the bits of its digits add up to all bits.
    seen = np.bitwise_or.reduce((np.uint16(1) << answers.astype(np.uint16))[:, np.array(shape.units)], axis=2)
    valid = (seen == 2 ** (shape.size + 1) - 2).all(axis=1)
    for good, fault in ((kept, "the answer changes a given digit"), (valid, "the answer breaks a rule of Sudoku")):
        if not good.all():
            raise InputError(f"{source} row {first + int(np.argmin(good))}: {fault}; mend or drop the row")
    return puzzles, answers


def _digits(text: str, cells: int) -> NDArray[np.uint8]:
    flat = np.frombuffer(text.translate(_BLANKS).encode("ascii"), dtype=np.uint8)
    return (flat - np.uint8(ord("0"))).reshape(-1, cells)
