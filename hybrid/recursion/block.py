"""The block that a recursion applies again and again: mix over positions, then over channels.

Post-norm with a parameter-free RMSNorm, SwiGLU, no bias, as in TRM ("Less is More", arXiv 2510.04871, section 4; layer
sizes as in its code). Positions are mixed by non-causal attention with rotary positions, or by an MLP over them.
Unlike the paper's code, both know a padding mask. Holds no recursion.

Shapes: b batch, l positions, d width, n heads, h head width.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hybrid.kinds import ADDED, Kinds, require
from hybrid.recursion.product import Linear
from hybrid.recursion.sight import sight
from hybrid.recursion.workspace import Memory, Workspace

EPSILON = 1e-5

SHORT = 256
"""Most positions whose whole matrix of attention weights is made."""


def at_least_float32(x: Tensor) -> Tensor:
    """Return `x` in float32, or as it is where it is more precise."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def rms_norm(x: Tensor) -> Tensor:
    """Scale the last dimension to root mean square 1; computed in at least float32, returned in the dtype of `x`.

    In the order of operations of TRM's and HRM's code, not torch's own: a recursion with random weights multiplies a
    difference in the last bit tenfold a step, and so its states agree with theirs to the bit.
    """
    wide = at_least_float32(x)
    return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + EPSILON)).to(x.dtype)


def rms_norm_where(x_bdl: Tensor, real_b1l: Tensor) -> Tensor:
    """Scale the real positions (1, else 0) of the last dimension to root mean square 1, and set the others to zero."""
    kept_bdl = at_least_float32(x_bdl) * real_b1l
    mean_bd1 = kept_bdl.square().sum(-1, keepdim=True) / real_b1l.sum(-1, keepdim=True)
    return (kept_bdl * (mean_bd1 + EPSILON).rsqrt()).to(x_bdl.dtype)


def initialise(weight: Tensor) -> None:
    """Fill `weight` (out, in) from a normal of standard deviation 1/sqrt(in), cut at two deviations."""
    nn.init.trunc_normal_(weight, std=weight.shape[1] ** -0.5, a=-2 * weight.shape[1] ** -0.5, b=2 * weight.shape[1] ** -0.5)


def linear(width_in: int, width_out: int) -> nn.Linear:
    """Return an initialised linear map without bias."""
    layer = Linear(width_in, width_out)
    initialise(layer.weight)
    return layer


def attention(q_bnlh: Tensor, k_bnlh: Tensor, v_bnlh: Tensor, mask: Tensor | None) -> Tensor:
    """Return softmax(q k / sqrt(h)) v (b, n, l, h), over the positions where the mask (b, l) or (b, n, l, l) is True.

    By torch's kernel; but in half precision on a CPU, of at most SHORT positions, by two products with the weights between
    them: at 97 positions that takes a third of the kernel's time forward, a sixth with the way back.
    """
    mask = mask if mask is None or mask.ndim == 4 else mask[:, None, None, :]
    half = q_bnlh.device.type == "cpu" and q_bnlh.dtype in (torch.bfloat16, torch.float16)
    if not half or q_bnlh.shape[-2] > SHORT:
        return F.scaled_dot_product_attention(q_bnlh, k_bnlh, v_bnlh, attn_mask=mask)
    scores_bnll = (q_bnlh * q_bnlh.shape[-1] ** -0.5) @ k_bnlh.transpose(-1, -2)
    if mask is not None:
        scores_bnll = scores_bnll.masked_fill(~mask, torch.finfo(scores_bnll.dtype).min)
    out_bnlh: Tensor = scores_bnll.softmax(-1) @ v_bnlh
    return out_bnlh


class CrossAttention(nn.Module):
    """Positions read others, by heads, in the order of normalised states."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = linear(width, width)
        self.key_value = linear(width, 2 * width)
        self.out = linear(width, width)

    def read(self, reader_bqd: Tensor, source_bsd: Tensor, mask_bs: Tensor | None) -> Tensor:
        """Return what the reader (b, q, d) takes from the source (b, s, d), where its mask (b, s) or (b, q, s) is True."""
        heads = (self.num_heads, -1)
        q_bnqh = self.query(reader_bqd).unflatten(-1, heads).transpose(1, 2)
        k_bnsh, v_bnsh = (part.unflatten(-1, heads).transpose(1, 2) for part in self.key_value(source_bsd).chunk(2, dim=-1))
        mask = None if mask_bs is None else (mask_bs if mask_bs.ndim == 3 else mask_bs[:, None])[:, None]
        read_bnqh = F.scaled_dot_product_attention(q_bnqh, k_bnsh, v_bnsh, attn_mask=mask)
        out_bqd: Tensor = self.out(read_bnqh.transpose(1, 2).flatten(2))
        return out_bqd


class SwiGLU(nn.Module):
    """Gated feed-forward layer down(silu(gate x) * up x), gate and up in one product.

    The inner width is round(expansion * width * 2/3) rounded up to a multiple of `multiple_of`.
    """

    def __init__(self, width: int, expansion: float, multiple_of: int, inner: int | None = None) -> None:
        super().__init__()
        inner = inner or -(-round(expansion * width * 2 / 3) // multiple_of) * multiple_of
        self.gate_up = linear(width, 2 * inner)
        self.down = linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., width) to (..., width)."""
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        out: Tensor = self.down(F.silu(gate) * up)
        return out


class Rotary(nn.Module):
    """Rotary position table (RoFormer, arXiv 2104.09864), halves rotated against each other."""

    cos: Tensor
    sin: Tensor

    def __init__(self, head_width: int, max_positions: int, base: float = 10_000.0) -> None:
        super().__init__()
        frequency = base ** (-torch.arange(0, head_width, 2, dtype=torch.float32) / head_width)
        angle = torch.arange(max_positions, dtype=torch.float32)[:, None] * torch.cat([frequency, frequency])
        sign = torch.ones(head_width)
        sign[: head_width // 2] = -1
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin() * sign, persistent=False)

    def forward(self, x_blmh: Tensor) -> Tensor:
        """Rotate (batch, positions, any, head width) by position; raises ConfigError for more than `max_positions`."""
        length, half, longest = x_blmh.shape[1], x_blmh.shape[-1] // 2, self.cos.shape[0]
        require(length <= longest, f"the workspace has {length} positions, rotary has {longest}; raise block.max_positions")
        cos, sin = (table[:length, None].to(x_blmh.dtype) for table in (self.cos, self.sin))
        return x_blmh * cos + x_blmh.roll(half, dims=-1) * sin


class Block(nn.Module):
    """Base of the family: (b, l, d) and a padding mask (b, l) or None in, (b, l, d) out.

    `reads_memory` says whether it also looks at the workspace's memory.
    """

    reads_memory: bool = False

    @classmethod
    def asks_memory(cls, config: Any) -> bool:
        """Say whether a block of this config reads the memory."""
        return False

    @classmethod
    def asks_links(cls, config: Any) -> bool:
        """Say whether a block of this config follows the workspace's links."""
        return False

    def seen(self, links_bl2: Tensor | None, mask_bl: Tensor | None, rows: int, length: int) -> Tensor | None:
        """Return what `forward` takes for the links of so many rows and positions; made once a supervision step."""
        return links_bl2

    def forward(
        self, x_bld: Tensor, mask_bl: Tensor | None = None, memory: Memory | None = None, links_bl2: Tensor | None = None
    ) -> Tensor:
        """Update every position; positions where the mask is False are never read by others."""
        raise NotImplementedError


BLOCKS: Kinds[Block] = Kinds("block")


@BLOCKS.register("attention")
class AttentionBlock(Block):
    """Non-causal multi-head self-attention, where asked for a look at the memory, then SwiGLU."""

    @dataclass(frozen=True)
    class Config:
        """Sizes of the attention block.

        Args:
            num_heads: heads; the width must be a multiple.
            expansion: inner width of SwiGLU over width, before the factor 2/3.
            multiple_of: inner width is rounded up to a multiple of this (256 in the paper's code).
            positions: rotary positions, or none.
            max_positions: longest workspace, in positions.
            matched_heads: heads whose key weights start as copies of their query weights, so that positions of like
                content see each other from the first step on. Looking up by content (who holds what, which word is
                the same) is then found in hundreds of steps instead of thousands; the weights are free to part.
            reads: the workspace alone, or at each call also the `memory` that the encoder leaves beside it.
            word_heads: heads in which a position looks at the other places of its own word alone, where there are any.
            sentence_heads: heads in which it looks at its own sentence alone. An answer slot looks at everything in all heads.
        """

        num_heads: int = 4
        expansion: float = 4.0
        multiple_of: int = 32
        positions: Literal["rotary", "none"] = "rotary"
        max_positions: int = 1024
        matched_heads: int = 0
        reads: Literal["workspace", "memory"] = field(default="workspace", metadata=ADDED)
        word_heads: int = field(default=0, metadata=ADDED)
        sentence_heads: int = field(default=0, metadata=ADDED)

        def __post_init__(self) -> None:
            require(
                0 <= self.matched_heads <= self.num_heads, f"block.matched_heads is {self.matched_heads}; give 0 to num_heads"
            )
            require(self.num_heads >= 1, f"block.num_heads is {self.num_heads}; give at least 1")
            linked = (self.word_heads, self.sentence_heads)
            require(
                min(linked) >= 0 and sum(linked) <= self.num_heads,
                f"block.word_heads and sentence_heads are {linked[0]} and {linked[1]} of {self.num_heads} heads; give fewer",
            )
            require(self.expansion > 0, f"block.expansion is {self.expansion}; give a positive number")
            require(self.multiple_of >= 1, f"block.multiple_of is {self.multiple_of}; give at least 1")
            require(self.max_positions >= 1, f"block.max_positions is {self.max_positions}; give at least 1")

    def __init__(self, config: Config, width: int) -> None:
        super().__init__()
        require(
            width % (2 * config.num_heads) == 0,
            f"width {width} does not split into {config.num_heads} heads of even width; change width or block.num_heads",
        )
        self.num_heads = config.num_heads
        self.linked_heads = (config.word_heads, config.sentence_heads)
        self.qkv = linear(width, 3 * width)
        matched = config.matched_heads * (width // config.num_heads)
        with torch.no_grad():
            self.qkv.weight[width : width + matched] = self.qkv.weight[:matched]
        self.out = linear(width, width)
        self.mlp = SwiGLU(width, config.expansion, config.multiple_of)
        rotary = config.positions == "rotary"
        self.rotary = Rotary(width // config.num_heads, config.max_positions) if rotary else None
        self.reads_memory = self.asks_memory(config)
        self.memory = CrossAttention(width, config.num_heads) if self.reads_memory else None

    @classmethod
    def asks_memory(cls, config: Any) -> bool:
        """See Block.asks_memory."""
        return bool(config.reads == "memory")

    @classmethod
    def asks_links(cls, config: Any) -> bool:
        """See Block.asks_links."""
        return bool(config.word_heads + config.sentence_heads)

    def seen(self, links_bl2: Tensor | None, mask_bl: Tensor | None, rows: int, length: int) -> Tensor | None:
        """See Block.seen: which positions each head may look at, (b, n, l, l) bool."""
        if links_bl2 is None or not any(self.linked_heads) or links_bl2.ndim == 4:
            return links_bl2 if any(self.linked_heads) else None
        return sight(links_bl2, mask_bl, self.linked_heads, self.num_heads)

    def attend(self, x_bld: Tensor, mask_bl: Tensor | None, links_bl2: Tensor | None = None) -> Tensor:
        """Return the attention output (b, l, d) before the residual sum."""
        qkv_blmh = self.qkv(x_bld).unflatten(-1, (3 * self.num_heads, -1))
        qk_blmh, v_blnh = qkv_blmh.split([2 * self.num_heads, self.num_heads], dim=2)
        if self.rotary is not None:
            qk_blmh = self.rotary(qk_blmh)
        q_bnlh, k_bnlh = qk_blmh.transpose(1, 2).chunk(2, dim=1)
        seen_bnll = self.seen(links_bl2, mask_bl, *x_bld.shape[:2])
        mask = mask_bl if seen_bnll is None else seen_bnll
        out_bnlh = attention(q_bnlh, k_bnlh, v_blnh.transpose(1, 2), mask)
        out_bld: Tensor = self.out(out_bnlh.transpose(1, 2).flatten(2))
        return out_bld

    def forward(
        self, x_bld: Tensor, mask_bl: Tensor | None = None, memory: Memory | None = None, links_bl2: Tensor | None = None
    ) -> Tensor:
        """See Block.forward."""
        x_bld = rms_norm(x_bld + self.attend(x_bld, mask_bl, links_bl2))
        if self.memory is not None and memory is not None:
            x_bld = rms_norm(x_bld + self.memory.read(x_bld, memory.states, memory.mask))
        return rms_norm(x_bld + self.mlp(x_bld))


@BLOCKS.register("mlp")
class MLPBlock(Block):
    """SwiGLU over positions, then over channels: for workspaces of one fixed length.

    As in TRM's code, the norm behind the first runs over positions, each channel by itself.
    """

    @dataclass(frozen=True)
    class Config:
        """Sizes of the position-mixing block.

        Args:
            num_positions: workspace length L; shorter workspaces are padded with zeros up to it.
            expansion: inner width of each SwiGLU over its outer width, before the factor 2/3.
            multiple_of: inner widths are rounded up to a multiple of this (256 in the paper's code).
            inner_positions: inner width of the SwiGLU over positions, where it is not as the two above say.
        """

        num_positions: int = 16
        expansion: float = 4.0
        multiple_of: int = 32
        inner_positions: int | None = None

        def __post_init__(self) -> None:
            require(self.num_positions >= 1, f"block.num_positions is {self.num_positions}; give at least 1")
            require(self.expansion > 0, f"block.expansion is {self.expansion}; give a positive number")
            require(self.multiple_of >= 1, f"block.multiple_of is {self.multiple_of}; give at least 1")

    def __init__(self, config: Config, width: int) -> None:
        super().__init__()
        self.num_positions = config.num_positions
        self.mix = SwiGLU(config.num_positions, config.expansion, config.multiple_of, config.inner_positions)
        self.mlp = SwiGLU(width, config.expansion, config.multiple_of)

    def forward(
        self, x_bld: Tensor, mask_bl: Tensor | None = None, memory: Memory | None = None, links_bl2: Tensor | None = None
    ) -> Tensor:
        """See Block.forward; raises ConfigError for more positions than `num_positions`."""
        length = x_bld.shape[1]
        require(
            length <= self.num_positions,
            f"the workspace has {length} positions, the mlp block {self.num_positions}; raise block.num_positions",
        )
        x_bdl = x_bld.transpose(1, 2)
        if mask_bl is None and length == self.num_positions:
            mixed_bdl = rms_norm(x_bdl + self.mix(x_bdl))
        else:
            real_b1l = torch.ones_like(x_bdl[:, :1]) if mask_bl is None else mask_bl[:, None].to(x_bld.dtype)
            read_bdl = F.pad(x_bdl * real_b1l, (0, self.num_positions - length))
            mixed_bdl = rms_norm_where(x_bdl + self.mix(read_bdl)[..., :length], real_b1l)
        x_bld = mixed_bdl.transpose(1, 2)
        return rms_norm(x_bld + self.mlp(x_bld))


class Network(nn.Module):
    """A stack of blocks of one kind: the `f` of the recursion."""

    def __init__(self, block: object, width: int, num_layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(BLOCKS.build(block, width) for _ in range(num_layers))

    def forward(self, x_bld: Tensor, workspace: Workspace | None = None) -> Tensor:
        """Apply the blocks one after another to (b, l, d); None stands for nothing padded and no memory."""
        seen = () if workspace is None else (workspace.mask, workspace.memory, workspace.links)
        for layer in self.layers:
            x_bld = layer(x_bld, *seen)
        return x_bld
