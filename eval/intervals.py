"""How sure a measured accuracy is: Wilson's interval, and McNemar's exact test for two methods on the same problems.

Holds the two statistics of every result table and no counting of results. Plain Python: counts are exact integers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, stdev

_STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""97.5% points of Student's distribution with 1, 2, ... degrees of freedom; beyond them 2.2 is kept."""


def wilson(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return the score interval of a success rate (Wilson 1927).

    Unlike the normal approximation it stays inside 0 to 1 and is right near the ends, where solved-all and
    solved-none results stand. No continuity correction.

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
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; give a number between 0 and 1, such as 0.95")
    z = NormalDist().inv_cdf((1 + level) / 2)
    rate, spread = successes / n, z * z / n
    centre = (rate + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(rate * (1 - rate) / n + spread / (4 * n))
    # The ends are exact at 0 and n; only rounding moves them.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return low, high


def mean_interval(shares: Sequence[float], n: int) -> tuple[float, float, float]:
    """Return (mean, low, high) of exact shares of several seeds on the same `n` problems, a 95% interval.

    Seeds are the sample (Student's interval, cut to 0..1); a single seed has Wilson's interval over its problems instead.

    Example:
        >>> [round(value, 3) for value in mean_interval([0.5, 0.6, 0.7], 500)]
        [0.6, 0.352, 0.848]
    """
    if not shares:
        raise ValueError("there are no shares; give at least one")
    mean, freedom = fmean(shares), len(shares) - 1
    if not freedom:
        return mean, *wilson(round(mean * n), n)
    half = (_STUDENT[freedom - 1] if freedom <= len(_STUDENT) else 2.2) * stdev(shares) / math.sqrt(len(shares))
    return mean, max(0.0, mean - half), min(1.0, mean + half)


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
        >>> mcnemar_exact(1, 5)
        0.21875
        >>> mcnemar_exact(0, 0)
        1.0
    """
    if b < 0 or c < 0:
        raise ValueError(f"the counts are {b} and {c}; give two counts of at least 0")
    n, tail, ways = b + c, 0, 1
    for chosen in range(min(b, c) + 1):
        tail += ways
        ways = ways * (n - chosen) // (chosen + 1)
    return min(1.0, 2 * tail / (1 << n))
