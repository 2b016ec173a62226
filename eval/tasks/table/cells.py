"""One cell of a table as text, as lines of text, as a symbol, or read from JSON; and what no text may hold.

Holds no column and no row (row.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hybrid.errors import InputError
from hybrid.eval.tasks.table.source import parsed
from hybrid.problem import Span


def text(value: Any, name: str, what: str) -> str:
    """Return a cell that must be text; `what` says in words what belongs there."""
    if value is None:
        raise InputError(f'"{name}" is missing (null); write {what}, or drop the row')
    if not isinstance(value, str):
        raise InputError(f'"{name}" is {value!r:.40} of type {type(value).__name__}; it must be text')
    if not value.strip():
        raise InputError(f'"{name}" is empty; write {what}, or drop the row')
    check_text(value, name)
    return value


def lines(value: Any, name: str) -> str:
    """Return worked steps as one text."""
    every = (value or [""]) if isinstance(value, list) else [value]
    return _plain("\n".join(text(line, name, "the steps") for line in every))


def scalar(value: Any, name: str) -> str:
    """Return an answer, or one symbol of it, as text."""
    if value is None:
        raise InputError(f'"{name}" is missing (null); give an answer, or drop the row')
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, str):
        raise InputError(f'"{name}" is {value!r:.40} of type {type(value).__name__}; give text, a whole number or a list of them')
    check_text(value, name)
    return _plain(value)


def with_plain_ends(prompt: str, spans: Sequence[Span]) -> tuple[str, tuple[Span, ...]]:
    """Return a prompt whose lines end in a line feed alone, as those of arguments and text files do, and its spans there.

    Example:
        >>> with_plain_ends("a\\r\\nb c", ((3, 4), (5, 6)))
        ('a\\nb c', ((2, 3), (4, 5)))
    """

    def before(end: int) -> int:
        return prompt.count("\r\n", 0, end)

    return _plain(prompt), tuple((start - before(start + 1), end - before(end)) for start, end in spans)


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n")


def from_json(value: Any, name: str | None, example: str) -> Any:
    """Return a value as it is, or read from JSON where it is text."""
    if not isinstance(value, str):
        return value
    try:
        return parsed(value)
    except (ValueError, RecursionError) as error:
        raise InputError(f'"{name}" is {value[:40]!r}; give JSON such as {example} ({str(error)[:60]})') from None


def check_text(text: str, name: str) -> None:
    """Raise InputError, which calls the text by its name, where it holds what no text holds."""
    for character, what in (("\x00", "a NUL character"), ("\ufffd", "bytes that are no UTF-8")):
        if character in text:
            raise InputError(f'"{name}" holds {what} at character {text.index(character)}; save the file as clean UTF-8')
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f'"{name}" holds half of a surrogate pair at character {error.start}; write it whole') from None
