"""Flags from dataclasses: every config field is a flag, and a YAML file takes the same names.

A family field (`encoder`, `task`, ...) is chosen with `--encoder NAME`; the fields of that kind then follow as
`--encoder.FIELD`. jsonargparse reads types and values; hybrid.kinds builds and checks the configs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import math
import re
import sys
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from hybrid.errors import ConfigError, InputError
from hybrid.flags import scalars
from hybrid.flags.errors import told
from hybrid.kinds import Kinds, from_dict, require
from hybrid.paths import from_home


def parse(command: type[Any], argv: Sequence[str], program: str) -> Any:
    """Return an instance of the dataclass `command` built from a YAML file (`--config FILE`) and flags.

    A command with the class attribute `named` gets there the dotted names of all fields that were given.

    Raises:
        ConfigError: a flag or field is unknown or ill-typed.
        InputError: the YAML file cannot be read.
    """
    import jsonargparse

    argv, given = _take_config([_with_underscores(word) for word in argv])
    given = _unfolded(command, given)
    argv = [_long_name(command, word) for word in argv]
    named = {*_names(given), *(word[2:].partition("=")[0] for word in argv if word.startswith("--"))}
    repeated = {each.name: default_of(each) for each in dataclasses.fields(command) if each.metadata.get("repeated")}
    for name in repeated:
        if name in given:
            own = given.pop(name)
            repeated[name] = [str(each) for each in own] if isinstance(own, list) else [str(own)]
    _choose_kinds(command, "", argv, given)
    jsonargparse.set_loader("words", scalars.word, scalars.UNREADABLE)
    parser = jsonargparse.ArgumentParser(
        prog=program, description=command.__doc__, exit_on_error=False, allow_abbrev=False, parser_mode="words"
    )
    try:
        leaves = _add_fields(parser, command, "", given)
        argv = _as_asked(argv, leaves)
    except ConfigError as error:
        raise ConfigError(f"{error}; see `{program} --help`") from None
    if (lone := _switch_with_value(command, argv)) is not None:
        raise ConfigError(f"{' '.join(lone)}: {lone[0]} stands without a value; leave {lone[1]} out; see `{program} --help`")
    parser.add_argument("--config", metavar="FILE", help="YAML file with the same fields; flags go before it")
    try:
        parser.set_defaults(vars(parser.parse_object(given).as_flat()))
        values = parser.parse_args(argv).as_dict()
    except (jsonargparse.ArgumentError, TypeError, ValueError) as error:
        families = {name: kinds for name, (kinds, _) in _families(command, "").items()}
        said = told(" ".join(str(error).split()), leaves, families, [*repeated, "config"])
        raise ConfigError(f"{said}; see `{program} --help`") from None
    values.pop("config", None)
    values |= {name: value for name, value in repeated.items() if values.get(name) is None}
    values = _from_home(command, _without_unchosen(values))
    for field in dataclasses.fields(command):
        if (
            values.get(field.name) is None
            and field.default is dataclasses.MISSING
            and field.default_factory is dataclasses.MISSING
        ):
            dashes = "" if field.metadata.get("positional") else "--"
            raise ConfigError(f"{dashes}{field.name} is missing; see `{program} --help`")
    built = from_dict(command, values, "")
    if hasattr(command, "named"):
        object.__setattr__(built, "named", frozenset(named))
    return built


def _names(given: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of the fields in a mapping."""
    for name, value in given.items():
        yield f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from _names(value, f"{prefix}{name}.")


def _take_config(argv: list[str]) -> tuple[list[str], dict[str, Any]]:
    for i, word in enumerate(argv):
        if word == "--config" or word.startswith("--config="):
            if word == "--config" and i + 1 == len(argv):
                raise ConfigError("--config needs a YAML file")
            file, rest = (argv[i + 1], argv[i + 2 :]) if word == "--config" else (word.split("=", 1)[1], argv[i + 1 :])
            if any(other == "--config" or other.startswith("--config=") for other in rest):
                raise ConfigError("--config is given twice; put all fields into one file")
            return argv[:i] + rest, read_yaml(Path(file))
    return argv, {}


def read_yaml(file: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file; raise InputError where there is none."""
    import yaml

    try:
        data = scalars.load(from_home(file).read_text(encoding="utf-8-sig"))
        json.dumps(data, default=str, skipkeys=True)  # Raises where a value holds itself.
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise InputError(f"cannot read {file} as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise InputError(f"{file} holds no mapping of fields; see `hybrid train --help` for the names")
    return data


def _unfolded(command: type[Any], data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the mapping of a file with `train.num_steps: 3`, as flags have it, for `train: {num_steps: 3}`."""
    found: dict[str, Any] = {}
    families = {field.name for field in dataclasses.fields(command) if "kinds" in field.metadata}
    for name, value in data.items():
        first, _, rest = re.sub(r"(?<=\w)-(?=\w)", "_", str(name)).partition(".")
        whole = {"kind": value} if first in families and not rest and isinstance(value, str) else value
        found[first] = _merged(found.get(first), {rest: value} if rest else whole, f"{prefix}{name}")
    hints = typing.get_type_hints(command)
    for field in dataclasses.fields(command):
        if dataclasses.is_dataclass(hints[field.name]) and isinstance(found.get(field.name), dict):
            below = typing.cast(type[Any], hints[field.name])
            found[field.name] = _unfolded(below, found[field.name], f"{prefix}{field.name}.")
    return found


def _merged(one: Any, other: Any, name: str) -> Any:
    """Return two values of a field as one mapping."""
    if one is None or other is None:
        return other if one is None else one
    if not (isinstance(one, dict) and isinstance(other, dict)) or one.keys() & other.keys():
        raise ConfigError(f"{name} is given twice; keep one of them")
    return one | other


def _families(command: type[Any], prefix: str) -> dict[str, tuple[Kinds[Any], str]]:
    """Return every family field below `command`: dotted name -> (family, default kind)."""
    found: dict[str, tuple[Kinds[Any], str]] = {}
    hints = typing.get_type_hints(command)
    for field in dataclasses.fields(command):
        name = f"{prefix}{field.name}"
        kinds = field.metadata.get("kinds")
        if kinds is not None:
            default = default_of(field)
            found[name] = (kinds, kinds.name_of(default) if default not in (None, dataclasses.MISSING) else "")
        elif dataclasses.is_dataclass(hints[field.name]):
            found |= _families(typing.cast(type[Any], hints[field.name]), f"{name}.")
    return found


def _with_underscores(word: str) -> str:
    """Turn `--dry-run` into `--dry_run`."""
    name, equals, value = word.partition("=")
    return f"--{name[2:].replace('-', '_')}{equals}{value}" if re.fullmatch(r"--[\w.-]+", name) else word


def _long_name(command: type[Any], word: str) -> str:
    """Turn `--encoder` into `--encoder.kind`, so that a kind is chosen by its family's name."""
    name, equals, value = word.partition("=")
    return f"{name}.kind{equals}{value}" if name.startswith("--") and name[2:] in _families(command, "") else word


def _choose_kinds(command: type[Any], prefix: str, argv: Sequence[str], given: dict[str, Any]) -> None:
    """Write the kind of every family into `given`: from the flags, else from the YAML file, else the default."""
    for name, (kinds, default) in _families(command, prefix).items():
        kind = _flag_value(argv, f"--{name}.kind")
        if kind is not None:
            kinds[kind]  # Raises for an unknown name, also where it is empty.
        *parents, last = name.split(".")
        place: Any = given
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise ConfigError(f"{parent} is {place!r}; give a mapping of fields")
        entry = place.get(last) or {}
        if not isinstance(entry, str | dict):
            raise ConfigError(f"{name} is {entry!r}; give one of: {', '.join(kinds)}")
        entry = {"kind": entry} if isinstance(entry, str) else dict(entry)
        if kind is not None and kind != entry.get("kind", kind):
            entry = {}  # Another kind than the file's: its fields are not this kind's.
        entry["kind"] = kind or entry.get("kind") or default
        if entry["kind"]:
            kinds[entry["kind"]]  # Raises for an unknown name.
            place[last] = entry
        else:
            place.pop(last, None)  # None, as where nothing is said.


def _without_unchosen(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a family without a kind into None."""
    kept = {name: _without_unchosen(value) if isinstance(value, Mapping) else value for name, value in values.items()}
    return {name: None if value == {"kind": None} else value for name, value in kept.items()}


def _from_home(command: type[Any], values: dict[str, Any]) -> dict[str, Any]:
    """Write the home folder for a `~` in front of a path: no shell does it behind an equals sign, nor in a YAML file.

    Raises:
        ConfigError: a path is empty, as that of a variable which is not set; it would stand for this folder.
    """
    hints, found = typing.get_type_hints(command), dict(values)
    for field in dataclasses.fields(command):
        value, kinds = values.get(field.name), field.metadata.get("kinds")
        if field.metadata.get("path") and value is not None and value != default_of(field):
            places = value if isinstance(value, list) else [value]
            require("" not in places, f"{field.name} is empty; give a path")
            found[field.name] = [str(from_home(each)) for each in places] if places is value else str(from_home(value))
        elif isinstance(value, dict) and (kinds is not None or dataclasses.is_dataclass(hints[field.name])):
            below = hints[field.name] if kinds is None else kinds[value["kind"]].Config
            found[field.name] = _from_home(below, value)
    return found


def _flag_value(argv: Sequence[str], flag: str) -> str | None:
    for i, word in enumerate(argv):
        if word == flag and i + 1 < len(argv):
            return argv[i + 1]
        if word.startswith(f"{flag}="):
            return word.split("=", 1)[1]
    return None


def _as_asked(argv: Sequence[str], leaves: Mapping[str, Any]) -> list[str]:
    """Spell the numbers, truth values, lists and mappings among the flags' values as JSON of the types that fields ask for."""
    import yaml

    spelled = list(argv)
    for i, word in enumerate(argv):
        flag, equals, text = word.partition("=") if word.startswith("--") else (argv[i - 1] if i else "", "", word)
        name = flag.removeprefix("--")
        given = flag.startswith("--") and name in leaves and (equals or not word.startswith("--"))
        if given and scalars.more_than_text(leaves[name]):
            with contextlib.suppress(yaml.YAMLError):
                found = scalars.read(scalars.load(text), leaves[name], name)
                if isinstance(found, list | dict | int) or (isinstance(found, float) and math.isfinite(found)):
                    spelled[i] = f"{flag}=" * bool(equals) + json.dumps(found)
    return spelled


def _add_fields(parser: Any, cls: type[Any], prefix: str, given: dict[str, Any]) -> dict[str, Any]:
    """Add the flags of a dataclass, read what the YAML file gives by their types, and return the types by the dotted names."""
    hints, help_of = typing.get_type_hints(cls), _argument_docs(cls)
    leaves: dict[str, Any] = {}
    for field in dataclasses.fields(cls):
        name, hint = f"{prefix}{field.name}", hints[field.name]
        below = given.get(field.name)
        kinds = field.metadata.get("kinds")
        if kinds is not None:
            kind = below["kind"] if isinstance(below, dict) else None
            choices: Any = Literal[tuple(kinds)]
            parser.add_argument(
                f"--{name}.kind", type=choices if kind else choices | None, default=kind, help=help_of.get(field.name, "")
            )
            if isinstance(below, dict):
                leaves |= _add_fields(parser, kinds[below["kind"]].Config, f"{name}.", below)
        elif dataclasses.is_dataclass(hint):
            nested = below if isinstance(below, dict) else {}
            leaves |= _add_fields(parser, typing.cast(type[Any], hint), f"{name}.", nested)
        else:
            _add_field(parser, field, name, hint, help_of.get(field.name, ""))
            if not (field.metadata.get("repeated") or _is_switch(field, name, hint)):
                leaves[name] = hint
            if field.name in given:
                given[field.name] = scalars.read(below, hint, name)
    return leaves


def _add_field(parser: Any, field: dataclasses.Field[Any], name: str, hint: Any, text: str) -> None:
    required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    if field.metadata.get("positional"):
        text_alone = str if hint in (str, str | None) else hint | None  # A prompt may be "null".
        parser.add_argument(name, nargs="?", type=text_alone, default=None if required else field.default, help=text)
    elif field.metadata.get("repeated"):
        parser.add_argument(f"--{name}", type=str, action="append", default=None, help=text)
    elif _is_switch(field, name, hint):
        parser.add_argument(f"--{name}", action="store_true", help=text)
    elif required:
        parser.add_argument(f"--{name}", type=hint if hint is str else hint | None, default=None, help=f"{text} (required)")
    else:
        parser.add_argument(f"--{name}", type=hint, default=default_of(field), help=text)


def _is_switch(field: dataclasses.Field[Any], name: str, hint: Any) -> bool:
    """Say whether a flag stands without a value."""
    return hint is bool and field.default is False and "." not in name


def _switch_with_value(command: type[Any], argv: Sequence[str]) -> tuple[str, str] | None:
    """Return a switch that is followed by a truth value, which would be taken for a prompt; None where there is none."""
    hints = typing.get_type_hints(command)
    switches = {f"--{each.name}" for each in dataclasses.fields(command) if _is_switch(each, each.name, hints[each.name])}
    pairs = itertools.pairwise(argv)
    return next((pair for pair in pairs if pair[0] in switches and pair[1].lower() in ("true", "false")), None)


def default_of(field: dataclasses.Field[Any]) -> Any:
    """Return the default of a dataclass field that has one."""
    return field.default_factory() if callable(field.default_factory) else field.default


def _argument_docs(cls: type[Any]) -> dict[str, str]:
    """Return the lines of the `Args:` part of a docstring by name."""
    text = (cls.__doc__ or "").partition("Args:")[2]
    entries = re.findall(r"(?:^|(?<=\.)|\n)\s*(\w+): (.*?)(?=\n\s*\w+: |\. \w+: |\Z)", text, re.S)
    return {name: " ".join(line.split()) for name, line in entries}


def read_text(source: str | None) -> str:
    """Return the text of a file, or of standard input for None; raise InputError where it is no UTF-8 text."""
    name = source or "standard input"
    if source is None and sys.stdin is None:  # Closed, as for a service.
        raise InputError("there is no standard input to read a prompt from; give it as an argument, or --file")
    try:
        data = sys.stdin.buffer.read() if source is None else from_home(source).read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {name}: {error.strerror}; give a file that exists") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
