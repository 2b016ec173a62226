"""Settings that all tuned text baselines share: the adapter, the optimizer, batches, and how the best weights are chosen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hybrid.kinds import family_field, require
from hybrid.train.optimizer import OptimizerConfig
from hybrid.tuner import TUNERS, Lora


def _optimizer() -> OptimizerConfig:
    return OptimizerConfig(learning_rate=1e-3, weight_decay=0.0, warmup_steps=10)


@dataclass(frozen=True)
class TuningConfig:
    """How a language model is tuned to write answers.

    The best weights are those with the most dev targets right in every token, each predicted after the right ones before
    it, then those with the least loss: one forward pass instead of writing. Greedy writing gives such a target too, so its
    exact match is at least this. Where only the answer is written the two are nearly equal; where steps are, writing may be
    right more often, because a right answer can follow a wrong step. Learning rates are chosen alike.

    Args:
        tuner: what PEFT puts into the model.
        optimizer: AdamW's settings, with warm-up and cosine over the whole run.
        learning_rates: tried one after another with `trial_share` of the budget, the rest of which goes to the best, from
            the start; none takes the optimizer's own.
        trial_share: share of the budget for all trials together.
        batch_size: problems a step.
        max_steps: end after these, if the budget's seconds have not ended before.
        num_dev: dev problems that choose, the first ones.
        num_evaluations: of the dev problems in a run, evenly spread, the last at the end.
        save_every_seconds: seconds between checkpoints.
        chat_template: put the prompt into the model's chat template, as for prompted methods; else it stands alone in its
            line, which is shorter.
    """

    tuner: Any = family_field(TUNERS, Lora.Config)
    optimizer: OptimizerConfig = field(default_factory=_optimizer)
    learning_rates: tuple[float, ...] = ()
    trial_share: float = 0.2
    batch_size: int = 4
    max_steps: int | None = None
    num_dev: int = 64
    num_evaluations: int = 4
    save_every_seconds: float = 30.0
    chat_template: bool = True

    def __post_init__(self) -> None:
        for rate in self.learning_rates:
            require(rate > 0, f"method.learning_rates has {rate}; give positive numbers")
        require(0 < self.trial_share < 1, f"method.trial_share is {self.trial_share}; give a share in (0, 1)")
        for name in ("batch_size", "num_dev", "num_evaluations"):
            require(getattr(self, name) >= 1, f"method.{name} is {getattr(self, name)}; give at least 1")
        require(self.max_steps is None or self.max_steps >= 1, f"method.max_steps is {self.max_steps}; give at least 1, or none")
        require(self.save_every_seconds >= 0, f"method.save_every_seconds is {self.save_every_seconds}; give at least 0")
