"""Seeds as clusters: how sure the mean of a trained method is, of which several seeds answered the same problems.

Both are samples: another training gives another head, another draw of the test set other problems. Holds the split of an
accuracy's variance into what seeds and what problems give it, and the interval from that.

Textbook intervals of three seeds do not cover. Where seeds differ by a standard deviation of 0.6 in logits (500 problems,
means of 66 to 79%), Wilson's over all answers held the truth in 31 to 47% of 800 simulated cases, as it takes answers of
one head for independent; the percentile bootstrap over seeds and problems in 76 to 83%, as its tails are those of a normal
variable where three seeds have two degrees of freedom; this file's in 94 to 95% (tests/test_coverage.py).

Shapes: s seeds, n problems.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybrid.eval.intervals import normal_point, score_interval, student_point, wilson

Answers = NDArray[np.float64]
"""(s, n): 1 where the head of a seed solved a problem, else 0."""


@dataclass(frozen=True)
class Seeds:
    """What the seeds of one method give to the variance of its mean.

    Args:
        between: the variance of the seeds' means over their number: seeds, and noise in every answer.
        noise: the part of it that is noise.
        count: seeds, at least 2.
    """

    between: float
    noise: float
    count: int


@dataclass(frozen=True)
class Spread:
    """The variance of a mean over problems, of one method or of a difference of two.

    The model has crossed random effects, answer = mean + seed + problem + noise, and mean squares estimate them (Searle,
    Casella and McCulloch 1992, chapter 4).

    Args:
        problems: variance of the mean over problems, noise included, over their number.
        num_problems: n, at least 2.
        seeds: of each method that has several.
    """

    problems: float
    num_problems: int
    seeds: tuple[Seeds, ...] = ()

    @property
    def trainings(self) -> float:
        """Variance that another training gives."""
        return sum(max(method.between - method.noise, 0.0) for method in self.seeds)

    @property
    def variance(self) -> float:
        """Variance of the mean; an estimate of less than a quarter of the problems' share is chance, and raised to that."""
        return max(self.problems + sum(method.between - method.noise for method in self.seeds), self.problems / 4)

    def half_width(self, level: float) -> float:
        """Return half an interval's width: the wider of two approximations, each too narrow where the other is not.

        The one takes Student's point with Satterthwaite's degrees of freedom (1946), which few seeds that are close by
        chance make too many; the other each part's own point (Howe 1974), which forgets the noise between few seeds.
        """
        total, n = self.variance, self.num_problems
        loss = self.problems**2 / (n - 1)
        for method in self.seeds:
            loss += method.between**2 / (method.count - 1) + method.noise**2 / ((method.count - 1) * (n - 1))
        fewest = min((method.count - 1 for method in self.seeds), default=n - 1)
        freedom = max(total**2 / loss, fewest) if loss else n - 1
        own = normal_point(level) ** 2 * self.problems
        for method in self.seeds:
            own += student_point(method.count - 1, level) ** 2 * max(method.between - method.noise, 0.0)
        return max(student_point(round(freedom, 3), level) * math.sqrt(total), math.sqrt(own))


def checked(answers: ArrayLike) -> Answers:
    """Return answers as (s, n) numbers.

    Raises:
        ValueError: they are no table of zeros and ones with a row a seed and a column a problem.
    """
    table = np.asarray(answers, dtype=np.float64)
    if table.ndim != 2 or 0 in table.shape:
        raise ValueError(f"the answers have the shape {table.shape}; give a row a seed, with 0 or 1 for each problem")
    if not np.isin(table, (0, 1)).all():
        raise ValueError("an answer is neither 0 nor 1; give whether each problem was solved")
    return table


def seeds_of(answers_sn: Answers) -> tuple[Seeds, ...]:
    """Return what the seeds of a method give to the variance of its mean: nothing for a single one."""
    (s, n), mean_s, mean_n = answers_sn.shape, answers_sn.mean(1), answers_sn.mean(0)
    if s == 1 or n == 1:
        return ()
    left_sn = answers_sn - mean_s[:, None] - mean_n + answers_sn.mean()
    noise = float((left_sn**2).sum()) / ((s - 1) * (n - 1)) / (s * n)
    return (Seeds(float(mean_s.var(ddof=1)) / s, noise, s),)


def seeds_interval(answers: ArrayLike | Sequence[Sequence[bool]], level: float = 0.95) -> tuple[float, float, float]:
    """Return (mean, low, high) of a method's exact share, for other seeds and other problems of the same kind.

    Wilson's interval with the effective number of trials that the variance over seeds and problems leaves, and Student's
    point for it (see Spread). In simulation with 3 or 5 seeds and 100 or 500 problems, means of 50 to 98%, seeds that
    differ by nothing up to 0.6 in logits, problems by 0.5 to 3, it covers 96% on average and never under 92.5%, with two
    seeds down to 90%: train three. A single seed has Wilson's, which says nothing of other trainings.

    Args:
        answers: (s, n), whether each seed's head solved each problem.
        level: between 0 and 1.

    Raises:
        ValueError: `answers` is no such table.

    Example:
        >>> [round(value, 3) for value in seeds_interval([[1, 1, 1, 0, 1, 0]] * 3)]
        [0.667, 0.204, 0.94]
    """
    table = checked(answers)
    s, n = table.shape
    if s == 1 or n == 1:
        return float(table.mean()), *wilson(round(float(table.mean()) * n), n, level)
    mean = float(table.mean())
    spread = Spread(float(table.mean(0).var(ddof=1)) / n, n, seeds_of(table))
    if not spread.variance:  # All solved, or none: as sure as one seed on these problems.
        return mean, *score_interval(mean, n, normal_point(level))
    number = mean * (1 - mean) / spread.variance
    return mean, *score_interval(mean, number, spread.half_width(level) / math.sqrt(spread.variance))
