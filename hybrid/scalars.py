"""YAML in which a plain word is read by the type of its field: `no` is text where text is asked for, and false for a switch.

YAML 1.1 reads no, on, 007, 12:30 and 2020-01-01 as a truth value, numbers and a date, whatever is asked for. Here the field
decides, and what is written stays. Holds no fields: flags.py knows them.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Mapping
from typing import Any

import yaml

from hybrid.errors import ConfigError

NOTHING = ("", "~", "null", "Null", "NULL")
SWITCH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
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


def _options(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)


def holds_many(hint: Any) -> bool:
    """Say whether a field of this type may hold a list or a mapping."""
    return any(option is Any or typing.get_origin(option) in (tuple, list, dict) for option in _options(hint))


def read(value: Any, hint: Any, name: str) -> Any:
    """Return what `load` gave, with each plain scalar of the type that `hint` asks for, or as text where it is of none.

    A single value stands for a tuple of one.

    Args:
        value: of `load`.
        hint: type of the field.
        name: of the field, for the error.

    Raises:
        ConfigError: a yes or no where nothing says whether a truth value or text is meant.

    Example:
        >>> read(load("[no, 007]"), tuple[str, ...], "symbols"), read(load("no"), bool, "quiet")
        (['no', '007'], False)
        >>> read(load("0"), tuple[int, ...], "layers")
        [0]
    """
    options = _options(hint)
    items = [typing.get_args(option)[0] for option in options if typing.get_origin(option) in (tuple, list)]
    if isinstance(value, list):
        return [read(each, items[0] if items else Any, name) for each in value]
    if isinstance(value, Mapping):
        return {str(key): read(each, Any, f"{name}.{key}") for key, each in value.items()}
    if not isinstance(value, Plain):
        return value
    if any(str(value) in typing.get_args(option) for option in options if typing.get_origin(option) is typing.Literal):
        return str(value)
    found = _as_one_of(str(value), options, name)
    scalars = {bool, int, float, str, Any} & {option for option in options if isinstance(option, type) or option is Any}
    return [read(value, items[0], name)] if items and not scalars else found


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
