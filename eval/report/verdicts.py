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


def judge(pairs: Sequence[tuple[str, Entry, Entry]]) -> list[Verdict]:
    """Return the verdict on each (task, first, second).

    Single seeds are compared by McNemar's exact test, several by the spread over seeds and problems (significance.py); the
    comparisons of one task are corrected together.
    """
    compared = [_compared(*pair) for pair in pairs]
    found: list[Verdict] = [verdict for verdict, _ in compared]
    for task in dict.fromkeys(verdict.task for verdict in found):
        places = [i for i, (verdict, answers) in enumerate(compared) if verdict.task == task and answers is not None]
        own = [answers for i in places if (answers := compared[i][1]) is not None]
        differences = [difference(*answers, comparisons=len(own)) for answers in own]
        words, corrected = verdicts(differences), holm([each.p for each in differences])
        for i, each, word, p in zip(places, differences, words, corrected, strict=True):
            outcome = _OUTCOMES[word.word]
            found[i] = replace(found[i], p=p, outcome=outcome, low=each.low, high=each.high, reason=word.reason)
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
    keys, pairs = [], []
    for task in tasks:
        for entry in task.measured:
            if task.ours is not None and entry is not task.ours:
                keys.append((task.slug, entry.method))
                pairs.append((task.name, task.ours, entry))
    return dict(zip(keys, judge(pairs), strict=True))
