"""Answer losses against naive formulas."""

import math

import pytest
import torch

from hybrid.recursion.losses import IGNORE, LOSSES, Softmax, Stablemax, whole_answer_right

LOGITS = torch.tensor([[[1.0, -2.0, 0.5], [0.0, 0.0, 3.0]], [[-1.0, 4.0, 2.0], [7.0, -7.0, 0.0]]])
LABELS = torch.tensor([[0, 2], [1, IGNORE]])


def softmax(row, label):
    return -math.log(math.exp(row[label]) / sum(map(math.exp, row)))


def stablemax(row, label):
    s = [x + 1 if x >= 0 else 1 / (1 - x) for x in row]
    return -math.log(s[label] / sum(s))


@pytest.mark.parametrize(("kind", "naive"), [("softmax", softmax), ("stablemax", stablemax)])
def test_a_loss_is_the_naive_mean_over_labelled_positions(kind, naive):
    loss = LOSSES.build(LOSSES[kind].Config())(LOGITS, LABELS)
    rows = LOGITS.tolist()
    expected = [(naive(rows[0][0], 0) + naive(rows[0][1], 2)) / 2, naive(rows[1][0], 1)]
    torch.testing.assert_close(loss.float(), torch.tensor(expected))


@pytest.mark.parametrize("kind", LOSSES)
def test_weights_change_the_mean_and_nothing_else(kind):
    loss = LOSSES.build(LOSSES[kind].Config())
    first, second = loss.per_position(LOGITS, LABELS)[0].tolist()
    weighed = loss(LOGITS, LABELS, torch.tensor([[1.0, 3.0], [1.0, 3.0]]))
    assert weighed[0].item() == pytest.approx((first + 3 * second) / 4)
    assert weighed[1].item() == pytest.approx(loss(LOGITS, LABELS)[1].item())


@pytest.mark.parametrize("kind", LOSSES)
def test_ignored_positions_get_no_loss_and_no_gradient(kind):
    logits = LOGITS.clone().requires_grad_()
    loss = LOSSES.build(LOSSES[kind].Config())
    loss(logits, LABELS).sum().backward()
    assert torch.equal(logits.grad[1, 1], torch.zeros(3)) and logits.grad[0, 0].abs().sum() > 0
    assert loss.per_position(LOGITS, LABELS)[1, 1] == 0


@pytest.mark.parametrize("kind", LOSSES)
def test_a_row_without_labels_gives_zero_and_no_nan(kind):
    logits = LOGITS.clone().requires_grad_()
    loss = LOSSES.build(LOSSES[kind].Config())(logits, torch.full((2, 2), IGNORE))
    loss.sum().backward()
    assert loss.tolist() == [0, 0] and torch.equal(logits.grad, torch.zeros_like(logits))


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0, 1e6, -1e6])
def test_the_gradient_of_stablemax_is_finite_everywhere(value):
    logits = torch.full((1, 1, 3), value, requires_grad=True)
    Stablemax(Stablemax.Config())(logits, torch.tensor([[1]])).sum().backward()
    assert logits.grad.isfinite().all() and logits.grad.abs().sum() > 0


def test_the_gradient_of_stablemax_agrees_with_finite_differences():
    logits = torch.tensor([[[0.3, -0.7, 1.5, -3.0]]], dtype=torch.float64, requires_grad=True)
    loss = Stablemax(Stablemax.Config())
    assert torch.autograd.gradcheck(lambda x: loss(x, torch.tensor([[1]])), (logits,))


def test_half_precision_logits_are_scored_in_float32():
    assert Softmax(Softmax.Config())(LOGITS.half(), LABELS).dtype == torch.float32


def test_an_answer_is_right_when_every_labelled_position_is():
    assert whole_answer_right(LOGITS, LABELS).tolist() == [True, True]
    assert whole_answer_right(LOGITS, torch.tensor([[0, 1], [IGNORE, 0]])).tolist() == [False, True]
