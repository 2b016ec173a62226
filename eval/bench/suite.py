"""A suite: many methods on many tasks, each a cell that is trained, measured and written down by itself.

Holds the cell, and the runner that goes on at the first cell without a record. Which cells there are is suites.py's,
what a method does is baselines/, how one is measured is benchmark.py's, what is made of it all is report/'s.
The files are suite_folder.py's; a cell also keeps what was trained, in its `fit`.
"""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from hybrid.backbone import Backbone
from hybrid.backbone.fingerprint import precision
from hybrid.device import usual_device
from hybrid.errors import HybridError, InputError
from hybrid.eval.baselines import METHODS, Budget, Prompting, Trained
from hybrid.eval.bench.benchmark import measure
from hybrid.eval.bench.comparison import DEPTH, drawn, longest, task_name
from hybrid.eval.engines import Engine
from hybrid.eval.report.suite_folder import (
    NOT_YET,
    Planned,
    failed_since,
    read_about,
    read_cell,
    read_problems,
    read_suite,
    slug,
    write_cell,
    write_drawn,
    write_failure,
    write_problems,
    write_suite,
)
from hybrid.eval.results import Record
from hybrid.eval.tasks import TASKS
from hybrid.eval.tasks.task import Split
from hybrid.kinds import digests
from hybrid.problem import Problem
from hybrid.train.run.folder import claimed

COUNTED = (
    "Seconds of training include the language model's reading of the training problems, which a head does once; evaluations on "
    "the dev split and saving are not counted."
)

NUM_DRAWN = 3
"""Problems of each task that the report draws step by step."""


@dataclass(frozen=True)
class Cell:
    """One method on one task with one seed.

    Args:
        task: config of the task.
        name: of the method, as it stands in tables.
        method: config of the method.
        seed: of its training.
        num_train, num_dev: problems that it may learn from and choose on.
        num_test: problems that it is tested on: the first ones of the test split.
        num_latency: of these, evenly spread, answered one by one for the seconds.
        fitted_as: name of the method whose training this cell shares; None for a training of its own.
    """

    task: Any
    name: str
    method: Any
    seed: int = 0
    num_train: int = 2000
    num_dev: int = 200
    num_test: int = 500
    num_latency: int = 20
    fitted_as: str | None = None

    @property
    def task_slug(self) -> str:
        """The task's name as a file's."""
        return slug(task_name(TASKS.build(self.task)))

    @property
    def slug(self) -> str:
        """The cell's folder."""
        return self._slug(self.name)

    @property
    def fit_slug(self) -> str:
        """The folder of the cell whose training is used."""
        return self._slug(self.fitted_as or self.name)

    @property
    def planned(self) -> Planned:
        """The cell as suite.json names it."""
        return Planned(self.slug, task_name(TASKS.build(self.task)), self.name, self.num_train, self.seed)

    @property
    def digest(self) -> str:
        """Twelve hex digits that tell these settings from others; fields at their defaults do not count."""
        return digests(self)[0]

    def _slug(self, name: str) -> str:
        return slug(f"{self.task_slug} {name} {self.num_train} seed {self.seed}")


@dataclass(frozen=True)
class Suite:
    """What is run.

    Args:
        name: as it is asked for.
        cells: in the order in which they run.
        seconds: of training for every method that trains, the same for all.
        notes: sentences for the report, on what is not run and why.
    """

    name: str
    cells: Sequence[Cell]
    seconds: float
    notes: Sequence[str] = field(default=())


def run_suite(
    suite: Suite,
    backbone: Backbone,
    output: Path,
    *,
    command: str,
    engine: Engine | None = None,
    only: str = "",
    say: Callable[[str], None] = print,
    report: Callable[[Path], None] = lambda folder: None,
) -> list[Record]:
    """Run the cells that have no record in `output` yet, and return all records that there are.

    A cell that fails is noted and passed over; the same call again tries it once more. Several processes may run the same
    suite in one folder: each takes the next cell that none of the others is at.

    Args:
        suite: what is run.
        backbone: the language model of all methods.
        output: folder of the suite.
        command: how the run was started, for the report.
        engine: writes the prompted methods' text; None for the backbone itself.
        only: run no cells but those with this in their name.
        say: gets progress lines.
        report: called with the folder after every cell.
    """
    chosen = [cell for cell in suite.cells if only in cell.slug]
    if not chosen:
        raise InputError(f'no cell of the suite {suite.name} has "{only}" in its name; the first is {suite.cells[0].slug}')
    _check_settings(suite.cells, output)
    open_suite(suite, output, command, backbone, engine)
    backbone.to(usual_device())
    began, left = time.time(), list(chosen)

    def told() -> None:
        # Another process may have written a list of its own seeds meanwhile.
        open_suite(suite, output, command, backbone, engine)
        report(output)

    while left:
        taken = []
        for cell in left:
            with claimed(output / "cells" / cell.fit_slug) as mine:
                if not mine:
                    continue
                taken.append(cell)
                if read_cell(output, cell.planned).record is None and not failed_since(output, cell.slug, began):
                    where = f"{chosen.index(cell) + 1} of {len(chosen)}: {cell.task_slug}"
                    say(f"{where}, {cell.name}, {cell.num_train:,} training problems, seed {cell.seed}")
                    _noted(cell, backbone, output, suite.seconds, engine, say)
                    gc.collect()
                    told()
        left = [cell for cell in left if cell not in taken]
        if left and not taken:
            say(f"{len(left)} cells are left to the other processes that work in {output}")
            break
    told()
    return [cell.record for cell in read_suite(output).cells if cell.record is not None]


def _noted(
    cell: Cell, backbone: Backbone, output: Path, seconds: float, engine: Engine | None, say: Callable[[str], None]
) -> None:
    """Run a cell, and write down why where it fails."""
    try:
        record = run_cell(cell, backbone, output, seconds, engine=engine, say=say)
    except Exception as error:  # Whatever stops one method must not stop the others.
        reason = str(error) if isinstance(error, HybridError) else f"{type(error).__name__}: {error}"
        write_failure(output, cell.slug, reason)
        say(f"  not run: {reason}")
        torch.cuda.empty_cache()
    else:
        say(f"  {100 * record.exact:.1f}% of {record.n}")


def open_suite(suite: Suite, output: Path, command: str, backbone: Backbone, engine: Engine | None = None) -> None:
    """Write down what the suite is; refuse a folder that holds another one, or one of other language models.

    Cells that have run stay in the list, whichever seeds are asked for now.

    Raises:
        InputError: `output` holds another suite, or the same with other tasks, training seconds, backbone or engine.
    """
    about = {
        "suite": suite.name,
        "seconds": suite.seconds,
        "backbone": f"{backbone.name} {precision(backbone.fingerprint)} {backbone.fingerprint['weights'][:12]}",
        "engine": engine.identity if engine is not None else backbone.name,
    }
    file, planned = output / "suite.json", [cell.planned for cell in suite.cells]
    if file.exists():
        known = read_about(output)
        differs = [f"{name} {known.get(name)}" for name in about if known.get(name) != about[name]]
        if differs:
            raise InputError(f"{output} holds a suite with {', '.join(differs)}; give another --output")
        before = read_suite(output).cells if known.get("cells") else []
        lost = {cell.task for cell in before} - {cell.task for cell in planned}
        if lost:
            raise InputError(f"{output} holds a suite with the task {sorted(lost)[0]}; give another --output")
        # Cells of other seeds that have run, or failed, stay in the report.
        slugs = {cell.slug for cell in planned}
        planned += [cell for cell in before if cell.slug not in slugs and cell.reason != NOT_YET]
    write_suite(output, about | {"command": command, "notes": [COUNTED, *suite.notes]}, planned)


def _check_settings(cells: Sequence[Cell], output: Path) -> None:
    """Refuse a folder where one of `cells` was run with other settings; figures of both in one table would mislead."""
    other = [cell.slug for cell in cells if read_cell(output, cell.planned).settings not in ("", *digests(cell))]
    if other:
        raise InputError(
            f"{len(other)} cells in {output / 'cells'} were run with other settings than they have now, the first is {other[0]}; "
            "delete their folders to run them anew, or give another --output"
        )


def _check_unanswered(cell: Cell, output: Path) -> None:
    """Refuse other test problems than those that cells of the task have answered."""
    if any(other.record and other.task_slug == cell.task_slug for other in read_suite(output).cells):
        raise InputError(
            f"{output} holds answers to other test problems of {task_name(TASKS.build(cell.task))} than this task makes now: its "
            "data or its version has changed; give another --output"
        )


def run_cell(
    cell: Cell,
    backbone: Backbone,
    output: Path,
    seconds: float,
    *,
    engine: Engine | None = None,
    say: Callable[[str], None] = print,
) -> Record:
    """Prepare the method of `cell` within `seconds` of training, test it, write its answers and its record."""
    began = time.monotonic()
    task, settings = TASKS.build(cell.task), json.dumps(TASKS.to_dict(cell.task))
    test = task.problems("test", cell.num_test)
    known = [(problem.prompt, problem.answer) for problem in read_problems(output, cell.task_slug)]
    wanted = [(problem.prompt, tuple(map(str, problem.answer))) for problem in test]
    if known[: len(test)] != wanted[: len(known)]:
        _check_unanswered(cell, output)
    if known[: len(test)] != wanted:
        write_problems(output, cell.task_slug, test)
    prompted = issubclass(METHODS[METHODS.name_of(cell.method)], Prompting)
    method = METHODS.build(cell.method, backbone, task, *([engine] if prompted and engine is not None else []))
    training, dev = _made(settings, "train", cell.num_train), _made(settings, "dev", cell.num_dev)
    method.fit(training, dev, output / "cells" / cell.fit_slug / "fit", Budget(seconds, cell.seed))
    say(f"  trained {method.train_seconds:.0f} s; {time.monotonic() - began:.0f} s in all")
    about: dict[str, Any] = {"task_name": task_name(task), "split": "test", "seed": cell.seed, "backbone": backbone}
    measured = measure(method, test, **about, num_latency=cell.num_latency, depth=DEPTH)
    writer = method.engine.model if isinstance(method, Prompting) else ""
    writes = writer or measured.record.backbone
    record = replace(measured.record, method=cell.name, backbone=writes, course=method.course)
    if isinstance(method, Trained) and method.recursive:
        places = longest([measured], NUM_DRAWN, len(test))
        write_drawn(output, cell.slug, [drawn(method.head.model, task, test[i], i) for i in places])
    write_cell(output, cell.slug, record, measured.attempts, settings=cell.digest, notes=method.notes())
    return record


@lru_cache(maxsize=8)
def _made(settings: str, split: Split, count: int) -> tuple[Problem, ...]:
    """Return problems of a task, made once for all its cells: 50,000 hard Sudokus take ten minutes."""
    return tuple(TASKS.build(TASKS.from_dict(json.loads(settings))).problems(split, count))
