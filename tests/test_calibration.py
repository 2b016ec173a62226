"""Calibration: a halting rule's threshold is raised until no dev problem is lost by it, and never lowered."""

import pytest
import torch

import hybrid
from hybrid.recursion.halting import HALTING, Converged, Fixed, Learned, QLearning
from hybrid.train import calibrate, calibration


def chosen(monkeypatch, config, scores, rights):
    course = torch.tensor(scores, dtype=torch.float64), torch.tensor(rights, dtype=torch.bool)
    monkeypatch.setattr(calibration, "_course", lambda *given: course)
    return calibration.calibrated(None, None, config, len(scores[0]))


def stops(config, scores):
    return (torch.tensor(scores) > HALTING.build(config).threshold).tolist()


def test_a_score_that_is_too_sure_of_a_wrong_answer_raises_the_threshold(monkeypatch):
    scores = [[9.0, 9.0, 9.0], [6.0, 9.5, 9.5], [7.0, 8.0, 9.0]]
    rights = [[1, 1, 1], [0, 1, 1], [1, 1, 1]]
    found = chosen(monkeypatch, Learned.Config(exploration=0.3), scores, rights)
    assert found.exploration == 0.3 and stops(found, scores) == [[True] * 3, [False, True, True], [True] * 3]


def test_a_rule_that_loses_nothing_is_left_as_it_is_however_lax_it_could_be(monkeypatch):
    config = Learned.Config(probability=0.9)
    assert chosen(monkeypatch, config, [[1.0, 1.5], [5.0, 5.0]], [[1, 1], [1, 1]]) is config


def test_a_lax_threshold_beyond_one_that_loses_a_problem_is_not_taken(monkeypatch):
    """Row 0 is lost below 6; that row 1 stops right by luck below 5 makes up for nothing."""
    scores = [[6.0, 6.0], [5.0, 1.0], [7.0, 7.0]]
    rights = [[0, 1], [1, 0], [1, 1]]
    assert stops(chosen(monkeypatch, Learned.Config(), scores, rights), scores) == [[False] * 2, [False] * 2, [True] * 2]


def test_where_every_stop_would_lose_nobody_stops(monkeypatch):
    found = chosen(monkeypatch, Learned.Config(probability=0.7), [[5.0, 1.0], [4.0, 1.0]], [[0, 1], [0, 1]])
    assert stops(found, [[5.0], [4.0]]) == [[False], [False]]


def test_a_single_step_leaves_the_rule_as_it_is(monkeypatch):
    assert chosen(monkeypatch, Learned.Config(probability=0.7), [[5.0]], [[1]]) == Learned.Config(probability=0.7)


def test_the_tolerance_of_latent_motion_is_lowered_in_the_same_way(monkeypatch):
    found = chosen(monkeypatch, Converged.Config(tolerance=0.6), [[-0.5, -0.1], [-0.25, -0.1]], [[0, 1], [1, 1]])
    rule = HALTING.build(found)
    assert rule.stop(torch.zeros(3, 1), torch.tensor([0.5, 0.49, 0.25])).tolist() == [False, True, True]


@pytest.mark.parametrize("config", [Fixed.Config(), QLearning.Config()])
def test_a_rule_without_a_threshold_comes_back_as_it_is(config):
    assert calibration.calibrated(None, None, config, 4) is config


def test_a_calibrated_model_keeps_its_rule_when_it_is_saved(model, problems, tmp_path):
    rule = calibrate(model, problems(4))
    assert model.config.reasoner.halting == rule and model.head.reasoner.halting.threshold == HALTING.build(rule).threshold
    model.save_pretrained(tmp_path)
    assert hybrid.HybridModel.from_pretrained(tmp_path).config.reasoner.halting == rule


def test_calibration_is_kept_when_other_heads_answer_meanwhile(model, problems, tmp_path, monkeypatch):
    model.save_pretrained(tmp_path)
    model.load_head(tmp_path, "other")
    monkeypatch.setattr(calibration, "calibrated", lambda *given: Learned.Config(probability=0.75))
    rule = calibrate(model, problems(4))
    model.set_head("other")
    assert model.config.reasoner.halting != rule
    model.set_head("default")
    assert model.config.reasoner.halting == rule and model.head.reasoner.halting.threshold == HALTING.build(rule).threshold


def test_without_a_cache_nothing_is_written(model, problems, monkeypatch):
    monkeypatch.setattr("hybrid.train.dataset.cached_features", None)
    rule = calibrate(model, problems(4), cache=False)
    assert rule == model.config.reasoner.halting


def test_no_dev_answer_is_lost_by_a_calibrated_rule(model, problems):
    from hybrid.train.dataset import Dataset
    from hybrid.train.evaluate import evaluate

    torch.nn.init.normal_(model.head.reasoner.halt.weight)
    dev, most = Dataset(model, problems(8)), model.config.reasoner.num_supervision_steps
    rule = calibrate(model, dev.problems)
    halted, whole = (evaluate(model.head, dev, num_steps=most, halting=each) for each in (rule, None))
    assert halted.exact >= whole.exact and halted.steps <= most
