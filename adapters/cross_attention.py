"""Cross-attention encoder: position-aware queries read the prompt, and the prompt reads them back.

For prompts without spans. One-way reading with queries that know no position sits at chance; here the queries are one
learned vector an answer slot, tokens carry their position, and each layer reads both ways, so that a token can learn
which slot asks for it.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from hybrid.adapters.encoder import ENCODERS, Encoder, Positions, Workspace, answer_slots, check_counts, dense
from hybrid.adapters.features import Features
from hybrid.adapters.layer_mix import LayerMix
from hybrid.block import SwiGLU, linear, rms_norm
from hybrid.kinds import require


class Read(nn.Module):
    """One set of positions reads another: pre-norm cross-attention and SwiGLU, with residuals."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = linear(width, width)
        self.key_value = linear(width, 2 * width)
        self.out = linear(width, width)
        self.mlp = SwiGLU(width, 2.0, 32)

    def forward(self, reader_bqd: Tensor, source_bsd: Tensor, mask_bs: Tensor | None) -> Tensor:
        """Return the reader (b, q, d) after reading the source (b, s, d) where its mask is True."""
        heads = (self.num_heads, -1)
        q_bnqh = self.query(rms_norm(reader_bqd)).unflatten(-1, heads).transpose(1, 2)
        k_bsd, v_bsd = self.key_value(rms_norm(source_bsd)).chunk(2, dim=-1)
        k_bnsh, v_bnsh = (part.unflatten(-1, heads).transpose(1, 2) for part in (k_bsd, v_bsd))
        mask = None if mask_bs is None else mask_bs[:, None, None, :]
        read_bnqh = F.scaled_dot_product_attention(q_bnqh, k_bnsh, v_bnsh, attn_mask=mask)
        reader_bqd = reader_bqd + self.out(read_bnqh.transpose(1, 2).flatten(2))
        moved_bqd: Tensor = reader_bqd + self.mlp(rms_norm(reader_bqd))
        return moved_bqd


@ENCODERS.register("cross_attention")
class CrossAttention(Encoder):
    """Workspace = answer slots after `num_layers` rounds of tokens reading slots and slots reading tokens."""

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
        self.longest = config.max_tokens
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
        slots_bad, answers_ba = answer_slots(features, self.slots.table)
        slots_bad = slots_bad.to(tokens_bpd.dtype)
        answers, tokens = dense(answers_ba), dense(features.mask)
        for tokens_read, slots_read in zip(self.tokens_read, self.slots_read, strict=True):
            tokens_bpd = tokens_read(tokens_bpd, slots_bad, answers)
            slots_bad = slots_read(slots_bad, tokens_bpd, tokens)
        return slots_bad, answers
