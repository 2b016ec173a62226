"""Encoder adapters: from hidden states to a workspace. The family and what its members share.

Shapes: b batch, p feature positions, a answer slots, l workspace positions, d width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from hybrid.adapters.features import Features
from hybrid.errors import InputError
from hybrid.kinds import Kinds, require
from hybrid.problem import Reads
from hybrid.recursion.workspace import Workspace


class Encoder(nn.Module):
    """Base of the family.

    `reads` says what the reader must hand over: the state of each span, of every prompt token, or of every word. `normalise`
    says whether the workspace is scaled to root mean square 1, `gives_memory` and `gives_links` whether it comes with a
    memory and with links. `limits` names the config fields that bound the feature positions and the answer slots, None for no
    bound. `num_thoughts` counts the slots right behind each row's answer that are taught worked steps,
    `num_word_labels` the labels that a word can have at once.
    Members are built as cls(config, num_layers, backbone_width, width).
    """

    reads: Reads = "tokens"
    normalise: ClassVar[bool] = True
    gives_memory: ClassVar[bool] = False
    gives_links: ClassVar[bool] = False
    num_thoughts: int = 0
    num_word_labels: int = 1
    limits: ClassVar[tuple[str | None, str | None]] = (None, None)

    def forward(self, features: Features) -> Workspace:
        """Return the workspace of a batch."""
        raise NotImplementedError

    @classmethod
    def shortage(cls, config: Any, num_positions: int, num_answers: int) -> str:
        """Say what an encoder of this config cannot take of so many feature positions and answer slots; empty if it can."""
        for count, name in zip((num_positions, num_answers), cls.limits, strict=True):
            room = None if name is None else vars(config)[name]
            if room is not None and count > room:
                what = f"the answer has {count} places" if name == cls.limits[1] else f"the prompt has {count} positions"
                return f"{what}, but encoder.{name} is {room}; attach with a larger one"
        return ""

    @classmethod
    def path_room(cls, config: Any, num_positions: int, num_answers: int) -> int:
        """Return how many symbols of a path can be taught, of so many feature positions and answers: one a context span."""
        return num_positions - num_answers if cls.reads == "spans" else 0

    @classmethod
    def word_positions(cls, config: Any, links: Sequence[int]) -> tuple[int, Sequence[int]]:
        """Return at which workspace position a prompt's words begin, and which of its words have one, by their links.

        Words are counted from 0; an encoder that reads no words has none.
        """
        return 0, ()


ENCODERS: Kinds[Encoder] = Kinds("encoder")


class Positions(nn.Module):
    """Learned vectors of positions: a table (max_positions, width), small at first."""

    def __init__(self, max_positions: int, width: int, name: str) -> None:
        super().__init__()
        self.name = name
        self.table = nn.Parameter(torch.randn(max_positions, width) * width**-0.5)

    def first(self, length: int) -> Tensor:
        """Return the first `length` vectors; raise InputError where the table is shorter."""
        check_room(length, len(self.table), self.name)
        return self.table[:length]

    def slots(self, features: Features) -> tuple[Tensor, Tensor | None]:
        """Return all vectors for each row, (b, a, d), and which hold an answer, (b, a) or None for all."""
        self.first(features.most)
        # A copy: torch's FLOP counter trips over a parameter's view where gradients are off.
        return self.table.repeat(len(features.num_answers), 1, 1), features.answers(len(self.table))


def check_counts(config: Any) -> None:
    """Raise ConfigError where a `max_*` or `num_*` field of an encoder's config is under 1."""
    for name, value in vars(config).items():
        counts = isinstance(value, int) and not isinstance(value, bool)
        require(not counts or value >= 1, f"encoder.{name} is {value}; give at least 1")


def check_room(length: int, room: int, name: str) -> None:
    """Raise InputError where so many positions do not fit into the room of the config field `name`."""
    if length > room:
        raise InputError(f"{length} positions, but encoder.{name} is {room}; attach with a larger one")


def behind_slots(slots: Tensor, answers: Tensor | None, read: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Return slots (b, a, d) with what was read (b, p, d) behind them, and which are real; None for all stands for both masks."""
    x = torch.cat([slots.to(read.dtype), read], dim=1)
    if answers is None and mask is None:
        return x, None
    parts = ((answers, slots), (mask, read))
    masks = [part.new_ones(part.shape[:2], dtype=torch.bool) if own is None else own for own, part in parts]
    return x, torch.cat(masks, dim=1)
