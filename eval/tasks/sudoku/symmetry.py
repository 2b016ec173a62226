"""Symmetries of Sudoku: names the equivalence class of a puzzle, so that no disguise of a training puzzle is ever tested.

Two puzzles are equivalent when one becomes the other by renaming digits, permuting bands, the rows inside a band,
stacks, the columns inside a stack, and, where boxes are square, transposing. Holds the two ways to name a class: the
exact canonical form for sizes 4 and 6 (128 and 3,456 transforms), and for size 9 (3,359,232 transforms) a hash by
colour refinement (Weisfeiler and Leman 1968). The hash never separates equivalent puzzles; that it may join others
only makes the splits stricter. Holds also the symmetries themselves, from which training draws disguises.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from hybrid.eval.tasks.sudoku.solver import Shape
from hybrid.symmetry import Change, Symmetry

_ROUNDS = 5
_TOGETHER = 1000


def puzzle_key(shape: Shape, puzzle: Sequence[int]) -> str:
    """Return the name of the puzzle's class, the same for all equivalent puzzles."""
    return puzzle_keys(shape, np.asarray(puzzle)[None])[0]


def puzzle_keys(shape: Shape, puzzles: NDArray[np.integer]) -> list[str]:
    """Return `puzzle_key` of each row of puzzles (n, cells)."""
    if shape.size < 9:
        return [f"{shape.size}:{_canonical_form(shape, row)}" for row in puzzles]
    cuts = range(0, len(puzzles), _TOGETHER)
    return [f"9:{key:016x}" for cut in cuts for key in _refined_hashes(shape, puzzles[cut : cut + _TOGETHER]).tolist()]


class GridSymmetry(Symmetry):
    """Digits renamed, bands and rows inside them permuted, stacks and columns likewise, and square boxes transposed."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.digits = [str(digit + 1) for digit in range(shape.size)]

    def draw(self, rng: random.Random) -> Change:
        """See Symmetry.draw."""
        size, (height, width) = self.shape.size, self.shape.box
        rows, columns = _line_order(size, height, rng), _line_order(size, width, rng)
        down, across = (1, size) if height == width and rng.random() < 0.5 else (size, 1)
        places = tuple(down * row + across * column for row in rows for column in columns)
        return Change(places, dict(zip(self.digits, rng.sample(self.digits, size), strict=True)))


def _line_order(size: int, band: int, rng: random.Random) -> list[int]:
    bands = rng.sample(range(0, size, band), size // band)
    return [start + row for start in bands for row in rng.sample(range(band), band)]


def line_orders(size: int, band: int) -> Iterator[tuple[int, ...]]:
    """Yield every order of the rows of a grid that keeps bands of `band` rows together."""
    inner = list(permutations(range(band)))
    for bands in permutations(range(size // band)):
        for choice in product(inner, repeat=size // band):
            yield tuple(outer * band + row for outer, rows in zip(bands, choice, strict=True) for row in rows)


@lru_cache
def _places(shape: Shape) -> NDArray[np.int64]:
    """Return int64 (transforms, cells): the place to which each transform moves each cell."""
    size, (height, width) = shape.size, shape.box
    grid = np.arange(size * size).reshape(size, size)
    rows, columns = np.array(list(line_orders(size, height))), np.array(list(line_orders(size, width)))
    # sources[t] lists the cells of the old grid in the order of the new one; the places are its inverse.
    sources = grid[rows[:, None, :, None], columns[None, :, None, :]].reshape(-1, size, size)
    if height == width:
        sources = np.concatenate([sources, sources.transpose(0, 2, 1)])
    places: NDArray[np.int64] = np.argsort(sources.reshape(len(sources), -1), axis=1)
    return places


def _canonical_form(shape: Shape, puzzle: Sequence[int]) -> str:
    """Return the least form over all transforms: the pattern of givens first, then the digits by first appearance."""
    places = _places(shape)
    givens = np.flatnonzero(puzzle)
    moved = places[:, givens]
    patterns = (np.int64(1) << moved).sum(axis=1)
    least = patterns.min()
    moved = moved[patterns == least]
    digits = np.asarray(puzzle)[givens][np.argsort(moved, axis=1)]
    return f"{least:x}:{min(_by_first_appearance(row) for row in digits.tolist())}"


def _by_first_appearance(digits: list[int]) -> str:
    names: dict[int, str] = {}
    return "".join(names.setdefault(digit, str(len(names) + 1)) for digit in digits)


@lru_cache
def _unit_index(shape: Shape) -> NDArray[np.int64]:
    """Return int64 (3, cells): row, column and box of every cell, each counted from 0."""
    index: NDArray[np.int64] = np.array(shape.units_of).T - np.array([[0], [shape.size], [2 * shape.size]])
    return index


def _refined_hashes(shape: Shape, puzzles_nc: NDArray[np.integer]) -> NDArray[np.uint64]:
    """Return a hash (n,) of the cell colours after rounds that mix in the colours of row, column, box and digit.

    Rows and columns enter as an unordered pair, because a transposition exchanges them.
    """
    row, column, box = _unit_index(shape)
    same_unit_cu = np.concatenate([np.eye(shape.size, dtype=np.uint64)[index] for index in (row, column, box)], axis=1)
    same_digit_nsc = puzzles_nc[:, None] == np.arange(1, shape.size + 1)[:, None]
    colours_nc = (puzzles_nc > 0).astype(np.uint64)
    for _ in range(_ROUNDS):
        mixed_nc = _mix(colours_nc)
        rows_ns, columns_ns, boxes_ns = np.split(_mix(mixed_nc @ same_unit_cu), 3, axis=1)
        letters_ns = _mix((mixed_nc[:, None] * same_digit_nsc).sum(axis=2, dtype=np.uint64) + np.uint64(1))
        letters_ns = np.concatenate([np.zeros_like(letters_ns[:, :1]), letters_ns], axis=1)
        lines_nc = _mix(rows_ns[:, row]) + _mix(columns_ns[:, column])
        of_digit_nc = np.take_along_axis(letters_ns, puzzles_nc.astype(np.int64), axis=1)
        colours_nc = _mix(mixed_nc + _mix(lines_nc)) + _mix(boxes_ns[:, box] + np.uint64(2)) + of_digit_nc
    total: NDArray[np.uint64] = _mix(colours_nc).sum(axis=1, dtype=np.uint64)
    return total


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble uint64 values one by one (the finaliser of SplitMix64; Steele, Lea and Flood 2014)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
