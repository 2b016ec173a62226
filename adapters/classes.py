"""Classes decoder: one learned vector a symbol of a closed answer vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from hybrid.adapters.decoder import DECODERS, Decoder, Vocabulary
from hybrid.recursion.block import linear


@DECODERS.register("classes")
class Classes(Decoder):
    """Logits = learned matrix times answer state."""

    @dataclass(frozen=True)
    class Config:
        """No fields."""

    def __init__(self, config: Config, width: int, symbols: Sequence[str], vocabulary: Vocabulary) -> None:
        super().__init__(symbols)
        self.out = linear(width, len(symbols))

    def forward(self, y_bad: Tensor) -> Tensor:
        """See Decoder.forward."""
        logits: Tensor = self.out(y_bad)
        return logits
