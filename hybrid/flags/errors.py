"""What is wrong with a flag, or a field of a file, in words: which value it takes, or what an unknown one may stand for.

Holds the words alone: jsonargparse finds the mistake, and parser.py knows which flags there are.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import types
import typing
from collections.abc import Collection, Iterator, Mapping
from typing import Any

WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "null for none"}


def told(error: str, types_of: Mapping[str, Any], families: Mapping[str, Any], others: Collection[str] = ()) -> str:
    """Return an error of jsonargparse in our words.

    Args:
        error: its message, on one line.
        types_of: types of all fields by their dotted names.
        families: registries of the fields that choose a kind, by their dotted names.
        others: further names that are known.
    """
    wrong = re.match(r'Parser key "([\w.]+)": .*(?:Got|Given) value: ?(.*)$', error)
    if wrong and wrong[1] in types_of:
        asked = f"give {in_words(types_of[wrong[1]])}"
        text = "; quote what is meant as text" if "text" in asked else ""
        return f"{wrong[1]} is {wrong[2] or 'empty'}; {asked}{text}"
    known = [*types_of, *families, *others]
    flags = re.findall(r"(?<!\S)--([\w.]+)", error.partition("nrecognized arguments: ")[2])
    fields = re.findall(r"(?:Key|Option) '([\w.-]+)' is not (?:expected|accepted)", error)
    hints = [*(_hint(each, "--", known, families) for each in flags), *(_hint(each, "", known, families) for each in fields)]
    return error + "".join(dict.fromkeys(hints))


def in_words(hint: Any) -> str:
    """Return which values a field of this type takes.

    Example:
        >>> in_words(int | None), in_words(tuple[str, ...]), in_words(typing.Literal["a", "b"])
        ('a whole number, or null for none', 'a list, each text', 'one of: a, b')
    """
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return ", or ".join(in_words(option) for option in options)
    if origin is typing.Literal:
        return f"one of: {', '.join(map(str, options))}"
    if origin in (tuple, list):
        return f"a list, each {in_words(options[0])}"
    return WORDS.get(hint, "a mapping of fields" if origin is dict else "another value")


def _hint(name: str, dashes: str, known: Collection[str], families: Mapping[str, Any]) -> str:
    """Say what an unknown name may stand for: the end of a known one, a field of a kind that is not chosen, a slip."""
    if name in known:
        return f"; {name} stands without a name: give its value alone"
    whole = [f"{dashes}{each}" for each in known if each.endswith(f".{name}")]
    if whole:
        return f"; the whole name of {dashes}{name} is {' or '.join(whole)}"
    for family, field, kinds in _elsewhere(name, families):
        also = "" if f"{family}.{field}" == name else f", and {dashes}{family}.{field}"
        return f"; {field} is a field of the {family} {', '.join(kinds)}: give {dashes}{family} {kinds[0]} too{also}"
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
    return f"; did you mean {dashes}{near[0]}?" if near else ""


def _elsewhere(name: str, families: Mapping[str, Any]) -> Iterator[tuple[str, str, list[str]]]:
    """Yield (family, field, kinds that have it) of each field whose dotted name ends so."""
    for family, kinds in families.items():
        having: dict[str, list[str]] = {}
        for kind in kinds:
            for field in dataclasses.fields(kinds[kind].Config):
                if f".{family}.{field.name}".endswith(f".{name}"):
                    having.setdefault(field.name, []).append(kind)
        yield from ((family, field, chosen) for field, chosen in having.items())
