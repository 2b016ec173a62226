"""What the programs of this folder share, `python -m hybrid.eval.NAME`: how they end, and how they read their flags.

Holds no program. A user's mistake is one line on standard error and exit code 2, as of the command `hybrid`.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from hybrid.console import ending
from hybrid.errors import InputError
from hybrid.eval.tasks.table.files import files
from hybrid.paths import from_home


def run(main: Callable[[], Any]) -> NoReturn:
    """Do the work of a program and leave with its code."""
    sys.exit(ending(main))


def positive(text: str) -> int:
    """Read a count of at least 1 from a flag.

    Example:
        >>> positive("12")
        12
    """
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"is {text}; give a whole number of at least 1")
    return number


def check_apart(output: Path, source: str) -> None:
    """Raise InputError where `output` is one of the files that `source` stands for: writing it would lose what was read."""
    if output.exists() and any(Path(file).exists() and output.samefile(file) for file in files(source)):
        raise InputError(f"{output} is what is read; give another file to write to")


def seconds(text: str) -> float:
    """Read a positive number of seconds from a flag."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"is {text}; give a positive number of seconds")
    return number


def path(text: str) -> Path:
    """Read the path of a file or folder from a flag: a `~` in front is the home folder."""
    if not text:
        raise argparse.ArgumentTypeError("is empty; give a path")
    return from_home(text)
