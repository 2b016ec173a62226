"""One supervision step: losses, halting, carry."""

import pytest
import torch

from hybrid.carry import Carry
from hybrid.halting import HALTING, Learned
from hybrid.losses import Softmax
from hybrid.reasoner import ReasonerConfig
from hybrid.train.dataset import Dataset
from hybrid.train.step import Objective, advance, forward, look_ahead, losses

LOSS, RULE = Softmax(Softmax.Config()), Learned(Learned.Config(exploration=0.0))


@pytest.fixture
def batch(model, problems):
    return Dataset(model, [*problems(2), *problems(1, length=5)]).batch([0, 1, 2])


@pytest.fixture
def out(model, batch):
    return forward(model.head, batch, Carry.start(model.head.start(batch.features)))


def run(out, batch, **weights):
    return losses(out, batch, Objective(LOSS, RULE, **weights), None, torch.ones(3))


def test_the_total_is_the_answer_loss_and_the_weighed_halt_loss(out, batch):
    right = torch.tensor([False, False, False])
    answer, halt = LOSS(out.logits, batch.labels).mean(), RULE.loss(out.halt, right).mean()
    found = run(out, batch)
    torch.testing.assert_close(found.total, answer + 0.5 * halt)
    torch.testing.assert_close(run(out, batch, halt_weight=0.0).total, answer)
    assert not found.answer.requires_grad and not found.halt.requires_grad and found.total.requires_grad


def test_a_row_is_right_when_its_whole_answer_is_whatever_its_path(out, batch):
    batch.labels[:] = out.logits.argmax(-1)
    batch.labels[0, 1] = (batch.labels[0, 1] + 1) % 10
    batch.labels[1, 3] = (batch.labels[1, 3] + 1) % 10  # Behind the three answers: a path symbol.
    assert run(out, batch).right.tolist() == [False, True, True]


def test_the_path_weighs_as_much_as_it_is_told_to(out, batch):
    batch.labels[0] = torch.tensor([1, 2, 3, 4, 5])
    per_position = LOSS.per_position(out.logits, batch.labels)[0].detach()
    others = LOSS(out.logits, batch.labels)[1:].sum().detach()
    for weight in (0.0, 0.5, 1.0):
        weights = torch.tensor([1, 1, 1, weight, weight])
        expected = ((per_position * weights).sum() / weights.sum() + others) / 3
        torch.testing.assert_close(run(out, batch, path_weight=weight).answer, expected)


def test_a_problem_may_weigh_its_own_positions(out, batch):
    per_position = LOSS.per_position(out.logits, batch.labels)[0, :3].detach()
    others = LOSS(out.logits, batch.labels)[1:].sum().detach()
    batch.weights[0, :3] = torch.tensor([4.0, 1.0, 0.0])
    expected = ((4 * per_position[0] + per_position[1]) / 5 + others) / 3
    torch.testing.assert_close(run(out, batch).answer, expected)


def test_the_carry_goes_on_detached_and_counts(out, batch, model):
    carry = Carry.start(model.head.start(batch.features)).refill(model.head.start(batch.features))
    after = advance(carry, out, Objective(LOSS, RULE, num_supervision_steps=3), torch.full((3,), 0.99))
    assert after.steps.tolist() == [1, 1, 1] and not any(part.requires_grad for part in after.state)
    assert torch.equal(after.halted, out.halt[:, 0] > 0)
    assert advance(carry, out, Objective(LOSS, RULE), torch.full((3,), 0.99)).halted.all()


def test_only_a_rule_that_looks_ahead_takes_another_step(new_model, batch):
    assert look_ahead(None, batch, None, RULE) is None
    reasoner = ReasonerConfig(width=16, num_supervision_steps=3, halting=HALTING["q_learning"].Config())
    head = new_model(reasoner=reasoner).head
    torch.nn.init.normal_(head.reasoner.halt.weight)
    out = forward(head, batch, Carry.start(head.start(batch.features)))
    ahead = look_ahead(head, batch, out, head.reasoner.halting)
    expected = head(batch.features, out.state, 1).halt
    torch.testing.assert_close(ahead, expected.detach(), rtol=0, atol=1e-5)
    assert ahead.shape == (3, 2) and not ahead.requires_grad
    objective = Objective(LOSS, head.reasoner.halting, num_supervision_steps=3)
    last = losses(out, batch, objective, ahead, torch.tensor([3, 3, 3]))
    early = losses(out, batch, objective, ahead, torch.tensor([1, 1, 1]))
    right = torch.zeros(3, dtype=torch.bool)
    for found, is_last in ((last, True), (early, False)):
        torch.testing.assert_close(
            found.halt, head.reasoner.halting.loss(out.halt, right, ahead, torch.full((3,), is_last)).mean().detach()
        )
