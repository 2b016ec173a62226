"""The grids of ARC: on a square canvas and off it, their symmetries, and the name of a pair under these.

A grid is a tuple of rows, each a string of colours: digits, 0 is black. On a canvas it has a symbol for each cell, row by row;
cells outside of the grid hold a dot. Holds no prompts and no files.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from functools import lru_cache

from hybrid.symmetry import Change, Symmetry, square

Grid = tuple[str, ...]
Pair = tuple[Grid, Grid]
"""A grid and what becomes of it."""

BLACK, COLOURS, OUTSIDE = "0", tuple("0123456789"), "."
LARGEST = 30
"""Most cells of a side that ARC has."""


def on_canvas(grid: Grid, side: int) -> tuple[str, ...]:
    """Return the symbols of a canvas of side * side cells with the grid in its upper left corner.

    Example:
        >>> "".join(on_canvas(("12", "34"), 3))
        '12.34....'
    """
    rows = [row.ljust(side, OUTSIDE) for row in grid]
    return tuple("".join([*rows, OUTSIDE * side * (side - len(rows))]))


def off_canvas(symbols: Sequence[str], side: int) -> Grid | None:
    """Return the grid on a canvas, wherever it stands; None where its cells are none or no full rectangle.

    Example:
        >>> off_canvas("....12.34", 3), off_canvas("1...2....", 3), off_canvas("." * 9, 3)
        (('12', '34'), None, None)
    """
    rows = ["".join(symbols[start : start + side]) for start in range(0, side * side, side)]
    full = [row for row in rows if row.strip(OUTSIDE)]
    grid = tuple(row.strip(OUTSIDE) for row in full)
    left = {len(row) - len(row.lstrip(OUTSIDE)) for row in full}
    together = "".join("x" if row in full else " " for row in rows).strip().count(" ") == 0
    if not grid or not together or len(left) > 1 or len(set(map(len, grid))) > 1 or any(OUTSIDE in row for row in grid):
        return None
    return grid


def longest_side(*grids: Grid) -> int:
    """Return the longest side of several grids."""
    return max(max(len(grid), len(grid[0])) for grid in grids)


def turned(grid: Grid) -> list[Grid]:
    """Return the grid under the eight symmetries of the square.

    Example:
        >>> turned(("12", "34"))[1], turned(("12", "34"))[4]
        (('21', '43'), ('13', '24'))
    """
    over = tuple("".join(column) for column in zip(*grid, strict=True))
    found: list[Grid] = []
    for each in (grid, over):
        mirrored = tuple(row[::-1] for row in each)
        found += [each, mirrored, each[::-1], mirrored[::-1]]
    return found


def pair_key(pair: Pair) -> str:
    """Return a name of a pair, the same for the pair turned, mirrored and with its colours renamed, black excepted.

    Example:
        >>> pair_key((("12", "30"),  ("5",))) == pair_key((("41", "02"), ("9",)))
        True
    """
    spelled = ("|".join(" ".join(grid) for grid in both) for both in zip(*map(turned, pair), strict=True))
    least = min(_by_first_appearance(text) for text in spelled)
    return hashlib.blake2b(least.encode(), digest_size=8).hexdigest()


def _by_first_appearance(text: str) -> str:
    colours = [each for each in dict.fromkeys(text) if each not in f"{BLACK} |"]
    return text.translate({ord(colour): str(number) for number, colour in enumerate(colours, 1)})


class ArcSymmetry(Symmetry):
    """The canvas shifted, then turned or mirrored, and colours renamed, black excepted; the same for every canvas of a problem.

    A shift moves no cell of a grid over the border: grids stand in the upper left corner, and leave `shift` cells free.

    Args:
        size: longest side of a grid.
        shift: most cells by which a grid is shifted, to the right and down.
        canvases: of a problem.
    """

    symbols = COLOURS

    def __init__(self, size: int, shift: int, canvases: int) -> None:
        self.side, self.shift, self.canvases = size + shift, shift, canvases

    def draw(self, rng: random.Random) -> Change:
        """See Symmetry.draw."""
        turn, down, right = rng.randrange(8), rng.randint(0, self.shift), rng.randint(0, self.shift)
        names = zip(COLOURS[1:], rng.sample(COLOURS[1:], len(COLOURS) - 1), strict=True)
        return Change(_places(self.side, self.canvases, turn, down, right), dict(names))


@lru_cache(maxsize=1024)
def _places(side: int, canvases: int, turn: int, down: int, right: int) -> tuple[int, ...]:
    """Return where each cell of all canvases takes its symbol from."""
    size = range(side)
    shifted = [(row - down) % side * side + (column - right) % side for row in size for column in size]
    own = [shifted[cell] for cell in square(side)[turn]]
    return tuple(canvas * side * side + cell for canvas in range(canvases) for cell in own)
