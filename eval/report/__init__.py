"""The report of a benchmark, made of a suite's folder and of nothing else: report.html, report.md with its plots, results.csv.

Files: `entries` (methods, groups and seeds), `verdicts` (who does better), `sentences`, `tables`, `charts`, `browser`
(problems), `visible` (text of models), `pages` (HTML, Markdown, CSV). `python -m hybrid.eval.report FOLDER` makes it anew.
"""

from __future__ import annotations

from pathlib import Path

from hybrid.checkpoint import write_text
from hybrid.eval.report.charts import charts, plot_file
from hybrid.eval.report.entries import tasks_of
from hybrid.eval.report.pages import csv_table, html_page, markdown_report
from hybrid.eval.report.plots import as_file
from hybrid.eval.report.suite_folder import read_suite
from hybrid.eval.report.verdicts import against_all


def write_suite_report(folder: Path) -> None:
    """Write report.html, report.md, its plots and results.csv into a suite's folder, each file whole or not at all.

    The suite need not be finished: what has not run is told.

    Args:
        folder: as suite_folder.py describes it.

    Raises:
        InputError: the folder is not a suite's, or one of its files is damaged.
        StorageError: a file cannot be written.
    """
    suite = read_suite(folder)
    tasks = tasks_of(suite)
    verdicts, drawn = against_all(tasks), {task.slug: charts(task) for task in tasks}
    write_text(folder / "results.csv", csv_table(suite))
    for task in tasks:
        for chart in drawn[task.slug]:
            write_text(folder / plot_file(task, chart), as_file(chart.svg))
    write_text(folder / "report.md", markdown_report(suite, tasks, verdicts, drawn))
    write_text(folder / "report.html", html_page(suite, tasks, verdicts, drawn))
