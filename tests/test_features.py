"""Features: rows of different lengths as one padded batch."""

import torch

from hybrid.adapters import Features

ROWS = [torch.full((length, 2, 3), float(length)) for length in (1, 3, 2)]


def test_rows_are_padded_with_zeros_to_the_longest_and_masked():
    features = Features.pad(ROWS, [1, 2, 2])
    assert features.states.shape == (3, 3, 2, 3)
    assert features.mask.tolist() == [[True, False, False], [True, True, True], [True, True, False]]
    assert (features.states[~features.mask] == 0).all() and (features.states[1] == 3).all()


def test_a_longer_padding_can_be_asked_for():
    features = Features.pad(ROWS, [1, 1, 1], 5)
    assert features.states.shape[1] == 5 and features.mask.sum(1).tolist() == [1, 3, 2]


def test_precision_is_kept():
    assert Features.pad([row.bfloat16() for row in ROWS], [1, 1, 1]).states.dtype == torch.bfloat16


def test_selecting_keeps_rows_together():
    kept = Features.pad(ROWS, [1, 3, 2]).select(torch.tensor([2, 0]))
    assert kept.num_answers.tolist() == [2, 1] and kept.mask.sum(1).tolist() == [2, 1] and kept.states[0, 0, 0, 0] == 2


def test_which_slots_hold_an_answer_is_told_unless_all_do():
    features = Features.pad(ROWS, [1, 3, 2])
    assert features.answers(4).int().tolist() == [[1, 0, 0, 0], [1, 1, 1, 0], [1, 1, 0, 0]]
    assert (features.fewest, features.most) == (1, 3)
    assert features.answers(1) is None and Features.pad(ROWS, [2, 2, 2]).answers(2) is None


def test_rows_of_one_length_have_no_mask():
    assert Features.pad(ROWS[1:2] * 2, [1, 1]).mask is None and Features.pad(ROWS[1:2] * 2, [1, 1], 4).mask is not None


def test_moving_moves_everything():
    moved = Features.pad(ROWS, [1, 1, 1]).to("meta")
    assert {moved.states.device.type, moved.mask.device.type, moved.num_answers.device.type} == {"meta"}
