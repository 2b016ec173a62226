"""Grid block: attention whose heads look along the lines of a grid.

The first heads look at a cell's own row, the next at its column, its box and the cells beside it; the rest look everywhere.
What a cell reads is the same for every cell, so that a rule of the grid is learned once and not once for each place, which an
MLP over positions, or attention that has to find the lines by itself, does. As the message passing of recurrent relational
networks (arXiv 1711.08028), with attention in place of messages.

Shapes: b batch, l positions, n heads.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from hybrid.kinds import ADDED, require
from hybrid.recursion.block import BLOCKS, AttentionBlock
from hybrid.recursion.sight import or_all


@BLOCKS.register("grid")
class GridBlock(AttentionBlock):
    """Self-attention along rows, columns, boxes and to the cells beside, then SwiGLU. Cells come row by row from position 0."""

    @dataclass(frozen=True)
    class Config:
        """Sizes of the grid block.

        Args:
            row_length: cells a row.
            box_height: rows of a box; 0 for no boxes.
            box_width: cells a row of a box; 0 for no boxes.
            row_heads: heads that look at the cell's own row.
            column_heads: heads that look at its own column.
            box_heads: heads that look at its own box.
            beside_heads: heads that look at the four cells beside it.
            across_heads: heads that look at the same place of every box: of the grids of a stack, where each is a box.
                Without boxes, at everything.
            num_heads: all heads; those that are left look everywhere. The width must be a multiple.
            expansion: inner width of SwiGLU over width, before the factor 2/3.
            multiple_of: inner width is rounded up to a multiple of this.
        """

        row_length: int = 9
        box_height: int = 0
        box_width: int = 0
        row_heads: int = 1
        column_heads: int = 1
        box_heads: int = 0
        beside_heads: int = 0
        num_heads: int = 4
        expansion: float = 4.0
        multiple_of: int = 32
        across_heads: int = field(default=0, metadata=ADDED)

        def __post_init__(self) -> None:
            for name in ("row_length", "num_heads", "multiple_of"):
                require(getattr(self, name) >= 1, f"block.{name} is {getattr(self, name)}; give at least 1")
            heads = (self.row_heads, self.column_heads, self.box_heads, self.beside_heads, self.across_heads)
            require(
                min(heads) >= 0 and sum(heads) <= self.num_heads,
                f"block's heads of rows, columns, boxes, cells beside and across boxes are {', '.join(map(str, heads))} of "
                f"{self.num_heads}; give fewer, or more num_heads",
            )
            sizes = (self.box_height, self.box_width)
            require(
                min(sizes) >= 0 and (min(sizes) >= 1 or not self.box_heads),
                f"block.box_height and box_width are {sizes[0]} and {sizes[1]}; heads of boxes need at least 1",
            )
            require(self.expansion > 0, f"block.expansion is {self.expansion}; give a positive number")

    def __init__(self, config: Config, width: int) -> None:
        super().__init__(AttentionBlock.Config(config.num_heads, config.expansion, config.multiple_of, positions="none"), width)
        self.config = config

    @classmethod
    def asks_memory(cls, config: object) -> bool:
        """See Block.asks_memory: never."""
        return False

    @classmethod
    def asks_links(cls, config: object) -> bool:
        """See Block.asks_links: the lines of a grid need none."""
        return False

    def seen(self, links: Tensor | None, mask_bl: Tensor | None, rows: int, length: int) -> Tensor:
        """See Block.seen: which cells each head looks at, (b, n, l, l) bool."""
        if links is not None and links.ndim == 4:
            return links
        seen_bnll = lines(self.config, length, self.qkv.weight.device).expand(rows, -1, -1, -1)
        return seen_bnll if mask_bl is None else or_all(seen_bnll & mask_bl[:, None, None], mask_bl[:, None, None])


def lines(config: GridBlock.Config, length: int, device: torch.device | None = None) -> Tensor:
    """Return which of `length` cells each head looks at, (n, l, l) bool; where there is none, at all.

    Example:
        >>> config = GridBlock.Config(row_length=2, beside_heads=1)
        >>> [head[0].int().tolist() for head in lines(config, 4)]
        [[0, 1, 0, 0], [0, 0, 1, 0], [0, 1, 1, 0], [1, 1, 1, 1]]
    """
    place = torch.arange(length, device=device)
    row, column = place // config.row_length, place % config.row_length
    high, wide = max(config.box_height, 1), max(config.box_width, 1)
    box, inside = row // high * config.row_length + column // wide, row % high * config.row_length + column % wide
    itself_ll = torch.eye(length, dtype=torch.bool, device=device)
    far_ll = (row[:, None] - row).abs() + (column[:, None] - column).abs()
    like = [(each[:, None] == each) & ~itself_ll for each in (row, column, box, inside)]
    like.insert(3, far_ll == 1)
    counts = (config.row_heads, config.column_heads, config.box_heads, config.beside_heads, config.across_heads)
    everywhere_ll = torch.ones_like(itself_ll)
    heads = [seen_ll for seen_ll, count in zip(like, counts, strict=True) for _ in range(count)]
    return or_all(torch.stack([*heads, *[everywhere_ll] * (config.num_heads - sum(counts))]), everywhere_ll)
