"""Sight: which positions each head of an attention block may look at, by the links of the workspace.

Shapes: b batch, l positions, n heads.
"""

from __future__ import annotations

import torch
from torch import Tensor


def sight(links_bl2: Tensor, mask_bl: Tensor | None, linked_heads: tuple[int, int], num_heads: int) -> Tensor:
    """Return which positions each head may look at, (b, n, l, l) bool: the first heads follow words, the next sentences.

    A position that a head has nothing to show for (a word said once, an answer slot) looks at all real ones.
    """
    length = links_bl2.shape[1]
    itself_ll = torch.eye(length, dtype=torch.bool, device=links_bl2.device)
    every_b1l = torch.ones_like(links_bl2[:, None, :, 0], dtype=torch.bool) if mask_bl is None else mask_bl[:, None]
    like_2bll = ((own := links_bl2.movedim(-1, 0))[..., None] == own[..., None, :]) & (own[..., None] >= 0) & every_b1l
    word_bll, sentence_bll = like_2bll[0] & ~itself_ll, like_2bll[1]
    word_bll, sentence_bll = (or_all(each, every_b1l) for each in (word_bll, sentence_bll))
    words, sentences = linked_heads
    free = num_heads - words - sentences
    heads = [word_bll] * words + [sentence_bll] * sentences + [every_b1l.expand_as(word_bll)] * free
    return torch.stack(heads, dim=1)


def or_all(seen: Tensor, every: Tensor) -> Tensor:
    """Return what is seen (..., l, l) bool, and for a position that sees nothing `every` real one."""
    return seen | (~seen.any(-1, keepdim=True) & every)
