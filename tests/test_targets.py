"""Targets: what each supervision step is taught."""

import torch

from hybrid.adapters import Targets
from hybrid.recursion.losses import IGNORE

LABELS = torch.tensor([[[1, 2, 7], [3, 4, 8]], [[5, IGNORE, IGNORE], [6, IGNORE, IGNORE]]])
TARGETS = Targets(LABELS, torch.tensor([2, 1]), torch.tensor([[1.0, 2.0, 1.0], [1.0, 1.0, 1.0]]))


def test_each_row_gets_the_line_of_its_own_step_and_later_ones_the_last():
    assert TARGETS.at(torch.tensor([1, 2])).labels.tolist() == [[1, 2, 7], [6, IGNORE, IGNORE]]
    assert TARGETS.at(torch.tensor([5, 1])).labels.tolist() == [[3, 4, 8], [5, IGNORE, IGNORE]]


def test_being_right_is_giving_the_final_answer_whatever_the_step():
    goal = TARGETS.at(torch.tensor([1, 1]))
    assert goal.answer.tolist() == [[3, 4, IGNORE], [6, IGNORE, IGNORE]] == TARGETS.answer.tolist()


def test_path_positions_have_a_weight_of_their_own():
    assert TARGETS.at(torch.tensor([1, 1]), 0.5).weights.tolist() == [[1.0, 2.0, 0.5], [1.0, 0.5, 0.5]]
    assert [part.shape[1] for part in TARGETS.at(torch.tensor([1, 1])).first(2)] == [2, 2, 2]
