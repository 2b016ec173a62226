"""How sure a measured accuracy is: Wilson's interval, one for several seeds, and McNemar's exact test of two methods.

Holds the statistics that need counts and shares alone; seeds.py has those that need every answer, significance.py the
comparison of methods. The distributions are scipy's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, variance

from scipy.special import bdtr, stdtrit


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
    so the interval is wide: of three seeds it covers 96 to 100%. `seeds.seeds_interval` knows every answer and is narrower.
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
