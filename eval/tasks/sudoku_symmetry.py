"""Names the equivalence class of a Sudoku puzzle, so that no disguise of a training puzzle is ever tested.

Two puzzles are equivalent when one becomes the other by renaming digits, permuting bands, the rows inside a band,
stacks, the columns inside a stack, and, where boxes are square, transposing. Holds the two ways to name a class: the
exact canonical form for sizes 4 and 6 (128 and 3,456 transforms), and for size 9 (3,359,232 transforms) a hash by
colour refinement (Weisfeiler and Leman 1968). The hash never separates equivalent puzzles; that it may join others
only makes the splits stricter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from hybrid.eval.tasks.sudoku_solver import Shape

_ROUNDS = 5


def puzzle_key(shape: Shape, puzzle: Sequence[int]) -> str:
    """Return the name of the puzzle's class, the same for all equivalent puzzles."""
    return f"{shape.size}:{_refined_hash(shape, puzzle) if shape.size == 9 else _canonical_form(shape, puzzle)}"


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


def _refined_hash(shape: Shape, puzzle: Sequence[int]) -> str:
    """Return a hash of the cell colours after rounds that mix in the colours of row, column, box and digit.

    Rows and columns enter as an unordered pair, because a transposition exchanges them.
    """
    size = shape.size
    row, column, box = _unit_index(shape)
    digits = np.asarray(puzzle)
    same_unit = np.stack([np.eye(size, dtype=bool)[index] for index in (row, column, box)])
    same_digit = digits == np.arange(1, size + 1)[:, None]
    colours = (digits > 0).astype(np.uint64)
    for _ in range(_ROUNDS):
        mixed = _mix(colours)
        units = _mix((mixed[None, :, None] * same_unit).sum(axis=1))
        letters = np.append(np.uint64(0), _mix((mixed * same_digit).sum(axis=1) + np.uint64(1)))
        lines = _mix(units[0, row]) + _mix(units[1, column])
        colours = _mix(mixed + _mix(lines)) + _mix(units[2, box] + np.uint64(2)) + letters[digits]
    return f"{int(_mix(colours).sum(dtype=np.uint64)):016x}"


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble uint64 values one by one (the finaliser of SplitMix64; Steele, Lea and Flood 2014)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
