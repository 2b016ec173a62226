"""What the programs of this folder share, `python -m hybrid.eval.NAME`: how they end, and how they read a count.

Holds no program. A user's mistake is one line on standard error and exit code 2, as of the command `hybrid`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from hybrid.console import ending


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
