"""Text that nobody vouches for, made fit to be shown: what cannot be seen is made visible, what is long is cut and says so.

Escaping for HTML is the template's, for Markdown pages.py's; this comes before either.
"""

from __future__ import annotations

import unicodedata

_HIDDEN = {"Cc", "Cs", "Co", "Cn"}
_DIRECTIONS = {chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C)}


def visible(text: str) -> str:
    """Return a text in which control characters, marks of writing direction and half characters are written out.

    Line ends and tabs stay; a carriage return before a line end goes.

    Example:
        >>> visible("a" + chr(0) + "b" + chr(0x202E) + "c")
        'a\\\\x00b\\\\u202ec'
    """
    text = text.replace("\r\n", "\n")
    if text.isprintable():
        return text
    return "".join(_written(letter) if _is_hidden(letter) else letter for letter in text)


def _is_hidden(letter: str) -> bool:
    return letter not in "\n\t" and (unicodedata.category(letter) in _HIDDEN or letter in _DIRECTIONS)


def _written(letter: str) -> str:
    code = ord(letter)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def cut(text: str, most: int, *, end: int = 0) -> str:
    """Return the first characters of a text and its last `end`, `most` in all, made visible, and how many more there were.

    Example:
        >>> cut("abcdef", 4), cut("abcd", 4), cut("abcdef", 4, end=1)
        ('abcd ... (2 more characters)', 'abcd', 'abc ... (2 more characters) ... f')
    """
    if len(text) <= most:
        return visible(text)
    last = f" ... {visible(text[-end:])}" if end else ""
    return f"{visible(text[: most - end])} ... ({len(text) - most:,} more characters){last}"
