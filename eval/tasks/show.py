"""Draws an answer for people: in the terminal with rich, and as a small piece of HTML.

Holds the drawing only; what the cells are, a task says with a `Picture`.
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

CHANGED_STYLE = "bold yellow"
GIVEN_STYLE = "bold"
LABEL_STYLE = "dim"


@dataclass(frozen=True)
class Cell:
    """One answer position.

    Args:
        symbol: what is written there.
        label: whose position it is, written before the symbol; empty for none.
        given: whether the question itself says it.
        changed: whether it differs from the answer before.
    """

    symbol: str
    label: str = ""
    given: bool = False
    changed: bool = False


@dataclass(frozen=True)
class Picture:
    """Rows of cells; `box` is (rows, columns) between two box lines, None for no lines; `caption` stands with the picture."""

    rows: tuple[tuple[Cell, ...], ...]
    box: tuple[int, int] | None = None
    caption: str = ""


def as_text(picture: Picture) -> Text:
    """Return the picture for a terminal: given cells bold, changed cells coloured, box lines drawn."""
    from rich.text import Text

    text = Text()
    for number, row in enumerate(picture.rows):
        if number:
            text.append("\n")
        if picture.box and number and number % picture.box[0] == 0:
            blocks = len(row) // picture.box[1]
            text.append("─┼─".join(["─" * (2 * picture.box[1] - 1)] * blocks) + "\n", LABEL_STYLE)
        for part, style in _row_parts(row, picture.box):
            text.append(part, style)
    return text


def _row_parts(row: tuple[Cell, ...], box: tuple[int, int] | None) -> Iterator[tuple[str, str]]:
    for column, cell in enumerate(row):
        if column:
            yield (" │ ", LABEL_STYLE) if box and column % box[1] == 0 else (" ", "")
        if cell.label:
            yield f"{cell.label} ", LABEL_STYLE
        yield cell.symbol, CHANGED_STYLE if cell.changed else GIVEN_STYLE if cell.given else ""


def as_html(picture: Picture) -> str:
    """Return the picture as an HTML table with its own style and classes `given` and `changed`; all text is escaped.

    Example:
        >>> as_html(Picture(((Cell("<", changed=True),),))).split("</style>")[1]
        '<tr><td class="changed">&lt;</td></tr></table>'
    """
    rows = "".join(
        f"<tr>{''.join(_html_cell(cell, picture.box, r, c) for c, cell in enumerate(row))}</tr>"
        for r, row in enumerate(picture.rows)
    )
    return f'<table class="answer"><style>{_CSS}</style>{rows}</table>'


def _html_cell(cell: Cell, box: tuple[int, int] | None, row: int, column: int) -> str:
    marks = {
        "given": cell.given,
        "changed": cell.changed,
        "band": bool(box and row and row % box[0] == 0),
        "stack": bool(box and column and column % box[1] == 0),
    }
    classes = " ".join(name for name, holds in marks.items() if holds)
    mark = f' class="{classes}"' if classes else ""
    label = f"<small>{html.escape(cell.label)}</small> " if cell.label else ""
    return f"<td{mark}>{label}{html.escape(cell.symbol)}</td>"


_CSS = (
    ".answer{border-collapse:collapse;font-family:monospace}.answer td{padding:.2em .5em;text-align:center}"
    ".answer .given{font-weight:bold}.answer .changed{background:#fe9;color:#000}"
    ".answer .band{border-top:2px solid}.answer .stack{border-left:2px solid}"
)
