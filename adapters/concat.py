"""Concat encoder: the workspace holds learned answer slots and, behind them, every prompt token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from hybrid.adapters.encoder import ENCODERS, Encoder, Positions, check_counts
from hybrid.adapters.features import Features
from hybrid.adapters.layer_mix import LayerMix
from hybrid.workspace import Workspace


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
        parts = ((answers_ba, slots_bad), (features.mask, tokens_bpd))
        whole = answers_ba is None and features.mask is None
        masks = [part.new_ones(part.shape[:2], dtype=torch.bool) if mask is None else mask for mask, part in parts]
        x_bld = torch.cat([slots_bad.to(tokens_bpd.dtype), tokens_bpd], dim=1)
        return Workspace(x_bld, features.num_answers, None if whole else torch.cat(masks, dim=1))
