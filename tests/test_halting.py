"""Halting rules in training and at inference."""

import pytest
import torch

from hybrid.errors import ConfigError
from hybrid.recursion.halting import HALTING, Converged, Fixed, Learned

UP, DOWN = torch.full((4, 1), 3.0), torch.full((4, 1), -3.0)
NO_EXPLORATION = torch.full((4,), 0.99)


def steps(*counts):
    return torch.tensor(counts)


@pytest.mark.parametrize("kind", HALTING)
def test_no_problem_takes_more_than_n_steps_in_training(kind):
    rule = HALTING.build(HALTING[kind].Config())
    up, down = (torch.cat([logits, torch.zeros(4, rule.num_logits - 1)], dim=1) for logits in (UP, DOWN))
    assert rule.train_stop(down, steps(7, 8, 9, 1), NO_EXPLORATION, 8).tolist() == [False, True, True, False]
    exploring = torch.zeros(4)
    assert rule.train_stop(up, steps(8, 8, 9, 12), exploring, 8).all()


def test_learned_halting_stops_on_a_positive_logit():
    logits = torch.tensor([[0.1], [-0.1], [0.0], [5.0]])
    assert Learned(Learned.Config()).train_stop(logits, steps(1, 1, 1, 1), NO_EXPLORATION, 8).tolist() == [
        True,
        False,
        False,
        True,
    ]


def test_exploration_asks_a_tenth_for_a_uniform_minimum_of_two_to_n_steps():
    rule, most, rows = Learned(Learned.Config(exploration=0.1)), 5, 200_000
    draws, up = torch.rand(rows, generator=torch.Generator().manual_seed(0)), torch.ones(rows, 1)
    stopped = torch.stack([rule.train_stop(up, torch.full((rows,), step), draws, most) for step in range(1, most + 1)])
    first = stopped.float().argmax(0) + 1
    shares = torch.bincount(first, minlength=most + 1)[1:] / rows
    torch.testing.assert_close(shares, torch.tensor([0.9, 0.025, 0.025, 0.025, 0.025]), rtol=0, atol=0.002)


def test_without_exploration_nothing_waits():
    assert Learned(Learned.Config(exploration=0.0)).train_stop(UP, steps(1, 1, 1, 1), torch.tensor([0, 1e-9, 0.5, 0.9]), 8).all()


def test_at_inference_learned_halting_stops_above_its_probability():
    rule = Learned(Learned.Config(probability=0.9))
    logits = torch.logit(torch.tensor([[0.89], [0.91], [0.5], [0.99]]))
    assert rule.stop(logits, torch.zeros(4)).tolist() == [False, True, False, True]


def test_converged_stops_on_little_motion_and_trains_like_learned():
    rule = Converged(Converged.Config(tolerance=0.05))
    assert rule.stop(DOWN, torch.tensor([0.01, 0.05, 0.06, 0.0])).tolist() == [True, False, False, True]
    assert rule.train_stop(UP, steps(1, 1, 1, 1), NO_EXPLORATION, 8).all()


def test_fixed_never_stops_by_itself():
    rule = Fixed(Fixed.Config())
    assert not rule.stop(UP, torch.zeros(4)).any() and not rule.train_stop(UP, steps(1, 2, 3, 7), NO_EXPLORATION, 8).any()


def test_the_halt_loss_is_binary_cross_entropy_against_a_right_answer():
    logits = torch.tensor([[2.0], [-1.0]], dtype=torch.float16)
    expected = -torch.tensor([torch.tensor(2.0).sigmoid().log(), (1 - torch.tensor(-1.0).sigmoid()).log()])
    loss = Learned(Learned.Config()).loss(logits, torch.tensor([True, False]))
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected)


class TestQLearning:
    """Halt and continue as two actions."""

    rule = HALTING.build(HALTING["q_learning"].Config())
    logits = torch.tensor([[2.0, 1.0], [1.0, 2.0], [-3.0, -4.0], [0.0, 0.0]])

    def test_halts_where_halting_is_worth_more_than_going_on(self):
        assert self.rule.stop(self.logits, torch.zeros(4)).tolist() == [True, False, True, False]
        assert self.rule.train_stop(self.logits, steps(1, 1, 1, 1), NO_EXPLORATION, 8).tolist() == [True, False, True, False]

    def test_going_on_learns_the_best_value_of_the_next_step_and_halting_at_the_last(self):
        right, following = torch.tensor([True, False, True, False]), self.logits.flip(0) / 2
        last = torch.tensor([False, False, True, True])
        loss = self.rule.loss(self.logits, right, following, last)
        for row in range(4):
            target = (following[row, 0] if last[row] else following[row].max()).sigmoid()
            halt, go = self.logits[row].sigmoid()
            expected = -(halt if right[row] else 1 - halt).log() - target * go.log() - (1 - target) * (1 - go).log()
            torch.testing.assert_close(loss[row], expected)

    def test_without_a_next_step_the_halting_value_alone_learns(self):
        right = torch.tensor([True, False, True, False])
        torch.testing.assert_close(self.rule.loss(self.logits, right), Learned(Learned.Config()).loss(self.logits, right))


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (Learned, {"exploration": -0.1}),
        (Learned, {"exploration": 1.1}),
        (Learned, {"probability": 0.0}),
        (Learned, {"probability": 1.0}),
        (Converged, {"tolerance": 0.0}),
        (Converged, {"exploration": 2.0}),
    ],
)
def test_values_out_of_range_are_refused_by_name(kind, fields):
    with pytest.raises(ConfigError, match=rf"halting\.{next(iter(fields))}"):
        kind.Config(**fields)


def test_an_unknown_rule_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match='halting "act2" is unknown; choose one of: fixed, learned, converged'):
        HALTING.from_dict("act2")
