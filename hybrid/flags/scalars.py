"""YAML in which a plain word is read by the type of its field: `no` is text where text is asked for, and false for a switch.

YAML 1.1 reads no, on, 007, 12:30 and 2020-01-01 as a truth value, numbers and a date, whatever is asked for. Here the field
decides, and what is written stays. Holds no fields: parser.py knows them.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Mapping
from typing import Any

import yaml

from hybrid.errors import ConfigError
from hybrid.flags.errors import in_words

NOTHING = ("", "~", "null", "Null", "NULL")
SWITCH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
UNREADABLE = (yaml.YAMLError,)
NUMBER = re.compile(r"[-+]?\d[\d_]*")


class Plain(str):
    """A scalar without quotes, as it is written."""

    def __repr__(self) -> str:
        return str(self)


class _Loader(yaml.SafeLoader):  # type: ignore[misc, unused-ignore]
    """Leaves plain scalars as they are written, and refuses a name that comes twice."""

    yaml_implicit_resolvers: typing.ClassVar[dict[str, Any]] = {"<": [("tag:yaml.org,2002:merge", re.compile("^<<$"))]}

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Return the mapping; raise yaml.YAMLError where a name is given twice."""
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise yaml.YAMLError(f'"{twice}" is given twice; keep one of them')
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        return found


def _scalar(loader: Any, node: Any) -> str | None:
    if node.style is not None:
        return str(node.value)
    return None if node.value in NOTHING else Plain(node.value)


_Loader.add_constructor("tag:yaml.org,2002:str", _scalar)


def load(text: str) -> Any:
    """Return YAML with plain scalars as `Plain`; raise yaml.YAMLError for what is none."""
    return yaml.load(text, Loader=_Loader)


def word(text: str) -> Any:
    """Return a word of a command line: nothing, a list or a mapping where it is one, else the text as it is written.

    What YAML leaves out, such as a comment, is text here.

    Raises:
        yaml.YAMLError: it begins a list or a mapping that has no end.

    Example:
        >>> word("#"), word("[1, a]"), word("null")
        ('#', [1, 'a'], None)
    """
    found = load(text)
    if isinstance(found, list | dict):
        return _plainly(found)
    return None if text.strip() in NOTHING[1:] else text


def _plainly(value: Any) -> Any:
    """Return what `load` gave with each plain scalar as what it looks like."""
    if isinstance(value, list):
        return [_plainly(each) for each in value]
    if isinstance(value, Mapping):
        return {str(key): _plainly(each) for key, each in value.items()}
    return _as_one_of(str(value), (bool, int, float), "") if isinstance(value, Plain) else value


def _options(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)


def more_than_text(hint: Any) -> bool:
    """Say whether a field of this type may hold a list, a mapping, or no text at all."""
    options = _options(hint)
    return str not in options or any(typing.get_origin(option) in (tuple, list, dict) for option in options)


def read(value: Any, hint: Any, name: str, *, whole: Any = None) -> Any:
    """Return what `load` gave, with each plain scalar of the type that `hint` asks for, or as text where it is of none.

    A single value stands for a tuple of one.

    Args:
        value: of `load`.
        hint: type of the field.
        name: of the field, for the error.
        whole: type of the field, where `value` is one of its items.

    Raises:
        ConfigError: it is of no type of the field; or a yes or no where nothing says whether a truth value or text is meant.

    Example:
        >>> read(load("[no, 007]"), tuple[str, ...], "symbols"), read(load("no"), bool, "quiet")
        (['no', '007'], False)
        >>> read(load("0"), tuple[int, ...], "layers")
        [0]
    """
    options = _options(hint)
    items = [typing.get_args(option)[0] for option in options if typing.get_origin(option) in (tuple, list)]
    if isinstance(value, list):
        return [read(each, items[0] if items else Any, name, whole=hint) for each in value]
    if isinstance(value, Mapping):
        return {str(key): read(each, Any, f"{name}.{key}") for key, each in value.items()}
    if not isinstance(value, Plain):
        return value
    if any(str(value) in typing.get_args(option) for option in options if typing.get_origin(option) is typing.Literal):
        return str(value)
    found = _as_one_of(str(value), options, name)
    scalars = {bool, int, float, str, Any} & {option for option in options if isinstance(option, type) or option is Any}
    if items and not scalars:
        return [read(value, items[0], name, whole=hint)]
    if isinstance(found, str) and scalars and not {str, Any} & scalars:
        raise ConfigError(f"{name} is {value}; give {in_words(whole or hint)}")
    return found


def _as_one_of(text: str, options: tuple[Any, ...], name: str) -> Any:
    if Any in options:
        if text.lower() in SWITCH and text.lower() not in ("true", "false"):
            raise ConfigError(f"{name} is {text}; write true or false, or quote it where text is meant")
        options = (bool, int, float)
    if bool in options and text.lower() in SWITCH:
        return SWITCH[text.lower()]
    if int in options and NUMBER.fullmatch(text):
        return int(text)
    if float in options:
        try:
            return float(re.sub(r"^([-+]?)\.(inf|nan)$", r"\1\2", text.lower()))
        except ValueError:
            pass
    return text
