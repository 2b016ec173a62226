"""Grids of digits as people write them: dots, zeros, dashes or nothing for blanks, bars, borders, tables, lists and labels, in
lines or in one; found in the text around them. Holds no rules of a puzzle (sudoku.py) and no other puzzles (written.py).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from hybrid.eval.tasks.written import runs

BLANKS = ("0", ".", "_", "*", "?", "x", "X", "-", "#", "O")
"""What people write for a blank; 0 is the form that heads read."""
BETWEEN = set(" \t,;:|'\"[](){}&\\/+=~`´!>")
"""What stands between cells and says nothing."""
NOTHING = re.compile(r"\b(?:null|None|NaN|nan)\b")
"""What programs write for a blank."""
_SIGNS = {
    ".": "·•∙⋅◦○□◻▢☐",
    "-": "–—‒−─━═┄┅┈┉╌╍",
    "|": "│┃║┆┇┊┋╎╏¦",
    "+": "".join(chr(code) for code in range(0x250C, 0x2550) if chr(code) not in "╌╍╎╏")
    + "".join(chr(code) for code in range(0x2552, 0x2570)),
}
_SAME = str.maketrans({other: sign for sign, others in _SIGNS.items() for other in reversed(others)} | {"═": "-", "║": "|"})
_APART = re.escape(" \t,;:|/'\"[]&")
_LABEL = re.compile(r"\W*(?:(?:row|line|r)\s*)?(?P<label>\d|[A-I])[.):|\s]\s*(?P<row>.*)", re.I)


def digit_grids(text: str, size: int) -> list[tuple[str, ...]]:
    """Return the different grids of `size` rows that a text holds, each row in digits with 0 for a blank.

    Example:
        >>> digit_grids("mine:\\n|1|.| |.|\\n|.|.|3|4|\\n+-+-+\\n|.|1|.|.|\\n|4|.|.|.|", 4)
        [('1000', '0034', '0100', '4000')]
        >>> digit_grids("1__3__4__1__4__2", 4)
        [('1003', '0040', '0100', '4002')]
        >>> digit_grids("[[1, null, 2, 3], [null, 4, null, 1], [4, 3, 1, null], [1, 2, 4, null]]", 4)
        [('1023', '0401', '4310', '1240')]
    """
    plain = _plain(text)
    return _grids(plain, size) or _grids(_unlabelled(plain, size), size)


def amiss(text: str, size: int) -> str:
    """Say what keeps the likeliest lines of a text from being a grid; nothing where it has none that look like rows.

    Example:
        >>> amiss("1..4\\n..1\\n4..1\\n1..4", 4), amiss("1..4\\n5.1.\\n4..1\\n1..4", 4), amiss("hello", 4)
        ('"..1" has 3 cells, not 4', '"5.1." has a 5, not one of 1 to 4', '')
    """
    plain = _plain(text)
    lines = [line.strip() for line in plain.split("\n")]
    rows = max(([row for line in lines if (row := _cells(line, size, blank))] for blank in _blanks(plain)), key=len)
    if not rows or (len(rows) == 1 and len(rows[0][1]) <= 2 * size):
        return ""
    if not any(cells.strip("0") for _, cells in rows):
        return "all cells are blank"
    if len(rows) == 1:
        return f"{len(rows[0][1])} cells stand in one line, not {size * size}"
    for line, cells in rows:
        if len(cells) != size:
            return f'"{line}" has {len(cells)} cells, not {size}'
        if (most := max(cells)) > str(size):
            return f'"{line}" has a {most}, not one of 1 to {size}'
    return f"there are {len(rows)} rows of {size} cells, not {size}" if len(rows) != size else ""


def _cells(line: str, size: int, blank: str) -> tuple[str, str] | None:
    """Return a line that holds nothing but cells, with its cells; None where it holds something else, or is a border."""
    cells = "".join(letter for letter in line if letter not in BETWEEN or letter == blank).replace(blank, "0")
    row = len(cells) > 1 and cells.isdigit() and cells.isascii() and (cells.strip("0") or len(cells) in (size, size * size))
    return (line, cells) if row else None


def _plain(text: str) -> str:
    """Return a text with one sign for all that look alike, programs' nothing as 0, and each list of cells on a line."""
    text = NOTHING.sub("0", unicodedata.normalize("NFKC", text).translate(_SAME)).replace("\r", "")
    return re.sub(r"\[[^][]*\],?", lambda found: f"\n{' '.join(found[0].split())}\n", text)


def _unlabelled(text: str, size: int) -> str:
    """Return the rows of a text whose lines begin with 1, 2, 3 and so on, or 0, 1, 2, or A, B, C; nothing where none do."""
    found = [match for line in text.split("\n") if (match := _LABEL.fullmatch(line))]
    labels = "".join(match["label"].upper() for match in found)
    first = max(labels.find(every[:size]) for every in ("123456789", "012345678", "ABCDEFGHI"))
    return "\n".join(match["row"] for match in found[first : first + size]) if first >= 0 else ""


def _blanks(text: str) -> list[str]:
    """Return the signs that may be blanks in a text; 0 always, as cells may be empty."""
    return [blank for blank in BLANKS if blank == "0" or blank in text]


def _grids(text: str, size: int) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for blank in _blanks(text):
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
    return list(runs(rows, size))


def _row(line: str, size: int, blank: str) -> str | None:
    """Return the cells of a line, nothing for a border or an empty one, None where it is no row."""
    parts = _parted(line, size)
    cells = "".join(letter for letter in line.strip() if letter not in BETWEEN or letter == blank)
    if parts:
        cells = "".join(part or blank for part in parts)
    symbols = set(cells) - {blank}
    apart = [part for part in parts or line.split() if part != "|"]
    if symbols <= set("-_") and (len(cells) != size or not cells.replace("-", "")):
        return "0" * size if blank == "-" and apart == ["-"] * size and "|-|" not in line else ""
    if len(cells) != size or not symbols <= {str(digit) for digit in range(1, size + 1)}:
        return None
    return cells.replace(blank, "0")


def _parted(line: str, size: int) -> Sequence[str]:
    """Return what stands between bars, commas, semicolons, tabs or ampersands, a cell or nothing each; nothing for others."""
    line = line.strip(" ")
    for sign in "|,;\t&":
        barred = sign == "|" and len(line) > 1 and line[0] == line[-1] == sign
        parts = [part.strip(" '\"[]()") for part in (line[1:-1] if barred else line.rstrip("\\ ")).split(sign)]
        if len(parts) == size and all(len(part) <= 1 for part in parts):
            return parts
    return ()


def _in_line(text: str, size: int, blank: str) -> list[tuple[str, ...]]:
    """Return the grids whose cells stand one behind another in a line: as many as a grid has, and no more of them."""
    cell, found = f"[1-{size}{re.escape(blank)}]", []
    for run in re.finditer(rf"(?<![\w.*?#-]){cell}(?:[{_APART}]{{0,4}}{cell})*", text):
        cells = re.sub(rf"[{_APART}]", "", run[0]).replace(blank, "0")
        goes_on = re.match(r"\.?[\w*?#-]|\.\.", text[run.end() : run.end() + 2])
        if len(cells) == size * size and not goes_on:
            found.append(tuple(cells[start : start + size] for start in range(0, size * size, size)))
    return found
