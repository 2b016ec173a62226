"""Optimizers, the learning-rate schedule and averaged weights. A kind builds the optimizers of a head; the rest is for all."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from hybrid.kinds import Kinds, require


@dataclass(frozen=True)
class OptimizerConfig:
    """What every optimizer takes: rate with a warm-up and a constant or cosine course, decay, clipping.

    Args:
        learning_rate: peak rate.
        weight_decay: decoupled decay of matrices; vectors are not decayed.
        beta1: decay of the gradient's mean.
        beta2: decay of its square's mean.
        warmup_steps: steps of linear rise.
        schedule: constant, or cosine down to `final_share` of the peak.
        final_share: where the cosine ends, as a share of the peak.
        max_norm: gradients are clipped to this norm; None leaves them as they are.
    """

    learning_rate: float = 1e-3
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.95
    warmup_steps: int = 50
    schedule: Literal["constant", "cosine"] = "cosine"
    final_share: float = 0.1
    max_norm: float | None = 1.0

    def __post_init__(self) -> None:
        rate = self.learning_rate
        require(rate > 0, f"optimizer.learning_rate is {rate}; give a positive number")
        for name in ("beta1", "beta2"):
            require(0 <= getattr(self, name) < 1, f"optimizer.{name} is {getattr(self, name)}; give a number in [0, 1)")
        for name in ("weight_decay", "warmup_steps", "final_share"):
            require(getattr(self, name) >= 0, f"optimizer.{name} is {getattr(self, name)}; give at least 0")
        most = self.max_norm
        require(most is None or most > 0, f"optimizer.max_norm is {most}; give a positive number or none")

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


class OptimizerKind:
    """Base of the family: builds optimizers over parameters."""

    def __init__(self, config: OptimizerConfig) -> None:
        self.config = config

    def build(self, module: nn.Module) -> list[torch.optim.Optimizer]:
        """Return the optimizers that together update `module`; only matrices are decayed."""
        raise NotImplementedError


OPTIMIZERS: Kinds[OptimizerKind] = Kinds("optimizer")


def _groups(config: OptimizerConfig, parameters: Sequence[Tensor]) -> list[dict[str, Any]]:
    return [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]


def trainable(module: nn.Module) -> list[Tensor]:
    """Return the parameters that take a gradient."""
    return [p for p in module.parameters() if p.requires_grad]


@OPTIMIZERS.register("adamw")
class AdamW(OptimizerKind):
    """AdamW (arXiv 1711.05101), fused."""

    Config = OptimizerConfig

    def build(self, module: nn.Module) -> list[torch.optim.Optimizer]:
        """See OptimizerKind.build."""
        config = self.config
        groups = _groups(config, trainable(module))
        return [torch.optim.AdamW(groups, lr=config.learning_rate, betas=(config.beta1, config.beta2), fused=True)]


@OPTIMIZERS.register("adam_atan2")
class AdamAtan2(OptimizerKind):
    """Adam with atan2 in place of the quotient, as TRM and HRM are trained; plain torch.

    As there, vectors are decayed like matrices, and a puzzle table moves by the sign of its gradient.
    """

    @dataclass(frozen=True)
    class Config(OptimizerConfig):
        """As AdamW's. Args: weight_decay: of all parameters; 1.0 in TRM's recipe for Sudoku."""

    def build(self, module: nn.Module) -> list[torch.optim.Optimizer]:
        """See OptimizerKind.build."""
        config = self.config
        named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
        groups = [
            {"params": [p for name, p in named if f".{name}".endswith(".puzzles") is table], "by_sign": table}
            for table in (False, True)
        ]
        return [Atan2(groups, config.learning_rate, (config.beta1, config.beta2), config.weight_decay)]


@OPTIMIZERS.register("muon")
class Muon(OptimizerKind):
    """torch.optim.Muon for the matrices of the networks, AdamW for embeddings, vectors and readouts."""

    @dataclass(frozen=True)
    class Config(OptimizerConfig):
        """As AdamW's, whose rate holds for the rest.

        Args:
            matrix_learning_rate: Muon's rate over learning_rate; its updates have root mean square near 0.2 of AdamW's.
        """

        matrix_learning_rate: float = 1.0

        def __post_init__(self) -> None:
            super().__post_init__()
            rate = self.matrix_learning_rate
            require(rate > 0, f"optimizer.matrix_learning_rate is {rate}; give a positive number")

    config: Muon.Config

    def build(self, module: nn.Module) -> list[torch.optim.Optimizer]:
        """See OptimizerKind.build."""
        require(hasattr(torch.optim, "Muon"), "muon needs torch 2.9 or later; install it, or choose adamw")
        config = self.config
        matrices = [p for name, p in module.named_parameters() if p.requires_grad and p.ndim == 2 and ".core." in f".{name}"]
        taken = {id(p) for p in matrices}
        rest = [p for p in trainable(module) if id(p) not in taken]
        optimizers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(_groups(config, rest), lr=config.learning_rate, betas=(config.beta1, config.beta2), fused=True)
        ]
        if matrices:
            group = {"params": matrices, "rate": config.matrix_learning_rate}
            decay = config.weight_decay
            muon = torch.optim.Muon([group], lr=config.learning_rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw")
            optimizers.append(muon)
        return optimizers


class Atan2(torch.optim.Optimizer):
    """p <- p (1 - lr decay) - lr / (1 - beta1^t) atan2(m, sqrt(v / (1 - beta2^t))), m and v the uncorrected moments.

    A group `by_sign` has no moments: the rows that have a gradient take p <- p (1 - lr decay) - lr sign(gradient).

    This is the rule of the package adam-atan2, with which TRM and HRM are trained. The paper (arXiv 2407.05872) corrects m
    inside of atan2 and takes 4/pi of it: the steps are then up to 1.27 times as long.
    """

    def __init__(self, groups: Any, lr: float, betas: tuple[float, float], weight_decay: float) -> None:
        super().__init__(groups, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update all parameters that have a gradient."""
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if group["by_sign"]:
                for p in parameters:
                    read = p.grad.ne(0).any(-1, keepdim=True).to(p.dtype)
                    p.mul_(1 - group["lr"] * group["weight_decay"] * read).sub_(p.grad.sign(), alpha=group["lr"])
            if group["by_sign"] or not parameters:
                continue
            for p in parameters:
                if not self.state[p]:
                    self.state[p] = {"step": torch.zeros(()), "mean": torch.zeros_like(p), "square": torch.zeros_like(p)}
                self.state[p]["step"] += 1
            gradients = [p.grad for p in parameters]
            means, squares = ([self.state[p][name] for p in parameters] for name in ("mean", "square"))
            (beta1, beta2), steps = group["betas"], float(self.state[parameters[0]]["step"])
            torch._foreach_lerp_(means, gradients, 1 - beta1)
            torch._foreach_mul_(squares, beta2)
            torch._foreach_addcmul_(squares, gradients, gradients, 1 - beta2)
            torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
            for p, m, v in zip(parameters, means, squares, strict=True):
                p.sub_(torch.atan2(m, (v / (1 - beta2**steps)).sqrt()), alpha=group["lr"] / (1 - beta1**steps))


def clip(parameters: Iterable[Tensor], max_norm: float | None) -> None:
    """Scale gradients so that their norm over all parameters is at most `max_norm`; None leaves them."""
    if max_norm is not None:
        torch.nn.utils.clip_grad_norm_(parameters, max_norm)


def averaged(module: nn.Module, decay: float) -> AveragedModel:
    """Return an averaged copy of `module`; call `.update_parameters(module)` after every optimizer step.

    The average is exponential. Early on its decay is smaller (as in TensorFlow's ExponentialMovingAverage with num_updates), so
    that a short run is not held back by its first weights.
    """

    @torch.no_grad()
    def average(means: Sequence[Tensor], values: Sequence[Tensor], count: Tensor | int) -> None:
        now = min(decay, (1 + int(count)) / (10 + int(count)))
        torch._foreach_lerp_(list(means), list(values), 1 - now)

    return AveragedModel(module, multi_avg_fn=average)
