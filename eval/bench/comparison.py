"""The comparison: one head, its control and text methods on the same problems, written as a suite of one task.

Holds the measuring and what is noted beside it; the files are suite_folder.py's, the report is report/'s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import zip_longest
from pathlib import Path
from statistics import median
from typing import Any

from hybrid.backbone import Backbone
from hybrid.errors import InputError
from hybrid.eval.baselines import HeadMethod, Method
from hybrid.eval.bench.benchmark import Measured, forward_seconds, measure
from hybrid.eval.report import write_suite_report
from hybrid.eval.report.suite_folder import (
    Drawn,
    Planned,
    read_suite,
    slug,
    write_cell,
    write_drawn,
    write_failure,
    write_problems,
    write_suite,
)
from hybrid.eval.results import Record, write_results
from hybrid.eval.tasks.show import Picture
from hybrid.eval.tasks.task import Task, Wording
from hybrid.model import HybridModel
from hybrid.problem import Problem

DEPTH = 32
"""Supervision steps to which accuracy by step is reported."""


@dataclass(frozen=True)
class Plan:
    """How many problems each side answers.

    Args:
        num_problems: test problems for heads; None for the task's usual number.
        num_text_problems: the first of them, for methods that write text.
        num_latency: evenly spread ones of them, one by one, for seconds; two at most for methods that write text.
        num_shown: problems shown solving themselves in the report.
        seed: of the problems.
        wording: train, or held_out for wordings that no training prompt has.
    """

    num_problems: int | None = None
    num_text_problems: int = 32
    num_latency: int = 10
    num_shown: int = 3
    seed: int = 0
    wording: Wording = "train"


def compare(
    model: HybridModel,
    task: Task,
    methods: Sequence[Method],
    output: Path,
    plan: Plan,
    *,
    command: str,
    notes: Sequence[str] = (),
    say: Callable[[str], None] = lambda text: None,
) -> list[Record]:
    """Measure `methods` on unseen problems of `task`; write a suite's folder with results.json and the report to `output`.

    Args:
        model: the hybrid whose answers are shown step by step and whose backbone writes the text.
        task: makes and scores the problems.
        methods: what is compared.
        output: folder.
        plan: counts.
        command: how the run was started, for the report.
        notes: further lines for the report.
        say: gets progress lines.

    Raises:
        InputError: `output` holds a suite, whose list of cells would be lost, or no method can answer.
    """
    if (output / "suite.json").exists() and read_suite(output).seconds is not None:
        raise InputError(f"{output} holds a suite of trained methods; give another --output")
    problems = task.problems("test", plan.num_problems, seed=plan.seed, wording=plan.wording)
    measured, failed = _answered(methods, task, problems, plan, model.backbone, say)
    said = dict.fromkeys(note for method in methods for note in method.notes())
    facts = [*_ratios(model, problems[: plan.num_latency], measured), *notes, *said]
    for fact in facts:
        say(fact)
    records = [m.record for m in measured]
    write_results(output / "results.json", records)
    name = task_name(task)

    def planned(method: str, num_train: int) -> Planned:
        return Planned(slug(f"{slug(name)} {method} seed {plan.seed}"), name, method, num_train, plan.seed)

    cells, lost = [planned(r.method, r.train_problems) for r in records], [planned(method, 0) for method in failed]
    for cell in lost:
        write_failure(output, cell.slug, failed[cell.method])
    write_problems(output, slug(name), problems)
    for cell, each in zip(cells, measured, strict=True):
        write_cell(output, cell.slug, each.record, each.attempts)
    heads = [cell for cell, record in zip(cells, records, strict=True) if record.reasoner_steps_mean > 0]
    for cell in heads[:1]:
        places = longest(measured, plan.num_shown, len(problems))
        write_drawn(output, cell.slug, [drawn(model, task, problems[i], i) for i in places])
    about = {"suite": name, "command": command, "seconds": None, "notes": facts}
    write_suite(output, about, list(dict.fromkeys([*cells, *lost])))
    write_suite_report(output)
    return records


def _answered(
    methods: Sequence[Method],
    task: Task,
    problems: Sequence[Problem],
    plan: Plan,
    backbone: Backbone,
    say: Callable[[str], None],
) -> tuple[list[Measured], dict[str, str]]:
    """Return what the methods answered, with accuracy by step, and why a text method could not; raise where none could."""
    measured, failed = [], {}
    for method in methods:
        takes_steps = isinstance(method, HeadMethod)
        asked = problems if takes_steps else problems[: plan.num_text_problems]
        timed = plan.num_latency if takes_steps else min(plan.num_latency, 2)
        about: dict[str, Any] = {"task_name": task_name(task), "split": "test", "seed": plan.seed, "backbone": backbone}
        try:
            measured.append(measure(method, asked, **about, num_latency=timed, depth=DEPTH, say=say))
        except InputError as error:  # Such as a prompt that is too long for the context: the others' answers are kept.
            if takes_steps:
                raise
            failed[method.name] = str(error)
            say(f"{method.name}: not run: {error}")
    if not measured:
        raise InputError(next(iter(failed.values()), "there is no method to measure; give at least one"))
    return measured, failed


def longest(measured: Sequence[Measured], count: int, total: int) -> list[int]:
    """Return the places of the `count` problems that the first head thought about longest; the first ones without a head."""
    steps = next((m.attempts for m in measured if m.record.reasoner_steps_mean > 0), [])
    return sorted(range(min(total, len(steps) or total)), key=lambda i: -steps[i].steps if steps else 0)[:count]


def task_name(task: Task) -> str:
    """Return a task's kind with the settings that decide its difficulty, as it stands in tables."""
    known = fields(task.config) if hasattr(task, "config") else ()
    settings = {each.name: getattr(task.config, each.name) for each in known if not each.metadata.get("added")}  # type: ignore[attr-defined]
    given = ", ".join(f"{name} {value}" for name, value in settings.items() if isinstance(value, int))
    return f"{task.title} ({given})" if given else task.title


def _ratios(model: HybridModel, problems: Sequence[Problem], measured: Sequence[Measured]) -> list[str]:
    """Return sentences that compare seconds a problem, all of one run."""
    heads = [m.record for m in measured if m.record.reasoner_steps_mean > 0]
    if not heads:
        return []
    own, sentences = heads[0].latency_p50_seconds, []
    if model.backbone.runs:
        forward = median(forward_seconds(model.backbone, problems))
        sentences.append(
            f"One prompt takes the {heads[0].method} {own * 1e3:.1f} ms (p50), the language model's forward pass over it alone "
            f"{forward * 1e3:.1f} ms: {own / forward:.2f} times."
        )
    for record in (m.record for m in measured if m.record.tokens_generated_mean > 0):
        ratio = record.latency_p50_seconds / own
        sentences.append(
            f"{record.method} takes {record.latency_p50_seconds:.2f} s a problem: {ratio:.0f} times the {heads[0].method}."
        )
    return sentences


def drawn(model: HybridModel, task: Task, problem: Problem, index: int) -> Drawn:
    """Return a problem with the head's answer after every step, drawn, and a caption that counts what is wrong."""
    pictures: list[Picture] = []
    previous: tuple[str, ...] | None = None
    for number, symbols in enumerate(model.solve([problem])[0].trajectory, 1):
        wrong = sum(a != b for a, b in zip_longest(symbols, problem.answer))
        said = "right" if task.right(symbols, problem) else f"{wrong} wrong" if wrong else "wrong"
        pictures.append(replace(task.picture(problem.prompt, symbols, previous), caption=f"step {number}: {said}"))
        previous = symbols
    return Drawn(index, tuple(pictures))
