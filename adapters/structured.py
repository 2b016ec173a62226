"""Structured encoder: symbols of the prompt straight into the recursion, no language model. A control.

Laid out like the input embedding of TRM's and HRM's code, so that their checkpoints run: embeddings scaled by
sqrt(width), a puzzle embedding as prefix positions, learned positions or none. The workspace is not normalised there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from hybrid.adapters.encoder import ENCODERS, Encoder
from hybrid.adapters.features import Features
from hybrid.errors import InputError
from hybrid.kinds import require
from hybrid.problem import Reads
from hybrid.recursion.workspace import Workspace


@ENCODERS.register("structured")
class Structured(Encoder):
    """Workspace = [puzzle prefix; embedded symbols]. Features hold symbol numbers, (b, p, 1, 1) uint8, instead of hidden states.

    Every problem reads puzzle 0: conditioning comes from the prompt, never from a puzzle's number.
    """

    reads: Reads = "spans"
    normalise: ClassVar[bool] = False

    @dataclass(frozen=True)
    class Config:
        """Sizes of the embedding.

        Args:
            vocabulary: the symbols that a prompt's spans may hold, in the order of the embedding's rows.
            num_prefix: prefix positions.
            num_puzzles: rows of the puzzle table, 0 for none (the prefix is then zero).
            puzzle_width: width of a row, 0 for that of the model; it is padded with zeros to num_prefix * width.
            max_positions: learned positions for prefix and symbols together; 0 for none.
        """

        vocabulary: tuple[str, ...] = ("0", "1")
        num_prefix: int = 0
        num_puzzles: int = 0
        puzzle_width: int = 0
        max_positions: int = 0

        def __post_init__(self) -> None:
            for name in ("num_prefix", "num_puzzles", "puzzle_width", "max_positions"):
                require(getattr(self, name) >= 0, f"encoder.{name} is {getattr(self, name)}; give at least 0")
            require(len(set(self.vocabulary)) >= 2, "encoder.vocabulary needs at least 2 different symbols")

    def __init__(self, config: Config, num_layers: int, backbone_width: int, width: int) -> None:
        super().__init__()
        puzzle_width, room = config.puzzle_width or (width if config.num_puzzles else 0), config.num_prefix * width
        require(
            puzzle_width <= room,
            f"encoder.puzzle_width is {puzzle_width}, over num_prefix * width, which is {room}; raise encoder.num_prefix",
        )
        self.num_prefix, self.width = config.num_prefix, width
        self.embedding = nn.Parameter(torch.randn(len(config.vocabulary), width) / math.sqrt(width))
        self.puzzles = nn.Parameter(torch.zeros(config.num_puzzles, puzzle_width)) if config.num_puzzles else None
        positions = torch.randn(config.max_positions, width) / math.sqrt(width)
        self.positions = nn.Parameter(positions) if config.max_positions else None

    def forward(self, features: Features) -> Workspace:
        """See Encoder.forward; l = num_prefix + p."""
        rows = features.states.shape[0]
        symbols_bpd = self.embedding[features.states[:, :, 0, 0].long()]
        flat = symbols_bpd.new_zeros(rows, self.num_prefix * self.width)
        if self.puzzles is not None:
            flat = torch.cat([self.puzzles[:1].expand(rows, -1), flat[:, self.puzzles.shape[1] :]], dim=1)
        x_bld: Tensor = torch.cat([flat.view(rows, self.num_prefix, self.width), symbols_bpd], dim=1)
        if self.positions is not None:
            length, longest = x_bld.shape[1], len(self.positions)
            if length > longest:
                raise InputError(f"{length} positions, but encoder.max_positions is {longest}; attach with a larger one")
            x_bld = (x_bld + self.positions[: x_bld.shape[1]]) * math.sqrt(0.5)
        mask_bl = None if features.mask is None else nn.functional.pad(features.mask, (self.num_prefix, 0), value=True)
        return Workspace(x_bld * math.sqrt(self.width), features.num_answers, mask_bl, num_prefix=self.num_prefix)
