"""Heads that the benchmark trains: within the budget, resumed, and disturbed at the test."""

from dataclasses import replace

import pytest
import torch

from hybrid.backbone.tuner import Lora
from hybrid.eval.baselines import METHODS, Budget, Trained
from hybrid.eval.baselines.trained import with_random_weights
from hybrid.eval.tasks.sort import Sort
from hybrid.recursion.reasoner import ReasonerConfig
from hybrid.train import TrainConfig

TASK = Sort(Sort.Config(length=4))
CONFIG = Trained.Config(
    reasoner=ReasonerConfig(width=16, num_cycles=1, num_supervision_steps=2),
    train=TrainConfig(num_steps=10, eval_every_steps=5, batch_size=8),
    layers=(0, 2),
)


def fitted(backbone, folder, config=CONFIG, seconds=60.0):
    method = METHODS.build(config, backbone, TASK)
    method.fit(TASK.problems("train", 20), TASK.problems("dev", 8), folder, Budget(seconds))
    return method


def test_a_head_is_trained_in_the_folder_and_loaded_again_from_it(backbone, tmp_path):
    first = fitted(backbone, tmp_path)
    assert first.train_seconds > 0 and [len(point) for point in first.course] == [2, 2]
    assert first.trainable_parameters == first.head.model.num_trainable_parameters()
    again, test = fitted(backbone, tmp_path), TASK.problems("test", 6)
    assert again.train_seconds == first.train_seconds and again.attempt(test) == first.attempt(test)
    assert len(again.depth_curve(test, 5)) == 5


def test_training_ends_with_the_budget(backbone, tmp_path):
    endless = replace(CONFIG, train=replace(CONFIG.train, num_steps=1_000_000, eval_every_steps=1_000_000))
    assert 0.299 <= fitted(backbone, tmp_path, endless, seconds=0.3).train_seconds < 3  # Seconds are kept to a thousandth.


def test_reading_the_problems_counts_and_what_there_is_no_time_to_read_is_left_out(backbone, tmp_path):
    tmp_path.joinpath("reading.json").write_text('{"seconds_a_problem": 1.0}')
    method = fitted(backbone, tmp_path, seconds=27.0)
    assert method.train_problems == 9 and method.course[0][0] > 9 and method.train_seconds > 9
    whole = fitted(backbone, tmp_path / "whole")
    assert whole.train_problems == 20 and 0 < whole.train_seconds < 9


def test_with_the_workspace_of_another_problem_the_answer_is_that_problems(backbone, tmp_path):
    disturbed = fitted(backbone, tmp_path, replace(CONFIG, name="shuffled", disturbance="other_problem"))
    test, donors = TASK.problems("test", 6), TASK.problems("dev", 8)
    given = {solution.text for solution in disturbed.head.model.solve(donors)}
    assert {attempt.text for attempt in disturbed.attempt(test)} <= given
    assert disturbed.depth_curve(test, 5) is None


@pytest.mark.parametrize("disturbance", ["latent_zero", "latent_noise"])
def test_disturbed_latent_states_change_what_is_answered(backbone, tmp_path, disturbance):
    plain = fitted(backbone, tmp_path)
    disturbed = fitted(backbone, tmp_path, replace(CONFIG, disturbance=disturbance))
    test = TASK.problems("test", 8)
    assert [a.text for a in plain.attempt(test)] != [a.text for a in disturbed.attempt(test)]


def test_random_weights_are_others_and_always_the_same(backbone):
    before = torch.random.get_rng_state()
    one, two = with_random_weights(backbone), with_random_weights(backbone)
    assert torch.equal(before, torch.random.get_rng_state())
    assert one.fingerprint == two.fingerprint != backbone.fingerprint
    assert one.dtype == backbone.dtype and one.layers == backbone.layers


def test_with_a_tuner_the_second_half_trains_a_copy_of_the_language_model(backbone, tmp_path):
    before = backbone.fingerprint
    both = replace(CONFIG, tuner=Lora.Config(r=2))
    method = fitted(backbone, tmp_path, both)
    assert backbone.fingerprint == before and method.head.model.backbone.tuned and not backbone.tuned
    assert method.trainable_parameters > fitted(backbone, tmp_path / "plain").trainable_parameters
    seconds = [spent for spent, _ in method.course]
    assert len(seconds) == 4 and seconds == sorted(seconds)
    test = TASK.problems("test", 4)
    assert fitted(backbone, tmp_path, both).attempt(test) == method.attempt(test)
