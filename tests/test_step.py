"""One supervision step: losses, halting, carry."""

import pytest
import torch

from hybrid.recursion.carry import Carry
from hybrid.recursion.halting import HALTING, Learned
from hybrid.recursion.losses import Softmax
from hybrid.recursion.reasoner import ReasonerConfig
from hybrid.train.dataset import Dataset
from hybrid.train.step import Objective, advance, forward, look_ahead, losses

LOSS, RULE = Softmax(Softmax.Config()), Learned(Learned.Config(exploration=0.0))


@pytest.fixture
def batch(model, problems):
    return Dataset(model, [*problems(2), *problems(1, length=5)]).batch([0, 1, 2])


@pytest.fixture
def step(model, batch):
    """Runs a step on the batch under an objective: its output and its losses."""

    def run(**weights):
        objective = Objective(LOSS, RULE, **weights)
        out = forward(model.head, batch, Carry.start(model.head.start(batch.features)), objective)
        return out, losses(out, objective, None, torch.ones(3))

    return run


@pytest.fixture
def logits(model, batch):
    """The symbol logits of the step, of all output positions."""
    head = model.head
    workspace = head.encode(batch.features)
    state = head.step(workspace, head.reasoner.start(workspace.x))
    return head.decoder(state[0]).detach()


def test_the_total_is_the_answer_loss_and_the_weighed_halt_loss(step, batch, logits):
    right = torch.tensor([False, False, False])
    out, found = step()
    answer, halt = LOSS(logits, batch.targets.labels[:, 0]).mean(), RULE.loss(out.halt, right).mean()
    torch.testing.assert_close(found.total.detach(), (answer + 0.5 * halt).detach())
    torch.testing.assert_close(step(halt_weight=0.0)[1].total.detach(), answer)
    assert not found.answer.requires_grad and not found.halt.requires_grad and found.total.requires_grad


def test_a_row_is_right_when_its_whole_answer_is_whatever_its_path(step, batch, logits):
    labels = batch.targets.labels
    labels[:, 0] = logits.argmax(-1)
    labels[0, 0, 1] = (labels[0, 0, 1] + 1) % 10
    labels[1, 0, 3] = (labels[1, 0, 3] + 1) % 10  # Behind the three answers: a path symbol.
    assert step()[1].right.tolist() == [False, True, True]


def test_the_path_weighs_as_much_as_it_is_told_to(step, batch, logits):
    batch.targets.labels[0, 0] = torch.tensor([1, 2, 3, 4, 5])
    per_position = LOSS.per_position(logits, batch.targets.labels[:, 0])[0]
    others = LOSS(logits, batch.targets.labels[:, 0])[1:].sum()
    for weight in (0.0, 0.5, 1.0):
        weights = torch.tensor([1, 1, 1, weight, weight])
        expected = ((per_position * weights).sum() / weights.sum() + others) / 3
        torch.testing.assert_close(step(path_weight=weight)[1].answer, expected)


def test_a_problem_may_weigh_its_own_positions(step, batch, logits):
    per_position = LOSS.per_position(logits, batch.targets.labels[:, 0])[0, :3]
    others = LOSS(logits, batch.targets.labels[:, 0])[1:].sum()
    batch.targets.weights[0, :3] = torch.tensor([4.0, 1.0, 0.0])
    expected = ((4 * per_position[0] + per_position[1]) / 5 + others) / 3
    torch.testing.assert_close(step()[1].answer, expected)


def test_the_carry_goes_on_detached_and_counts(step, batch, model):
    out, _ = step()
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
    objective = Objective(LOSS, head.reasoner.halting, num_supervision_steps=3)
    out = forward(head, batch, Carry.start(head.start(batch.features)), objective)
    ahead = look_ahead(head, batch, out, head.reasoner.halting)
    expected = head(batch.features, out.state).halt
    torch.testing.assert_close(ahead, expected.detach(), rtol=0, atol=1e-5)
    assert ahead.shape == (3, 2) and not ahead.requires_grad
    last, early = (losses(out, objective, ahead, torch.full((3,), steps)) for steps in (3, 1))
    right = torch.zeros(3, dtype=torch.bool)
    for found, is_last in ((last, True), (early, False)):
        torch.testing.assert_close(
            found.halt, head.reasoner.halting.loss(out.halt, right, ahead, torch.full((3,), is_last)).mean().detach()
        )
