"""Studies as Markdown tables: one figure a variant, accuracy by step, halting, seconds to a goal.

Shares are means over seeds. Which cells there are is studies.py's, what was measured of them study.py's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from hybrid.eval.intervals import mean_interval
from hybrid.eval.results import as_markdown, percent
from hybrid.eval.study import Result

GOAL = 0.95
"""Share of right dev answers whose time the recipes are compared by."""


def table(results: Sequence[Result]) -> str:
    """Return the results as a Markdown table: a row a variant, exact share at N by task, mean over seeds.

    Intervals are those of `mean_interval`: over seeds and problems where there are several seeds, else Wilson's over problems.
    """
    tasks = list(dict.fromkeys(result.task for result in results))
    lines = [["variant", *(f"{task}: exact % (95%)" for task in tasks), "seeds", "optimizer steps"]]
    for variant in dict.fromkeys(result.variant for result in results):
        rows = {task: [r for r in results if (r.task, r.variant) == (task, variant)] for task in tasks}
        counts, steps = (", ".join(str(figure(rows[task])) for task in tasks) for figure in (len, _mean_steps))
        lines.append([variant, *(_share(rows[task]) for task in tasks), counts, steps])
    return as_markdown(lines[0], lines[1:])


def _share(results: Sequence[Result]) -> str:
    if not results:
        return "not run"
    mean, low, high = mean_interval([result.exact for result in results], results[0].n)
    return f"{percent(mean)} ({percent(low)}–{percent(high)})"


def _mean_steps(results: Sequence[Result]) -> str:
    return f"{math.fsum(result.steps for result in results) / len(results):,.0f}" if results else "-"


def depth_table(results: Sequence[Result]) -> str:
    """Return exact match after 1, 2, 4, ... steps: a row a task, one more for each noisy search; N is the trained depth."""
    steps = [2**power for power in range(min(len(result.exact_by_step) for result in results).bit_length())]
    lines = [["task", "search", "N", "seeds", *(f"after {step}" for step in steps)]]
    for task, rows in _by_task(results):
        ways = {"none": [row.exact_by_step for row in rows]}
        ways |= {name: [row.search[name] for row in rows] for name in rows[0].search}
        for name, curves in ways.items():
            shares = [percent(math.fsum(curve[step - 1] for curve in curves) / len(curves)) for step in steps]
            lines.append([task, name, str(rows[0].num_supervision_steps), str(len(rows)), *shares])
    return as_markdown(lines[0], lines[1:])


def halting_table(results: Sequence[Result]) -> str:
    """Return exact match and mean steps of every halting rule, a row a task, beside those of all N steps."""
    names = list(results[0].halting)
    lines = [["task", "seeds", "all N steps: exact %", *(f"{name}: exact %, steps" for name in names)]]
    for task, rows in _by_task(results):
        whole = f"{percent(math.fsum(row.exact for row in rows) / len(rows))}, {rows[0].num_supervision_steps}"
        pairs = [[math.fsum(row.halting[name][k] for row in rows) / len(rows) for k in (0, 1)] for name in names]
        lines.append([task, str(len(rows)), whole, *(f"{percent(exact)}, {steps:.2f}" for exact, steps in pairs)])
    return as_markdown(lines[0], lines[1:])


def recipe_table(results: Sequence[Result]) -> str:
    """Return the training seconds after which GOAL of the dev split was first right, a row a cell."""
    lines = [["recipe", "seed", f"seconds to {percent(GOAL)}% of dev", "seconds in all", "optimizer steps", "test exact %"]]
    for result in results:
        reached = next((seconds for seconds, exact in result.course if exact >= GOAL), None)
        found = "not reached" if reached is None else f"{reached:.0f}"
        figures = [f"{result.seconds:.0f}", f"{result.steps:,}", percent(result.exact)]
        lines.append([result.variant, str(result.seed), found, *figures])
    return as_markdown(lines[0], lines[1:])


def difficulty_table(results: Sequence[Result]) -> str:
    """Return exact match after 1, 2, 4, ... cycles by the test problems' difficulty, a row a variant and count."""
    levels = list(dict.fromkeys(level for result in results for level in result.by_difficulty))
    lines = [["variant", "seeds", "cycles", *(f"difficulty {level}: exact %" for level in levels)]]
    for variant in dict.fromkeys(result.variant for result in results):
        own = [result for result in results if result.variant == variant]
        deepest = len(own[0].exact_by_step)
        for step in sorted({2**power for power in range(deepest.bit_length())} | {deepest}):
            shares = [percent(math.fsum(row.by_difficulty[level][step - 1] for row in own) / len(own)) for level in levels]
            lines.append([variant, str(len(own)), str(step), *shares])
    return as_markdown(lines[0], lines[1:])


def _by_task(results: Sequence[Result]) -> Iterator[tuple[str, list[Result]]]:
    for task in dict.fromkeys(result.task for result in results):
        yield task, [result for result in results if result.task == task]
