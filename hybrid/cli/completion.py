"""`hybrid completion`: what a shell needs to complete commands, flags and kinds; written by shtab."""

from __future__ import annotations

import argparse
import dataclasses
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from hybrid.errors import ConfigError


@dataclass(frozen=True)
class CompletionCommand:
    """Print a script that completes commands, flags and kinds in your shell.

    Args:
        shell: bash, zsh or fish.
    """

    shell: Literal["bash", "zsh", "fish"] = field(metadata={"positional": True})

    def run(self) -> None:
        """Print it."""
        try:
            import shtab
        except ImportError:
            raise ConfigError("hybrid completion needs shtab; pip install shtab") from None
        print(shtab.complete(every_flag(shtab.FILE), self.shell))


def every_flag(files: Any) -> argparse.ArgumentParser:
    """Return a parser that knows the names of all commands, flags and kinds; it checks no values.

    Args:
        files: completes what has no choices, which is often the name of a file.
    """
    from hybrid.cli import COMMANDS

    whole = argparse.ArgumentParser("hybrid")
    commands = whole.add_subparsers(dest="command")
    for name, command in COMMANDS.items():
        about = command.__doc__.splitlines()[0]
        parser = commands.add_parser(name, help=about.replace("%", "%%"), description=about)
        for flag, choices in {**dict(flags(command)), "config": None}.items():
            if choices == ():
                parser.add_argument(f"--{flag}", action="store_true")
                continue
            added: Any = parser.add_argument(f"--{flag}", choices=choices)
            if choices is None:
                added.complete = files
    return whole


def flags(command: type[Any], prefix: str = "") -> Iterator[tuple[str, tuple[str, ...] | None]]:
    """Yield the flags of a command, those of every kind included, each with its choices: () takes no value, None any."""
    hints = typing.get_type_hints(command)
    for each in dataclasses.fields(command):
        name, hint, kinds = f"{prefix}{each.name}", hints[each.name], each.metadata.get("kinds")
        if kinds is not None:
            yield name, tuple(kinds)
            for kind in kinds:
                yield from flags(kinds[kind].Config, f"{name}.")
        elif dataclasses.is_dataclass(hint):
            yield from flags(typing.cast(type[Any], hint), f"{name}.")
        elif not each.metadata.get("positional"):
            switch = hint is bool and each.default is False and not prefix
            yield name, () if switch else _choices(hint)


def _choices(hint: Any) -> tuple[str, ...] | None:
    for part in (hint, *typing.get_args(hint)):
        if typing.get_origin(part) is Literal:
            return tuple(map(str, typing.get_args(part)))
    return ("true", "false") if hint is bool else None
