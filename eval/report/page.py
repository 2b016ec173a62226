"""The HTML page of a suite: one file that needs nothing from outside and runs no script.

Holds the filling of page.html.jinja; figures, words and plots come from the files beside this one. All text is escaped by
the template and made visible first, but for plots and pictures, which are drawn here.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from hybrid.eval.drawing import DARK, SERIES
from hybrid.eval.report.browser import FILTERS, browse
from hybrid.eval.report.charts import Charts
from hybrid.eval.report.entries import TaskResults, series_number
from hybrid.eval.report.sentences import (
    SEEDS_NOTE,
    Verdicts,
    findings,
    headline,
    on_depth,
    task_headline,
    what_controls_say,
    who_wins,
)
from hybrid.eval.report.tables import (
    COST_NOTE,
    best_methods,
    cost_rows,
    environment,
    exact_text,
    full_columns,
    headline_rows,
    not_run,
)
from hybrid.eval.report.visible import visible
from hybrid.eval.suite_folder import SuiteFolder


def html_page(suite: SuiteFolder, tasks: Sequence[TaskResults], verdicts: Verdicts, drawn: Charts) -> str:
    """Return the page of a suite."""
    from jinja2 import Environment, StrictUndefined

    shapes = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_shown)
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


def _shown(value: Any) -> Any:
    """Make text visible; what is marked as HTML (plots, pictures) is left as it is."""
    return visible(value) if type(value) is str else value


def _section(task: TaskResults, verdicts: Verdicts) -> dict[str, Any]:
    columns, best = full_columns(task, verdicts), best_methods(task)
    return {
        "name": task.name,
        "headline": task_headline(task),
        "findings": findings(task, verdicts),
        "headings": [column.heading for column in columns],
        "rows": [
            {
                "method": entry.method,
                "series": series_number(entry.group),
                "best": entry.method in best,
                "ours": entry is task.ours,
                "exact": exact_text(entry),
                "interval": [100 * share for share in (entry.exact[1], entry.exact[0], entry.exact[2])],
                "cells": [column.cell(entry) for column in columns],
            }
            for entry in task.measured
        ],
        "depth": list(on_depth(task)),
        "browser": browse(task),
    }
