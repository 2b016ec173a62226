"""No language model: a reader that hands the symbols of a prompt's spans to the structured encoder as they are.

Stands where a Backbone stands, so training, solving and benchmarks need no second path. It is the "no LLM" control, and
runs the checkpoints of structured-grid models.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hybrid.backbone import Backbone
from hybrid.errors import ConfigError, InputError
from hybrid.offsets import Encoded
from hybrid.problem import Span

NO_BACKBONE = "none"
"""Name of a backbone that is none."""


class NoBackbone(Backbone):
    """Reads a prompt one character a token; features are symbol numbers (p, 1, 1).

    Args:
        vocabulary: symbols in the order of their numbers, as in the structured encoder's config.
    """

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.model, self.tokenizer, self.name, self.layers = nn.Identity(), None, NO_BACKBONE, (0,)
        self.numbers = {symbol: number for number, symbol in enumerate(vocabulary)}

    def reading(self, layers: tuple[int, ...] | None) -> NoBackbone:
        """There are no layers to choose from."""
        return self

    @property
    def hidden_size(self) -> int:
        """One number a position."""
        return 1

    @property
    def num_layers(self) -> int:
        """None above the input."""
        return 0

    @property
    def dtype(self) -> torch.dtype:
        """Symbol numbers are small integers."""
        return torch.int16

    @property
    def quantization(self) -> str | None:
        """None."""
        return None

    @property
    def device(self) -> torch.device:
        """Symbols are numbered on the CPU."""
        return torch.device("cpu")

    @property
    def fingerprint(self) -> dict[str, str]:
        """The vocabulary takes the place of weights and tokenizer."""
        return {"weights": NO_BACKBONE, "tokenizer": " ".join(self.numbers), "dtype": "int16"}

    @property
    def settings(self) -> str:
        """None."""
        return ""

    @property
    def context_length(self) -> int | None:
        """No limit."""
        return None

    def encode(self, prompts: Sequence[str]) -> list[Encoded]:
        """Return one token a character."""
        return [Encoded([ord(c) for c in prompt], [(i, i + 1) for i in range(len(prompt))]) for prompt in prompts]

    def features(self, encoded: Sequence[Encoded], spans: Any, *, tokens_a_batch: int = 0) -> list[Tensor]:
        """Return the symbol numbers of each prompt's spans; raise InputError for text that is no symbol."""
        if spans is None:
            raise ConfigError(f"backbone {NO_BACKBONE} goes with the structured encoder; set --encoder structured")
        return [self._numbers("".join(map(chr, tokens.ids)), own) for tokens, own in zip(encoded, spans, strict=True)]

    def _numbers(self, prompt: str, spans: Sequence[Span]) -> Tensor:
        texts = [prompt[start:end] for start, end in spans]
        for text in texts:
            if text not in self.numbers:
                raise InputError(f'"{text}" is not in encoder.vocabulary: {", ".join(self.numbers)}')
        return torch.tensor([self.numbers[text] for text in texts], dtype=torch.int16)[:, None, None]

    def token_id(self, symbol: str) -> int:
        """There are no tokens; raise ConfigError."""
        raise ConfigError(f"backbone {NO_BACKBONE} has no output matrix; use the classes decoder")

    def output_rows(self, token_ids: Sequence[int] | None) -> Tensor:
        """There is no output matrix; raise ConfigError."""
        raise ConfigError(f"backbone {NO_BACKBONE} has no output matrix; use the classes decoder")
