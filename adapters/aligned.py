"""Aligned encoder: each workspace position gathers the hidden states of its own span of the prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from hybrid.adapters.encoder import ENCODERS, Encoder, Positions, check_counts
from hybrid.adapters.features import Features
from hybrid.adapters.layer_mix import LayerMix
from hybrid.problem import Reads
from hybrid.recursion.workspace import Workspace


@ENCODERS.register("aligned")
class Aligned(Encoder):
    """Workspace = layer mix of each span + learned position + learned role (answer or context)."""

    reads: Reads = "spans"
    limits: ClassVar = ("max_positions", None)

    @dataclass(frozen=True)
    class Config:
        """Args: max_positions: longest workspace, answer and context positions together."""

        max_positions: int = 128

        def __post_init__(self) -> None:
            check_counts(self)

    def __init__(self, config: Config, num_layers: int, backbone_width: int, width: int) -> None:
        super().__init__()
        self.mix = LayerMix(num_layers, backbone_width, width)
        self.positions = Positions(config.max_positions, width, "max_positions")
        self.roles = nn.Parameter(torch.randn(2, width) * width**-0.5)

    def forward(self, features: Features) -> Workspace:
        """See Encoder.forward; l = p."""
        length = features.states.shape[1]
        is_answer_bl: Tensor = torch.arange(length, device=features.num_answers.device) < features.num_answers[:, None]
        role_bld = torch.where(is_answer_bl[..., None], self.roles[0], self.roles[1])
        x_bld = self.mix(features.states) + self.positions.first(length) + role_bld
        return Workspace(x_bld, features.num_answers, features.mask)
