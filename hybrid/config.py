"""The whole of a hybrid model as one frozen config, with its JSON form."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hybrid import kinds
from hybrid.adapters import DECODERS, ENCODERS, Aligned, Classes
from hybrid.backbone import BackboneConfig
from hybrid.backbone.codec import CODECS
from hybrid.backbone.tuner import TUNERS, as_config
from hybrid.kinds import family_field, require
from hybrid.layout import END, LayoutConfig
from hybrid.recursion.block import BLOCKS
from hybrid.recursion.grid_block import GridBlock
from hybrid.recursion.reasoner import ReasonerConfig


@dataclass(frozen=True)
class HybridConfig:
    """What is attached to which language model.

    Args:
        layout: where answers stand in a prompt, and how they are written.
        symbols: the closed answer vocabulary, in a fixed order; with END, answers may be shorter than layout.num_answers.
            Empty for an open vocabulary: answers are any text of up to num_answers tokens, for the `tokens` decoder.
        backbone: the language model.
        encoder: encoder adapter, from hidden states to the workspace.
        reasoner: the recursion.
        decoder: decoder adapter, from the answer state to symbols.
        task: plain data that names the task the head was trained on; kept with the head, not read here.
        tuner: what trains inside the language model together with the head, PEFT's own configs included; None for nothing.
    """

    layout: LayoutConfig
    symbols: tuple[str, ...]
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    encoder: Any = family_field(ENCODERS, Aligned.Config)
    reasoner: ReasonerConfig = field(default_factory=ReasonerConfig)
    decoder: Any = family_field(DECODERS, Classes.Config)
    task: Any = None
    tuner: Any = field(default=None, metadata={"kinds": TUNERS})

    def __post_init__(self) -> None:
        object.__setattr__(self, "tuner", as_config(self.tuner))
        is_open = not self.symbols and getattr(self.decoder, "whole", False)
        enough = is_open or len(self.symbols) >= 2
        hint = "; without symbols, give the decoder tokens with whole" if not self.symbols else ""
        require(enough, f"symbols has {len(self.symbols)} entries; an answer vocabulary needs at least 2{hint}")
        require(len(set(self.symbols)) == len(self.symbols), "symbols repeats an entry; give each symbol once")
        encoder = ENCODERS[ENCODERS.name_of(self.encoder)]
        spans = self.layout.aligned or encoder.reads != "spans"
        require(spans, "the aligned encoder needs layout.answer; give a pattern, or use cross_attention")
        ends = is_open or END in self.symbols
        require(not (ends and self.layout.aligned), "answers that end early need slots: layout.num_answers and no spans")
        short = "" if self.layout.aligned else encoder.shortage(self.encoder, 0, self.layout.num_answers or 0)
        require(not short, short)
        block = BLOCKS[BLOCKS.name_of(self.reasoner.block)]
        reads_memory, linked = block.asks_memory(self.reasoner.block), block.asks_links(self.reasoner.block)
        require(
            encoder.gives_memory or not reads_memory,
            f"block.reads is memory, which the encoder {ENCODERS.name_of(self.encoder)} does not give; choose cross_attention",
        )
        require(
            encoder.gives_links or not linked,
            f"block.word_heads and sentence_heads need links, which the encoder {ENCODERS.name_of(self.encoder)} does not give; "
            "choose words, or set both to 0",
        )
        self._check_grid(encoder.reads)
        require(
            self.tuner is None or CODECS[CODECS.name_of(self.backbone.codec)].lossless,
            "a tuner cannot be trained through rounded states; set backbone.codec raw, or leave the tuner out",
        )

    def _check_grid(self, reads: str) -> None:
        if not isinstance(block := self.reasoner.block, GridBlock.Config):
            return
        row, prefix = self.layout.row_length, getattr(self.encoder, "num_prefix", 0)
        require(reads == "spans" and self.layout.aligned, "block grid needs a position for each cell; choose encoder aligned")
        require(not prefix, f"encoder.num_prefix is {prefix}; block grid counts cells from position 0, so give 0")
        require(
            row is not None, "block grid looks along the lines of a grid, and this task's prompts hold none; choose another block"
        )
        require(row == block.row_length, f"block.row_length is {block.row_length}, but the layout's rows have {row}; give that")

    def to_dict(self) -> dict[str, Any]:
        """Return the config as plain data for JSON or YAML."""
        return kinds.to_dict(self)

    @classmethod
    def from_dict(cls, data: Any) -> HybridConfig:
        """Rebuild a config; raise ConfigError for unknown or ill-typed fields."""
        config: HybridConfig = kinds.from_dict(cls, data)
        return config
