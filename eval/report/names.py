"""Names of tasks as people say them: `Sudoku 6x6` for `sudoku (size 6, min_blanks 8, max_blanks 14)`. Builds no task, so
that a report of an older suite, or of kinds that are not there, has names too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

FORMS = {
    "sudoku": "Sudoku {size}x{size}",
    "maze": "Maze {size}x{size}",
    "state_tracking": "Stories, {swaps} swaps",
    "reachability": "Reachability, {towns} towns",
    "arithmetic": "Arithmetic, {steps} steps",
    "sort": "Sort {length} numbers",
}
"""What a kind is called, by those of its settings that tell its tasks apart first."""


def short_names(tasks: Sequence[str]) -> list[str]:
    """Return the names of different tasks for tables and sentences; with all settings where two would have one name.

    Example:
        >>> short_names(["sudoku (size 6, max_blanks 14)", "maze (size 5)", "maze (size 5, walls 3)", "mine (a 2)"])
        ['Sudoku 6x6', 'maze (size 5)', 'maze (size 5, walls 3)', 'mine (a 2)']
    """
    names = [_short(task) for task in tasks]
    return [name if names.count(name) == 1 else task for name, task in zip(names, tasks, strict=True)]


def _short(task: str) -> str:
    found = re.fullmatch(r"(?P<kind>\w+) \((?P<settings>.*)\)", task)
    if not found:
        return task
    settings = dict(part.split(" ", 1) for part in found["settings"].split(", ") if " " in part)
    try:
        return FORMS[found["kind"]].format_map(settings)
    except KeyError:  # A kind of somebody's own, or a setting that was left as it is.
        return task
