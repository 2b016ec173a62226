"""A family of kinds: one name, one class, one frozen config dataclass for each.

Adapters, blocks, cores, gradients, halting rules, tasks and methods are such families. A config dataclass carries the
name of its kind, so that a config rebuilt from JSON or YAML finds its class again. Holds no kind of its own.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar

from hybrid.errors import ConfigError

C = TypeVar("C")


class Kinds(Generic[C]):
    """Registry of one family; `C` is the base class of its members.

    Example:
        >>> animals = Kinds[object]("animal")
        >>> @animals.register("cat")
        ... class Cat:
        ...     Config = dict
        >>> animals["cat"].__name__
        'Cat'
    """

    def __init__(self, family: str) -> None:
        self.family = family
        self._classes: dict[str, type[C]] = {}

    def register(self, name: str) -> Any:
        """Return a class decorator that files the class under `name`."""

        def file(cls: type[C]) -> type[C]:
            cls.kind = name  # type: ignore[attr-defined]
            self._classes[name] = cls
            return cls

        return file

    def __getitem__(self, name: str) -> type[C]:
        """Return the class filed under `name`; raise ConfigError with the known names otherwise."""
        if not isinstance(name, str) or name not in self._classes:
            raise ConfigError(f'{self.family} "{name}" is unknown; choose one of: {", ".join(self._classes)}')
        return self._classes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def name_of(self, config: Any) -> str:
        """Return the kind whose Config is the class of `config`."""
        for name, cls in self._classes.items():
            if type(config) is cls.Config:  # type: ignore[attr-defined]
                return name
        raise ConfigError(f"{config!r} is not the config of any {self.family}; choose one of: {', '.join(self._classes)}")

    def build(self, config: Any, *args: Any, **kwargs: Any) -> C:
        """Construct the member that `config` belongs to."""
        cls: Any = self[self.name_of(config)]
        built: C = cls(config, *args, **kwargs)
        return built

    def to_dict(self, config: Any, *, changed_only: bool = False) -> dict[str, Any]:
        """Return `config` as plain data with its kind in front; see `to_dict`."""
        return {"kind": self.name_of(config)} | to_dict(config, changed_only=changed_only)

    def from_dict(self, data: Any) -> Any:
        """Rebuild a config from `to_dict` data or from the bare name of a kind."""
        if isinstance(data, str):
            data = {"kind": data}
        if not isinstance(data, Mapping) or "kind" not in data:
            raise ConfigError(f"{self.family} is {data!r}; give a mapping with a `kind`, one of: {', '.join(self)}")
        fields = {key: value for key, value in data.items() if key != "kind"}
        return from_dict(self[data["kind"]].Config, fields, self.family)  # type: ignore[attr-defined]


ADDED = {"added": True}
"""Marks a field that older digests do not know."""
A_PATH = {"path": True}
"""Marks a field that names files or folders: on the command line, a `~` in front is the home folder."""


def family_field(kinds: Kinds[Any], default: Any, **metadata: Any) -> Any:
    """Declare a dataclass field that holds the config of a member of `kinds`."""
    return dataclasses.field(default_factory=default, metadata={"kinds": kinds} | metadata)


def to_dict(config: Any, *, changed_only: bool = False) -> dict[str, Any]:
    """Return a config dataclass as plain data, kinds of nested families included; of changed fields only, if asked."""
    data = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if changed_only and _is_default(field, value):
            continue
        if "kinds" in field.metadata and value is not None:
            value = field.metadata["kinds"].to_dict(value, changed_only=changed_only)
        elif dataclasses.is_dataclass(value):
            value = to_dict(value, changed_only=changed_only)
        elif isinstance(value, tuple):
            value = list(value)
        data[field.name] = value
    return data


def _is_default(field: dataclasses.Field[Any], value: Any) -> bool:
    made = field.default_factory
    return bool(value == (field.default if made is dataclasses.MISSING else made()))


def told(value: Any, *, defaults: bool = False) -> str:
    """Return what distinguishes a config from others, as text for a digest: its fields that are not at their default.

    With `defaults` it is the whole `repr`, as digests of before fields were added had it: less the fields marked ADDED.
    """
    if dataclasses.is_dataclass(value):
        shown = [(field, getattr(value, field.name)) for field in dataclasses.fields(value) if field.repr]
        kept = [(f.name, v) for f, v in shown if not _is_default(f, v) or (defaults and not f.metadata.get("added"))]
        return f"{type(value).__qualname__}({', '.join(f'{name}={told(v, defaults=defaults)}' for name, v in kept)})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {told(entry, defaults=defaults)}" for key, entry in value.items()) + "}"
    return repr(value)


def digests(config: Any) -> tuple[str, str]:
    """Return twelve hex digits that tell a config from others, and those that it had when all fields counted."""
    short, whole = (hashlib.sha256(told(config, defaults=each).encode()).hexdigest()[:12] for each in (False, True))
    return short, whole


def from_dict(cls: type[Any], data: Any, where: str = "config") -> Any:
    """Build the dataclass `cls` from plain data, checking names and types.

    Raises:
        ConfigError: a field is unknown or has the wrong type; the message names the field and its type.
    """
    if not isinstance(data, Mapping):
        raise ConfigError(f"{where} is {data!r}; give a mapping of fields")
    fields = {field.name: field for field in dataclasses.fields(cls)}
    hints = typing.get_type_hints(cls)
    values = {}
    for name, value in data.items():
        if name not in fields:
            near = difflib.get_close_matches(str(name), fields, n=1)
            hint = f'did you mean "{near[0]}"?' if near else f"known fields: {', '.join(fields)}"
            raise ConfigError(f'{where} has no field "{name}"; {hint}')
        kinds = fields[name].metadata.get("kinds")
        path = f"{where}.{name}".lstrip(".")
        values[name] = kinds.from_dict(value) if kinds and value is not None else _typed(hints[name], value, path)
    try:
        return cls(**values)
    except TypeError as error:
        raise ConfigError(f"{where or 'config'} is incomplete: {error}") from None


def _typed(hint: Any, value: Any, where: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return from_dict(typing.cast(type[Any], hint), value, where)
    if origin in (typing.Union, types.UnionType):
        for option in sorted(args, key=lambda option: option is float):
            try:
                return _typed(option, value, where)
            except ConfigError as error:
                if dataclasses.is_dataclass(option) and isinstance(value, Mapping):
                    raise error
    elif origin is tuple and isinstance(value, list | tuple):
        items = args[:1] * len(value) if args[1:] == (Ellipsis,) else args
        if len(items) == len(value):
            return tuple(_typed(item, entry, where) for item, entry in zip(items, value, strict=True))
    elif origin is list and isinstance(value, list):
        return [_typed(args[0], entry, where) for entry in value]
    elif origin is dict and isinstance(value, Mapping):
        return {_typed(args[0], key, where): _typed(args[1], entry, f"{where}.{key}") for key, entry in value.items()}
    elif origin is typing.Literal:
        if value in args:
            return value
        raise ConfigError(f'{where} "{value}" is unknown; choose one of: {", ".join(map(str, args))}')
    elif hint is Any or (hint is type(None) and value is None):
        return value
    elif hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif isinstance(hint, type) and isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    name = hint.__name__ if isinstance(hint, type) else str(hint)
    raise ConfigError(f"{where} is {value!r}; it must be of type {name}")


def require(condition: bool, message: str) -> None:
    """Raise ConfigError(message) unless `condition` holds; for `__post_init__` of configs."""
    if not condition:
        raise ConfigError(message)
