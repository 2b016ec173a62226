"""Pooled encoder: the whole prompt as one mean vector. It cannot work, and is here to show it."""

from __future__ import annotations

from dataclasses import dataclass

from hybrid.adapters.encoder import ENCODERS, Encoder, Positions, Workspace, answer_slots, check_counts, dense
from hybrid.adapters.features import Features
from hybrid.adapters.layer_mix import LayerMix


@ENCODERS.register("pooled")
class Pooled(Encoder):
    """Workspace = mean over tokens of the layer mix + one learned vector an answer slot."""

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
        slots_bad, answers_ba = answer_slots(features, self.slots.table)
        keep_bp1 = features.mask[..., None].to(slots_bad.dtype)
        mean_bd = (self.mix(features.states) * keep_bp1).sum(1) / keep_bp1.sum(1)
        return slots_bad + mean_bd[:, None], dense(answers_ba)
