"""Summary: the parts of a model in a few lines, which `print(model)` shows."""

from __future__ import annotations

from typing import Any

from hybrid.adapters import DECODERS, ENCODERS
from hybrid.config import HybridConfig
from hybrid.cores import CORES
from hybrid.halting import HALTING
from hybrid.kinds import Kinds, to_dict
from hybrid.reasoner import Reasoner
from hybrid.tuner import TUNERS


def summary(config: HybridConfig, backbone: Any, head: Reasoner, weights: tuple[int, int]) -> str:
    """Return what reads, what thinks, what answers and what trains, one line each.

    Args:
        config: of the model.
        backbone: its language model.
        head: its reasoner, which stands for the head's precision and device.
        weights: how many are trained, and how many there are.
    """
    reasoner = config.reasoner
    latent = head.core.num_latent_steps
    counts = f"T = {reasoner.num_cycles}" + (f", n = {latent}" if latent else "") + f", N = {reasoner.num_supervision_steps}"
    lines = {
        "backbone": str(backbone),
        "encoder": _kind(ENCODERS, config.encoder),
        "reasoner": f"core {CORES.name_of(reasoner.core)}, {counts}, width {reasoner.width}, "
        f"halting {HALTING.name_of(reasoner.halting)}",
        "decoder": f"{_kind(DECODERS, config.decoder)}, {len(config.symbols) or 'any'} symbols",
        "tuner": "none" if config.tuner is None else _kind(TUNERS, config.tuner),
        "head": f"{str(head.initial.dtype).removeprefix('torch.')} on {head.initial.device}",
        "trainable": f"{weights[0]:,} of {weights[1]:,} parameters",
    }
    return "HybridModel(\n" + "\n".join(f"  ({name}): {line}" for name, line in lines.items()) + "\n)"


def _kind(family: Kinds[Any], config: Any) -> str:
    fields = ", ".join(f"{name}={value!r}" for name, value in to_dict(config).items())
    return f"{family.name_of(config)}({fields})"
