"""Halting: when a problem has been thought about long enough, in training and at inference.

Learned halting follows TRM (arXiv 2510.04871, section 4.6): one logit, trained on "all answer symbols right". A rule
never looks at the labels at inference.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from hybrid.kinds import Kinds, require


def _cross_entropy(logits_b: Tensor, target_b: Tensor) -> Tensor:
    """Return the binary cross-entropy of each row, in at least float32."""
    wide = torch.promote_types(logits_b.dtype, torch.float32)
    return F.binary_cross_entropy_with_logits(logits_b.to(wide), target_b.to(wide), reduction="none")


class Halting:
    """Base of the family; `num_logits` is what the reasoner's halt head must give."""

    num_logits: int = 1
    looks_ahead: bool = False
    threshold: float = math.inf

    def loss(self, halt_bk: Tensor, correct_b: Tensor, next_bk: Tensor | None = None, last_b: Tensor | None = None) -> Tensor:
        """Return the loss of the halt logits (b, num_logits), one a row, in at least float32.

        Args:
            halt_bk: halt logits.
            correct_b: whether the whole answer is right, (b,).
            next_bk: halt logits one supervision step later, for a rule that `looks_ahead`.
            last_b: whether this step is the last one allowed, (b,) bool.
        """
        return _cross_entropy(halt_bk[:, 0], correct_b)

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
        return self.score(halt_bk, motion_b) > self.threshold

    def score(self, halt_bk: Tensor, motion_b: Tensor) -> Tensor:
        """Return how much speaks for stopping (b,); a row stops above the rule's `threshold`."""
        raise NotImplementedError

    def at(self, threshold: float) -> Any:
        """Return the config of this rule with another `threshold` of its score, or None where it has none to choose."""
        return None


HALTING: Kinds[Halting] = Kinds("halting")


@HALTING.register("fixed")
class Fixed(Halting):
    """Every problem takes all N steps."""

    @dataclass(frozen=True)
    class Config:
        """Args: num_logits: outputs of the halt head, which is trained all the same."""

        num_logits: int = 1

        def __post_init__(self) -> None:
            require(self.num_logits >= 1, f"halting.num_logits is {self.num_logits}; give at least 1")

    def __init__(self, config: Config) -> None:
        self.num_logits = config.num_logits

    def score(self, halt_bk: Tensor, motion_b: Tensor) -> Tensor:
        """Nothing ever speaks for it."""
        return torch.zeros_like(motion_b)


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
        self.threshold = math.log(config.probability) - math.log1p(-config.probability)

    def train_stop(self, halt_bk: Tensor, steps_b: Tensor, draw_b: Tensor, num_supervision_steps: int) -> Tensor:
        """Stop on a positive logit, unless exploration asked for a random minimum in 2..N."""
        # One uniform draw serves both choices: below `exploration` it is uniform again after scaling.
        share_b = draw_b / max(self.exploration, 1e-9)
        minimum_b = 2 + (share_b * max(num_supervision_steps - 1, 1)).floor()
        waits_b = (draw_b < self.exploration) & (steps_b < minimum_b)
        return (steps_b >= num_supervision_steps) | ((halt_bk[:, 0] > 0) & ~waits_b)

    def score(self, halt_bk: Tensor, motion_b: Tensor) -> Tensor:
        """The halt logit."""
        return halt_bk[:, 0]

    def at(self, threshold: float) -> Any:
        """See Halting.at."""
        return Learned.Config(self.exploration, min(1 / (1 + math.exp(-threshold)), 1 - 1e-12))


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
        self.threshold = -config.tolerance

    def score(self, halt_bk: Tensor, motion_b: Tensor) -> Tensor:
        """The less motion, the more."""
        return -motion_b

    def at(self, threshold: float) -> Any:
        """See Halting.at."""
        return Converged.Config(max(-threshold, 1e-12), self.exploration)


@HALTING.register("q_learning")
class QLearning(Learned):
    """Halt and continue as two actions with learned values: HRM's rule (arXiv 2506.21734, section 2).

    The value of halting is whether the answer is right; the value of going on is bootstrapped from the next step's
    values, without replay or target network, as there.
    """

    num_logits: int = 2
    looks_ahead: bool = True

    @dataclass(frozen=True)
    class Config:
        """Args: exploration: as in learned."""

        exploration: float = 0.1

        def __post_init__(self) -> None:
            require(0 <= self.exploration <= 1, f"halting.exploration is {self.exploration}; give a share from 0 to 1")

    def __init__(self, config: Config) -> None:
        self.exploration = config.exploration
        self.threshold = 0.0

    def loss(self, halt_bk: Tensor, correct_b: Tensor, next_bk: Tensor | None = None, last_b: Tensor | None = None) -> Tensor:
        """See Halting.loss."""
        loss_b = super().loss(halt_bk, correct_b)
        if next_bk is None or last_b is None:
            return loss_b
        target_b = torch.where(last_b, next_bk[:, 0], next_bk.amax(-1)).sigmoid()
        return loss_b + _cross_entropy(halt_bk[:, 1], target_b)

    def train_stop(self, halt_bk: Tensor, steps_b: Tensor, draw_b: Tensor, num_supervision_steps: int) -> Tensor:
        """Stop when halting is worth more than going on, unless exploration asked for a random minimum in 2..N."""
        return super().train_stop(halt_bk[:, :1] - halt_bk[:, 1:], steps_b, draw_b, num_supervision_steps)

    def score(self, halt_bk: Tensor, motion_b: Tensor) -> Tensor:
        """What halting is worth more than going on."""
        return halt_bk[:, 0] - halt_bk[:, 1]

    def at(self, threshold: float) -> Any:
        """None: the two values are compared as they are."""
        return None
