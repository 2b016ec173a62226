"""How sure a measured accuracy is: Wilson's interval, those for several seeds, and McNemar's exact test of two methods.

Seeds are clusters: another training gives another head, another draw of the test set other problems, and an accuracy's
variance is split into what seeds and what problems give it. Comparing methods is significance.py's; the distributions are
scipy's.

Textbook intervals of three seeds do not cover. Where seeds differ by a standard deviation of 0.6 in logits (500 problems,
means of 66 to 79%), Wilson's over all answers held the truth in 31 to 47% of 800 simulated cases, as it takes answers of
one head for independent; the percentile bootstrap over seeds and problems in 76 to 83%, as its tails are those of a normal
variable where three seeds have two degrees of freedom; `seeds_interval` in 94 to 95% (tests/test_coverage.py).

Shapes: s seeds, n problems.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, variance

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr, stdtrit

Answers = NDArray[np.float64]
"""(s, n): 1 where the head of a seed solved a problem, else 0."""


def normal_point(level: float) -> float:
    """Return the z that a standard normal stays within, either side of zero, with the chance `level`.

    Raises:
        ValueError: `level` is not between 0 and 1.

    Example:
        >>> round(normal_point(0.95), 4)
        1.96
    """
    return NormalDist().inv_cdf((1 + checked_level(level)) / 2)


def checked_level(level: float) -> float:
    """Return the level of an interval; raise ValueError unless it is between 0 and 1."""
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; give a number between 0 and 1, such as 0.95")
    return level


def student_point(freedom: float, level: float = 0.95) -> float:
    """Return the t that Student's variable stays within, either side of zero, with the chance `level`.

    Args:
        freedom: degrees of freedom, at least 1; they need not be whole.
        level: between 0 and 1.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> [round(student_point(freedom), 3) for freedom in (1, 2, 9, 30, 2.5)]
        [12.706, 4.303, 2.262, 2.042, 3.575]
    """
    if not freedom >= 1:
        raise ValueError(f"freedom is {freedom}; give at least 1 degree of freedom")
    return -float(stdtrit(freedom, (1 - checked_level(level)) / 2))


def score_interval(rate: float, n: float, point: float) -> tuple[float, float]:
    """Return the rates that lie within `point` of their own standard errors of `rate`, found in `n` independent trials.

    Wilson's interval (1927) where `n` counts trials. For trials that hang together, `n` is their effective number, rate (1 -
    rate) over the variance of the rate (Kish 1965), as is usual for shares of clustered surveys (Dean and Pagano 2015).

    Example:
        >>> [round(end, 3) for end in score_interval(0.3, 10, 1.96)]
        [0.108, 0.603]
    """
    spread = point * point / n
    centre = (rate + spread / 2) / (1 + spread)
    half = point / (1 + spread) * math.sqrt(rate * (1 - rate) / n + spread / (4 * n))
    # The ends are exact at rates of 0 and 1; only rounding moves them.
    low = 0.0 if rate == 0 else max(0.0, centre - half)
    high = 1.0 if rate == 1 else min(1.0, centre + half)
    return min(low, rate), max(high, rate)


def wilson(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return the score interval of a success rate (Wilson 1927).

    Unlike the normal approximation it stays inside 0 to 1 and is right near the ends, where solved-all and
    solved-none results stand. No continuity correction. For 32 to 500 problems it holds the true rate in 95% of cases on
    average over rates of 2 to 98%; for one rate and number it may be a point or two less or more, as counts are whole.

    Args:
        successes: problems solved, 0 to n.
        n: problems tried, at least 1.
        level: chance that such an interval holds the true rate, between 0 and 1.

    Returns:
        (low, high), both rates between 0 and 1.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> [round(end, 3) for end in wilson(81, 263)]
        [0.255, 0.366]
        >>> [round(end, 3) for end in wilson(0, 10)]
        [0.0, 0.278]
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n}; give at least 1 trial and 0 to n successes")
    return score_interval(successes / n, n, normal_point(level))


def mean_interval(shares: Sequence[float], n: int, level: float = 0.95) -> tuple[float, float, float]:
    """Return (mean, low, high) of the exact shares of several seeds on the same `n` problems.

    For new seeds and new problems: the variance over seeds, with Student's point, and at most that of `n` problems, with the
    normal one, each as far as it reaches alone (Howe 1974). Shares do not tell how much of the first is noise of the second,
    so the interval is wide: of three seeds it covers 96 to 100%. `seeds_interval` knows every answer and is narrower.
    A single seed has Wilson's.

    Args:
        shares: exact share of each seed, 0 to 1.
        n: problems, at least 1.
        level: between 0 and 1.

    Raises:
        ValueError: there are no shares.

    Example:
        >>> [round(value, 3) for value in mean_interval([0.5, 0.6, 0.7], 500)]
        [0.6, 0.354, 0.804]
    """
    if not shares:
        raise ValueError("there are no shares; give at least one")
    mean, freedom = fmean(shares), len(shares) - 1
    if not freedom:
        return mean, *wilson(round(mean * n), n, level)
    seeds, problems = variance(shares) / len(shares), mean * (1 - mean) / n
    if not seeds + problems:
        return mean, *score_interval(mean, n, normal_point(level))
    half = math.sqrt(student_point(freedom, level) ** 2 * seeds + normal_point(level) ** 2 * problems)
    total = seeds + problems
    return mean, *score_interval(mean, mean * (1 - mean) / total, half / math.sqrt(total))


def mcnemar_exact(b: int, c: int) -> float:
    """Return the two-sided p of McNemar's test (1947) in its exact binomial form.

    Under the null hypothesis each problem that only one of two methods solved is a fair coin's toss, so p is twice the
    smaller binomial tail, at most 1.

    Args:
        b: problems that only the first method solved.
        c: problems that only the second method solved.

    Raises:
        ValueError: a count is negative.

    Example:
        >>> round(mcnemar_exact(1, 5), 5)
        0.21875
        >>> mcnemar_exact(0, 0)
        1.0
    """
    if b < 0 or c < 0:
        raise ValueError(f"the counts are {b} and {c}; give two counts of at least 0")
    return min(1.0, 2 * float(bdtr(min(b, c), b + c, 0.5)))


def clear_gain(more: Sequence[float], less: Sequence[float], n: int, level: float = 0.95) -> bool:
    """Say whether the exact shares `more` of some heads are clearly above other shares of the same heads, `less`.

    One head's: Wilson's intervals lie apart. Several: the mean gain is more than half its interval, with Student's point for
    the seeds' gains and, as if they were unpaired, the normal one for the problems (Howe 1974).

    Args:
        more: a share a seed, 0 to 1.
        less: the same seeds' other shares.
        n: problems, at least 1.
        level: of the intervals.

    Example:
        >>> clear_gain([0.9, 0.92, 0.88], [0.5, 0.53, 0.49], 500), clear_gain([0.9, 0.6], [0.1, 0.4], 500)
        (True, False)
    """
    if len(more) == 1:
        return wilson(round(more[0] * n), n, level)[0] > wilson(round(less[0] * n), n, level)[1]
    gains = [high - low for high, low in zip(more, less, strict=True)]
    means = [(fmean(shares) * n + 1) / (n + 2) for shares in (more, less)]
    problems = sum(mean * (1 - mean) / (n + 2) for mean in means)
    seeds = variance(gains) / len(gains)
    return fmean(gains) ** 2 > student_point(len(gains) - 1, level) ** 2 * seeds + normal_point(level) ** 2 * problems


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
