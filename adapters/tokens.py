"""Tokens decoder: the answer leaves through the backbone's own frozen output matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from hybrid.adapters.decoder import DECODERS, Decoder, Vocabulary
from hybrid.backbone.codes import Codes
from hybrid.errors import ConfigError, InputError
from hybrid.layout import END
from hybrid.recursion.block import linear


@DECODERS.register("tokens")
class Tokens(Decoder):
    """Logits = frozen output rows times a learned map of the answer state; the rows are not trained and not saved.

    Without symbols the vocabulary is open: an answer is one text, and its tokens fill the slots.
    """

    rows: Tensor

    @dataclass(frozen=True)
    class Config:
        """Args: whole: score every token of the backbone, not only those of the head's symbols."""

        whole: bool = False

    def __init__(self, config: Config, width: int, symbols: Sequence[str], vocabulary: Vocabulary) -> None:
        super().__init__(symbols)
        if isinstance(vocabulary, Codes):
            raise ConfigError("backbone none has no tokens to answer with; use the classes decoder")
        _check_fixed(vocabulary)
        self.whole = config.whole
        self.vocabulary, self.open = vocabulary, config.whole and not symbols
        ids = [_end_id(vocabulary) if symbol == END else vocabulary.token_id(symbol) for symbol in symbols]
        if self.open or (config.whole and END in symbols):
            self.end = _end_id(vocabulary)
        self.out = linear(width, self._target(None if config.whole else ids))

    def _target(self, ids: Sequence[int] | None) -> int:
        """Take what the answer states are mapped to, here output rows of these tokens (None for all); return its channels."""
        rows_vh = unit_rows(self.vocabulary.output_rows(ids))
        self.register_buffer("rows", rows_vh, persistent=False)
        return rows_vh.shape[1]

    def index(self, symbol: str) -> int:
        """See Decoder.index; the token's id where the whole vocabulary is scored."""
        if self.whole and symbol != END:
            return self.vocabulary.token_id(symbol)
        return self.end if self.whole and self.end is not None else super().index(symbol)

    def text(self, index: int) -> str:
        """See Decoder.text."""
        return self.vocabulary.token_text(index) if self.whole else super().text(index)

    def labels(self, answer: Sequence[str]) -> list[int]:
        """See Decoder.labels; the tokens of the text where the vocabulary is open."""
        return self._tokens("".join(answer)) if self.open else super().labels(answer)

    def answer(self, indices: Sequence[int]) -> tuple[str, ...]:
        """See Decoder.answer; one text where the vocabulary is open."""
        return (self._text(self._before_end(indices)),) if self.open else super().answer(indices)

    def _tokens(self, text: str) -> list[int]:
        ids = [int(i) for i in self.vocabulary.tokenizer(text, add_special_tokens=False)["input_ids"]]
        if self._text(ids) != text.strip():
            raise InputError(f"the model's tokens write {text[:60]!r} as {self._text(ids)[:60]!r}; change the answer")
        if self.end in ids:
            raise InputError(f"the answer {text[:60]!r} holds the token that ends a text; change the answer")
        return ids

    def _text(self, token_ids: Sequence[int]) -> str:
        return str(self.vocabulary.tokenizer.decode(list(token_ids), clean_up_tokenization_spaces=False)).strip()

    def forward(self, y_bad: Tensor) -> Tensor:
        """See Decoder.forward."""
        logits: Tensor = self.out(y_bad) @ self.rows.to(y_bad.dtype).T
        return logits


def unit_rows(rows_vh: Tensor) -> Tensor:
    """Return rows of an output matrix at unit length: they differ by a factor of two, and so logits start alike."""
    unit_vh: Tensor = rows_vh / rows_vh.norm(dim=-1, keepdim=True).clamp(min=1e-6)
    return unit_vh


def _check_fixed(vocabulary: Vocabulary) -> None:
    """Raise ConfigError where a tuner trains the model's embeddings or output matrix, which the decoder takes as they are."""
    model = getattr(vocabulary, "model", None)
    tables = [] if model is None else [model.get_input_embeddings(), model.get_output_embeddings()]
    if any(parameter.requires_grad for table in tables if table is not None for parameter in table.parameters()):
        raise ConfigError(
            "the tuner trains the language model's embeddings or output matrix, which this decoder takes as they are; "
            "leave them out of the tuner (modules_to_save, trainable_token_indices, target_modules), or use the classes decoder"
        )


def _end_id(vocabulary: Vocabulary) -> int:
    """Return the id of the token that ends a text; raise ConfigError where the tokenizer has none."""
    end = getattr(vocabulary.tokenizer, "eos_token_id", None)
    if end is None:
        raise ConfigError("the language model has no token that ends a text; use the classes decoder")
    return int(end)
