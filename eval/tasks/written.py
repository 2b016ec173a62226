"""Puzzles as people write them: grids with dots, zeros, underscores or dashes for blanks, with bars, borders and commas, or in
one line; found in the text around them and put into one form. Holds no task's rules.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator, Sequence

from hybrid.errors import InputError
from hybrid.layout import LayoutConfig

BLANKS = ("0", ".", "_", "*", "?", "x", "X", "-")
"""What people write for a blank; 0 is the form that heads read."""
BETWEEN = set(" \t,;:|'\"[](){}&\\/+=~`´│┃║")
"""What stands between cells and says nothing."""


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


def digit_grids(text: str, size: int) -> list[tuple[str, ...]]:
    """Return the different grids of `size` rows that a text holds, each row in digits with 0 for a blank.

    Example:
        >>> digit_grids("mine:\\n|1|.| |.|\\n|.|.|3|4|\\n+-+-+\\n|.|1|.|.|\\n|4|.|.|.|", 4)
        [('1000', '0034', '0100', '4000')]
        >>> digit_grids("1__3__4__1__4__2", 4)
        [('1003', '0040', '0100', '4002')]
    """
    found: list[tuple[str, ...]] = []
    for blank in BLANKS:
        for grid in (*_stacked(text, size, blank), *_in_line(text, size, blank)):
            if grid not in found and any(cell != "0" for row in grid for cell in row):
                found.append(grid)
    return found


def _stacked(text: str, size: int, blank: str) -> list[tuple[str, ...]]:
    rows = [_row(line, size, blank) for line in re.split(r"[\n/]", text)]
    heading = "".join(str(digit) for digit in range(1, size + 1))
    first = next((place for place, row in enumerate(rows) if row), None)
    if first is not None and rows[first] == heading and sum(bool(row) for row in rows) == size + 1:
        rows[first] = None  # The columns' numbers.
    return list(_runs(rows, size))


def _row(line: str, size: int, blank: str) -> str | None:
    """Return the cells of a line, nothing for a border or an empty one, None where it is no row."""
    line = line.strip()
    barred = [part.strip() for part in line.strip("|│┃║").split("|")] if "|" in line else []
    if len(barred) == size and all(len(part) <= 1 for part in barred):
        line = "".join(part or blank for part in barred)
    cells = "".join(letter for letter in line if letter not in BETWEEN or letter == blank)
    symbols = set(cells) - {blank}
    if symbols <= set("-_═─━┼╋╬├┤┠┨╠╣+") and (len(cells) != size or not cells.replace("-", "")):
        return _all_blank(line, size, blank)
    if len(cells) != size or not symbols <= {str(digit) for digit in range(1, size + 1)}:
        return None
    return cells.replace(blank, "0")


def _all_blank(line: str, size: int, blank: str) -> str:
    """Tell a row of dashes, one a cell, from a border of them."""
    return "0" * size if blank == "-" and line.split() == ["-"] * size else ""


def _in_line(text: str, size: int, blank: str) -> list[tuple[str, ...]]:
    cell = f"[1-{size}{re.escape(blank)}]"
    runs = re.findall(rf"(?<![\w.*?-]){cell}{{{size * size}}}(?!\.?[\w.*?-])", text)
    whole = [run.replace(blank, "0") for run in runs]
    return [tuple(run[start : start + size] for start in range(0, size * size, size)) for run in whole]


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
    return list(dict.fromkeys(_runs(rows, size)))


def _runs(rows: Sequence[str | None], size: int) -> Iterator[tuple[str, ...]]:
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
