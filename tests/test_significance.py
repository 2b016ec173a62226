"""Differences of methods: against scipy and statsmodels, and verdicts that say what is missing."""

import random

import numpy as np
import pytest

from hybrid.eval.measures.intervals import mcnemar_exact
from hybrid.eval.measures.significance import Difference, difference, holm, paired_bootstrap, verdicts


def rows(b, c, both, neither):
    """Return answers of two methods: b problems only the first solved, c only the second."""
    return [[1] * b + [0] * c + [1] * both + [0] * neither], [[0] * b + [1] * c + [1] * both + [0] * neither]


def test_single_runs_are_compared_by_mcnemar_and_the_bootstrap():
    found = difference(*rows(30, 10, 40, 20))
    assert found.value == pytest.approx(0.2) and found.p == mcnemar_exact(30, 10) and found.num_problems == 100
    assert (found.low, found.high) == paired_bootstrap(30, 10, 100)
    back = difference(*reversed(rows(30, 10, 40, 20)))
    assert back.value == pytest.approx(-0.2) and back.p == found.p
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low), abs=0.011)


def test_the_bootstrap_repeats_itself_with_its_seed():
    assert paired_bootstrap(12, 7, 80, seed=3) == paired_bootstrap(12, 7, 80, seed=3)
    ends = {paired_bootstrap(120, 70, 800, seed=seed, resamples=100) for seed in range(5)}
    assert len(ends) == 5


def resampled_one_by_one(b, c, n, draw, resamples):
    """The same interval from problems drawn with replacement, the added ones among them."""
    values = np.array([1] * (2 * b + 1) + [-1] * (2 * c + 1) + [0] * (2 * (n - b - c) + 2))
    drawn = draw.choice(values, (resamples, n + 2)).mean(1)
    return tuple(np.quantile(drawn, [0.025, 0.975]))


def test_the_bootstrap_is_that_of_problems_drawn_one_by_one():
    draw = np.random.default_rng(0)
    for b, c, n in ((3, 1, 20), (20, 12, 60), (0, 0, 30)):
        expected = resampled_one_by_one(b, c, n, draw, 20_000)
        assert paired_bootstrap(b, c, n) == pytest.approx(expected, abs=1.5 / (n + 2))


@pytest.mark.slow
def test_the_bootstrap_is_scipys_in_a_thousand_cases():
    """Ends of 2,000 resamples vary; theirs are of the same problems, the added two included as whole ones at n = 2 n + 4."""
    stats = pytest.importorskip("scipy.stats")
    draw = random.Random(0)
    off = []
    for case in range(1000):
        n = draw.randint(20, 150)
        b = draw.randint(0, n // 2)
        c = draw.randint(0, n // 2)
        values = np.array([1] * (2 * b + 1) + [-1] * (2 * c + 1) + [0] * (2 * (n - b - c) + 2)) / 1.0
        generator = np.random.default_rng(case)
        theirs = stats.bootstrap(
            (values,), np.mean, n_resamples=600, method="percentile", vectorized=True, rng=generator
        ).confidence_interval
        ours = paired_bootstrap(2 * b, 2 * c, 2 * n + 2, resamples=600, seed=case)
        error = values.std() / np.sqrt(len(values))
        off += [(ours[0] - theirs.low) / error, (ours[1] - theirs.high) / error]
    # The 2.5% quantile of 600 normal draws has a standard error of 0.11; two of them, and the one point of the added rows.
    assert abs(np.mean(off)) < 0.02 and np.std(off) < 0.2 and np.abs(off).max() < 0.8


def test_several_seeds_widen_what_is_said_of_a_single_one():
    draw = np.random.default_rng(0)
    shares = (0.45, 0.65, 0.85)
    trained = [(draw.random(300) < share).astype(int) for share in shares]
    prompted = [(draw.random(300) < 0.4).astype(int)]
    one, three = difference(trained[1:2], prompted), difference(trained, prompted)
    assert one.p < 0.001 and three.p > 0.05  # Three trainings as unlike as these may come out anywhere.
    assert three.high - three.low > 3 * (one.high - one.low)
    assert three.low <= three.value <= three.high


def test_methods_may_have_different_numbers_of_seeds_and_either_may_come_first():
    draw = np.random.default_rng(1)
    first, second = (draw.random((3, 200)) < 0.8).astype(int), (draw.random((2, 200)) < 0.5).astype(int)
    found, back = difference(first, second), difference(second, first)
    assert found.value == pytest.approx(-back.value) and found.p == pytest.approx(back.p)
    assert (found.low, found.high) == pytest.approx((-back.high, -back.low))


@pytest.mark.parametrize("seeds", [(3, 1), (3, 3), (5, 2)])
def test_p_is_the_level_at_which_the_interval_reaches_zero(seeds):
    draw = np.random.default_rng(2)
    a, b = ((draw.random((count, 150)) < share).astype(int) for count, share in zip(seeds, (0.62, 0.55), strict=True))
    p = difference(a, b).p
    assert 1e-4 < p < 1
    ends = difference(a, b, level=1 - p)
    assert min(abs(ends.low), abs(ends.high)) < 1e-6


def test_equal_seeds_do_not_differ_and_the_clearest_difference_has_a_p_that_is_no_less_than_nothing():
    row = [1, 0] * 50
    same = difference([row] * 3, [row] * 3)
    assert same.value == 0 and same.p > 0.9 and same.low < 0 < same.high
    clear = difference([[1] * 500] * 3, [[0] * 500] * 3)
    assert 0 < clear.p <= 1e-8 and clear.high == 1.0 and clear.low > 0.95


def test_holms_p_values_are_those_of_statsmodels_in_a_thousand_cases(monkeypatch):
    theirs = pytest.importorskip("statsmodels.stats.multitest")
    monkeypatch.setattr("gc.collect", lambda: 0)  # It collects garbage in every call.
    draw = random.Random(0)
    for _ in range(1000):
        p_values = [draw.random() ** draw.choice((1, 4, 20)) for _ in range(draw.randint(1, 12))]
        assert holm(p_values) == pytest.approx(list(theirs.multipletests(p_values, method="holm")[1]), abs=1e-12)


def test_holm_keeps_the_order_and_never_turns_it_around():
    assert holm([]) == [] and holm([0.3]) == [0.3]
    assert holm([0.04, 0.01, 0.03, 0.04]) == pytest.approx([0.09, 0.04, 0.09, 0.09])


def test_what_is_needed_is_enough_when_it_is_there():
    """A difference of 6 points among 20% unlike problems: with as many as said, four of five samples show it."""
    needed = difference(*rows(13, 7, 60, 20)).problems_needed
    draw = np.random.default_rng(0)
    counts = draw.multinomial(needed, [0.13, 0.07, 0.8], size=600)
    found = np.mean([mcnemar_exact(int(b), int(c)) <= 0.05 for b, c, _ in counts])
    assert 0.75 < found < 0.85


def test_one_of_many_comparisons_needs_more():
    one, many = (difference(*rows(13, 7, 60, 20), comparisons=number).problems_needed for number in (1, 20))
    draw = np.random.default_rng(0)
    counts = draw.multinomial(many, [0.13, 0.07, 0.8], size=600)
    assert many > 1.7 * one and 0.75 < np.mean([mcnemar_exact(int(b), int(c)) <= 0.05 / 20 for b, c, _ in counts]) < 0.85


def test_where_seeds_are_what_is_missing_problems_are_not_asked_for():
    draw = np.random.default_rng(0)
    trained = [(draw.random(3000) < share).astype(int) for share in (0.45, 0.6, 0.75)]
    found = difference(trained, [(draw.random(3000) < 0.55).astype(int)])
    assert found.problems_needed is None and found.seeds_needed > 3
    (verdict,) = verdicts([found])
    assert verdict.outcome == "open" and f"about {found.seeds_needed} seeds a method" in verdict.reason


def found(value=0.1, p=0.5, n=100, **changes):
    fields = dict(value=value, low=-1, high=1, p=p, num_problems=n, problems_needed=None, seeds_needed=None)
    return Difference(**(fields | changes))


def test_verdicts_are_words_with_what_would_be_needed():
    said = verdicts(
        [
            found(0.1, 0.001),
            found(-0.1, 0.001),
            found(0.02, 0.2, problems_needed=1300),
            found(0.02, 0.2, problems_needed=40),
            found(0.02, 0.2, problems_needed=40, seeds=3),
            found(0.02, 0.04, problems_needed=40, seeds=3),
            found(0.02, 0.2, seeds_needed=7),
            found(0.0, 1.0),
            found(0.3, 0.25, 5),
            found(0.02, 0.9),
        ]
    )
    assert [f"{v.outcome}: {v.reason}".removesuffix(": ") for v in said] == [
        "better",
        "worse",
        "open: about 1,300 problems would show a difference of 2.0 points",
        "open: about 101 problems would show a difference of 2.0 points",
        "open: more than 3 seeds are needed to show a difference of 2.0 points",
        "open: that 3 seeds differ by 2.0 points does not stand up to the correction for 10 comparisons; more may",
        "open: about 7 seeds a method would show a difference of 2.0 points",
        "open: no difference was seen",
        "open: 5 problems are too few to tell any methods apart; 9 may do",
        "open: more seeds and more problems are needed; neither alone would show a difference of 2.0 points",
    ]


def test_one_comparison_among_many_needs_a_smaller_p():
    assert [v.outcome for v in verdicts([found(p=0.03)])] == ["better"]
    assert [v.outcome for v in verdicts([found(p=0.03), found(p=0.04)])] == ["open"] * 2
    assert verdicts([]) == [] and verdicts([found(p=0.03)], level=0.99)[0].outcome == "open"


@pytest.mark.parametrize(("n", "p"), [(6, 2 / 2**6), (5, 2 / 2**5)])
def test_too_few_problems_are_those_that_could_never_tell(n, p):
    (verdict,) = verdicts([difference([[1] * n], [[0] * n])])
    assert mcnemar_exact(n, 0) == p and verdict.outcome == ("better" if p <= 0.05 else "open")
    assert n > 5 or verdict.reason == "5 problems are too few to tell any methods apart; 6 may do"


@pytest.mark.parametrize("arguments", [(-1, 0, 5), (3, 3, 5), (0, 0, 0)])
def test_impossible_counts_are_refused(arguments):
    with pytest.raises(ValueError, match="give counts"):
        paired_bootstrap(*arguments)


def test_methods_on_different_problems_are_not_compared():
    with pytest.raises(ValueError, match="one method has 3 problems, the other 2; cut both to those they share"):
        difference([[1, 0, 1]], [[1, 0]])
