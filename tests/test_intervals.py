"""Wilson's interval and McNemar's exact test against published values and brute force."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid.eval.intervals import mcnemar_exact, wilson


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


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_binomial_sum_and_symmetric(b, c):
    n = b + c
    tail = sum(math.comb(n, k) for k in range(min(b, c) + 1)) / 2**n
    assert mcnemar_exact(b, c) == pytest.approx(min(1.0, 2 * tail))
    assert mcnemar_exact(b, c) == mcnemar_exact(c, b)


def test_mcnemar_stands_great_counts():
    assert mcnemar_exact(5000, 5000) == 1.0
    assert 0 <= mcnemar_exact(0, 3000) < 1e-300


def test_mcnemar_refuses_negative_counts():
    with pytest.raises(ValueError, match="-1"):
        mcnemar_exact(-1, 2)
