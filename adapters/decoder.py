"""Decoder adapters: from the answer state to logits over symbols. The family."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor, nn

from hybrid.errors import InputError
from hybrid.kinds import Kinds


class Vocabulary(Protocol):
    """The side of a backbone that a decoder may look at."""

    def token_id(self, symbol: str) -> int:
        """Return the id of the one token that `symbol` is; raise InputError where it is none or several."""

    def token_text(self, token_id: int) -> str:
        """Return the text of a token."""

    def output_rows(self, token_ids: Sequence[int] | None) -> Tensor:
        """Return rows of the output matrix, (v, h) float32, for these tokens or for all."""


class Decoder(nn.Module):
    """Base of the family, built as cls(config, width, symbols, vocabulary)."""

    def __init__(self, symbols: Sequence[str]) -> None:
        super().__init__()
        self.symbols = tuple(symbols)
        self._index = {symbol: index for index, symbol in enumerate(self.symbols)}

    def index(self, symbol: str) -> int:
        """Return the logit's place of `symbol`; raise InputError where the head has no such symbol."""
        if symbol not in self._index:
            known = ", ".join(self.symbols[:20])
            raise InputError(f'answer symbol "{symbol}" is not among the {len(self.symbols)} symbols of this head: {known}')
        return self._index[symbol]

    def text(self, index: int) -> str:
        """Return the symbol of a logit's place."""
        return self.symbols[index]

    def forward(self, y_bad: Tensor) -> Tensor:
        """Map answer states (b, a, d) to logits (b, a, v)."""
        raise NotImplementedError


DECODERS: Kinds[Decoder] = Kinds("decoder")
