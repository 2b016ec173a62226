"""Who does better: the hybrid against every other method on the problems that both answered, with p values.

Holds the one place where the report decides (`judge`), and its outcome as data; the words are sentences.py's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal

from hybrid.eval.report.entries import Entry, TaskResults
from hybrid.eval.significance import difference, holm, verdicts

Outcome = Literal["better", "worse", "open"]
_OUTCOMES: dict[str, Outcome] = {"better": "better", "worse": "worse", "not distinguishable": "open"}


@dataclass(frozen=True)
class Verdict:
    """The first method against the second.

    Args:
        task: name of the task.
        first, second: the methods.
        n: problems that all their seeds answered.
        first_exact, second_exact: exact shares on these, means over seeds.
        only_first, only_second: problems that a larger share of the one's seeds solved than of the other's.
        seeds: the fewer of the two.
        p: two-sided, corrected by Holm's rule for all comparisons on the task.
        outcome: what may be said of the first, at 5% after that correction.
        low, high: 95% interval of the difference in exact share, not corrected.
        reason: what would be needed where the question stays open.
    """

    task: str
    first: str
    second: str
    n: int
    first_exact: float = 0.0
    second_exact: float = 0.0
    only_first: int = 0
    only_second: int = 0
    seeds: int = 1
    p: float = 1.0
    outcome: Outcome = "open"
    low: float = -1.0
    high: float = 1.0
    reason: str = ""


def judge(task: str, first: Entry, others: Sequence[Entry]) -> list[Verdict]:
    """Return the verdict on a method against each of the others, all on one task.

    Single seeds are compared by McNemar's exact test, several by the spread over seeds and problems (significance.py); the
    comparisons are corrected together.
    """
    compared = [_compared(task, first, other) for other in others]
    own = [answers for _, answers in compared if answers is not None]
    differences = [difference(*answers, comparisons=len(own)) for answers in own]
    judged = iter(zip(differences, verdicts(differences), holm([each.p for each in differences]), strict=True))
    found = []
    for verdict, answers in compared:
        if answers is not None:
            each, word, p = next(judged)
            outcome = _OUTCOMES[word.word]
            verdict = replace(verdict, p=p, outcome=outcome, low=each.low, high=each.high, reason=word.reason)
        found.append(verdict)
    return found


Tables = tuple[list[list[bool]], list[list[bool]]]


def _compared(task: str, first: Entry, second: Entry) -> tuple[Verdict, Tables | None]:
    """Return what is counted of a pair, and the answers of its seeds to the same problems; None where there are none."""
    common = sorted(first.shares().keys() & second.shares().keys())
    if not common:
        return Verdict(task, first.method, second.method, 0), None
    tables = (first.table(common), second.table(common))
    ours, theirs = (entry.shares() for entry in (first, second))
    pairs = [(ours[index], theirs[index]) for index in common]
    only_first, only_second = sum(one > two for one, two in pairs), sum(two > one for one, two in pairs)
    exact = fmean(one for one, _ in pairs), fmean(two for _, two in pairs)
    seeds = min(map(len, tables))
    return Verdict(task, first.method, second.method, len(common), *exact, only_first, only_second, seeds), tables


def against_all(tasks: Sequence[TaskResults]) -> dict[tuple[str, str], Verdict]:
    """Return hybrid's verdict against every other measured method, by (task slug, other method)."""
    found: dict[tuple[str, str], Verdict] = {}
    for task in tasks:
        if task.ours is not None:
            others = [entry for entry in task.measured if entry is not task.ours]
            found |= {(task.slug, verdict.second): verdict for verdict in judge(task.name, task.ours, others)}
    return found
