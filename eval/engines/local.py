"""The engine `transformers`: the backbone itself writes, in this process (generation.py)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hybrid.backbone import Backbone, tuner
from hybrid.eval.engines.engine import ENGINES, Engine
from hybrid.eval.measures.cost import text_cost
from hybrid.eval.text.generation import GREEDY, Ends, Generated, Message, Sampling, chat_text, generate
from hybrid.kinds import require


@ENGINES.register("transformers")
class TransformersEngine(Engine):
    """Writes with the backbone's own weights and tokenizer, without a head's tuner; FLOPs are exact."""

    @dataclass(frozen=True)
    class Config:
        """Args: batch_size: conversations at once; none tries 8 and 32."""

        batch_size: int | None = None

        def __post_init__(self) -> None:
            require(self.batch_size is None or self.batch_size >= 1, f"engine.batch_size is {self.batch_size}; give at least 1")

    def __init__(self, config: Config, backbone: Backbone, folder: Path | None = None) -> None:
        missing = f"backbone {backbone.name} writes no text; leave out the prompted methods, or give --engine server"
        require(backbone.tokenizer is not None, missing)
        self.backbone = backbone
        self.identity = backbone.name
        if config.batch_size is not None:
            self.batch_sizes = (config.batch_size,)

    def write(
        self,
        conversations: Sequence[Sequence[Message]],
        max_new_tokens: int,
        *,
        sampling: Sampling = GREEDY,
        ends: Sequence[Ends] | None = None,
    ) -> list[Generated]:
        """See Engine.write."""
        texts = [chat_text(self.backbone, messages) for messages in conversations]
        with tuner.set_aside(self.backbone):
            return generate(self.backbone, texts, max_new_tokens, sampling=sampling, ends=ends)

    def flops(self, out: Generated) -> float:
        """See Engine.flops."""
        with tuner.set_aside(self.backbone):
            return text_cost(self.backbone).flops(out.prompt_tokens, out.tokens)

    def most_tokens(self, texts: Sequence[str]) -> int:
        """See Engine.most_tokens."""
        return max(len(ids) for ids in self.backbone.tokenizer(list(texts))["input_ids"])
