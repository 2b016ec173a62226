"""Segments encoder: each sentence is read into a few role slots, so that a long prompt gives a short workspace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hybrid.adapters.encoder import ENCODERS, behind_slots, check_counts
from hybrid.adapters.features import Features
from hybrid.adapters.words import ALONE, Words, places
from hybrid.kinds import require
from hybrid.recursion.block import AttentionBlock, CrossAttention, rms_norm
from hybrid.recursion.workspace import Workspace


@ENCODERS.register("segments")
class Segments(Words):
    """Workspace = [answer slots; R role slots a sentence]; l = a + R x sentences.

    The words of a sentence first see each other, then R learned queries read them. No pattern says which words play a role;
    a sentence of more than `max_places` words is cut. The links of a role slot name its sentence alone.
    """

    limits: ClassVar = ("max_words", "max_answers")

    @dataclass(frozen=True)
    class Config:
        """Sizes of the encoder.

        Args:
            max_answers: answer slots.
            max_words: longest prompt, in words and marks.
            max_places: words of the longest segment.
            num_roles: R, slots a segment.
            num_layers: blocks in which the words of a segment see each other.
            num_heads: of these blocks and of the reading.
        """

        max_answers: int = 16
        max_words: int = 4000
        max_places: int = 32
        num_roles: int = 4
        num_layers: int = 1
        num_heads: int = 4

        def __post_init__(self) -> None:
            check_counts(self)

    def __init__(self, config: Config, num_layers: int, backbone_width: int, width: int) -> None:
        heads, room = config.num_heads, config.max_words
        require(width % (2 * heads) == 0, f"width {width} does not split into encoder.num_heads {heads}; change one of them")
        super().__init__(Words.Config(config.max_answers, room, config.max_places), num_layers, backbone_width, width)
        block = AttentionBlock.Config(num_heads=heads, sentence_heads=heads, max_positions=room)
        self.blocks = nn.ModuleList(AttentionBlock(block, width) for _ in range(config.num_layers))
        self.roles = nn.Parameter(torch.randn(config.num_roles, width))
        self.look = CrossAttention(width, heads)

    @classmethod
    def path_room(cls, config: object, num_positions: int, num_answers: int) -> int:
        """See Encoder.path_room: none."""
        return 0

    def forward(self, features: Features) -> Workspace:
        """See Encoder.forward; l = max_answers + R x segments."""
        words_bpd, links_bp2, _ = self.words(features)
        slots_bad, answers_ba = self.slots.slots(features)
        segments_bp = _cut(links_bp2[..., 1], len(self.places), features.mask)
        links_bp2 = torch.stack([links_bp2[..., 0], segments_bp], dim=-1)
        words_bpd = rms_norm(words_bpd)
        for block in self.blocks:
            words_bpd = block(words_bpd, features.mask, None, links_bp2)
        batch, num_segments, num_roles = len(words_bpd), int(segments_bp.max()) + 1, len(self.roles)
        inside_bsp = segments_bp[:, None] == torch.arange(num_segments, device=segments_bp.device)[:, None]
        there_bs = inside_bsp.any(-1)
        sees_bqp = (inside_bsp | ~there_bs[..., None]).repeat_interleave(num_roles, dim=1)  # A segment that is none sees all.
        roles_bqd = rms_norm(self.roles).repeat(batch, num_segments, 1)
        read_bqd = rms_norm(roles_bqd + self.look.read(roles_bqd, words_bpd, sees_bqp))
        real_bq = there_bs.repeat_interleave(num_roles, dim=1)
        x_bld, mask_bl = behind_slots(slots_bad, answers_ba, read_bqd, None if bool(real_bq.all()) else real_bq)
        numbers_q = torch.arange(num_segments, device=real_bq.device).repeat_interleave(num_roles)
        numbers_bq = torch.where(real_bq, numbers_q, ALONE)
        own_bq2 = torch.stack([torch.full_like(numbers_bq, ALONE), numbers_bq], dim=-1).to(links_bp2.dtype)
        links_bl2 = F.pad(own_bq2, (0, 0, slots_bad.shape[1], 0), value=ALONE)
        return Workspace(x_bld, features.num_answers, mask_bl, links=links_bl2)


def _cut(sentences_bp: Tensor, most: int, mask_bp: Tensor | None) -> Tensor:
    """Return the number of each word's segment, counted from 0 in each row, a sentence cut every `most` words; -1 at padding."""
    begins_bp = places(sentences_bp) % most == 0
    numbers_bp = begins_bp.int().cumsum(dim=1) - 1
    return numbers_bp if mask_bp is None else torch.where(mask_bp, numbers_bp, ALONE)
