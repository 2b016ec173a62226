"""How a head is trained: one frozen config."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from hybrid.kinds import ADDED, family_field, require
from hybrid.recursion.losses import LOSSES, Softmax
from hybrid.train.optimizer import OPTIMIZERS, OptimizerConfig


@dataclass(frozen=True)
class TrainConfig:
    """Length, batch and bookkeeping of a training run.

    Args:
        num_steps: supervision steps, one optimizer step each.
        max_seconds: stop earlier after this much training time, evaluation and saving not counted; None for no limit.
            The learning-rate schedule then follows whichever limit is nearer, and a resumed run may differ in its bits.
        batch_size: slots, over all processes together.
        auto_batch_size: where batch_size does not fit into memory, halve it until a step does, before the run begins.
        seed: of data order and exploration; the command line also seeds the head's first weights with it.
        optimizer: optimizer and learning rate.
        loss: answer loss.
        halt_weight: weight of the halt loss.
        path_weight: weight of context positions' loss against answer positions' in the mean of a row.
        ema_decay: decay of the averaged weights, which are the ones evaluated and saved; 0 for no averaging.
        eval_every_steps: steps between evaluations on the dev split.
        save_every_seconds: seconds between checkpoints.
        patience: stop after this many evaluations in a row with a dev exact match of `target`; None never stops early.
        target: share of right dev answers that `patience` waits for.
        curriculum: take the easiest quarter of the problems first, and harder ones whenever 70% of the problems that end
            are right (curriculum learning, Bengio et al. 2009).
        curriculum_until: share of the run by which a curriculum takes all problems in any case: some easy ones may never be
            learned, and the others must not wait for them. None waits.
        group_by_length: let problems of like length come together, so that batches are little padded.
        deep_supervision: a loss at every supervision step; without, at a problem's last one only.
        backbone_learning_rate: peak rate of a tuner inside the language model; the optimizer's course holds for it too.
        gradient_checkpointing: let the tuned language model recompute its activations: less memory, more time.
        compile: compile the recursion's networks with torch.compile: a minute at the start, then faster steps.
        cache: keep the backbone's features on disk; without, the backbone reads each problem when its turn comes.
        cycle_spread: take T - s to T + s cycles in a supervision step, drawn at random for each, so that a head keeps in
            further cycles what it knew in fewer; 0 takes always T.
        symmetries: give each problem a disguise of its own whenever its turn comes, drawn from the task's symmetries.
        worked_steps: teach supervision step k the k-th line of a problem's worked steps, the last one the answer.
        trackers: names of Accelerate trackers (tensorboard, wandb, ...).
    """

    num_steps: int = 3000
    max_seconds: float | None = None
    batch_size: int = 64
    auto_batch_size: bool = False
    seed: int = 0
    optimizer: Any = family_field(OPTIMIZERS, OptimizerConfig)
    loss: Any = family_field(LOSSES, Softmax.Config)
    halt_weight: float = 0.5
    path_weight: float = 1.0
    ema_decay: float = 0.995
    eval_every_steps: int = 250
    save_every_seconds: float = 30.0
    patience: int | None = None
    target: float = 1.0
    curriculum: bool = False
    group_by_length: bool = field(default=False, metadata=ADDED)
    deep_supervision: bool = True
    backbone_learning_rate: float = 1e-4
    gradient_checkpointing: bool = False
    compile: bool = False
    cache: bool = True
    cycle_spread: int = field(default=0, metadata=ADDED)
    symmetries: bool = field(default=False, metadata=ADDED)
    curriculum_until: float | None = field(default=None, metadata=ADDED)
    worked_steps: bool = field(default=False, metadata=ADDED)
    mixed_precision: Literal["no", "bf16", "fp16"] = "no"
    trackers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("num_steps", "batch_size", "eval_every_steps"):
            require(getattr(self, name) >= 1, f"train.{name} is {getattr(self, name)}; give at least 1")
        limit = self.max_seconds
        require(limit is None or limit > 0, f"train.max_seconds is {limit}; give a positive number or none")
        require(self.patience is None or self.patience >= 1, f"train.patience is {self.patience}; give at least 1 or none")
        rate = self.backbone_learning_rate
        require(rate > 0, f"train.backbone_learning_rate is {rate}; give a positive number")
        require(0 < self.target <= 1, f"train.target is {self.target}; give a share in (0, 1]")
        require(0 <= self.ema_decay < 1, f"train.ema_decay is {self.ema_decay}; give a number in [0, 1)")
        until = self.curriculum_until
        require(until is None or 0 < until <= 1, f"train.curriculum_until is {until}; give a share above 0, at most 1")
        for name in ("halt_weight", "path_weight", "save_every_seconds", "cycle_spread"):
            require(getattr(self, name) >= 0, f"train.{name} is {getattr(self, name)}; give a number of at least 0")
