"""The intervals hold the truth as often as they say: simulated benchmarks whose truth is known."""

import numpy as np
import pytest

from hybrid.eval.measures.intervals import mean_interval, seeds_interval, wilson
from hybrid.eval.measures.significance import difference, paired_bootstrap

RUNS = 150
"""Simulated benchmarks where the slow tests say no other number; the figures in the docstrings are of 1,500 to 3,000."""


def share(logits):
    return 1 / (1 + np.exp(-logits))


MANY = np.random.default_rng(9).standard_normal((2, 400_000))


class World:
    """Methods whose seeds and problems differ in logits: answers of `seeds` heads to `problems` problems."""

    def __init__(self, level, seeds_sd, problems_sd, draw):
        self.level, self.seeds_sd, self.problems_sd, self.draw = level, seeds_sd, problems_sd, draw
        self.truth = float(share(level + seeds_sd * MANY[0] + problems_sd * MANY[1]).mean())

    def answers(self, seeds, problems_n):
        of_seeds = self.seeds_sd * self.draw.standard_normal((seeds, 1))
        chances = share(self.level + of_seeds + self.problems_sd * problems_n)
        return (self.draw.random(chances.shape) < chances).astype(float)


def covered(runs, one):
    """Return the percentage of runs in which `one(run)` says that the interval held the truth."""
    return 100 * sum(one(run) for run in range(runs)) / runs


def holds(interval, truth):
    return interval[0] - 1e-12 <= truth <= interval[1] + 1e-12


@pytest.mark.parametrize("n", [32, 100, 500])
def test_wilson_covers_on_average_over_rates_and_nowhere_far_off(n):
    """Not simulated: the chance of every count is known."""
    from math import comb

    rates = np.linspace(0.02, 0.98, 97)
    found = []
    for rate in rates:
        held = [k for k in range(n + 1) if holds(wilson(k, n), rate)]
        found.append(100 * sum(comb(n, k) * rate**k * (1 - rate) ** (n - k) for k in held))
    assert 93.5 < np.mean(found) < 96.5 and min(found) > 90


def test_wilson_covers_in_simulation():
    draw = np.random.default_rng(0)
    rates, n = draw.uniform(0.02, 0.98, 4000), 200
    held = covered(4000, lambda run: holds(wilson(int(draw.binomial(n, rates[run])), n), rates[run]))
    assert 93.5 <= held <= 96.5


PAIRS = [(0.02, 0.02), (0.1, 0.02), (0.1, 0.1), (0.3, 0.1), (0.5, 0.0)]


def of_pairs(n, only_first, only_second, runs, draw):
    def one(run):
        b, c, _ = draw.multinomial(n, [only_first, only_second, 1 - only_first - only_second])
        return holds(paired_bootstrap(int(b), int(c), n, resamples=2000, seed=run), only_first - only_second)

    return covered(runs, one)


def test_the_paired_bootstrap_covers():
    draw = np.random.default_rng(0)
    held = [of_pairs(300, *pair, 300, draw) for pair in PAIRS]
    assert 93.5 <= np.mean(held) <= 96.5


@pytest.mark.slow
@pytest.mark.parametrize("n", [32, 100, 500])
def test_the_paired_bootstrap_covers_wherever_methods_differ(n):
    draw = np.random.default_rng(0)
    held = [of_pairs(n, *pair, 800, draw) for pair in [*PAIRS, (0.05, 0.0), (0.9, 0.0), (0.97, 0.0)]]
    assert min(held) >= 92.5 and max(held) <= (99 if n > 32 else 100)


def of_seeds(interval, world, seeds, n, runs):
    def one(run):
        answers = world.answers(seeds, world.draw.standard_normal((1, n)))
        return holds(interval(answers), world.truth)

    return covered(runs, one)


def test_the_interval_of_three_seeds_covers():
    draw = np.random.default_rng(0)
    worlds = [World(1.5, seeds, problems, draw) for seeds, problems in ((0.1, 1.5), (0.3, 3.0), (0.6, 3.0))]
    held = [of_seeds(lambda a: seeds_interval(a)[1:], world, 3, 300, 150) for world in worlds]
    assert 93.5 <= np.mean(held) <= 97.5


GRID = [(level, seeds, problems) for level in (0.0, 1.5, 4.0) for seeds in (0.0, 0.1, 0.3, 0.6) for problems in (0.5, 1.5, 3.0)]


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "least"), [(2, 86), (3, 90), (5, 90)])
def test_the_interval_of_seeds_covers_over_a_grid_of_worlds(seeds, least):
    draw = np.random.default_rng(0)
    held = [of_seeds(lambda a: seeds_interval(a)[1:], World(*world, draw), seeds, n, 300) for world in GRID for n in (100, 500)]
    assert min(held) >= least and 94.5 <= np.mean(held) <= 97


@pytest.mark.slow
def test_shares_alone_give_an_interval_that_is_wide_enough():
    draw = np.random.default_rng(0)
    held = [
        of_seeds(lambda a, n=n: mean_interval(a.mean(1).tolist(), n)[1:], World(*world, draw), 3, n, 200)
        for world in GRID
        for n in (100, 500)
    ]
    assert min(held) >= 92.5


def bootstrap_of_seeds_and_problems(answers, draw, resamples=300):
    """The percentile bootstrap that intervals.py does without: seeds and problems drawn with replacement."""
    s, n = answers.shape
    seeds = draw.multinomial(s, [1 / s] * s, size=resamples) / s
    problems = draw.multinomial(n, [1 / n] * n, size=resamples) / n
    return np.quantile(np.einsum("rs,sn,rn->r", seeds, answers, problems, optimize=True), [0.025, 0.975])


@pytest.mark.slow
def test_textbook_intervals_of_three_seeds_do_not_cover():
    """Why intervals.py has its own: what its docstring says of the others."""
    draw = np.random.default_rng(0)
    found = {"bootstrap": [], "ours": [], "wilson of all answers": []}
    for problems_sd in (0.5, 1.5, 3.0):
        world = World(1.5, 0.6, problems_sd, draw)
        found["bootstrap"].append(of_seeds(lambda a: bootstrap_of_seeds_and_problems(a, draw), world, 3, 500, RUNS))
        found["ours"].append(of_seeds(lambda a: seeds_interval(a)[1:], world, 3, 500, RUNS))
        found["wilson of all answers"].append(of_seeds(lambda a: wilson(int(a.sum()), a.size), world, 3, 500, RUNS))
    assert max(found["bootstrap"]) < 88 and max(found["wilson of all answers"]) < 70 and min(found["ours"]) > 92


def of_differences(first, second, seeds, n, runs):
    truth = first.truth - second.truth

    def one(run):
        problems = first.draw.standard_normal((1, n))  # Hard ones are hard for both.
        found = difference(first.answers(seeds[0], problems), second.answers(seeds[1], problems), seed=run)
        return holds((found.low, found.high), truth)

    return covered(runs, one)


def test_the_difference_of_three_seeds_and_one_method_without_seeds_covers():
    draw = np.random.default_rng(0)
    held = of_differences(World(1.5, 0.3, 2.0, draw), World(0.5, 0.0, 2.0, draw), (3, 1), 300, 100)
    assert held >= 90


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [(3, 1), (3, 3), (5, 3)])
def test_differences_of_trained_methods_cover(seeds):
    draw = np.random.default_rng(0)
    held = []
    for level in (1.5, 4.0):
        for seeds_sd in (0.0, 0.2, 0.6):
            for problems_sd in (0.5, 3.0):
                first = World(level, seeds_sd, problems_sd, draw)
                second = World(0.5, seeds_sd if seeds[1] > 1 else 0.0, problems_sd, draw)
                held.append(of_differences(first, second, seeds, 300, RUNS))
    assert min(held) >= 89 and 93.5 <= np.mean(held) <= 98.5
