"""The command line: hybrid train | solve | score | serve | bench | inspect | tasks | layers | doctor and others.

Every config field is a flag, and `--config FILE` takes the same as YAML. A user's mistake is one line on standard
error (faults of data: one line each) and exit code 2. Holds the list of commands; each command is a dataclass in its own
file.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from hybrid.cli.bench import BenchCommand
from hybrid.cli.completion import CompletionCommand
from hybrid.cli.doctor import DoctorCommand, version
from hybrid.cli.import_checkpoint import ImportCommand
from hybrid.cli.layers import LayersCommand
from hybrid.cli.score import ScoreCommand
from hybrid.cli.serve import ServeCommand
from hybrid.cli.show import InspectCommand
from hybrid.cli.solve import SolveCommand
from hybrid.cli.tasks import TasksCommand
from hybrid.cli.train import TrainCommand
from hybrid.console import ending
from hybrid.errors import ConfigError
from hybrid.flags.parser import parse

COMMANDS: dict[str, Any] = {
    "train": TrainCommand,
    "solve": SolveCommand,
    "score": ScoreCommand,
    "serve": ServeCommand,
    "bench": BenchCommand,
    "inspect": InspectCommand,
    "tasks": TasksCommand,
    "layers": LayersCommand,
    "import-checkpoint": ImportCommand,
    "doctor": DoctorCommand,
    "completion": CompletionCommand,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return 0, or 2 after one line on standard error for a user's mistake."""
    words = list(sys.argv[1:] if argv is None else argv)
    return ending(lambda: _run(words))


def _run(words: list[str]) -> int:
    if words and words[0] in ("--version", "-V"):
        print(f"hybrid {version()}")
        return 0
    if not words or words[0] in ("-h", "--help"):
        print(f"usage: hybrid {{{','.join(COMMANDS)}}} ...\n")
        for name, command in COMMANDS.items():
            print(f"  {name:<20}{command.__doc__.splitlines()[0]}")
        print("\nFirst: hybrid solve '...'; then hybrid train --task table --task.train my.csv --output runs/mine; hybrid serve")
        print("`hybrid COMMAND --help` lists the flags of a command.")
        return 0 if words else 2
    if words[0] not in COMMANDS:
        raise ConfigError(f'command "{words[0]}" is unknown; choose one of: {", ".join(COMMANDS)}')
    parse(COMMANDS[words[0]], words[1:], f"hybrid {words[0]}").run()
    return 0


def entry() -> None:
    """Run the console command and exit with its code."""
    sys.exit(main())
