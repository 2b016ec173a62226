"""Optimizer and learning-rate schedule."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from hybrid.kinds import require


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW with a warm-up and a constant or cosine rate.

    Args:
        learning_rate: peak rate.
        weight_decay: decoupled decay of matrices; vectors are not decayed.
        beta1: decay of the gradient's mean.
        beta2: decay of its square's mean.
        warmup_steps: steps of linear rise.
        schedule: constant, or cosine down to `final_share` of the peak.
        final_share: where the cosine ends, as a share of the peak.
        max_norm: gradients are clipped to this norm.
    """

    learning_rate: float = 1e-3
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.95
    warmup_steps: int = 50
    schedule: Literal["constant", "cosine"] = "cosine"
    final_share: float = 0.1
    max_norm: float = 1.0

    def __post_init__(self) -> None:
        rate = self.learning_rate
        require(rate > 0, f"optimizer.learning_rate is {rate}; give a positive number")
        for name in ("beta1", "beta2"):
            require(0 <= getattr(self, name) < 1, f"optimizer.{name} is {getattr(self, name)}; give a number in [0, 1)")
        for name in ("weight_decay", "warmup_steps", "final_share"):
            require(getattr(self, name) >= 0, f"optimizer.{name} is {getattr(self, name)}; give at least 0")
        require(self.max_norm > 0, f"optimizer.max_norm is {self.max_norm}; give a positive number")

    def rate(self, step: int, progress: float) -> float:
        """Return the learning rate of step `step` (from 0) at `progress` 0..1 of the run.

        Example:
            >>> OptimizerConfig(learning_rate=1.0, warmup_steps=0).rate(5, 1.0)
            0.1
        """
        rise = min(1.0, (step + 1) / max(self.warmup_steps, 1))
        if self.schedule == "cosine":
            fall = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
            rise *= self.final_share + (1 - self.final_share) * fall
        return self.learning_rate * rise


def build_optimizer(config: OptimizerConfig, module: nn.Module) -> torch.optim.Optimizer:
    """Return AdamW over the module's parameters; only tensors of two dimensions or more are decayed."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(config.beta1, config.beta2), fused=True)
