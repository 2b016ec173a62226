"""A suite's report as an HTML page and as Markdown, and its figures as a table for other programs.

The page is one file that needs nothing from outside and runs no script; page.html.jinja is filled here. All text is escaped
and made visible first, but for plots and pictures, which are drawn here. Figures and words come from the files beside this
one.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import fields
from importlib.resources import files
from typing import Any

from hybrid.eval.report.browser import FILTERS, browse
from hybrid.eval.report.charts import Chart, Charts, plot_file
from hybrid.eval.report.entries import TaskResults, group_of, series_number
from hybrid.eval.report.plots import DARK, SERIES
from hybrid.eval.report.sentences import (
    SEEDS_NOTE,
    Finding,
    Point,
    Verdicts,
    findings,
    headline,
    on_depth,
    task_headline,
    what_controls_say,
    who_wins,
)
from hybrid.eval.report.suite_folder import SuiteFolder
from hybrid.eval.report.tables import COST_NOTE, Share, best_methods, cost_rows, environment, full_columns, headline_rows, not_run
from hybrid.eval.report.visible import cut, visible
from hybrid.eval.results import Record, as_markdown, exact_text

_CELL_LENGTH = 300


def markdown_report(suite: SuiteFolder, tasks: Sequence[TaskResults], verdicts: Verdicts, drawn: Charts) -> str:
    """Return the report without problems to browse; its plots are the files that charts.plot_file names."""
    parts = [f"# {_escaped(suite.name)}", _escaped(headline(tasks, verdicts)), "## Exact answers, percent (95% interval)"]
    parts += [_headline_table(tasks)] if tasks else []
    parts.append("Bold: no method of the task has more exact answers, or none but a solver.")
    parts += _cost(tasks)
    parts += _findings("Who wins", who_wins(tasks, verdicts))
    parts += _findings("What the controls say", what_controls_say(tasks, verdicts))
    for task in tasks:
        if task.measured:
            said = [*findings(task, verdicts), *on_depth(task)]
            parts += [f"## {_escaped(task.name)}", *([_escaped(task.settings)] if task.settings else [])]
            parts += [_task_table(task, verdicts), *([_listed(said)] if said else [])]
            parts += [_picture(task, chart) for chart in drawn[task.slug]]
    missing = [f"{line} ({each.reason})" for each in not_run(suite) for line in each.lines]
    parts += ["## Not run", _listed([*missing, *suite.notes])] if missing or suite.notes else []
    parts += ["## How this was run", f"    {visible(suite.command)}".replace("\n", "\n    ")]
    parts += [f"{suite.seconds:,.0f} seconds of training for each method that trains."] if suite.seconds else []
    parts += [_listed([f"{name}: {value}" for name, value in environment(suite)])] if environment(suite) else []
    return "\n\n".join(parts) + "\n"


def _headline_table(tasks: Sequence[TaskResults]) -> str:
    head = ["method", *(_escaped(task.name) for task in tasks)]
    rows: list[list[str]] = []
    for row in headline_rows(tasks):
        rows += [[f"**{row.heading}**", *("" for _ in tasks)]] if row.heading else []
        rows.append([_escaped(row.method), *map(_share, row.shares)])
    return as_markdown(head, rows)


def _share(share: Share) -> str:
    text = f"**{share.text}**" if share.best else share.text
    return f"{text}, {_escaped(cut(share.told, _CELL_LENGTH))}" if share.told else text


def _cost(tasks: Sequence[TaskResults]) -> list[str]:
    rows = [[_escaped(method), *cells] for method, cells in cost_rows(tasks)]
    table = as_markdown(["method", *(_escaped(task.name) for task in tasks)], rows)
    return ["## Cost of a problem, as multiples of the hybrid's", table, COST_NOTE] if rows else []


def _task_table(task: TaskResults, verdicts: Verdicts) -> str:
    columns, best = full_columns(task, verdicts), best_methods(task)
    head = ["method", "exact % (95%)", *(_escaped(column.heading) for column in columns)]
    rows = []
    for entry in task.measured:
        exact, cells = exact_text(*entry.exact), [_escaped(column.cell(entry)) for column in columns]
        rows.append([_escaped(entry.method), f"**{exact}**" if entry.method in best else exact, *cells])
    return as_markdown(head, rows)


def _picture(task: TaskResults, chart: Chart) -> str:
    return f"![{_escaped(chart.title)}]({plot_file(task, chart)})\n\n{_escaped(chart.caption)}"


def _findings(title: str, found: Sequence[Finding]) -> list[str]:
    parts = [part for finding in found for part in (f"### {finding.title}", "\n".join(map(_point, finding.points)))]
    return [f"## {title}", SEEDS_NOTE, *parts] if parts else []


def _point(point: Point) -> str:
    return "\n".join([f"- {_escaped(point.sentence)}", *(f"  - {_escaped(detail)}" for detail in point.details)])


def _listed(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {_escaped(sentence)}" for sentence in sentences)


def _escaped(text: str) -> str:
    """Return text as one line in which nothing is Markdown or HTML."""
    line = " ".join(visible(text).split())
    return re.sub(r"([\\`*_{}\[\]<>|~#$])", r"\\\1", line).replace("&", "&amp;")


def csv_table(suite: SuiteFolder) -> str:
    """Return a row a cell: every field of its record, its group, and why there is no record.

    Lists are JSON. A text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    names = [each.name for each in fields(Record)]
    file = io.StringIO(newline="")
    table = csv.writer(file, lineterminator="\n")
    table.writerow(["cell", "task_slug", "group", *names, "not_run"])
    for cell in suite.cells:
        known = {"task": cell.task, "method": cell.method, "seed": cell.seed, "train_problems": cell.num_train}
        values = [getattr(cell.record, name) if cell.record else known.get(name) for name in names]
        row = [cell.slug, cell.task_slug, group_of(cell.method, cell.record), *values, cell.reason]
        table.writerow([_plain(value) for value in row])
    return file.getvalue()


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        text = visible(value)
        return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t")) else text
    return json.dumps(value) if isinstance(value, list | dict) else value


def html_page(suite: SuiteFolder, tasks: Sequence[TaskResults], verdicts: Verdicts, drawn: Charts) -> str:
    """Return the page of a suite."""
    from jinja2 import Environment, StrictUndefined

    shapes = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_visible)
    page = shapes.from_string(_file("page.html.jinja")).render(
        suite=suite,
        headline=headline(tasks, verdicts),
        tasks=tasks,
        rows=headline_rows(tasks),
        series=series_number,
        costs=cost_rows(tasks),
        cost_note=COST_NOTE,
        seeds_note=SEEDS_NOTE,
        wins=who_wins(tasks, verdicts),
        controls=what_controls_say(tasks, verdicts),
        sections=[_section(task, verdicts) | {"charts": drawn[task.slug]} for task in tasks if task.measured],
        filters=FILTERS,
        not_run=not_run(suite),
        environment=environment(suite),
        light=SERIES,
        dark=DARK,
        style=_file("style.css"),
    )
    return f"{page.lstrip()}\n"


def _file(name: str) -> str:
    return files("hybrid.eval.report").joinpath(name).read_text(encoding="utf-8")


def _visible(value: Any) -> Any:
    """Make text visible; what is marked as HTML (plots, pictures) is left as it is."""
    return visible(value) if type(value) is str else value


def _section(task: TaskResults, verdicts: Verdicts) -> dict[str, Any]:
    columns, best = full_columns(task, verdicts), best_methods(task)
    return {
        "name": task.name,
        "settings": task.settings,
        "headline": task_headline(task),
        "findings": findings(task, verdicts),
        "headings": [column.heading for column in columns],
        "rows": [
            {
                "method": entry.method,
                "series": series_number(entry.group),
                "best": entry.method in best,
                "ours": entry is task.ours,
                "exact": exact_text(*entry.exact),
                "interval": [100 * share for share in (entry.exact[1], entry.exact[0], entry.exact[2])],
                "cells": [column.cell(entry) for column in columns],
            }
            for entry in task.measured
        ],
        "depth": list(on_depth(task)),
        "browser": browse(task),
    }
