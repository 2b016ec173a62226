"""Soft prompt decoder: the frozen language model writes the answer, behind the prompt and the states of the recursion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hybrid.adapters.decoder import DECODERS, Vocabulary
from hybrid.adapters.targets import Goal
from hybrid.adapters.tokens import Tokens, unit_rows
from hybrid.backbone.writing import Writer
from hybrid.errors import ConfigError
from hybrid.kinds import ADDED, require
from hybrid.layout import END
from hybrid.recursion.block import at_least_float32, rms_norm
from hybrid.recursion.losses import AnswerLoss, whole_answer_right


@DECODERS.register("soft_prompt")
class SoftPrompt(Tokens):
    """Each answer state becomes a vector of the language model's embedding space, as long as its embeddings are on average.

    With `draft` it becomes what it stands for: the mean of the embeddings of those tokens by its probabilities for them. A head
    that has learned the answer's tokens (decoder tokens) so shows the language model a draft in words that it knows.

    The vocabulary is open: an answer is any text of up to as many tokens as there are answer slots. The language model reads
    the prompt, in its chat template where it has one, then the vectors, and goes on. Nothing of it is trained.
    """

    writes: ClassVar = True
    drafted: Tensor
    cue: nn.Parameter | None

    @dataclass(frozen=True)
    class Config:
        """Vectors that the language model reads behind the prompt.

        Args:
            draft: texts of the tokens that answers are drafted in, END among them; none maps the states freely.
            cue: learned vectors behind those of the states, the same for every prompt.
        """

        draft: tuple[str, ...] = field(default=(), metadata=ADDED)
        cue: int = field(default=0, metadata=ADDED)
        whole: ClassVar = True

        def __post_init__(self) -> None:
            require(self.cue >= 0, f"soft_prompt.cue is {self.cue}; give at least 0")

    def __init__(self, config: Config, width: int, symbols: Sequence[str], vocabulary: Vocabulary) -> None:
        if symbols:
            raise ConfigError("the decoder soft_prompt writes any text; leave out the symbols, or choose the decoder tokens")
        super().__init__(Tokens.Config(whole=True), width, symbols, vocabulary)
        self.config = config
        table_vh = self.writer.table.detach()
        if config.draft:
            require(END in config.draft, f"soft_prompt.draft has no {END}; name the tokens of the answers and {END}")
            ids = [self.index(symbol) for symbol in config.draft]
            self.register_buffer("drafted", at_least_float32(table_vh[ids]), persistent=False)
            self.register_buffer("rows", unit_rows(vocabulary.output_rows(ids)), persistent=False)
        drawn = torch.randint(len(table_vh), (config.cue,)) if config.cue else None
        self.cue = None if drawn is None else nn.Parameter(at_least_float32(table_vh[drawn]))

    def _target(self, ids: Sequence[int] | None) -> int:
        """See Tokens._target: the embedding space."""
        self.writer = Writer(self.vocabulary, keep=True)
        self.length = float(at_least_float32(self.writer.table.detach()).square().mean().sqrt())
        return self.writer.table.shape[1]

    def vectors(self, y_bad: Tensor) -> Tensor:
        """Return the answer states in the model's embedding space, and the cue behind them, (b, a + cue, h)."""
        mapped_bah: Tensor = self.out(y_bad)
        found_bah = self._draft(mapped_bah) if self.config.draft else rms_norm(mapped_bah) * self.length
        if self.cue is None:
            return found_bah
        return torch.cat([found_bah, self.cue.to(found_bah.dtype).expand(len(found_bah), -1, -1)], 1)

    def _draft(self, mapped_bah: Tensor) -> Tensor:
        """Return what the states stand for, (b, a, h); behind the first END each slot stands for END."""
        end = self.config.draft.index(END)
        chosen_bav = (mapped_bah @ self.rows.to(mapped_bah.dtype).T).softmax(-1)
        ended_ba = (chosen_bav.argmax(-1) == end).cumsum(1) > 0
        found_bah: Tensor = chosen_bav @ self.drafted.to(chosen_bav.dtype)
        return torch.where(ended_ba[..., None], self.drafted[end].to(found_bah.dtype), found_bah)

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
