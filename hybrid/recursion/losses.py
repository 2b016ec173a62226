"""Losses of answers: cross-entropy over symbols, a mean over a row's labelled positions; float32 or wider.

Stablemax follows "Grokking at the edge of numerical stability" (arXiv 2501.04697), as used by HRM and TRM.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from hybrid.device import widest
from hybrid.kinds import Kinds, require

IGNORE = -100
"""Label of a position that has none."""


class AnswerLoss:
    """Base of the family."""

    def per_position(self, logits_bav: Tensor, labels_ba: Tensor) -> Tensor:
        """Return the loss of every position (b, a), zero where the label is IGNORE."""
        raise NotImplementedError

    def __call__(self, logits_bav: Tensor, labels_ba: Tensor, weights_ba: Tensor | None = None) -> Tensor:
        """Return the mean over labelled positions of each row (b,), weighed by `weights_ba` where given."""
        kept_ba = (labels_ba != IGNORE).float() * (1.0 if weights_ba is None else weights_ba)
        loss_ba = self.per_position(logits_bav, labels_ba)
        return (loss_ba * kept_ba).sum(-1) / kept_ba.sum(-1).clamp(min=1e-9)


LOSSES: Kinds[AnswerLoss] = Kinds("loss")


@LOSSES.register("softmax")
class Softmax(AnswerLoss):
    """Cross-entropy of the softmax, in at least float32."""

    @dataclass(frozen=True)
    class Config:
        """Args: label_smoothing: share of the target spread over all symbols."""

        label_smoothing: float = 0.0

        def __post_init__(self) -> None:
            require(0 <= self.label_smoothing < 1, f"loss.label_smoothing is {self.label_smoothing}; give a share in [0, 1)")

    def __init__(self, config: Config) -> None:
        self.label_smoothing = config.label_smoothing

    def per_position(self, logits_bav: Tensor, labels_ba: Tensor) -> Tensor:
        """See AnswerLoss.per_position."""
        flat = F.cross_entropy(
            logits_bav.to(torch.promote_types(logits_bav.dtype, torch.float32)).flatten(0, 1),
            labels_ba.flatten(),
            ignore_index=IGNORE,
            reduction="none",
            label_smoothing=self.label_smoothing,
        )
        return flat.view_as(labels_ba)


@LOSSES.register("stablemax")
class Stablemax(AnswerLoss):
    """Cross-entropy of s(x)/sum s, s(x) = x + 1 for x >= 0 and 1/(1 - x) below, in float64 where the device has it."""

    @dataclass(frozen=True)
    class Config:
        """No fields."""

    def __init__(self, config: Config) -> None:
        pass

    def per_position(self, logits_bav: Tensor, labels_ba: Tensor) -> Tensor:
        """See AnswerLoss.per_position."""
        x = logits_bav.to(widest(logits_bav.device))
        # The unused branch of `where` must stay finite too, or its gradient turns NaN.
        s = torch.where(x >= 0, x.clamp(min=0) + 1, 1 / (1 - x.clamp(max=0)))
        log_p = s.log() - s.sum(-1, keepdim=True).log()
        kept = labels_ba != IGNORE
        picked = log_p.gather(-1, labels_ba.where(kept, torch.zeros_like(labels_ba))[..., None])[..., 0]
        return -picked * kept


def whole_answer_right(logits_bav: Tensor, labels_ba: Tensor) -> Tensor:
    """Return for each row (b,) bool whether every labelled position has its label as the highest logit."""
    return ((logits_bav.argmax(-1) == labels_ba) | (labels_ba == IGNORE)).all(-1)
