"""Tokens decoder: the answer leaves through the backbone's own frozen output matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from hybrid.adapters.decoder import DECODERS, Decoder, Vocabulary
from hybrid.block import linear


@DECODERS.register("tokens")
class Tokens(Decoder):
    """Logits = frozen output rows times a learned map of the answer state; the rows are not trained and not saved."""

    rows: Tensor

    @dataclass(frozen=True)
    class Config:
        """Args: whole: score every token of the backbone, not only those of the head's symbols."""

        whole: bool = False

    def __init__(self, config: Config, width: int, symbols: Sequence[str], vocabulary: Vocabulary) -> None:
        super().__init__(symbols)
        self.whole = config.whole
        self.vocabulary = vocabulary
        ids = [vocabulary.token_id(symbol) for symbol in symbols]
        rows_vh = vocabulary.output_rows(None if config.whole else ids)
        # Rows of an output matrix differ in length by a factor of two; at unit length the logits start alike.
        self.register_buffer("rows", rows_vh / rows_vh.norm(dim=-1, keepdim=True).clamp(min=1e-6), persistent=False)
        self.out = linear(width, rows_vh.shape[1])

    def index(self, symbol: str) -> int:
        """See Decoder.index; the token's id where the whole vocabulary is scored."""
        return self.vocabulary.token_id(symbol) if self.whole else super().index(symbol)

    def text(self, index: int) -> str:
        """See Decoder.text."""
        return self.vocabulary.token_text(index) if self.whole else super().text(index)

    def forward(self, y_bad: Tensor) -> Tensor:
        """See Decoder.forward."""
        logits: Tensor = self.out(y_bad) @ self.rows.to(y_bad.dtype).T
        return logits
