"""A suite's folder: what each cell gave, written down so that a report can be made of it at any time.

    FOLDER/suite.json                      {"suite", "command", "cells": [slugs in order], "seconds", "notes": [str]}
    FOLDER/problems/TASK.jsonl             a line a test problem: prompt, answer, difficulty, key
    FOLDER/pictures/TASK.jsonl             a line a drawn problem: problem, steps: [{"caption", "rows", "box"}]; may be missing
    FOLDER/cells/CELL/record.json          one Record, task_slug, and settings: a digest of what was run
    FOLDER/cells/CELL/attempts.jsonl       a line a problem: problem, right, text, tokens, steps, flops, answers_by_step
    FOLDER/cells/CELL/failed.json          {"error"}: why there is no record

Holds the names of the files, their writing and their reading; running is suite.py's, what is made of it report/'s. Every
string in such a folder may be anything that a language model wrote.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from hybrid.checkpoint import write_text
from hybrid.errors import ConfigError, InputError
from hybrid.eval.baselines.method import Attempt
from hybrid.eval.results import Record
from hybrid.eval.tasks.show import Cell as PictureCell
from hybrid.eval.tasks.show import Picture
from hybrid.kinds import from_dict, to_dict
from hybrid.problem import Problem

NOT_YET = "not run yet"
"""Reason of a cell whose turn has not come."""

_ATTEMPT = ("right", "text", "tokens", "steps", "flops", "answers_by_step")
_PROBLEM = ("prompt", "answer", "difficulty", "key")


@dataclass(frozen=True)
class Drawn:
    """A problem's answer after each step, as it is drawn: the index of the problem, a caption and a picture a step."""

    problem: int
    captions: tuple[str, ...]
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class CellResult:
    """What one cell of a suite gave.

    Args:
        slug: its folder.
        task_slug: its task; empty where a cell without a record does not tell.
        method, seed, train_problems: which one; None where a cell without a record does not tell.
        record: its figures; None where it has not run or failed.
        reason: why there is no record.
        attempts: file of its answers.
        course: (training seconds, exact share on dev) at every evaluation of the training.
        settings: digest of what was run; empty where a cell without a record does not tell.
    """

    slug: str
    task_slug: str
    method: str
    seed: int | None
    train_problems: int | None
    record: Record | None
    reason: str
    attempts: Path
    course: tuple[tuple[float, float], ...] = ()
    settings: str = ""

    @cached_property
    def right(self) -> dict[int, bool]:
        """Whether the answer is right, by the index of the problem; empty without a file of answers.

        Raises:
            InputError: the file is damaged.
        """
        return {line["problem"]: line["right"] for line in _lines(self.attempts, {"problem": int, "right": bool})}

    def answers(self, wanted: Collection[int]) -> dict[int, dict[str, Any]]:
        """Return the lines of attempts.jsonl for the problems `wanted`, by their index."""
        lines = _lines(self.attempts, {"problem": int, "right": bool, "text": str})
        return {line["problem"]: line for line in lines if line["problem"] in wanted}


@dataclass(frozen=True)
class SuiteFolder:
    """A suite as far as it has run.

    Args:
        name, command, seconds, notes: as suite.json tells.
        cells: in the suite's order.
        problems: test problems of each task, by task slug.
        drawn: problems to draw, by task slug.
    """

    name: str
    command: str
    seconds: float | None
    notes: list[str]
    cells: list[CellResult]
    problems: dict[str, list[Problem]] = field(default_factory=dict)
    drawn: dict[str, list[Drawn]] = field(default_factory=dict)


def slug(text: str) -> str:
    """Return text with only letters, digits and single underscores.

    Example:
        >>> slug("sudoku (size 4, blanks 8)")
        'sudoku_size_4_blanks_8'
    """
    return "_".join("".join(c if c.isalnum() else " " for c in text).split())


def write_suite(folder: Path, about: dict[str, Any]) -> None:
    """Write suite.json; `about` holds suite, command, cells, seconds and notes."""
    write_text(folder / "suite.json", json.dumps(about, indent=1) + "\n")


def write_problems(folder: Path, task_slug: str, problems: Sequence[Problem]) -> None:
    """Write the test problems of a task."""
    lines = [{name: getattr(problem, name) for name in _PROBLEM} for problem in problems]
    _write_lines(folder / "problems" / f"{task_slug}.jsonl", lines)


def read_problems(folder: Path, task_slug: str) -> list[Problem]:
    """Return the test problems of a task, none where they have not been written yet."""
    return list(_problems(folder / "problems" / f"{task_slug}.jsonl"))


def write_drawn(folder: Path, task_slug: str, drawn: Sequence[Drawn]) -> None:
    """Write the problems of a task that are drawn step by step."""
    lines = [
        {
            "problem": each.problem,
            "steps": [
                {"caption": caption, "rows": [[vars(cell) for cell in row] for row in picture.rows], "box": picture.box}
                for caption, picture in zip(each.captions, each.pictures, strict=True)
            ],
        }
        for each in drawn
    ]
    _write_lines(folder / "pictures" / f"{task_slug}.jsonl", lines)


def write_cell(folder: Path, cell: str, task_slug: str, record: Record, attempts: Sequence[Attempt], settings: str = "") -> None:
    """Write a cell's record and answers, and the digest of its settings."""
    own = folder / "cells" / cell
    lines = [{"problem": i} | {name: getattr(attempt, name) for name in _ATTEMPT} for i, attempt in enumerate(attempts)]
    _write_lines(own / "attempts.jsonl", lines)
    write_text(own / "record.json", json.dumps(to_dict(record) | {"task_slug": task_slug, "settings": settings}, indent=1) + "\n")
    (own / "failed.json").unlink(missing_ok=True)


def write_failure(folder: Path, cell: str, **about: Any) -> None:
    """Write why a cell has no record: its error, task_slug, method and seed."""
    write_text(folder / "cells" / cell / "failed.json", json.dumps(about) + "\n")


def _write_lines(file: Path, lines: Sequence[dict[str, Any]]) -> None:
    write_text(file, "".join(json.dumps(line) + "\n" for line in lines))


def read_suite(folder: Path) -> SuiteFolder:
    """Return a suite as far as it has run; a cell whose record is damaged counts as not run, with that reason.

    Raises:
        InputError: suite.json or a task's problems are missing or damaged.
    """
    about = _json(folder / "suite.json")
    slugs = about.get("cells")
    if not isinstance(slugs, list) or not all(isinstance(each, str) for each in slugs):
        raise InputError(f"{folder / 'suite.json'} has no list of cells; run the suite again")
    problems = {file.stem: list(_problems(file)) for file in sorted((folder / "problems").glob("*.jsonl"))}
    drawn = {file.stem: [_drawn(line) for line in _lines(file, {"problem": int, "steps": list})] for file in _pictures(folder)}
    found = [read_cell(folder, each) for each in slugs]
    cells = [cell if cell.record else _placed(cell, found, problems) for cell in found]
    seconds, notes = about.get("seconds"), about.get("notes") or []
    return SuiteFolder(
        str(about.get("suite", folder.name)),
        str(about.get("command", "")),
        float(seconds) if isinstance(seconds, int | float) else None,
        [str(note) for note in notes] if isinstance(notes, list) else [str(notes)],
        cells,
        problems,
        drawn,
    )


def _pictures(folder: Path) -> list[Path]:
    return sorted((folder / "pictures").glob("*.jsonl"))


def _problems(file: Path) -> Iterator[Problem]:
    for line in _lines(file, {"prompt": str, "answer": list}):
        difficulty = line.get("difficulty")
        answer = tuple(str(symbol) for symbol in line["answer"])
        yield Problem(line["prompt"], answer, difficulty=difficulty if isinstance(difficulty, int) else 0)


def _drawn(line: dict[str, Any]) -> Drawn:
    try:
        pictures = tuple(
            Picture(tuple(tuple(PictureCell(**cell) for cell in row) for row in step["rows"]), step["box"] and tuple(step["box"]))
            for step in line["steps"]
        )
        return Drawn(line["problem"], tuple(str(step["caption"]) for step in line["steps"]), pictures)
    except (TypeError, KeyError) as error:
        raise InputError(f"the pictures of problem {line['problem']} are damaged ({error}); run the benchmark again") from None


def read_cell(suite: Path, cell: str) -> CellResult:
    """Return a cell by its files; what a cell without a record is called is left open."""
    folder = suite / "cells" / cell
    record, reason, about = None, NOT_YET, {}
    if (folder / "record.json").exists():
        try:
            about = _json(folder / "record.json")
            names = {each.name for each in fields(Record)}
            record = from_dict(Record, {name: value for name, value in about.items() if name in names}, "record")
        except (InputError, ConfigError) as error:
            reason = f"its record is damaged: {error}"
    elif (folder / "failed.json").exists():
        about = _json(folder / "failed.json")
        reason = str(about.get("error") or "no reason was written down")
    trained = getattr(record, "train_problems", about.get("train_problems"))
    seed = record.seed if record else about.get("seed")
    course = getattr(record, "course", about.get("course")) or ()
    return CellResult(
        folder.name,
        str(about.get("task_slug", "")),
        record.method if record else str(about.get("method", "")),
        seed if isinstance(seed, int) else None,
        trained if isinstance(trained, int) else None,
        record,
        "" if record else reason,
        folder / "attempts.jsonl",
        tuple((float(seconds), float(exact)) for seconds, exact in course),
        str(about.get("settings", "")),
    )


def _placed(cell: CellResult, others: Sequence[CellResult], tasks: Collection[str]) -> CellResult:
    """Return a cell without a record with its task and method, read off its name where its files do not tell.

    A name is made of the task, the method, the number of training problems and the seed.
    """
    match = re.fullmatch(r"(.*?)(?:_(\d+))?_seed_(\d+)", cell.slug)
    name, count, seed = match.groups() if match else (cell.slug, None, None)
    methods = {slug(other.method): other.method for other in others if other.method}
    known = {*tasks, *(other.task_slug for other in others)} - {""}
    task = cell.task_slug or max((each for each in known if name.startswith(f"{each}_")), key=len, default="")
    rest = name[len(task) :].strip("_") if name.startswith(task) else name
    if not task:
        rest = max((each for each in methods if name.endswith(f"_{each}")), key=len, default=name)
        task = name[: -len(rest)].strip("_")
    return CellResult(
        cell.slug,
        task,
        cell.method or methods.get(rest, rest.replace("_", " ")),
        cell.seed if cell.seed is not None else int(seed) if seed else None,
        cell.train_problems if cell.train_problems is not None else int(count) if count else None,
        None,
        cell.reason,
        cell.attempts,
    )


def _json(file: Path) -> dict[str, Any]:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"cannot read {file}: {reason}; give the output folder of a benchmark") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is not JSON ({error}); delete it and run the benchmark again") from None
    if not isinstance(data, dict):
        raise InputError(f"{file} holds a {type(data).__name__}, not an object; delete it and run the benchmark again")
    return data


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
                raise InputError(f"{file}, line {number}, has no {', '.join(wanted)}; delete it and run the benchmark again")
            yield line
