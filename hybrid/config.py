"""The whole of a hybrid model as one frozen config, with its JSON form."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hybrid import kinds
from hybrid.adapters import DECODERS, ENCODERS, Aligned, Classes
from hybrid.backbone import BackboneConfig
from hybrid.kinds import family_field, require
from hybrid.layout import LayoutConfig
from hybrid.reasoner import ReasonerConfig
from hybrid.tuner import TUNERS, as_config


@dataclass(frozen=True)
class HybridConfig:
    """What is attached to which language model.

    Args:
        layout: where answers stand in a prompt, and how they are written.
        symbols: the closed answer vocabulary, in a fixed order.
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
        require(len(self.symbols) >= 2, f"symbols has {len(self.symbols)} entries; an answer vocabulary needs at least 2")
        require(len(set(self.symbols)) == len(self.symbols), "symbols repeats an entry; give each symbol once")
        reads = ENCODERS[ENCODERS.name_of(self.encoder)].reads
        spans = self.layout.answer is not None or reads == "tokens"
        require(spans, "the aligned encoder needs layout.answer; give a pattern, or use cross_attention")

    def to_dict(self) -> dict[str, Any]:
        """Return the config as plain data for JSON or YAML."""
        return kinds.to_dict(self)

    @classmethod
    def from_dict(cls, data: Any) -> HybridConfig:
        """Rebuild a config; raise ConfigError for unknown or ill-typed fields."""
        config: HybridConfig = kinds.from_dict(cls, data)
        return config
