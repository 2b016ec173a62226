"""Matching: which language model a head gets, and in which precision.

A head goes with the precision that it was trained on. Moving it to another is asked for by naming that precision, and is
told of by a warning; checkpoint.py compares the fingerprints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hybrid.adapters import Structured
from hybrid.backbone import Backbone
from hybrid.backbone.codes import NO_BACKBONE, Codes
from hybrid.backbone.quantization import DTYPES, NAMES
from hybrid.config import HybridConfig
from hybrid.errors import BackboneError
from hybrid.kinds import require

NO_LANGUAGE_MODEL = "this head reads symbols alone, without a language model"


def find(backbone: Any, tokenizer: Any, config: HybridConfig) -> Any:
    """Return a Backbone, or Codes, for a name, a loaded model, a Backbone, or (None) for what the config names."""
    layers, structured = config.backbone.layers, isinstance(config.encoder, Structured.Config)
    if isinstance(backbone, Codes) or NO_BACKBONE in (backbone, config.backbone.name if backbone is None else None):
        require(structured, "backbone none goes with the structured encoder; choose it")
        require(config.tuner is None, "backbone none has no layers to tune; leave the tuner out")
        return Codes(config.encoder.vocabulary)
    require(not structured, "the structured encoder reads symbols, not a language model; choose backbone none with it")
    if isinstance(backbone, Backbone):
        require(
            not backbone.tuned,
            f"{backbone.name} holds the tuner of a head, which changes what others read; load the model anew, or merge the tuner",
        )
        return backbone.reading(layers, config.backbone.codec)
    if is_name(backbone):
        named = config.backbone if backbone is None else replace(config.backbone, name=str(backbone))
        return Backbone.load(named, tokenizer=tokenizer)
    return Backbone.load(config.backbone, backbone, tokenizer)


def is_name(backbone: Any) -> bool:
    """Say whether this stands for a language model that is yet to be loaded."""
    return backbone is None or isinstance(backbone, str | Path)


def beside(config: HybridConfig, folder: Path) -> HybridConfig:
    """Return `config` with the language model that lies in or beside the head's `folder`, where its saved place is empty.

    So a head and its language model may be moved together; that it is the same one is checked as ever.
    """
    saved = Path(config.backbone.name)
    if not saved.is_absolute() or saved.exists():
        return config
    home = folder.resolve()
    found = next((place for place in (home / saved.name, home.parent / saved.name) if place.exists()), saved)
    return replace(config, backbone=replace(config.backbone, name=str(found)))


def as_trained(config: HybridConfig, fingerprint: Mapping[str, str]) -> HybridConfig:
    """Return `config` with the precision of the language model that the head was trained on in place of "auto"."""
    known: Any = fingerprint.get("dtype")
    if config.backbone.dtype != "auto" or known not in DTYPES:
        return config
    return replace(config, backbone=replace(config.backbone, dtype=known))


def in_precision(config: HybridConfig, precision: str) -> HybridConfig:
    """Return `config` with the language model in another precision; what quantisation leaves alone stays as it was."""
    require(config.backbone.name != NO_BACKBONE, f"precision is {precision}, and {NO_LANGUAGE_MODEL}; leave precision out")
    known = ", ".join((*DTYPES, *NAMES))
    require(precision in (*DTYPES, *NAMES), f'precision "{precision}" is unknown; choose one of: {known}')
    change: Any = {"quantization": precision} if precision in NAMES else {"quantization": None, "dtype": precision}
    return replace(config, backbone=replace(config.backbone, **change))


def check_precision(backbone: Backbone | Codes, precision: str) -> None:
    """Raise BackboneError unless the backbone is in this precision."""
    if isinstance(backbone, Codes):
        raise BackboneError(f"precision is {precision}, and {NO_LANGUAGE_MODEL}; leave precision out")
    if backbone.precision != precision:
        raise BackboneError(f"precision is {precision}, but {backbone.name} is in {backbone.precision}; give it in {precision}")
