"""Codes: a reader without a language model, which numbers the symbols of a prompt's spans for the structured encoder.

It is the "no LLM" control, and runs the checkpoints of structured-grid models. A prompt is one byte a symbol.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from hybrid.backbone.codec import Raw
from hybrid.errors import ConfigError, InputError
from hybrid.kinds import require
from hybrid.problem import Places

NO_BACKBONE = "none"
"""Name of a backbone that is none."""


class Codes:
    """Reader of symbol numbers; features are (p, 1, 1) uint8.

    Args:
        vocabulary: up to 256 symbols in the order of their numbers, as in the structured encoder's config.
    """

    name, layers, tuned, runs, width = NO_BACKBONE, (0,), False, False, 1
    quantization, tokenizer, device, codec = None, None, torch.device("cpu"), Raw(Raw.Config())

    def __init__(self, vocabulary: Sequence[str]) -> None:
        require(len(vocabulary) <= 256, f"encoder.vocabulary has {len(vocabulary)} symbols; give at most 256")
        self.numbers = {symbol: number for number, symbol in enumerate(vocabulary)}
        self.model = nn.Identity()

    def reading(self, layers: Any, codec: Any = None) -> Codes:
        """Return itself: there are no layers to choose from."""
        return self

    def __str__(self) -> str:
        return f"none, {len(self.numbers)} symbols as numbers"

    @property
    def fingerprint(self) -> dict[str, str]:
        """The vocabulary takes the place of weights and tokenizer."""
        return {"weights": NO_BACKBONE, "tokenizer": " ".join(self.numbers), "dtype": "int16"}

    def to(self, device: torch.device) -> None:
        """Do nothing: symbols are numbered on the CPU, and batches moved."""

    def prepare(self, prompts: Sequence[str], spans: Places) -> list[bytes]:
        """Return the number of the symbol at each span of each prompt; raise InputError for text that is no symbol."""
        if spans is None or isinstance(spans, str):
            raise ConfigError(f"backbone {NO_BACKBONE} goes with the structured encoder; set --encoder structured")
        return [bytes(self._number(prompt[start:end]) for start, end in own) for prompt, own in zip(prompts, spans, strict=True)]

    def _number(self, text: str) -> int:
        if text not in self.numbers:
            raise InputError(f'"{text}" is not in encoder.vocabulary: {", ".join(self.numbers)}')
        return self.numbers[text]

    def flat(self, prepared: bytearray) -> Tensor:
        """Return the numbers of prompts, one behind another, as a tensor of the same memory, (sum of p, 1, 1)."""
        return torch.frombuffer(prepared, dtype=torch.uint8)[:, None, None]

    def read(self, prepared: Sequence[bytes]) -> list[Tensor]:
        """Return the numbers of each prompt, (p, 1, 1)."""
        return list(torch.split(self.flat(bytearray().join(prepared)), [len(row) for row in prepared]))

    def token_id(self, symbol: str) -> NoReturn:
        """There are no tokens; raise ConfigError."""
        raise ConfigError(f"backbone {NO_BACKBONE} has no output matrix; use the classes decoder")

    token_text = output_rows = token_id
