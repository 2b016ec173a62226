"""A suite's folder: what each cell gave, written down so that a report can be made of it at any time.

    FOLDER/suite.json                      {"suite", "command", "cells": [{"slug", "task", "method", "num_train", "seed"}],
                                           "seconds", "backbone", "engine", "notes": [str]}
    FOLDER/problems/TASK.jsonl             a line a test problem: prompt, answer, difficulty, key
    FOLDER/cells/CELL/record.json          one Record, and settings: a digest of what was run, and notes: [str]
    FOLDER/cells/CELL/attempts.jsonl       a line a problem: problem, right, text, tokens, steps, flops, cut, answers_by_step
    FOLDER/cells/CELL/pictures.jsonl       a line a drawn problem: problem, steps: [{"caption", "rows", "box"}]; may be missing
    FOLDER/cells/CELL/failed.json          {"error"}: why there is no record

Holds the names of the files, their writing and their reading; running is suite.py's, what is made of it report/'s. Every
string in such a folder may be anything that a language model wrote.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from hybrid.checkpoint import write_lines, write_text
from hybrid.errors import ConfigError, InputError
from hybrid.eval.baselines.method import Attempt
from hybrid.eval.results import Record, read_json
from hybrid.eval.tasks.show import Picture
from hybrid.kinds import from_dict, to_dict
from hybrid.problem import Problem

NOT_YET = "not run yet"
"""Reason of a cell whose turn has not come."""

FOLDER = "the output folder"

_ATTEMPT = ("right", "text", "tokens", "steps", "flops", "cut", "answers_by_step")
_PROBLEM = ("prompt", "answer", "difficulty", "key")


@dataclass(frozen=True)
class Drawn:
    """A problem's answer after each step, as it is drawn: the index of the problem, and a picture a step."""

    problem: int
    steps: tuple[Picture, ...]


@dataclass(frozen=True)
class Planned:
    """A cell as suite.json names it.

    Args:
        slug: its folder.
        task, method: names.
        num_train: problems that it may learn from.
        seed: of its training.
    """

    slug: str
    task: str
    method: str
    num_train: int
    seed: int


@dataclass(frozen=True)
class CellResult(Planned):
    """A cell, and what it gave.

    Args:
        record: its figures; None where it has not run or failed.
        reason: why there is no record.
        folder: of its files.
        notes: what a reader of its figures must know.
        settings: digest of what was run; empty where there is no record.
    """

    record: Record | None
    reason: str
    folder: Path
    notes: tuple[str, ...] = ()
    settings: str = ""

    @property
    def course(self) -> list[list[float]]:
        """[training seconds, exact share on dev] at every evaluation of the training."""
        return (self.record.course if self.record else None) or []

    @property
    def task_slug(self) -> str:
        """The task's name as a file's."""
        return slug(self.task)

    @cached_property
    def right(self) -> dict[int, bool]:
        """Whether the answer is right, by the index of the problem; empty without a file of answers.

        Raises:
            InputError: the file is damaged.
        """
        lines = _lines(self.folder / "attempts.jsonl", {"problem": int, "right": bool})
        return {line["problem"]: line["right"] for line in lines}

    @property
    def drawn(self) -> list[Drawn]:
        """Its problems that are drawn step by step.

        Raises:
            InputError: the file is damaged.
        """
        file = self.folder / "pictures.jsonl"
        try:
            return [from_dict(Drawn, line) for line in _lines(file, {"problem": int, "steps": list})]
        except ConfigError as error:
            raise InputError(f"the pictures in {file} are damaged ({error}); run the benchmark again") from None

    def answers(self, wanted: Collection[int]) -> dict[int, dict[str, Any]]:
        """Return the lines of attempts.jsonl for the problems `wanted`, by their index."""
        lines = _lines(self.folder / "attempts.jsonl", {"problem": int, "right": bool, "text": str})
        return {line["problem"]: line for line in lines if line["problem"] in wanted}


@dataclass(frozen=True)
class SuiteFolder:
    """A suite as far as it has run.

    Args:
        name, command, seconds, notes: as suite.json tells.
        cells: in the suite's order.
        problems: test problems of each task, by task slug.
    """

    name: str
    command: str
    seconds: float | None
    notes: list[str]
    cells: list[CellResult]
    problems: dict[str, list[Problem]] = field(default_factory=dict)


def slug(text: str) -> str:
    """Return text with only letters, digits and single underscores.

    Example:
        >>> slug("sudoku (size 4, blanks 8)")
        'sudoku_size_4_blanks_8'
    """
    return "_".join("".join(c if c.isalnum() else " " for c in text).split())


def write_suite(folder: Path, about: dict[str, Any], cells: Sequence[Planned]) -> None:
    """Write suite.json; `about` holds suite, command, seconds and notes."""
    listed = [{each.name: getattr(cell, each.name) for each in fields(Planned)} for cell in cells]
    write_text(folder / "suite.json", json.dumps(about | {"cells": listed}, indent=1) + "\n")


def write_problems(folder: Path, task_slug: str, problems: Sequence[Problem]) -> None:
    """Write the test problems of a task."""
    lines = [{name: getattr(problem, name) for name in _PROBLEM} for problem in problems]
    write_lines(folder / "problems" / f"{task_slug}.jsonl", lines)


def read_problems(folder: Path, task_slug: str) -> list[Problem]:
    """Return the test problems of a task, none where they have not been written yet."""
    found = []
    for line in _lines(folder / "problems" / f"{task_slug}.jsonl", {"prompt": str, "answer": list}):
        difficulty = line.get("difficulty")
        answer = tuple(str(symbol) for symbol in line["answer"])
        found.append(Problem(line["prompt"], answer, difficulty=difficulty if isinstance(difficulty, int) else 0))
    return found


def write_drawn(folder: Path, cell: str, drawn: Sequence[Drawn]) -> None:
    """Write the problems that a cell's answers are drawn of, step by step."""
    write_lines(folder / "cells" / cell / "pictures.jsonl", [asdict(each) for each in drawn])


def write_cell(
    folder: Path, cell: str, record: Record, attempts: Sequence[Attempt], *, settings: str = "", notes: Sequence[str] = ()
) -> None:
    """Write a cell's record and answers, the digest of its settings, and notes for the report."""
    own = folder / "cells" / cell
    lines = [{"problem": i} | {name: getattr(attempt, name) for name in _ATTEMPT} for i, attempt in enumerate(attempts)]
    write_lines(own / "attempts.jsonl", lines)
    about = to_dict(record) | {"settings": settings, "notes": list(notes)}
    write_text(own / "record.json", json.dumps(about, indent=1) + "\n")
    (own / "failed.json").unlink(missing_ok=True)


def write_failure(folder: Path, cell: str, error: str) -> None:
    """Write why a cell has no record; what an earlier run may have left of one goes."""
    own = folder / "cells" / cell
    for name in ("record.json", "attempts.jsonl", "pictures.jsonl"):
        (own / name).unlink(missing_ok=True)
    write_text(own / "failed.json", json.dumps({"error": error}) + "\n")


def failed_since(folder: Path, cell: str, moment: float) -> bool:
    """Say whether a cell was written down as failed after a moment, in seconds since 1970."""
    file = folder / "cells" / cell / "failed.json"
    return file.exists() and file.stat().st_mtime >= moment


def read_suite(folder: Path) -> SuiteFolder:
    """Return a suite as far as it has run; a cell whose record is damaged counts as not run, with that reason.

    Raises:
        InputError: suite.json or a task's problems are missing or damaged.
    """
    about = read_about(folder)
    try:
        cells = [read_cell(folder, Planned(**cell)) for cell in about["cells"]]
    except (KeyError, TypeError):
        raise InputError(f"{folder / 'suite.json'} has no list of cells; run the suite again, which keeps what is done") from None
    problems = {file.stem: read_problems(folder, file.stem) for file in sorted((folder / "problems").glob("*.jsonl"))}
    seconds, notes = about.get("seconds"), about.get("notes") or []
    return SuiteFolder(
        str(about.get("suite", folder.name)),
        str(about.get("command", "")),
        float(seconds) if isinstance(seconds, int | float) else None,
        list(dict.fromkeys([*_texts(notes), *(note for cell in cells for note in cell.notes)])),
        cells,
        problems,
    )


def read_about(folder: Path) -> dict[str, Any]:
    """Return what suite.json holds; see read_suite."""
    return read_json(folder / "suite.json", dict, FOLDER)


def _texts(notes: Any) -> list[str]:
    return [str(note) for note in notes] if isinstance(notes, list) else [str(notes)]


def read_cell(suite: Path, planned: Planned) -> CellResult:
    """Return a cell by its files."""
    folder = suite / "cells" / planned.slug
    record, reason, about = None, NOT_YET, {}
    if (folder / "record.json").exists():
        try:
            about = read_json(folder / "record.json", dict, FOLDER)
            names = {each.name for each in fields(Record)}
            record = from_dict(Record, {name: value for name, value in about.items() if name in names}, "record")
        except (InputError, ConfigError) as error:
            reason = f"its record is damaged: {error}"
    elif (folder / "failed.json").exists():
        reason = str(read_json(folder / "failed.json", dict, FOLDER).get("error") or "no reason was written down")
    notes, settings = tuple(_texts(about.get("notes") or [])), str(about.get("settings", ""))
    return CellResult(
        **asdict(planned), record=record, reason="" if record else reason, folder=folder, notes=notes, settings=settings
    )


def _lines(file: Path, wanted: dict[str, type]) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file of JSON lines, none where there is no file; each has the fields `wanted`."""
    if not file.exists():
        return
    with file.open(encoding="utf-8", errors="replace", newline="\n") as lines:
        for number, text in enumerate(lines, 1):
            try:
                line = json.loads(text)
                fit = isinstance(line, dict) and all(isinstance(line.get(name), kind) for name, kind in wanted.items())
            except (ValueError, RecursionError):
                fit = False
            if not fit:
                raise InputError(
                    f"{file}, line {number}, has no {', '.join(wanted)}; delete its folder and run the benchmark again"
                )
            yield line
