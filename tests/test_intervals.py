"""Intervals of a share, and McNemar's exact test, against published values, brute force and scipy."""

import importlib
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid.eval.measures.intervals import mcnemar_exact, mean_interval, student_point, wilson


def optional(name):
    """Return a module of a package that no dependency of ours brings, or None."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def test_wilson_gives_the_published_example_of_newcombe_1998():
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_rate_and_stays_between_zero_and_one(counts):
    low, high = wilson(*counts)
    assert 0 <= low <= counts[0] / counts[1] <= high <= 1


def test_wilson_ends_solve_the_score_equation():
    z = 1.959963984540054
    for end in wilson(7, 40):
        assert abs(7 / 40 - end) == pytest.approx(z * math.sqrt(end * (1 - end) / 40))


@pytest.mark.parametrize("arguments", [(0, 0), (-1, 5), (6, 5), (1, 5, 1.0), (1, 5, 0.0)])
def test_wilson_refuses_impossible_counts(arguments):
    with pytest.raises(ValueError, match="give"):
        wilson(*arguments)


def test_wilson_is_scipys_and_statsmodels_in_a_thousand_cases():
    stats = pytest.importorskip("scipy.stats")
    proportion = optional("statsmodels.stats.proportion")
    draw = random.Random(0)
    for _ in range(1000):
        n = draw.randint(1, 2000)
        k, level = draw.randint(0, n), draw.choice((0.8, 0.9, 0.95, 0.99))
        if proportion is not None:
            assert wilson(k, n, level) == pytest.approx(proportion.proportion_confint(k, n, 1 - level, "wilson"), abs=1e-12)
        theirs = stats.binomtest(k, n).proportion_ci(level, "wilson")
        assert wilson(k, n, level) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_students_points_are_those_of_the_tables():
    table = {1: 12.7062, 2: 4.3027, 3: 3.1824, 10: 2.2281, 30: 2.0423, 120: 1.9799, 10**7: 1.96}
    assert {freedom: round(student_point(freedom), 4) for freedom in table} == pytest.approx(table, abs=1e-4)
    assert student_point(5, 0.99) == pytest.approx(4.0321, abs=1e-4)


@pytest.mark.parametrize("arguments", [(0.5,), (0,), (float("nan"),), (3, 1.0), (3, 0.0)])
def test_student_refuses_what_is_out_of_range(arguments):
    with pytest.raises(ValueError, match="give"):
        student_point(*arguments)


def test_the_interval_of_one_seed_is_wilsons_and_of_more_it_knows_seeds_and_problems():
    assert mean_interval([0.6], 200) == (0.6, *wilson(120, 200))
    mean, low, high = mean_interval([0.5, 0.6, 0.7], 10**9)
    half = student_point(2) * 0.1 / math.sqrt(3)  # So many problems: only the seeds are left.
    assert abs(mean - low) == pytest.approx(half, rel=0.1) and abs(high - mean) == pytest.approx(half, rel=0.2)
    alike = mean_interval([0.6, 0.6, 0.6], 200)  # Seeds that agree: only the problems are left.
    assert alike == pytest.approx((0.6, *wilson(120, 200)))


def test_the_interval_of_several_seeds_has_students_own_point_for_any_number_of_them():
    for count in (5, 11, 40):
        shares = [0.5 + 0.01 * (-1) ** i for i in range(count)]
        mean, low, high = mean_interval(shares, 10**9)
        half = student_point(count - 1) * math.sqrt(sum((s - mean) ** 2 for s in shares) / (count - 1) / count)
        assert high - low == pytest.approx(2 * half, rel=1e-3)


@pytest.mark.parametrize("shares", [[0.0, 0.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
def test_seeds_that_solve_all_or_nothing_still_leave_room_for_doubt(shares):
    mean, low, high = mean_interval(shares, 50)
    assert 0 <= low <= mean <= high <= 1 and high - low > 0.05


def test_no_shares_have_no_interval():
    with pytest.raises(ValueError, match="give at least one"):
        mean_interval([], 10)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_binomial_sum_and_symmetric(b, c):
    n = b + c
    tail = sum(math.comb(n, k) for k in range(min(b, c) + 1)) / 2**n
    assert mcnemar_exact(b, c) == pytest.approx(min(1.0, 2 * tail))
    assert mcnemar_exact(b, c) == mcnemar_exact(c, b)


def test_mcnemar_is_scipys_and_statsmodels_in_a_thousand_cases():
    stats = pytest.importorskip("scipy.stats")
    tables = optional("statsmodels.stats.contingency_tables")
    draw = random.Random(0)
    for _ in range(1000):
        b, c = draw.randint(0, 300), draw.randint(0, 300)
        expected = stats.binomtest(b, b + c).pvalue if b + c else 1.0
        assert mcnemar_exact(b, c) == pytest.approx(expected, rel=1e-7, abs=1e-14)
        if tables is not None:
            theirs = tables.mcnemar([[7, b], [c, 9]], exact=True).pvalue
            assert mcnemar_exact(b, c) == pytest.approx(theirs, rel=1e-7, abs=1e-14)


def test_mcnemar_stands_great_counts():
    assert mcnemar_exact(5000, 5000) == 1.0
    assert 0 <= mcnemar_exact(0, 3000) < 1e-300


def test_mcnemar_refuses_negative_counts():
    with pytest.raises(ValueError, match="-1"):
        mcnemar_exact(-1, 2)
