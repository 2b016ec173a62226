"""One supervision step of training: losses, halting, and the carry that goes on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hybrid.head import Head, StepOutput
from hybrid.recursion.carry import Carry
from hybrid.recursion.halting import Halting
from hybrid.recursion.losses import LOSSES, AnswerLoss
from hybrid.train.config import TrainConfig
from hybrid.train.dataset import Batch


@dataclass(frozen=True)
class StepLosses:
    """Losses of a step: `total` to differentiate, means over the local slots, and what the metrics count."""

    total: Tensor
    answer: Tensor
    halt: Tensor
    right: Tensor


@dataclass(frozen=True)
class Objective:
    """What a supervision step is trained on.

    Args:
        loss: of the answer.
        halting: rule with its own loss.
        halt_weight: weight of the halt loss.
        path_weight: weight of a context position against an answer position.
        num_supervision_steps: N, the most steps a problem takes.
        deep_supervision: a loss at every supervision step; without, at the last one only.
        in_step: all slots begin and end together: none halts before the last step.
    """

    loss: AnswerLoss
    halting: Halting
    halt_weight: float = 0.5
    path_weight: float = 1.0
    num_supervision_steps: int = 1
    deep_supervision: bool = True
    in_step: bool = False

    def supervises(self, steps_b: Tensor) -> Tensor:
        """Return which rows (b,) bool take a loss after `steps_b` steps."""
        return steps_b >= (1 if self.deep_supervision else self.num_supervision_steps)

    @classmethod
    def of(cls, config: TrainConfig, head: Head, *, tuned: bool = False) -> Objective:
        """Return what `config` trains `head` on; a `tuned` language model sends its batches in step."""
        loss, reasoner = LOSSES.build(config.loss), head.reasoner
        weights, most = (config.halt_weight, config.path_weight), reasoner.config.num_supervision_steps
        in_step = tuned or not config.deep_supervision
        return cls(loss, reasoner.halting, *weights, most, config.deep_supervision, in_step)


def forward(head: nn.Module, batch: Batch, carry: Carry, objective: Objective) -> StepOutput:
    """Run the head on a batch from its carry, and score the answer against what the step is taught."""
    goal = batch.targets.at(carry.steps + 1, objective.path_weight)
    out: StepOutput = head(batch.features, carry.state, goal, objective.loss)
    return out


def losses(out: StepOutput, objective: Objective, next_bk: Tensor | None, steps_b: Tensor) -> StepLosses:
    """Return the losses of one supervision step; each is a mean over the rows.

    Args:
        out: of the step.
        objective: losses and weights.
        next_bk: halt logits one step later, for a halting rule that looks ahead.
        steps_b: steps taken, this one included, (b,).
    """
    assert out.loss is not None and out.right is not None
    answer = out.loss.mean()
    last_b = steps_b >= objective.num_supervision_steps
    halt = objective.halting.loss(out.halt, out.right, next_bk, last_b).mean()
    total = answer + objective.halt_weight * halt
    return StepLosses(total if out.penalty is None else total + out.penalty, answer.detach(), halt.detach(), out.right)


@torch.no_grad()
def look_ahead(head: nn.Module, batch: Batch, out: StepOutput, halting: Halting) -> Tensor | None:
    """Return the halt logits one step later (b, k) where the halting rule asks for them."""
    if not halting.looks_ahead:
        return None
    later: StepOutput = head(batch.features, tuple(part.detach() for part in out.state))
    return later.halt


def advance(carry: Carry, out: StepOutput, objective: Objective, draw_b: Tensor) -> Carry:
    """Return the carry after the step, with the slots that halt now; `draw_b` are uniform random numbers."""
    most, steps_b = objective.num_supervision_steps, carry.steps + 1
    rule = objective.halting
    halted = steps_b >= most if objective.in_step else rule.train_stop(out.halt.detach(), steps_b, draw_b, most)
    return carry.advance(out.state, halted)
