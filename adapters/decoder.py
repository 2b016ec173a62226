"""Decoder adapters: from the answer state to symbols, and how far they are from a goal. The family."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

from torch import Tensor, nn

from hybrid.adapters.targets import Goal
from hybrid.errors import InputError
from hybrid.kinds import Kinds
from hybrid.layout import END
from hybrid.recursion.losses import AnswerLoss, whole_answer_right


class Vocabulary(Protocol):
    """The side of a backbone that a decoder may look at: its tokenizer, None where it has none, and its output matrix."""

    tokenizer: Any

    def token_id(self, symbol: str) -> int:
        """Return the id of the one token that `symbol` is; raise InputError where it is none or several."""

    def token_text(self, token_id: int) -> str:
        """Return the text of a token."""

    def output_rows(self, token_ids: Sequence[int] | None) -> Tensor:
        """Return rows of the output matrix, (v, h) float32, for these tokens or for all."""


class Decoder(nn.Module):
    """Base of the family, built as cls(config, width, symbols, vocabulary).

    `end` is the logit's place of END, None where every slot holds a symbol of the answer. `writes` says whether it needs the
    tokens of the prompts, and takes its time to read an answer: then that is done once, after the last step.
    """

    writes: ClassVar[bool] = False

    def __init__(self, symbols: Sequence[str]) -> None:
        super().__init__()
        self.symbols = tuple(symbols)
        self._index = {symbol: index for index, symbol in enumerate(self.symbols)}
        self.end = self._index.get(END)

    def index(self, symbol: str) -> int:
        """Return the logit's place of `symbol`; raise InputError where the head has no such symbol."""
        if symbol not in self._index:
            known = ", ".join(self.symbols[:20])
            raise InputError(f'answer symbol "{symbol}" is not among the {len(self.symbols)} symbols of this head: {known}')
        return self._index[symbol]

    def text(self, index: int) -> str:
        """Return the symbol of a logit's place."""
        return self.symbols[index]

    def labels(self, answer: Sequence[str]) -> list[int]:
        """Return the logits' places of a whole answer; raise InputError where it cannot be written."""
        return [self.index(symbol) for symbol in answer]

    def answer(self, indices: Sequence[int]) -> tuple[str, ...]:
        """Return the answer that these places give, up to the first END."""
        return tuple(self.text(index) for index in self._before_end(indices))

    def _before_end(self, indices: Sequence[int]) -> list[int]:
        found = list(indices)
        return found[: found.index(self.end)] if self.end in found else found

    def score(self, y_bod: Tensor, goal: Goal, loss: AnswerLoss, prompt_bs: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the loss of each row (b,) against a goal, and whether it gives the whole final answer, (b,) bool.

        Args:
            y_bod: answer states of the output positions.
            goal: labels of as many positions.
            loss: of the answer's symbols.
            prompt_bs: tokens of the prompts, -1 behind the end, for a decoder that writes.
        """
        logits_bov = self(y_bod)
        return loss(logits_bov, goal.labels, goal.weights), whole_answer_right(logits_bov.detach(), goal.answer)

    def read(self, y_bad: Tensor, prompt_bs: Tensor | None = None) -> Tensor:
        """Return the best symbol's place for each answer state (b, a, d), (b, a) int64; `answer` turns a row into symbols."""
        best_ba: Tensor = self(y_bad).argmax(-1)
        return best_ba

    def forward(self, y_bad: Tensor) -> Tensor:
        """Map answer states (b, a, d) to logits (b, a, v)."""
        raise NotImplementedError


DECODERS: Kinds[Decoder] = Kinds("decoder")
