"""The plots of one task: what is drawn of it, with a caption and the same figures as a table.

Holds the choice of methods and the binning; drawing is plots.py's.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from hybrid.eval.measures.intervals import mean_interval, wilson
from hybrid.eval.report.entries import GROUPS, Entry, TaskResults, series_number
from hybrid.eval.report.plots import COSTS, Along, Cost, Line, Mark, Share, accuracy_by_cost, accuracy_lines, pareto_front
from hybrid.eval.report.suite_folder import slug
from hybrid.eval.report.visible import visible
from hybrid.eval.results import percent, significant

MOST_LINES = 8
MOST_BINS = 6
MOST_LABELS = 10
NAME_LENGTH = 26


@dataclass(frozen=True)
class Chart:
    """A plot and what stands beside it.

    Args:
        title, caption: in words.
        svg: the drawing.
        head, rows: the same figures as a table.
    """

    title: str
    caption: str
    svg: str
    head: list[str]
    rows: list[list[str]]


Charts = Mapping[str, Sequence[Chart]]
"""The plots of each task, by its slug."""


def plot_file(task: TaskResults, chart: Chart) -> str:
    """Return where a plot lies in a suite's folder."""
    return f"plots/{task.slug}/{slug(chart.title)}.svg"


def charts(task: TaskResults) -> list[Chart]:
    """Return the plots for which the task has figures."""
    makers: tuple[Callable[[TaskResults], Chart | None], ...] = (by_step, by_difficulty, by_training_size, by_training_seconds)
    drawn = [chart for maker in makers if (chart := maker(task)) is not None]
    if task.measured:
        drawn += [by_cost(task, "flops_mean"), by_cost(task, "latency_p50_seconds")]
    return drawn


def by_step(task: TaskResults) -> Chart | None:
    """Accuracy by supervision step, for methods that take steps."""
    found = {}
    for entry in task.measured:
        if entry.by_step:
            found[entry.method] = [Share(step, *mean_interval(own, entry.n)) for step, own in enumerate(entry.by_step, 1)]
    kept = [step for step in _places(found) if round(step).bit_count() == 1]
    return _lines(task, found, "step", "Accuracy by supervision step", "after step", _interval_words(task), only=kept)


def by_difficulty(task: TaskResults) -> Chart | None:
    """Accuracy by the task's own count of difficulty; near ones together where there are many."""
    bins = _bins([problem.difficulty for problem in task.problems])
    if len(bins) < 2:
        return None
    found = {}
    for entry in _leaders(task):
        shares = []
        for levels in bins:
            own = [
                share for i, share in entry.shares().items() if i < len(task.problems) and task.problems[i].difficulty in levels
            ]
            if own:
                mean, (low, high) = fmean(own), wilson(round(sum(own)), len(own))
                shares.append(Share(fmean(levels), mean, min(mean, low), max(mean, high)))
        if shares:
            found[entry.method] = shares
    names = {fmean(levels): f"{levels[0]}" if len(levels) == 1 else f"{levels[0]}–{levels[-1]}" for levels in bins}
    note = "Bands are Wilson 95% intervals over the problems of a level. Of each group of methods the best one is drawn."
    return _lines(task, found, "difficulty", "Accuracy by difficulty", "difficulty", note, named=names)


def by_training_size(task: TaskResults) -> Chart | None:
    """Accuracy by the number of training problems, for methods that were trained with several."""
    found = {}
    for entry in (entry for entry in task.measured if entry.smaller):
        cells = [*entry.smaller, *entry.cells]
        sizes = sorted({cell.num_train for cell in cells})
        records = {size: [c.record for c in cells if c.record and c.num_train == size] for size in sizes}
        found[entry.method] = [
            Share(
                fmean(record.train_problems or size for record in own),  # Those that it had the time to read.
                *mean_interval([record.exact for record in own], min(record.n for record in own)),
            )
            for size, own in records.items()
        ]
    found = {method: shares for method, shares in found.items() if len(shares) > 1}
    note = _interval_words(task) + " Every point had the same training seconds; problems count that were read in them."
    return _lines(task, found, "training problems", "Accuracy by training set size", "training problems", note)


def by_training_seconds(task: TaskResults) -> Chart | None:
    """Accuracy on the dev split while training."""
    lines, rows = [], []
    for entry, place in _placed(task):
        for cell in entry.cells:
            course = cell.course
            if len(course) > 1:
                shares = tuple(Share(seconds, exact, exact, exact) for seconds, exact in course)
                lines.append(Line(_label(entry.method), shares, series_number(entry.group), place))
                seconds = next((at for at, exact in course if exact >= 0.95 * max(e for _, e in course)), 0.0)
                figures = [significant(course[-1][0]), percent(max(e for _, e in course)), significant(seconds)]
                rows.append([entry.method, str(cell.seed), *figures])
    if not lines:
        return None
    known, first = list(dict.fromkeys(line.name for line in lines)), [_label(e.method) for e in _leaders(task)]
    names = [*(name for name in first if name in known), *(name for name in known if name not in first)][:MOST_LINES]
    head = ["method", "seed", "training seconds", "best dev exact %", "seconds to 95% of it"]
    note = "Exact answers on the dev split, one line a seed; the test split is not looked at while training."
    svg = accuracy_lines(tuple(line for line in lines if line.name in names), "training seconds")
    return Chart("Accuracy by training seconds", note + _left_out(len(names), len(known)), svg, head, rows)


def by_cost(task: TaskResults, cost: Cost) -> Chart:
    """Accuracy against FLOPs or seconds, with the Pareto front."""
    marks = {}
    for entry, place in _placed(task):
        mean = entry.cost(cost)
        if mean is not None:
            marks[entry.method] = Mark(_label(entry.method), mean, *entry.exact, series_number(entry.group), place)
    front = pareto_front([marks[e.method] for e in task.measured if e.group != "solver" and e.method in marks])
    leaders = [entry.method for entry in _leaders(task)]
    ranked = sorted(marks, key=lambda method: (marks[method] not in front, method not in leaders, -marks[method].exact))
    marks = {method: replace(mark, labelled=method in ranked[:MOST_LABELS]) for method, mark in marks.items()}
    names = {mark.name for mark in front}
    title = "Accuracy against FLOPs" if cost == "flops_mean" else "Accuracy against seconds"
    hollow = " A hollow mark costs nothing that was counted." if any(not mark.cost for mark in marks.values()) else ""
    named = ", ".join(mark.name for mark in front)
    note = (
        f"Up and to the left is better; bars are 95% intervals. Dashed: the front of all but solvers: {named or 'none'}.{hollow}"
    )
    order = sorted(marks.items(), key=lambda pair: pair[1].cost)
    rows = [[method, significant(mark.cost), percent(mark.exact), "yes" if mark.name in names else ""] for method, mark in order]
    svg = accuracy_by_cost(tuple(marks.values()), cost, tuple(front))
    return Chart(title, note, svg, ["method", COSTS[cost][0], "exact %", "on the front"], rows)


def _label(method: str) -> str:
    """Return a method's name as it stands in a plot; its full name is in the table beside it."""
    name = " ".join(visible(method[: 4 * NAME_LENGTH]).split())
    return name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 1]}…"


def _placed(task: TaskResults) -> list[tuple[Entry, int]]:
    """Return the measured entries, each with its place in its group."""
    counted = {group: itertools.count() for group in GROUPS}
    return [(entry, next(counted[entry.group])) for entry in task.measured]


def _leaders(task: TaskResults) -> list[Entry]:
    """Return the hybrid, the best chain of thought, and the best of each group."""
    best = [
        max((e for e in task.measured if e.group == group), key=lambda entry: entry.exact[0])
        for group in dict.fromkeys(entry.group for entry in task.measured)
    ]
    chosen = [entry.method for entry in (task.ours, task.chain, *best) if entry is not None]
    return [entry for entry in task.measured if entry.method in chosen]


def _bins(difficulties: Sequence[int]) -> list[list[int]]:
    """Return levels of difficulty, neighbours together so that there are at most MOST_BINS of about equally many problems."""
    levels = sorted(set(difficulties))
    if len(levels) <= MOST_BINS:
        return [[level] for level in levels]
    bins: list[list[int]] = [[]]
    filled = 0
    for level in levels:
        if bins[-1] and filled >= len(bins) * len(difficulties) / MOST_BINS:
            bins.append([])
        bins[-1].append(level)
        filled += sum(difficulty == level for difficulty in difficulties)
    return bins


def _places(found: Mapping[str, Sequence[Share]]) -> list[float]:
    return sorted({share.x for shares in found.values() for share in shares})


def _lines(
    task: TaskResults,
    found: Mapping[str, Sequence[Share]],
    along: Along,
    title: str,
    heading: str,
    caption: str,
    *,
    named: Mapping[float, str] | None = None,
    only: Sequence[float] | None = None,
) -> Chart | None:
    """Return a chart of one line a method; the table has the places `only`, written as `named`."""
    if not found:
        return None
    places = {entry.method: (entry, place) for entry, place in _placed(task)}
    drawn = list(found)[:MOST_LINES]
    lines = [
        Line(_label(method), tuple(found[method]), series_number(places[method][0].group), places[method][1]) for method in drawn
    ]
    columns = _places(found) if only is None else list(only)
    head = [f"method, {heading}", *((named or {}).get(place, f"{place:,.0f}") for place in columns)]
    rows = []
    for method, shares in found.items():
        known = {share.x: share for share in shares}
        rows.append([method, *(percent(known[place].exact) if place in known else "" for place in columns)])
    return Chart(title, caption + _left_out(len(drawn), len(found)), accuracy_lines(tuple(lines), along), head, rows)


def _left_out(drawn: int, known: int) -> str:
    return f" Drawn are {drawn} of {known} methods; the table has all." if drawn < known else ""


def _interval_words(task: TaskResults) -> str:
    several = any(len(entry.cells) > 1 for entry in task.measured)
    kind = "Student's over seeds together with that of the problems" if several else "Wilson's over problems"
    return f"Bands are 95% intervals: {kind}."
