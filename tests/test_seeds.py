"""The interval of several seeds: its variances against analysis of variance, and what it must do at the ends."""

import math

import numpy as np
import pytest

from hybrid.eval.measures.intervals import Seeds, Spread, checked, normal_point, seeds_interval, seeds_of, student_point, wilson


def answers(seeds, n, draw):
    chances = draw.random((1, n)) * 0.6 + draw.random((seeds, 1)) * 0.4
    return (draw.random((seeds, n)) < chances).astype(float)


def test_the_seeds_share_of_the_variance_is_that_of_the_mean_squares():
    """Two-way analysis of variance by sums of squares, one term after another."""
    draw = np.random.default_rng(0)
    for _ in range(1000):
        s, n = int(draw.integers(2, 6)), int(draw.integers(2, 40))
        table = answers(s, n, draw)
        of_seeds = n * sum((row.mean() - table.mean()) ** 2 for row in table) / (s - 1)
        of_problems = s * sum((column.mean() - table.mean()) ** 2 for column in table.T)
        rest = (((table - table.mean()) ** 2).sum() - of_seeds * (s - 1) - of_problems) / ((s - 1) * (n - 1))
        (found,) = seeds_of(table)
        assert (found.between, found.noise, found.count) == pytest.approx((of_seeds / (s * n), rest / (s * n), s), abs=1e-12)


def test_the_mean_squares_are_those_of_statsmodels():
    formula = pytest.importorskip("statsmodels.formula.api")
    pandas = pytest.importorskip("pandas")
    anova = pytest.importorskip("statsmodels.api").stats.anova_lm
    draw = np.random.default_rng(1)
    for _ in range(6):
        table = answers(3, 12, draw)
        rows = [(i, j, table[i, j]) for i in range(3) for j in range(12)]
        frame = pandas.DataFrame(rows, columns=["seed", "problem", "right"])
        squares = anova(formula.ols("right ~ C(seed) + C(problem)", frame).fit())["mean_sq"]
        (found,) = seeds_of(table)
        assert (36 * found.between, 36 * found.noise) == pytest.approx((squares["C(seed)"], squares["Residual"]), abs=1e-9)


def test_one_seed_has_wilsons_interval():
    assert seeds_interval([[True] * 30 + [False] * 20]) == (0.6, *wilson(30, 50))
    assert seeds_interval([[1], [0]]) == (0.5, *wilson(0, 1))


def test_seeds_that_agree_are_no_surer_than_one():
    row = [1] * 30 + [0] * 20
    mean, low, high = seeds_interval([row] * 3)
    alone_low, alone_high = wilson(30, 50)
    assert mean == 0.6 and low == pytest.approx(alone_low, abs=0.02) and high == pytest.approx(alone_high, abs=0.02)
    assert high - low >= alone_high - alone_low


def test_seeds_that_solve_everything_leave_wilsons_doubt():
    assert seeds_interval([[1] * 50] * 3) == (1.0, *wilson(50, 50)) and seeds_interval([[0] * 50] * 3) == (0.0, *wilson(0, 50))


def test_seeds_that_differ_widen_the_interval_and_more_of_them_narrow_it():
    draw = np.random.default_rng(0)

    def width(shares):
        mean, low, high = seeds_interval([(draw.random(400) < p).astype(float) for p in shares])
        assert low <= mean <= high
        return high - low

    assert width([0.5, 0.7, 0.9]) > 3 * width([0.7, 0.7, 0.7])
    assert width([0.5, 0.7, 0.9] * 4) < 0.7 * width([0.5, 0.7, 0.9])


def test_without_seeds_half_the_width_is_students_over_the_problems():
    assert Spread(0.01, 30).half_width(0.95) == pytest.approx(student_point(29) * 0.1)


def test_where_seeds_alone_matter_half_the_width_is_students_over_the_seeds():
    spread = Spread(1e-9, 1000, (Seeds(0.01, 0.0, 3),))
    assert spread.half_width(0.95) == pytest.approx(student_point(2) * 0.1, rel=1e-3)
    assert spread.trainings == 0.01 and spread.variance == pytest.approx(0.01)


def test_seeds_closer_than_chance_do_not_make_the_variance_vanish():
    spread = Spread(0.01, 100, (Seeds(0.0, 0.02, 3),))
    assert spread.trainings == 0 and spread.variance == 0.0025
    assert spread.half_width(0.95) >= normal_point(0.95) * math.sqrt(0.01)


@pytest.mark.parametrize("table", [[], [1, 0], [[]], [[0.5, 1]], [[[1]]], [[2, 0]]])
def test_what_is_no_table_of_answers_is_refused(table):
    with pytest.raises(ValueError, match="give"):
        checked(table)
