"""Pooled encoder: the whole prompt as one mean vector. It cannot work, and is here to show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from hybrid.adapters.encoder import ENCODERS, Encoder, Positions, check_counts
from hybrid.adapters.features import Features
from hybrid.adapters.layer_mix import LayerMix
from hybrid.recursion.workspace import Workspace


@ENCODERS.register("pooled")
class Pooled(Encoder):
    """Workspace = mean over tokens of the layer mix + one learned vector an answer slot."""

    limits: ClassVar = (None, "max_answers")

    @dataclass(frozen=True)
    class Config:
        """Args: max_answers: answer slots."""

        max_answers: int = 16

        def __post_init__(self) -> None:
            check_counts(self)

    def __init__(self, config: Config, num_layers: int, backbone_width: int, width: int) -> None:
        super().__init__()
        self.mix = LayerMix(num_layers, backbone_width, width)
        self.slots = Positions(config.max_answers, width, "max_answers")

    def forward(self, features: Features) -> Workspace:
        """See Encoder.forward; l = max_answers."""
        slots_bad, answers_ba = self.slots.slots(features)
        mixed_bpd = self.mix(features.states)
        keep_bp1 = torch.ones_like(mixed_bpd[..., :1]) if features.mask is None else features.mask[..., None].to(mixed_bpd.dtype)
        mean_bd = (mixed_bpd * keep_bp1).sum(1) / keep_bp1.sum(1)
        return Workspace(slots_bad + mean_bd[:, None], features.num_answers, answers_ba)
