"""The words of a head that writes, told as they come. Holds no HTTP (completions.py) and no queue (batcher.py)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from transformers import TextStreamer

from hybrid.eval.text.voice import Manner, before, write
from hybrid.model import HybridModel
from hybrid.problem import Problem
from hybrid.serve.batcher import read_tokens
from hybrid.serve.writing import Writing


def spoken(
    model: HybridModel, problem: Problem, manner: Manner, num_steps: int | None, writing: Writing
) -> Iterator[dict[str, Any]]:
    """Write a text in one go, tell its words as they come, and yield the last of them with how it ended.

    Args:
        model: head that writes.
        problem: as the head reads it.
        manner: of the text.
        num_steps: most supervision steps; None for the trained N.
        writing: is told; nothing more is written when nobody reads any more.
    """
    words = _Words(model.backbone.tokenizer, manner, writing)

    def unread(ids: Tensor, scores: Any, **_: Any) -> Tensor:
        return torch.full((len(ids),), writing.unread, device=ids.device)

    options: dict[str, Any] = {"streamer": words, "stopping_criteria": [unread], "num_steps": num_steps}
    (wrote,) = write(model, [problem], manner, **options)
    counts = {"read": read_tokens(model, problem), "written": wrote.tokens}
    yield {"text": wrote.text[words.told :], "ended": "stop" if wrote.ended else "length"} | counts


class _Words(TextStreamer):
    """Tells whole words; holds back what may turn out to be the beginning of a stop."""

    def __init__(self, tokenizer: Any, manner: Manner, writing: Writing) -> None:
        super().__init__(tokenizer, skip_prompt=True, skip_special_tokens=True)
        self.until, self.writing, self.text, self.told = manner.until, writing, "", 0
        self.held = max(map(len, self.until), default=1) - 1

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """See TextStreamer."""
        self.text += text
        sure = before(self.text, [end for end in self.until if end])[: max(0, len(self.text) - self.held)]
        if len(sure) > self.told:
            self.writing.tell({"text": sure[self.told :]})
            self.told = len(sure)
