"""The reader: what turns prompts into the features that an encoder adapter reads.

There are two: a language model (language_model.py) and, without one, symbols as numbers (codes.py). Whatever holds a reader knows
no more of it than this.

Shapes: p positions, k layers, h channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from hybrid.problem import Places

R = TypeVar("R")


class Sized(Protocol):
    """A prompt ready for its reader."""

    def __len__(self) -> int:
        """Positions that the encoder gets."""


class Store(Protocol):
    """The features of many prompts."""

    def rows(self, indices: Sequence[int]) -> list[Tensor]:
        """Return the features (p, k, h) of some prompts."""


class Reader(Protocol[R]):
    """What a head needs of it; `R` is a prompt made ready.

    `layers` are those read, `width` the channels of each, `runs` whether a model runs, so that keeping what it said pays;
    `tuned` whether something inside it is trained with the head.
    """

    name: str
    layers: tuple[int, ...]
    tuned: bool
    runs: bool

    @property
    def width(self) -> int:
        """Channels of a feature."""

    @property
    def device(self) -> torch.device:
        """Where features come from."""

    @property
    def fingerprint(self) -> dict[str, str]:
        """What decides the features: a head goes with one fingerprint."""

    def to(self, device: torch.device) -> None:
        """Move what reads."""

    def prepare(self, prompts: Sequence[str], spans: Places) -> list[R]:
        """Return prompts ready to be read: by their spans, words, sentences, or as a whole; InputError for bad ones."""

    def read(self, prepared: Sequence[R]) -> list[Tensor]:
        """Return the features (p, k, h) of each."""
