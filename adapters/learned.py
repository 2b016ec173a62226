"""Learned encoder: a workspace of learned slots that reads nothing. A control: what comes of it is the same for all prompts.

With the decoder `soft_prompt` it is prompt tuning (arXiv 2104.08691), whose vectors come from the network's weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hybrid.adapters.encoder import ENCODERS, Encoder, Positions, check_counts
from hybrid.adapters.features import Features
from hybrid.recursion.workspace import Workspace


@ENCODERS.register("learned")
class Learned(Encoder):
    """Workspace = answer slots; l = max_answers."""

    limits: ClassVar = (None, "max_answers")

    @dataclass(frozen=True)
    class Config:
        """Args: max_answers: answer slots."""

        max_answers: int = 16

        def __post_init__(self) -> None:
            check_counts(self)

    def __init__(self, config: Config, num_layers: int, backbone_width: int, width: int) -> None:
        super().__init__()
        self.slots = Positions(config.max_answers, width, "max_answers")

    def forward(self, features: Features) -> Workspace:
        """See Encoder.forward."""
        slots_bad, answers_ba = self.slots.slots(features)
        return Workspace(slots_bad, features.num_answers, answers_ba)
