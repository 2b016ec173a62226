"""Who does better: the hybrid against every other method on the problems that both answered, with p values.

Holds the one place where the report decides (`judge`), and its outcome as data; the words are sentences.py's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from hybrid.eval.measures.significance import Outcome, difference, verdicts
from hybrid.eval.report.entries import Entry, TaskResults


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
    shares = first.shares()
    compared = [(other, sorted(shares.keys() & other.shares().keys())) for other in others]
    tables = [(first.table(common), other.table(common)) for other, common in compared if common]
    differences = [difference(*answers, comparisons=len(tables)) for answers in tables]
    judged = iter(zip(tables, differences, verdicts(differences), strict=True))
    found = []
    for other, common in compared:
        if not common:
            found.append(Verdict(task, first.method, other.method, 0))
            continue
        answers, each, said = next(judged)
        theirs = other.shares()
        pairs = [(shares[index], theirs[index]) for index in common]
        found.append(
            Verdict(
                task,
                first.method,
                other.method,
                n=len(common),
                first_exact=fmean(one for one, _ in pairs),
                second_exact=fmean(two for _, two in pairs),
                only_first=sum(one > two for one, two in pairs),
                only_second=sum(two > one for one, two in pairs),
                seeds=min(map(len, answers)),
                p=said.p,
                outcome=said.outcome,
                low=each.low,
                high=each.high,
                reason=said.reason,
            )
        )
    return found


def against_all(tasks: Sequence[TaskResults]) -> dict[tuple[str, str], Verdict]:
    """Return hybrid's verdict against every other measured method, by (task slug, other method)."""
    found: dict[tuple[str, str], Verdict] = {}
    for task in tasks:
        if task.ours is not None:
            others = [entry for entry in task.measured if entry is not task.ours]
            found |= {(task.slug, verdict.second): verdict for verdict in judge(task.name, task.ours, others)}
    return found
