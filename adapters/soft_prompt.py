"""Soft prompt decoder: the frozen language model writes the answer, behind the prompt and the states of the recursion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor
from torch.nn import functional as F

from hybrid.adapters.decoder import DECODERS, Vocabulary
from hybrid.adapters.targets import Goal
from hybrid.adapters.tokens import Tokens
from hybrid.block import at_least_float32, rms_norm
from hybrid.errors import ConfigError
from hybrid.losses import AnswerLoss, whole_answer_right
from hybrid.writing import Writer


@DECODERS.register("soft_prompt")
class SoftPrompt(Tokens):
    """Each answer state becomes a vector of the language model's embedding space, as long as its embeddings are on average.

    The vocabulary is open: an answer is any text of up to as many tokens as there are answer slots. The language model reads
    the prompt, in its chat template where it has one, then the vectors, and goes on. Nothing of it is trained.
    """

    writes: ClassVar = True

    @dataclass(frozen=True)
    class Config:
        """No fields."""

        whole: ClassVar = True

    def __init__(self, config: Config, width: int, symbols: Sequence[str], vocabulary: Vocabulary) -> None:
        if symbols:
            raise ConfigError("the decoder soft_prompt writes any text; leave out the symbols, or choose the decoder tokens")
        super().__init__(Tokens.Config(whole=True), width, symbols, vocabulary)

    def _target(self, ids: Sequence[int] | None) -> int:
        """See Tokens._target: the embedding space."""
        self.writer = Writer(self.vocabulary, keep=True)
        self.length = float(at_least_float32(self.writer.table.detach()).square().mean().sqrt())
        return self.writer.table.shape[1]

    def vectors(self, y_bad: Tensor) -> Tensor:
        """Return the answer states in the model's embedding space, (b, a, h)."""
        return rms_norm(self.out(y_bad)) * self.length

    def score(self, y_bod: Tensor, goal: Goal, loss: AnswerLoss, prompt_bs: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See Decoder.score; each token is written behind the right ones before it."""
        logits_bov = self.writer.logits(_given(prompt_bs), self.vectors(y_bod), goal.labels)
        return loss(logits_bov, goal.labels, goal.weights), whole_answer_right(logits_bov.detach(), goal.answer)

    def read(self, y_bad: Tensor, prompt_bs: Tensor | None = None) -> Tensor:
        """See Decoder.read: the likeliest tokens, one after another."""
        assert self.end is not None
        found_bt = self.writer.greedy(_given(prompt_bs), self.vectors(y_bad), self.end, y_bad.shape[1])
        return F.pad(found_bt, (0, y_bad.shape[1] - found_bt.shape[1]), value=self.end)

    def generate(self, prompt_bs: Tensor, vectors_bkh: Tensor | None, **options: Any) -> Any:
        """Return what the language model writes behind the prompts and the vectors; see HybridModel.generate."""
        found = self.writer.continued(prompt_bs, vectors_bkh, **options)
        return self.vocabulary.tokenizer.batch_decode(found, skip_special_tokens=True) if isinstance(found, Tensor) else found

    def forward(self, y_bad: Tensor) -> Tensor:
        """See Decoder.forward: there are no logits without a prompt."""
        raise ConfigError("the decoder soft_prompt has no logits of its own; call model.generate or model.solve")


def _given(prompt_bs: Tensor | None) -> Tensor:
    if prompt_bs is None:
        raise ConfigError("the decoder soft_prompt needs the prompt's tokens; read prompts with model.read")
    return prompt_bs
