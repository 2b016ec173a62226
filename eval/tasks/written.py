"""Puzzles as people write them: found in the text around them and put into one form. Holds no task's rules; grids of digits
have a room of their own (digit_grids.py).
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator, Sequence

from hybrid.errors import InputError
from hybrid.layout import LayoutConfig


def as_it_stands(layout: LayoutConfig, prompt: str) -> list[str] | None:
    """Return the cells that heads read in a prompt as it stands; None where they read none."""
    try:
        return [prompt[start:end] for start, end in layout.spans(prompt)[0]]
    except InputError:
        return None


def in_form(
    prompt: str,
    found: Sequence[tuple[str, ...]],
    layout: LayoutConfig,
    *,
    write: Callable[[tuple[str, ...]], str],
    names: str,
    missing: Callable[[], str],
) -> str:
    """Return a prompt in the form that heads read: itself where it has it, else its one grid written anew.

    Args:
        prompt: as it was given.
        found: the different grids in it, each in rows.
        layout: finds the cells of a prompt that has the form.
        write: puts a grid into words.
        names: what several grids are called.
        missing: says what a prompt without a grid lacks, with an example that works.

    Raises:
        InputError: the prompt holds no grid, or several.
    """
    own = as_it_stands(layout, prompt)
    if own is not None and ["".join(grid) for grid in found] == ["".join(own)]:
        return prompt
    if len(found) > 1:
        raise InputError(f"the text holds {len(found)} different {names}; give one")
    if not found:
        raise InputError(missing())
    return write(found[0])


def every_number(text: str) -> list[str]:
    """Return the numbers of a text in their order, with signs and decimals.

    Example:
        >>> every_number("please sort 3, 17, -4 and 1.5!")
        ['3', '17', '-4', '1.5']
    """
    return re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?(?!\w)", text)


def symbol_grids(text: str, size: int, symbols: str, names: Sequence[tuple[str, str]]) -> list[tuple[str, ...]]:
    """Return the different square grids of symbols in a text, written with or without blanks between them.

    Args:
        text: to look in.
        size: cells a row.
        symbols: that a cell may hold.
        names: other signs with the symbol that they stand for.
    """
    rows = []
    for line in textwrap.dedent(text).splitlines():
        parts = line.split()
        spaced = len(parts) > 1 and all(len(part) == 1 for part in parts)
        cells = "".join(parts) if spaced else line
        for other, symbol in names:
            cells = cells.replace(other, symbol)
        rows.append(cells if len(cells) == size and set(cells) <= set(symbols) else "" if not line.strip() else None)
    return list(dict.fromkeys(runs(rows, size)))


def runs(rows: Sequence[str | None], size: int) -> Iterator[tuple[str, ...]]:
    """Yield the grids of `size` rows that stand one behind another: empty rows part them, None ends one.

    A run of another length is no grid: a row too many may be a heading or a slip, and nobody knows which.
    """
    run: list[str] = []
    for row in (*rows, None):
        if row:
            run.append(row)
        elif row is None:
            if run and len(run) % size == 0:
                yield from (tuple(run[start : start + size]) for start in range(0, len(run), size))
            run = []
