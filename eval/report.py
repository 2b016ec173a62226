"""The report: one HTML file that shows the figures, what they cost, and three problems solving themselves.

Holds the sentences drawn from the records and the filling of report.html.jinja; plots are plots.py's. The page needs
nothing from outside and no script, and its content security policy forbids both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from statistics import fmean
from typing import Any

from hybrid.checkpoint import write_text
from hybrid.errors import InputError
from hybrid.eval.intervals import wilson
from hybrid.eval.plots import SERIES, cost_curve, depth_curve, series_number
from hybrid.eval.results import Record, columns, is_best, percent, significant, size


@dataclass(frozen=True)
class SolvedProblem:
    """A problem with the answer after every step.

    Args:
        prompt: its text.
        steps: the answer after each step, as HTML of `Task.show_html`; goes into the page as it is.
        captions: a line of text for each step.
        text_answers: what other methods wrote, by method; any text.
        right: whether the last step's answer is the right one.

    Raises:
        InputError: there are not as many captions as steps.
    """

    prompt: str
    steps: list[str]
    captions: list[str]
    text_answers: dict[str, str]
    right: bool

    def __post_init__(self) -> None:
        if len(self.captions) != len(self.steps):
            raise InputError(f"{len(self.captions)} captions for {len(self.steps)} steps; give one for each step")


def write_report(
    path: str | Path,
    records: Sequence[Record],
    solved: Sequence[SolvedProblem],
    *,
    title: str,
    command: str,
    notes: Sequence[str],
) -> None:
    """Write the report, whole or not at all.

    Args:
        path: the HTML file.
        records: one section is made for each task and split among them.
        solved: problems to show step by step.
        title: of the page.
        command: the command line that gave these results.
        notes: sentences on how to read them, and on what was not run.

    Raises:
        StorageError: the file cannot be written.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files("hybrid.eval").joinpath("report.html.jinja").read_text(encoding="utf-8"))
    sections = [_section(name, group) for name, group in _groups(records).items()]
    page = template.render(
        title=title,
        headline=sections[0]["headline"] if sections else headline(()),
        sections=sections,
        solved=solved,
        environment=_environment(records),
        command=command,
        notes=notes,
        light=SERIES,
    )
    write_text(Path(path), page + "\n")


def _groups(records: Sequence[Record]) -> dict[str, list[Record]]:
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(f"{record.task}, {record.split} split", []).append(record)
    return groups


def _section(name: str, records: Sequence[Record]) -> dict[str, Any]:
    shown = columns(records)
    rows = [
        {
            "cells": [column.cell(record) for column in shown],
            "series": series_number(records, record.method),
            "best": is_best(record, records),
            "ours": record.method == _ours(records),
            "interval": [100 * share for share in (record.exact_low, record.exact, record.exact_high)],
        }
        for record in records
    ]
    return {
        "name": name,
        "headline": headline(records),
        "findings": findings(records),
        "headings": [column.heading for column in shown],
        "method_column": [column.heading for column in shown].index("method"),
        "exact_column": [column.heading.startswith("exact") for column in shown].index(True),
        "rows": rows,
        "depth": depth_curve(records) if any(record.accuracy_by_step for record in records) else None,
        "depth_table": _depth_table(records),
        "depth_sentences": list(_depth_sentences(records)),
        "seconds": cost_curve(records),
        "flops": cost_curve(records, "flops_mean"),
    }


def _depth_table(records: Sequence[Record]) -> list[tuple[str, list[str]]]:
    """Return rows of percentages after 1, 2, 4, ... steps, the numbers of steps first."""
    curves = [(record, record.accuracy_by_step) for record in records if record.accuracy_by_step]
    longest = max((len(shares) for _, shares in curves), default=0)
    steps = [2**power for power in range(longest.bit_length())]
    rows = [
        (_name(record, records), [percent(shares[step - 1]) if step <= len(shares) else "" for step in steps])
        for record, shares in curves
    ]
    return [("after steps", [str(step) for step in steps]), *rows]


def _environment(records: Sequence[Record]) -> list[tuple[str, str]]:
    found: dict[str, list[str]] = {}
    for record in records:
        parts = {"backbone": record.backbone, "device": record.device} | record.versions
        for name, value in parts.items():
            if value not in found.setdefault(name, []):
                found[name].append(value)
    return [(name, "; ".join(values)) for name, values in found.items()]


@dataclass(frozen=True)
class _Summary:
    """A method over its seeds: means, and the widest of the intervals."""

    method: str
    n: int
    exact: float
    low: float
    high: float
    seconds: float
    flops: float

    @property
    def figure(self) -> str:
        return f"{percent(self.exact)}%"


def _summary(records: Sequence[Record], method: str) -> _Summary:
    own = [record for record in records if record.method == method]
    return _Summary(
        method,
        n=max(record.n for record in own),
        exact=fmean(record.exact for record in own),
        low=min(record.exact_low for record in own),
        high=max(record.exact_high for record in own),
        seconds=fmean(record.latency_p50_seconds for record in own),
        flops=fmean(record.flops_mean for record in own),
    )


def _methods(records: Sequence[Record]) -> list[str]:
    return list(dict.fromkeys(record.method for record in records))


def _name(record: Record, records: Sequence[Record]) -> str:
    several = sum(other.method == record.method for other in records) > 1
    return f"{record.method}, seed {record.seed}" if several else record.method


def _words(method: str) -> list[str]:
    return re.split(r"[\W_]+", method.lower())


def _ours(records: Sequence[Record]) -> str | None:
    """Return the method named hybrid, else the first whose name begins with that word."""
    ours = [method for method in _methods(records) if _words(method)[0] == "hybrid"]
    return "hybrid" if "hybrid" in ours else next(iter(ours), None)


def _best_chain_of_thought(records: Sequence[Record]) -> str | None:
    chains = [method for method in _methods(records) if {"cot", "consistency"} & {*_words(method)}]
    return max(chains, key=lambda method: _summary(records, method).exact, default=None)


def headline(records: Sequence[Record]) -> str:
    """Return one sentence that says what the records of one task and split show first.

    Hybrid stands against the best chain of thought, the one with the most exact answers; methods are means over seeds.
    """
    if not records:
        return "Nothing was measured."
    ours, chain = _ours(records), _best_chain_of_thought(records)
    task = records[0].task
    if ours is None:
        best = max((_summary(records, method) for method in _methods(records)), key=lambda each: each.exact)
        rank = ", the most of the methods measured" if len(_methods(records)) > 1 else ""
        return f"{best.method} solves {best.figure} of {best.n} {task} problems{rank}."
    one = _summary(records, ours)
    start = f"{ours} solves {one.figure} of {one.n} {task} problems"
    if chain is None or chain == ours:
        return f"{start}, in {significant(one.seconds)} seconds each."
    two = _summary(records, chain)
    tried = "" if one.n == two.n else f" of {two.n}"
    return f"{start}; {chain}, the best chain of thought, {two.figure}{tried}{_in_time(one.seconds, two.seconds)}."


def _in_time(ours: float, theirs: float) -> str:
    if not ours or not theirs:
        return ""
    if 0.95 < theirs / ours < 1.05:
        return ", in about the same time"
    if theirs > ours:
        return f", and takes {_times(theirs / ours)} as long"
    return f", and is {_times(ours / theirs)} as fast"


def _times(ratio: float) -> str:
    return f"{significant(float(f'{ratio:.2g}'))} times"


def findings(records: Sequence[Record]) -> list[str]:
    """Return further sentences on the records of one task and split, among them who does better than hybrid."""
    ours, chain = _ours(records), _best_chain_of_thought(records)
    if ours is None:
        return []
    one = _summary(records, ours)
    sentences = []
    if chain is not None and chain != ours:
        two = _summary(records, chain)
        if one.low <= two.high and two.low <= one.high:
            sentences.append(f"The 95% intervals of {ours} and {chain} overlap: which is better stays open.")
        if one.flops and two.flops:
            flops = [size(each.flops, "FLOPs") for each in (one, two)]
            sentences.append(f"A problem costs {ours} {flops[0]} and {chain} {flops[1]}.")
    better = [each for each in (_summary(records, method) for method in _methods(records)) if each.exact > one.exact]
    if better:
        named = "; ".join(
            f"{each.method} with {each.figure} in {significant(each.seconds)} seconds"
            for each in sorted(better, key=lambda each: -each.exact)
        )
        sentences.append(f"More exact answers than {ours}: {named}.")
    return sentences


def _depth_sentences(records: Sequence[Record]) -> Iterator[str]:
    """Yield, for each record with at least two steps, whether more steps help."""
    for record in records:
        shares = record.accuracy_by_step or []
        if len(shares) < 2:
            continue
        verdict = _verdict(record, shares[0], shares[-1])
        best = max(range(len(shares)), key=shares.__getitem__)
        peak = f", {percent(shares[best])}% at best after {best + 1}" if shares[best] > shares[-1] else ""
        ends = f"{percent(shares[0])}% after 1 step, {percent(shares[-1])}% after {len(shares)}"
        yield f"{_name(record, records)}: {verdict}. {ends}{peak}."


def _verdict(record: Record, first: float, last: float) -> str:
    before, after = (wilson(round(share * record.n), record.n) for share in (first, last))
    if after[0] > before[1]:
        return "more steps help"
    return "more steps do harm" if after[1] < before[0] else "more steps make no clear difference"
