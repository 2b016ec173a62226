"""Concat encoder: the workspace holds learned answer slots and, behind them, every prompt token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hybrid.adapters.encoder import ENCODERS, Encoder, Positions, behind_slots, check_counts
from hybrid.adapters.features import Features
from hybrid.adapters.layer_mix import LayerMix
from hybrid.recursion.workspace import Workspace


@ENCODERS.register("concat")
class Concat(Encoder):
    """Workspace = [answer slots; layer mix of each token + learned position]; needs no spans, costs l = a + p."""

    limits: ClassVar = ("max_tokens", "max_answers")

    @dataclass(frozen=True)
    class Config:
        """Args: max_answers: answer slots. max_tokens: longest prompt, in tokens."""

        max_answers: int = 16
        max_tokens: int = 512

        def __post_init__(self) -> None:
            check_counts(self)

    def __init__(self, config: Config, num_layers: int, backbone_width: int, width: int) -> None:
        super().__init__()
        self.mix = LayerMix(num_layers, backbone_width, width)
        self.slots = Positions(config.max_answers, width, "max_answers")
        self.tokens = Positions(config.max_tokens, width, "max_tokens")

    def forward(self, features: Features) -> Workspace:
        """See Encoder.forward; l = max_answers + p."""
        slots_bad, answers_ba = self.slots.slots(features)
        tokens_bpd = self.mix(features.states) + self.tokens.first(features.states.shape[1])
        x_bld, mask_bl = behind_slots(slots_bad, answers_ba, tokens_bpd, features.mask)
        return Workspace(x_bld, features.num_answers, mask_bl)
