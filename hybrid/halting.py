"""Halting: when a problem has been thought about long enough, in training and at inference.

Learned halting follows TRM (arXiv 2510.04871, section 4.6): one logit, trained on "all answer symbols right". A rule
never looks at the labels at inference.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from hybrid.kinds import Kinds, require


class Halting:
    """Base of the family; `num_logits` is what the reasoner's halt head must give."""

    num_logits: int = 1

    def loss(self, halt_bk: Tensor, correct_b: Tensor) -> Tensor:
        """Return the loss of the halt logits (b, num_logits) against "whole answer right" (b,), one a row, float32."""
        return F.binary_cross_entropy_with_logits(halt_bk[:, 0].float(), correct_b.float(), reduction="none")

    def train_stop(self, halt_bk: Tensor, steps_b: Tensor, draw_b: Tensor, num_supervision_steps: int) -> Tensor:
        """Return which slots (b,) bool stop in training after `steps_b` steps.

        Args:
            halt_bk: halt logits.
            steps_b: steps taken, this one included.
            draw_b: uniform random numbers in [0, 1), for exploration.
            num_supervision_steps: N, the most steps a problem may take.
        """
        return steps_b >= num_supervision_steps

    def stop(self, halt_bk: Tensor, motion_b: Tensor) -> Tensor:
        """Return which rows (b,) bool stop at inference, given halt logits and relative latent motion (b,)."""
        raise NotImplementedError


HALTING: Kinds[Halting] = Kinds("halting")


@HALTING.register("fixed")
class Fixed(Halting):
    """Every problem takes all N steps."""

    @dataclass(frozen=True)
    class Config:
        """No fields."""

    def __init__(self, config: Config) -> None:
        pass

    def stop(self, halt_bk: Tensor, motion_b: Tensor) -> Tensor:
        """Never."""
        return torch.zeros_like(motion_b, dtype=torch.bool)


@HALTING.register("learned")
class Learned(Halting):
    """Stop when the halt logit says that the answer is right."""

    @dataclass(frozen=True)
    class Config:
        """Learned halting.

        Args:
            exploration: share of training steps that ask for a random minimum of steps before halting.
            probability: halt at inference above this probability of being right, in (0, 1).
        """

        exploration: float = 0.1
        probability: float = 0.95

        def __post_init__(self) -> None:
            require(0 <= self.exploration <= 1, f"halting.exploration is {self.exploration}; give a share from 0 to 1")
            require(0 < self.probability < 1, f"halting.probability is {self.probability}; give a number in (0, 1)")

    def __init__(self, config: Config) -> None:
        self.exploration = config.exploration
        self.logit = float(torch.logit(torch.tensor(config.probability)))

    def train_stop(self, halt_bk: Tensor, steps_b: Tensor, draw_b: Tensor, num_supervision_steps: int) -> Tensor:
        """Stop on a positive logit, unless exploration asked for a random minimum in 2..N."""
        # One uniform draw serves both choices: below `exploration` it is uniform again after scaling.
        share_b = draw_b / max(self.exploration, 1e-9)
        minimum_b = 2 + (share_b * max(num_supervision_steps - 1, 1)).floor()
        waits_b = (share_b < 1) & (steps_b < minimum_b)
        return (steps_b >= num_supervision_steps) | ((halt_bk[:, 0] > 0) & ~waits_b)

    def stop(self, halt_bk: Tensor, motion_b: Tensor) -> Tensor:
        """See Halting.stop."""
        return halt_bk[:, 0] > self.logit


@HALTING.register("converged")
class Converged(Learned):
    """Stop when the latent states have come to rest; trained like learned halting."""

    @dataclass(frozen=True)
    class Config:
        """Args: tolerance: relative latent motion ||dz||/||z|| of one supervision step. exploration: as in learned."""

        tolerance: float = 0.05
        exploration: float = 0.1

        def __post_init__(self) -> None:
            require(self.tolerance > 0, f"halting.tolerance is {self.tolerance}; give a positive number")
            require(0 <= self.exploration <= 1, f"halting.exploration is {self.exploration}; give a share from 0 to 1")

    def __init__(self, config: Config) -> None:
        self.exploration = config.exploration
        self.tolerance = config.tolerance

    def stop(self, halt_bk: Tensor, motion_b: Tensor) -> Tensor:
        """See Halting.stop."""
        return motion_b < self.tolerance
