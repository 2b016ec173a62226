"""Encoder adapters: from the backbone's hidden states to a workspace. The family and what its members share.

Shapes: b batch, p feature positions, a answer slots, l workspace positions, d width.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from hybrid.adapters.features import Features
from hybrid.errors import InputError
from hybrid.kinds import Kinds, require

Workspace = tuple[Tensor, Tensor | None]
"""x (b, l, d) and its padding mask (b, l) bool, None where nothing is padded. Answers stand behind the prefix."""


class Encoder(nn.Module):
    """Base of the family.

    `reads` says what the backbone must hand over: the mean hidden state of each span, or every prompt token.
    `normalise` says whether the workspace is scaled to root mean square 1; `num_prefix` counts workspace positions in
    front of the answers. `longest` is the most feature positions it takes, None for any number.
    Members are built as cls(config, num_layers, backbone_width, width).
    """

    reads: ClassVar[Literal["spans", "tokens"]] = "tokens"
    normalise: ClassVar[bool] = True
    num_prefix: int = 0
    longest: int | None = None

    def forward(self, features: Features) -> Workspace:
        """Return the workspace of a batch."""
        raise NotImplementedError


ENCODERS: Kinds[Encoder] = Kinds("encoder")


class Positions(nn.Module):
    """Learned vectors of positions: a table (max_positions, width), small at first."""

    def __init__(self, max_positions: int, width: int, name: str) -> None:
        super().__init__()
        self.name = name
        self.table = nn.Parameter(torch.randn(max_positions, width) * width**-0.5)

    def first(self, length: int) -> Tensor:
        """Return the first `length` vectors; raise InputError where the table is shorter."""
        if length > len(self.table):
            raise InputError(f"{length} positions, but encoder.{self.name} is {len(self.table)}; attach with a larger one")
        return self.table[:length]


def answer_slots(features: Features, slots: Tensor) -> tuple[Tensor, Tensor]:
    """Return learned slots (a, d) repeated for each row, (b, a, d), and which of them hold an answer, (b, a)."""
    most = int(features.num_answers.max())
    if most > len(slots):
        raise InputError(f"the answer has {most} positions, but encoder.max_answers is {len(slots)}; attach with a larger one")
    rows = features.states.shape[0]
    # A copy: torch's FLOP counter trips over a parameter's view where gradients are off.
    return slots.repeat(rows, 1, 1), features.answer_mask(len(slots))


def dense(mask: Tensor) -> Tensor | None:
    """Return None for a mask (b, l) without padding, where the check costs no synchronisation."""
    return None if mask.device.type == "cpu" and bool(mask.all()) else mask


def check_counts(config: Any) -> None:
    """Raise ConfigError where a `max_*` or `num_*` field of an encoder's config is under 1."""
    for name, value in vars(config).items():
        require(not isinstance(value, int) or value >= 1, f"encoder.{name} is {value}; give at least 1")
