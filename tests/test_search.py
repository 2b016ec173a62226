"""Noisy search thinks several times and chooses; its cost is counted."""

import pytest
import torch

from hybrid.adapters import Features
from hybrid.errors import ConfigError
from hybrid.inference.search import SearchConfig, noisy, search
from hybrid.inference.thinking import think
from hybrid.recursion.equilibrium import Implicit, Phantom
from hybrid.recursion.halting import Fixed
from hybrid.recursion.reasoner import ReasonerConfig


@pytest.fixture
def features(model, problems):
    return model.read([problem.prompt for problem in problems(4)])


def run(model, features: Features, **fields):
    return search(model.head, features, Fixed(Fixed.Config()), 3, SearchConfig(**fields))


def test_one_trajectory_is_plain_thinking(model, features):
    plain = think(model.head, features, Fixed(Fixed.Config()), 3)
    assert torch.equal(run(model, features, num_trajectories=1).answers, plain.answers)


def test_without_noise_every_trajectory_is_the_plain_one(model, features):
    plain = run(model, features, num_trajectories=1)
    for choose in ("halt", "majority"):
        same = run(model, features, num_trajectories=3, noise=0.0, choose=choose)
        torch.testing.assert_close(same.answers, plain.answers)
        assert torch.equal(same.symbols, plain.symbols)


@pytest.mark.parametrize("gradient", [Implicit.Config(max_iterations=3), Phantom.Config(max_iterations=3)])
def test_a_solve_counts_as_one_recursion_so_that_no_noise_is_the_plain_answer(new_model, problems, gradient):
    model = new_model(reasoner=ReasonerConfig(width=16, num_cycles=2, num_supervision_steps=3, gradient=gradient))
    features = model.read([problem.prompt for problem in problems(4)])
    plain = run(model, features, num_trajectories=1)
    torch.testing.assert_close(run(model, features, num_trajectories=2, noise=0.0).answers, plain.answers)


def test_a_head_in_half_precision_searches_too(model, features):
    model.bfloat16()
    assert run(model, features, num_trajectories=3, noise=0.5).symbols.shape[0] == 4


def test_all_steps_of_all_trajectories_are_counted(model, features):
    found = run(model, features, num_trajectories=5, noise=0.5)
    assert found.total_steps.tolist() == [15] * 4 and found.steps.tolist() == [3] * 4


def test_the_halt_logit_chooses_the_surest_trajectory(model, features):
    torch.nn.init.normal_(model.head.reasoner.halt.weight)
    plain = run(model, features, num_trajectories=1)
    found = run(model, features, num_trajectories=6, noise=1.0)
    assert (found.halt[:, -1, 0] >= plain.halt[:, -1, 0] - 1e-5).all()
    assert (found.halt[:, -1, 0] > plain.halt[:, -1, 0] + 1e-5).any()


def test_the_same_seed_gives_the_same_answers(model, features):
    first, again, other = (run(model, features, num_trajectories=4, noise=1.0, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.answers, again.answers)
    assert not torch.equal(first.motion, other.motion)


def test_noise_touches_the_latent_state_of_its_own_rows_only():
    disturb = noisy(SearchConfig(2, noise=1.0))
    y, z = torch.zeros(3, 3, 4), torch.zeros(3, 3, 4)
    moved_y, moved_z = disturb((y, z), torch.tensor([0, 1, 3]))
    assert torch.equal(moved_y, y) and torch.equal(moved_z[0], z[0]) and not torch.equal(moved_z[1], z[1])
    assert torch.equal(moved_z[1], moved_z[2])


def test_an_answer_does_not_depend_on_the_batch(model, problems):
    torch.nn.init.normal_(model.head.reasoner.halt.weight)
    prompts, config = [problem.prompt for problem in problems(4)], SearchConfig(4, noise=1.0)
    together = model.solve(prompts, search=config)
    for prompt, found in zip(prompts, together, strict=True):
        (alone,) = model.solve([prompt], search=config)
        assert alone.symbols == found.symbols and alone.total_steps == found.total_steps
        assert alone.motion == pytest.approx(found.motion, abs=1e-4)


def test_a_search_that_makes_no_sense_is_refused():
    with pytest.raises(ConfigError, match="num_trajectories"):
        SearchConfig(num_trajectories=0)
    with pytest.raises(ConfigError, match="noise"):
        SearchConfig(noise=-1.0)
