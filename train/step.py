"""One supervision step of training: losses, halting, and the carry that goes on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hybrid.carry import Carry
from hybrid.halting import Halting
from hybrid.head import StepOutput
from hybrid.losses import AnswerLoss, whole_answer_right
from hybrid.train.dataset import Batch


@dataclass(frozen=True)
class StepLosses:
    """Losses of a step: `total` to differentiate, means over the local slots, and what the metrics count."""

    total: Tensor
    answer: Tensor
    halt: Tensor
    right: Tensor


def losses(
    out: StepOutput, batch: Batch, loss: AnswerLoss, halting: Halting, *, halt_weight: float, path_weight: float
) -> StepLosses:
    """Return the losses of one supervision step on a batch; each is a mean over its rows."""
    answers = batch.features.answer_mask(batch.labels.shape[1])
    weights = torch.where(answers, 1.0, path_weight)
    right_b = whole_answer_right(out.logits.detach(), batch.answer_labels())
    answer = loss(out.logits, batch.labels, weights).mean()
    halt = halting.loss(out.halt, right_b).mean()
    return StepLosses(answer + halt_weight * halt, answer.detach(), halt.detach(), right_b)


def advance(carry: Carry, out: StepOutput, halting: Halting, draw_b: Tensor, num_supervision_steps: int) -> Carry:
    """Return the carry after the step, with the slots that halt now."""
    halted = halting.train_stop(out.halt.detach(), carry.steps + 1, draw_b, num_supervision_steps)
    return carry.advance(out.state, halted)


def forward(head: nn.Module, batch: Batch, carry: Carry) -> StepOutput:
    """Run the head on a batch from its carry."""
    out: StepOutput = head(batch.features, carry.state, batch.labels.shape[1])
    return out
