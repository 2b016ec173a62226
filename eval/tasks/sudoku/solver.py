"""A Sudoku solver that says what it does: singles by logic first, then a guess with backtracking.

Holds the geometry of a grid, the solver, the uniqueness check and the drawing of a random full grid. It makes the
worked solutions of the chain-of-thought baselines and is itself the classical baseline. Making puzzles is
sudoku.py's part. Candidates are bit masks: bit d-1 of a cell's mask says that digit d is still possible there.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

Grid = tuple[int, ...]
"""size * size digits, row by row; 0 is a blank."""

BOXES = {4: (2, 2), 6: (2, 3), 9: (3, 3)}
"""Rows and columns of a box for every size there is."""

_UNIT_NAMES = ("row", "column", "box")


@dataclass(frozen=True)
class Shape:
    """Geometry of a grid: which cells share a row, a column or a box.

    Args:
        size: cells a row, a key of BOXES.
    """

    size: int

    @property
    def box(self) -> tuple[int, int]:
        """Rows and columns of a box."""
        return BOXES[self.size]

    @cached_property
    def units_of(self) -> tuple[tuple[int, int, int], ...]:
        """Numbers of the row, the column and the box of every cell; rows come first, then columns, then boxes."""
        size, (height, width) = self.size, self.box
        cells = [divmod(cell, size) for cell in range(size * size)]
        return tuple((r, size + c, 2 * size + r // height * height + c // width) for r, c in cells)

    @cached_property
    def units(self) -> tuple[tuple[int, ...], ...]:
        """Cells of every row, column and box."""
        units: list[list[int]] = [[] for _ in range(3 * self.size)]
        for cell, numbers in enumerate(self.units_of):
            for number in numbers:
                units[number].append(cell)
        return tuple(map(tuple, units))

    @cached_property
    def peers(self) -> tuple[tuple[int, ...], ...]:
        """For every cell the other cells that may not hold its digit."""
        return tuple(
            tuple(sorted({peer for unit in numbers for peer in self.units[unit]} - {cell}))
            for cell, numbers in enumerate(self.units_of)
        )

    def name(self, cell: int) -> str:
        """Return the cell's name, counted from 1: r1c2."""
        return f"r{cell // self.size + 1}c{cell % self.size + 1}"


@lru_cache
def shape(size: int) -> Shape:
    """Return the shape of `size`, made once."""
    return Shape(size)


@dataclass(frozen=True)
class Step:
    """One digit that the solver wrote.

    Args:
        cell: place in the grid, counted from 0.
        digit: what was written.
        guessed: whether it was a guess; all others follow by logic.
        text: the reason in words, one short sentence.
    """

    cell: int
    digit: int
    guessed: bool
    text: str


@dataclass(frozen=True)
class Solved:
    """A full grid and the steps that led there; steps of branches that failed are left out, but named in the guess."""

    grid: Grid
    steps: tuple[Step, ...]


class _Board:
    """A grid under work. `steps` is None where nobody will read the reasons."""

    __slots__ = ("grid", "masks", "shape", "steps")

    def __init__(self, shape: Shape, grid: list[int], masks: list[int], steps: list[Step] | None) -> None:
        self.shape, self.grid, self.masks, self.steps = shape, grid, masks, steps

    def copy(self) -> _Board:
        steps = None if self.steps is None else self.steps.copy()
        return _Board(self.shape, self.grid.copy(), self.masks.copy(), steps)

    def place(self, cell: int, digit: int) -> bool:
        """Write `digit`; return False when a blank cell is left without a candidate."""
        self.grid[cell], self.masks[cell] = digit, 0
        grid, masks, bit, sound = self.grid, self.masks, 1 << digit - 1, True
        for peer in self.shape.peers[cell]:
            if masks[peer] & bit:
                masks[peer] ^= bit
                sound = sound and masks[peer] != 0
            elif grid[peer] == digit:
                return False
        return sound

    def note(self, cell: int, digit: int, text: str, *, guessed: bool = False) -> None:
        if self.steps is not None:
            self.steps.append(Step(cell, digit, guessed, f"{self.shape.name(cell)}: {text}"))


def solve(shape: Shape, puzzle: Sequence[int]) -> Solved | None:
    """Return the first solution with the steps to it, or None when there is none.

    Example:
        >>> solved = solve(shape(4), (0, 2, 3, 4, 3, 4, 1, 2, 2, 1, 4, 3, 4, 3, 2, 1))
        >>> [step.text for step in solved.steps]
        ['r1c1: row has 2 3 4, so 1.']
    """
    board = _start(shape, puzzle, [])
    found = next(_solutions(board), None) if board else None
    return Solved(tuple(found.grid), tuple(found.steps or ())) if found else None


def solvable(shape: Shape, puzzle: Sequence[int], *, most_guesses: int = 500) -> bool:
    """Say whether a puzzle may have a solution: False only where it has none; True too where so many guesses do not tell."""
    board = _start(shape, puzzle, None)
    try:
        return board is not None and any(True for _ in _solutions(board, left=[most_guesses]))
    except _NoMoreGuesses:
        return True


class _NoMoreGuesses(Exception):
    """The guesses that were allowed are spent."""


def holds_another_digit(shape: Shape, puzzle: Sequence[int], cell: int, digit: int) -> bool:
    """Say whether `puzzle`, blank at `cell`, has a solution with another digit than `digit` there.

    Where the puzzle with `digit` in `cell` has one solution, False says that it keeps this one without it. That is
    cheaper than counting from scratch, because mostly no other digit is possible at all.
    """
    board = _start(shape, puzzle, None)
    if board is None:
        return False
    others = board.masks[cell] & ~(1 << digit - 1)
    if not others or _single_unit(board, cell, digit) is not None:
        return False
    for other in _digits(others):
        branch = board.copy()
        if branch.place(cell, other) and any(True for _ in _solutions(branch)):
            return True
    return False


def random_solution(shape: Shape, rng: random.Random) -> Grid:
    """Return a full valid grid, drawn by filling cells with random possible digits."""
    board = _start(shape, (0,) * shape.size**2, None)
    assert board is not None  # an empty grid breaks no rule
    return tuple(next(_solutions(board, rng)).grid)


def _start(shape: Shape, puzzle: Sequence[int], steps: list[Step] | None) -> _Board | None:
    """Return the board of `puzzle`, or None when a digit repeats or a blank has no candidate."""
    used = [0] * (3 * shape.size)
    for cell, digit in enumerate(puzzle):
        if digit:
            for unit in shape.units_of[cell]:
                if used[unit] >> digit - 1 & 1:
                    return None
                used[unit] |= 1 << digit - 1
    full = (1 << shape.size) - 1
    masks = [
        0 if digit else full & ~(used[r] | used[c] | used[b]) for digit, (r, c, b) in zip(puzzle, shape.units_of, strict=True)
    ]
    sound = all(mask or digit for mask, digit in zip(masks, puzzle, strict=True))
    return _Board(shape, list(puzzle), masks, steps) if sound else None


def _solutions(board: _Board, rng: random.Random | None = None, left: list[int] | None = None) -> Iterator[_Board]:
    """Yield every solution; works on `board` itself. `rng` draws the order of the guesses, else digits go up.

    `left` holds the number of guesses that are left; none at all raises _NoMoreGuesses.
    """
    if not _write_singles(board):
        return
    blanks = [(mask.bit_count(), cell) for cell, mask in enumerate(board.masks) if mask]
    if not blanks:
        yield board
        return
    _, cell = min(blanks)
    digits = _digits(board.masks[cell])
    if rng:
        rng.shuffle(digits)
    for failed, digit in enumerate(digits):
        if left is not None:
            if left[0] == 0:
                raise _NoMoreGuesses
            left[0] -= 1
        branch = board.copy()
        tried = " ".join(map(str, digits[:failed]))
        branch.note(cell, digit, f"{tried} fails, so try {digit}." if failed else f"try {digit}.", guessed=True)
        if branch.place(cell, digit):
            yield from _solutions(branch, rng, left)


def _write_singles(board: _Board) -> bool:
    """Write naked, then hidden singles until there are none; return False at a contradiction."""
    masks = board.masks
    while True:
        singles = [cell for cell, mask in enumerate(masks) if mask and not mask & mask - 1]
        if not singles:
            hidden = _hidden_single(board)
            if hidden is None:
                return True
            cell, digit, reason = hidden
            if digit == 0:
                return False
            board.note(cell, digit, reason)
            if not board.place(cell, digit):
                return False
        for cell in singles:
            if not masks[cell]:
                return False
            digit = masks[cell].bit_length()
            if board.steps is not None:
                board.note(cell, digit, _naked_reason(board, cell, digit))
            if not board.place(cell, digit):
                return False


def _hidden_single(board: _Board) -> tuple[int, int, str] | None:
    """Return (cell, digit, reason) of the first digit with one place in a unit; digit 0 where one has no place."""
    masks, grid, size = board.masks, board.grid, board.shape.size
    full = (1 << size) - 1
    for number, unit in enumerate(board.shape.units):
        once = twice = written = 0
        for cell in unit:
            mask = masks[cell]
            if mask:
                twice |= once & mask
                once |= mask
            else:
                written |= 1 << grid[cell] - 1
        if once | written != full:
            return 0, 0, ""
        lone = once & ~twice
        if lone:
            lone &= -lone
            cell = next(cell for cell in unit if masks[cell] & lone)
            digit = lone.bit_length()
            kind, index = divmod(number, size)
            return cell, digit, f"only place for {digit} in {_UNIT_NAMES[kind]} {index + 1}."
    return None


def _single_unit(board: _Board, cell: int, digit: int) -> int | None:
    """Return a unit of `cell` where no other blank cell can take `digit`."""
    bit = 1 << digit - 1
    for number in board.shape.units_of[cell]:
        if not any(board.masks[other] & bit for other in board.shape.units[number] if other != cell):
            return number
    return None


def _naked_reason(board: _Board, cell: int, digit: int) -> str:
    """Say which digits of the row, column and box leave only `digit`; each is named where it is seen first."""
    seen: set[int] = set()
    parts: list[str] = []
    for name, number in zip(_UNIT_NAMES, board.shape.units_of[cell], strict=True):
        new = sorted({board.grid[other] for other in board.shape.units[number]} - seen - {0})
        seen.update(new)
        if new:
            verb = "" if parts else "has "
            parts.append(f"{name} {verb}{' '.join(map(str, new))}")
    return f"{', '.join(parts)}, so {digit}."


def _digits(mask: int) -> list[int]:
    return [bit + 1 for bit in range(mask.bit_length()) if mask >> bit & 1]
