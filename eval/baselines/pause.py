"""Pause tokens (arXiv 2310.02226): LoRA, and a learned token repeated between prompt and answer - more computation, no text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hybrid.backbone import Backbone
from hybrid.eval.baselines.method import METHODS
from hybrid.eval.baselines.tuned import Tuned
from hybrid.eval.tasks.task import Task
from hybrid.eval.tuning import Reading, TuningConfig
from hybrid.kinds import require


@METHODS.register("pause")
class Pause(Tuned):
    """Reads `num_pauses` times the same learned embedding before it answers.

    The paper's best models are pretrained with pauses; here they come with the fine-tuning only, as no frozen model can be
    pretrained anew. The paper reports a smaller gain for that.
    """

    num_embeddings: ClassVar[int] = 1
    config: Pause.Config

    @dataclass(frozen=True)
    class Config(TuningConfig):
        """As lora_direct's.

        Args:
            num_pauses: pause tokens; the paper takes 10 or 50.
        """

        num_pauses: int = 10

        def __post_init__(self) -> None:
            super().__post_init__()
            require(self.num_pauses >= 1, f"method.num_pauses is {self.num_pauses}; give at least 1")

    def __init__(self, config: Pause.Config, backbone: Backbone, task: Task) -> None:
        super().__init__(config, backbone, task)
        self.name = f"{config.num_pauses} pause tokens"

    def num_steps(self, progress: float) -> int:
        """Return the number of pause tokens."""
        return self.config.num_pauses

    def opening(self, reading: Reading, prompt_bp: Tensor, mask_bp: Tensor, progress: float) -> tuple[Tensor, Tensor]:
        """Return prompt and pauses."""
        prompt_bph = reading.embed(prompt_bp)
        size = (len(prompt_bp), self.config.num_pauses)
        pauses_bsh = self._trained.embeddings.to(prompt_bph.dtype).expand(*size, -1)
        return torch.cat([prompt_bph, pauses_bsh], 1), torch.cat([mask_bp, mask_bp.new_ones(size)], 1)
