"""Reads files of ARC tasks: Kaggle's two files of challenges and solutions, or one file or folder of tasks with all outputs.

Packed or not. Holds reading and checking, and which tasks of two files are the same; what a problem is, arc.py says.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

from hybrid.errors import Faults, InputError
from hybrid.eval.tasks.arc.grid import COLOURS, LARGEST, Grid, Pair, pair_key
from hybrid.eval.tasks.table.files import opened, readable
from hybrid.eval.tasks.table.source import parsed
from hybrid.paths import from_home

CHALLENGES, SOLUTIONS = "challenges", "solutions"
FORM = '{"ID": {"train": [{"input": [[0, 1]], "output": [[1, 0]]}], "test": [{"input": [[0, 1]]}]}}'


@dataclass(frozen=True)
class ArcTask:
    """A task of ARC.

    Args:
        name: in the file.
        shown: the demonstrations.
        tests: its test inputs with their outputs.
    """

    name: str
    shown: tuple[Pair, ...]
    tests: tuple[Pair, ...]

    @cached_property
    def keys(self) -> frozenset[str]:
        """Names of every two of its pairs under the symmetries: tasks that share one are the same.

        One pair alone proves nothing: different rules may do the same to a small grid.
        """
        pairs = sorted({pair_key(pair) for pair in (*self.shown, *self.tests)})
        return frozenset(map(" ".join, combinations(pairs, 2))) or frozenset(pairs)


def read_tasks(source: str, solutions: str | None = None) -> list[ArcTask]:
    """Return the tasks of a file or folder, in its order.

    Args:
        source: Kaggle's file of challenges; a file of the same form with all outputs; a task's own file; or a folder of these.
        solutions: Kaggle's file of solutions; None takes the one beside the challenges that is called so.

    Raises:
        InputError: nothing is there, it cannot be read, or a task is none, each named in one line.
    """
    faults, found = Faults(), []
    answers = _solutions(source, solutions)
    for place, name, task in _entries(source):
        try:
            found.append(_task(name, task, answers))
        except InputError as error:
            faults.add(f"{place} task {name}: {error}")
    faults.check()
    if not found:
        raise InputError(f"{source} holds no tasks; give a file of the form {FORM}")
    return found


def same_tasks(some: Sequence[ArcTask], others: Sequence[ArcTask]) -> list[tuple[str, str]]:
    """Return the names (one of `some`, one of `others`) of tasks that are in both: by name, or by two pairs, maybe disguised."""
    owner: dict[str, str] = {}
    for task in others:
        for key in (f"name {task.name}", *task.keys):
            owner.setdefault(key, task.name)
    twins = ((task.name, [owner[key] for key in (f"name {task.name}", *sorted(task.keys)) if key in owner]) for task in some)
    return [(name, own[0]) for name, own in twins if own]


def classes(tasks: Sequence[ArcTask]) -> list[str]:
    """Return the name of each task's class: tasks that share two pairs under the symmetries are in one."""
    root = {key: key for task in tasks for key in task.keys}

    def found(key: str) -> str:
        while root[key] != key:
            root[key] = key = root[root[key]]
        return key

    for task in tasks:
        least = min(map(found, task.keys))
        root.update({found(key): least for key in task.keys})
    return [found(min(task.keys)) for task in tasks]


def _entries(source: str) -> Iterator[tuple[str, str, Any]]:
    """Yield (file, name, what stands there) of each task."""
    folder = from_home(source)
    for file in sorted(folder.glob("*.json*")) if folder.is_dir() else [Path(source)]:
        value = _value(str(file))
        if isinstance(value, dict) and {"train", "test"} <= set(value):
            yield str(file), file.name.partition(".")[0], value
        elif isinstance(value, dict):
            yield from ((str(file), name, task) for name, task in value.items())
        else:
            raise InputError(f"{file} holds no tasks by name; its form is {FORM}")


def _solutions(source: str, given: str | None) -> dict[str, Any]:
    """Return the outputs of each task's test inputs, by name; empty where there is no such file."""
    folder, _, name = source.rpartition("/")
    beside = f"{folder}/{name.replace(CHALLENGES, SOLUTIONS)}" if folder else name.replace(CHALLENGES, SOLUTIONS)
    if given is None and (beside == source or not from_home(beside).exists()):
        return {}
    value = _value(given or beside)
    if not isinstance(value, dict) or not all(isinstance(own, list) for own in value.values()):
        raise InputError(f'{given or beside} holds no lists of solutions by name; its form is {{"ID": [[[1, 0]]]}}')
    return value


def _value(file: str) -> Any:
    if not from_home(file).is_file() and "://" not in file:
        raise InputError(f"{file} is not there; give Kaggle's file of challenges, or a folder of tasks")
    with readable(file):
        with opened(file) as handle:
            text = io.TextIOWrapper(handle, encoding="utf-8-sig").read()
        try:
            return parsed(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{file} is no JSON ({str(error)[:80]}); get it anew") from None


def _task(name: str, task: Any, answers: dict[str, Any]) -> ArcTask:
    if not isinstance(task, dict) or not all(isinstance(task.get(part), list) and task[part] for part in ("train", "test")):
        raise InputError('give "train" and "test", each a list with at least one pair')
    shown = tuple(
        (_grid(each, "input", place), _grid(each, "output", place)) for place, each in _numbered(task["train"], "train")
    )
    outputs = answers.get(name, [])
    if len(outputs) not in (0, len(task["test"])):
        raise InputError(f"there are {len(outputs)} solutions of {len(task['test'])} test inputs; give one for each")
    solved = [{"output": output} for output in outputs] or task["test"]
    tests = tuple(
        (_grid(each, "input", place), _grid(own, "output", place))
        for (place, each), own in zip(_numbered(task["test"], "test"), solved, strict=True)
    )
    return ArcTask(name, shown, tests)


def _numbered(pairs: Sequence[Any], part: str) -> list[tuple[str, Any]]:
    return [(f"{part} {number}", each) for number, each in enumerate(pairs, 1)]


def _grid(pair: Any, side: str, place: str) -> Grid:
    """Return a grid of a pair.

    Raises:
        InputError: it is missing, or no rectangle of colours.
    """
    rows = pair.get(side) if isinstance(pair, dict) else None
    if rows is None:
        hint = f"; give the file of {SOLUTIONS} too" if side == "output" else ""
        raise InputError(f"the {side} of {place} is missing{hint}")
    if not isinstance(rows, list) or not 1 <= len(rows) <= LARGEST or not all(isinstance(row, list) for row in rows):
        raise InputError(f"the {side} of {place} is no list of 1 to {LARGEST} rows")
    if len(set(map(len, rows))) > 1 or not 1 <= len(rows[0]) <= LARGEST:
        raise InputError(f"the {side} of {place} has rows of {', '.join(map(str, sorted(set(map(len, rows)))))} cells; mend it")
    wrong = [cell for row in rows for cell in row if type(cell) is not int or str(cell) not in COLOURS]
    if wrong:
        raise InputError(f"the {side} of {place} holds {str(wrong[0])[:40]!r}; colours are 0 to 9")
    return tuple("".join(map(str, row)) for row in rows)
