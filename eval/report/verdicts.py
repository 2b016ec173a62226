"""Who does better: the hybrid against every other method on the problems that both answered, with p values.

Holds the one place where the report decides (`judge`), and its outcome as data; the words are sentences.py's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from hybrid.eval.intervals import mcnemar_exact
from hybrid.eval.report.entries import Entry, TaskResults

ALPHA = 0.05
"""A difference with a p of at least this stays open."""

Outcome = Literal["better", "worse", "open"]


@dataclass(frozen=True)
class Verdict:
    """The first method against the second.

    Args:
        task: name of the task.
        first, second: the methods.
        n: problems that both answered.
        first_exact, second_exact: exact shares on these, means over seeds.
        only_first, only_second: problems on which one did better than the other.
        seeds: that were compared.
        p: two-sided.
    """

    task: str
    first: str
    second: str
    n: int
    first_exact: float
    second_exact: float
    only_first: int
    only_second: int
    seeds: int
    p: float

    @property
    def outcome(self) -> Outcome:
        """Whether the first is better, worse, or the question stays open."""
        ahead = self.only_first - self.only_second
        if self.p >= ALPHA or ahead * (self.first_exact - self.second_exact) <= 0:
            return "open"
        return "better" if ahead > 0 else "worse"


def judge(pairs: Sequence[tuple[str, Entry, Entry]]) -> list[Verdict]:
    """Return the verdict on each (task, first, second).

    McNemar's exact test on the seeds that both have, else on the first of each; with several, a problem counts for the
    method that solved it with more of them, so that each problem is counted once. The p values are not corrected for
    their number.
    """
    return [_verdict(*pair) for pair in pairs]


def _verdict(task: str, first: Entry, second: Entry) -> Verdict:
    seeds = {cell.seed for cell in first.cells} & {cell.seed for cell in second.cells}
    ours, theirs = (entry.shares(seeds or {entry.cells[0].seed}) for entry in (first, second))
    pairs = [(ours[index], theirs[index]) for index in sorted(ours.keys() & theirs.keys())]
    only_first, only_second = sum(one > two for one, two in pairs), sum(two > one for one, two in pairs)
    shares = [fmean(side) for side in zip(*pairs, strict=True)] if pairs else [0.0, 0.0]
    p = mcnemar_exact(only_first, only_second)
    counts = (only_first, only_second, len(seeds) or 1)
    return Verdict(task, first.method, second.method, len(pairs), shares[0], shares[1], *counts, p)


def against_all(tasks: Sequence[TaskResults]) -> dict[tuple[str, str], Verdict]:
    """Return hybrid's verdict against every other measured method, by (task slug, other method)."""
    keys, pairs = [], []
    for task in tasks:
        for entry in task.measured:
            if task.ours is not None and entry is not task.ours:
                keys.append((task.slug, entry.method))
                pairs.append((task.name, task.ours, entry))
    return dict(zip(keys, judge(pairs), strict=True))
