"""Cross-attention encoder: position-aware queries read the prompt, and the prompt reads them back.

For prompts without spans. One-way reading with queries that know no position sits at chance; here the queries are one
learned vector an answer slot, tokens carry their position, and each layer reads both ways, so that a token can learn
which slot asks for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from hybrid.adapters.encoder import ENCODERS, Encoder, Positions, check_counts
from hybrid.adapters.features import Features
from hybrid.adapters.layer_mix import LayerMix
from hybrid.kinds import require
from hybrid.recursion.block import CrossAttention as Attend
from hybrid.recursion.block import SwiGLU, rms_norm
from hybrid.recursion.workspace import Memory, Workspace


class Read(Attend):
    """One set of positions reads another: pre-norm cross-attention and SwiGLU, with residuals."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__(width, num_heads)
        self.mlp = SwiGLU(width, 2.0, 32)

    def forward(self, reader_bqd: Tensor, source_bsd: Tensor, mask_bs: Tensor | None) -> Tensor:
        """Return the reader (b, q, d) after reading the source (b, s, d) where its mask is True."""
        reader_bqd = reader_bqd + self.read(rms_norm(reader_bqd), rms_norm(source_bsd), mask_bs)
        moved_bqd: Tensor = reader_bqd + self.mlp(rms_norm(reader_bqd))
        return moved_bqd


@ENCODERS.register("cross_attention")
class CrossAttention(Encoder):
    """Workspace = answer slots after `num_layers` rounds of tokens reading slots and slots reading tokens. Memory = tokens."""

    gives_memory: ClassVar = True
    limits: ClassVar = ("max_tokens", "max_answers")

    @dataclass(frozen=True)
    class Config:
        """Args: max_answers: answer slots. max_tokens: longest prompt, in tokens. num_layers: rounds. num_heads: heads."""

        max_answers: int = 16
        max_tokens: int = 512
        num_layers: int = 2
        num_heads: int = 4

        def __post_init__(self) -> None:
            check_counts(self)

    def __init__(self, config: Config, num_layers: int, backbone_width: int, width: int) -> None:
        super().__init__()
        heads = config.num_heads
        require(width % heads == 0, f"width {width} is no multiple of encoder.num_heads {heads}; change one of them")
        self.mix = LayerMix(num_layers, backbone_width, width)
        self.slots = Positions(config.max_answers, width, "max_answers")
        self.tokens = Positions(config.max_tokens, width, "max_tokens")
        self.tokens_read = nn.ModuleList(Read(width, heads) for _ in range(config.num_layers))
        self.slots_read = nn.ModuleList(Read(width, heads) for _ in range(config.num_layers))

    def forward(self, features: Features) -> Workspace:
        """See Encoder.forward; l = max_answers."""
        tokens_bpd = self.mix(features.states) + self.tokens.first(features.states.shape[1])
        slots_bad, answers_ba = self.slots.slots(features)
        slots_bad = slots_bad.to(tokens_bpd.dtype)
        for tokens_read, slots_read in zip(self.tokens_read, self.slots_read, strict=True):
            tokens_bpd = tokens_read(tokens_bpd, slots_bad, answers_ba)
            slots_bad = slots_read(slots_bad, tokens_bpd, features.mask)
        return Workspace(slots_bad, features.num_answers, answers_ba, Memory(tokens_bpd, features.mask))
