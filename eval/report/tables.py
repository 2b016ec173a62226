"""The tables of a report as plain rows: the headline, the full figures of a task, what was not run, the environment.

Holds no HTML and no Markdown, which pages.py makes of the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hybrid.eval.report.entries import GROUPS, Entry, Group, TaskResults, all_methods
from hybrid.eval.report.sentences import Verdicts, p_value, times
from hybrid.eval.report.suite_folder import NOT_YET, SuiteFolder
from hybrid.eval.results import exact_text, percent, significant, size

NO_CELL = "not in this suite"

LEAST_FOR_P95 = 20
"""Problems timed one by one under which there is no p95."""

COST_NOTE = (
    "FLOPs are means over the problems, prompt included, with its worked examples, which are read anew for every problem: a "
    "server that keeps them read would save a good part of few-shot prompting's. Seconds are medians of one problem at a time, "
    "of as many as the tables below count as timed: of four texts the first digit tells, no more. Peak memory on a CPU is the "
    "whole process's, with libraries, language model and what earlier cells left in it: the same method may show twice as much "
    "in another place of the run."
)


@dataclass(frozen=True)
class Share:
    """A cell of the headline table.

    Args:
        exact: mean share with its interval; None where nothing was measured.
        told: seeds and problems in words, or why there is no share; empty where its turn has not come.
        best: whether no method of the task has a better share, or none but a solver.
    """

    exact: tuple[float, float, float] | None
    told: str
    best: bool = False

    @property
    def text(self) -> str:
        """The share in percent with its interval, or `not run`."""
        return "not run" if self.exact is None else exact_text(*self.exact)


@dataclass(frozen=True)
class HeadlineRow:
    """A method with a share for each task; `heading` is set on the first row of a group."""

    method: str
    group: Group
    heading: str
    shares: list[Share]


def headline_rows(tasks: Sequence[TaskResults]) -> list[HeadlineRow]:
    """Return a row a method, in the order of the groups."""
    best = [best_methods(task) for task in tasks]
    rows: list[HeadlineRow] = []
    for group, method in all_methods(tasks):
        shares = [_share(task.entry(method), names) for task, names in zip(tasks, best, strict=True)]
        heading = "" if rows and rows[-1].group == group else GROUPS[group]
        rows.append(HeadlineRow(method, group, heading, shares))
    return rows


def best_methods(task: TaskResults) -> set[str]:
    """Return the methods that no other of the task beats, and those that none but a solver beats."""
    found: set[str] = set()
    for entries in (task.measured, [entry for entry in task.measured if entry.group != "solver"]):
        most = max((entry.exact[0] for entry in entries), default=0.0)
        found |= {entry.method for entry in entries if entry.exact[0] == most > 0}
    return found


def _share(entry: Entry | None, best: set[str]) -> Share:
    if entry is None:
        return Share(None, NO_CELL)
    if not entry.cells:
        return Share(None, "; ".join(dict.fromkeys(cell.reason for cell in entry.missing if cell.reason != NOT_YET)))
    return Share(entry.exact, counts(entry), entry.method in best)


def counts(entry: Entry) -> str:
    """Return the seeds and problems of an entry in words, with the seeds that are not there."""
    seeds = len(entry.cells)
    lost = len(entry.missing)
    told = f"{seeds} of {seeds + lost} seeds" if lost else f"{seeds} seed{'s' if seeds > 1 else ''}"
    return f"{told}, n {entry.n:,}"


def cost_rows(tasks: Sequence[TaskResults]) -> list[tuple[str, list[str]]]:
    """Return, for each method that writes text, its FLOPs and seconds a problem as multiples of the hybrid's, task by task."""
    written = [method for group, method in all_methods(tasks) if group in ("text", "tuned text")]
    rows = [(method, [_times(task.entry(method), task.ours) for task in tasks]) for method in written]
    return [(method, cells) for method, cells in rows if any(cells)]


def _times(entry: Entry | None, ours: Entry | None) -> str:
    if entry is None or ours is None or not entry.cells:
        return ""
    costs = (("flops_mean", "FLOPs"), ("latency_p50_seconds", "seconds"))
    known = [(entry.cost(name), ours.mean(name), unit) for name, unit in costs]
    return ", ".join(f"{times(theirs / own)} × {unit}" for theirs, own, unit in known if own and theirs is not None)


@dataclass(frozen=True)
class Column:
    """A column of a task's full table; a row without a figure says so by an empty cell."""

    heading: str
    cell: Callable[[Entry], str]


def _mean(name: str, written: Callable[[float], str] = significant, *, zero: str | None = None) -> Callable[[Entry], str]:
    """Return what writes the mean of a figure over seeds, and `zero`, where it is given, for a mean of 0."""
    return lambda entry: written(entry.mean(name)) if zero is None or entry.mean(name) else zero


def _gflops(entry: Entry) -> str:
    flops = entry.cost("flops_mean")
    return "" if flops is None else significant(flops / 1e9)


def _p95(entry: Entry) -> str:
    timed = [record.timed_problems for record in entry.records]
    return significant(entry.mean("latency_p95_seconds")) if min(timed) >= LEAST_FOR_P95 else ""


def _timed(entry: Entry) -> str:
    timed = min(record.timed_problems for record in entry.records)
    return str(timed) if timed else ""


def _joules(entry: Entry) -> str:
    known = [joules for record in entry.records if (joules := record.energy_joules_mean) is not None]
    return significant(sum(known) / len(known)) if known else ""


_COLUMNS = (
    Column("seeds", lambda entry: str(len(entry.cells))),
    Column("n", lambda entry: f"{entry.n:,}"),
    Column("tokens", _mean("tokens_generated_mean")),
    Column("steps", _mean("reasoner_steps_mean")),
    Column("cut off %", _mean("cut_share", percent, zero="")),
    Column("GFLOPs a problem", _gflops),
    Column("p50 seconds", _mean("latency_p50_seconds")),
    Column("p95 seconds", _p95),
    Column("timed", _timed),
    Column("problems/s", _mean("throughput_per_second")),
    Column("joules a problem", _joules),
    Column("peak memory", _mean("peak_memory_bytes", size)),
    Column("trained weights", _mean("trainable_parameters", lambda value: size(value, ""))),
    Column("training problems", _mean("train_problems", zero="")),
    Column("train seconds", _mean("train_seconds")),
)


def full_columns(task: TaskResults, verdicts: Verdicts) -> list[Column]:
    """Return the columns that a task's methods need after method and exact share; empty ones are left out."""

    def against(entry: Entry) -> str:
        verdict = verdicts.get((task.slug, entry.method))
        if verdict is None or not verdict.n:
            return ""
        return f"{p_value(verdict.p)} ({verdict.only_first}:{verdict.only_second} of {verdict.n})"

    ours = task.ours.method if task.ours else ""
    columns = [*_COLUMNS[:2], Column(f"{ours} against it", against), *_COLUMNS[2:]]
    return [column for column in columns if any(column.cell(entry) for entry in task.measured)]


@dataclass(frozen=True)
class NotRun:
    """Cells without a record for one reason: how many, and which, a line a task."""

    reason: str
    count: int
    lines: list[str]


def not_run(suite: SuiteFolder) -> list[NotRun]:
    """Return the cells without a record by their reason."""
    missing = [cell for cell in suite.cells if not cell.record]
    most = {task: max(cell.num_train for cell in suite.cells if cell.task == task) for task in {cell.task for cell in missing}}
    reasons: dict[str, dict[str, dict[str, list[str]]]] = {}
    for cell in missing:
        few = "" if cell.num_train == most[cell.task] else f", {cell.num_train:,} training problems"
        methods = reasons.setdefault(cell.reason, {}).setdefault(cell.task, {})
        methods.setdefault(f"{cell.method}{few}", []).append(str(cell.seed))
    return [
        NotRun(reason, sum(cell.reason == reason for cell in missing), [_called(*each) for each in tasks.items()])
        for reason, tasks in reasons.items()
    ]


def _called(task: str, methods: dict[str, list[str]]) -> str:
    seeded = [f"{method}, seed{'s' * (len(seeds) > 1)} {', '.join(seeds)}" for method, seeds in methods.items()]
    return f"{task}: {'; '.join(seeded)}"


def environment(suite: SuiteFolder) -> list[tuple[str, str]]:
    """Return backbone, device and versions of all records, each with every value that it had."""
    found: dict[str, list[str]] = {}
    for record in (cell.record for cell in suite.cells if cell.record):
        for name, value in ({"backbone": record.backbone, "device": record.device} | record.versions).items():
            if value not in found.setdefault(name, []):
                found[name].append(value)
    return [(name, "; ".join(values)) for name, values in found.items()]
