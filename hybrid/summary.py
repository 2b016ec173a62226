"""Summary: the parts of a model in a few lines, which `print(model)` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hybrid.adapters import DECODERS, ENCODERS
from hybrid.cores import CORES
from hybrid.halting import HALTING
from hybrid.kinds import Kinds, to_dict
from hybrid.tuner import TUNERS

if TYPE_CHECKING:
    from hybrid.model import HybridModel


def summary(model: HybridModel) -> str:
    """Return what reads, what thinks, what answers and what trains, one line each."""
    config, backbone, reasoner = model.config, model.backbone, model.config.reasoner
    trained, everything = model.get_nb_trainable_parameters()
    layers, place = ", ".join(map(str, backbone.layers)), str(backbone.device)
    kind, quantized = type(backbone.body).__name__, backbone.quantization
    weights = str(backbone.dtype).removeprefix("torch.")
    latent = getattr(reasoner.core, "num_latent_steps", None)
    counts = f"T = {reasoner.num_cycles}" + (f", n = {latent}" if latent else "") + f", N = {reasoner.num_supervision_steps}"
    lines = {
        "backbone": f"{backbone.name} ({kind}, {f'{quantized} with {weights}' if quantized else weights} on {place}), "
        f"layers {layers} of {backbone.num_layers}, {backbone.hidden_size} channels",
        "encoder": _kind(ENCODERS, config.encoder),
        "reasoner": f"core {CORES.name_of(reasoner.core)}, {counts}, width {reasoner.width}, "
        f"halting {HALTING.name_of(reasoner.halting)}",
        "decoder": f"{_kind(DECODERS, config.decoder)}, {len(config.symbols) or 'any'} symbols",
        "tuner": "none" if config.tuner is None else _kind(TUNERS, config.tuner),
        "head": f"{str(next(model.head.parameters()).dtype).removeprefix('torch.')} on {model.device}",
        "trainable": f"{trained:,} of {everything:,} parameters",
    }
    return "HybridModel(\n" + "\n".join(f"  ({name}): {line}" for name, line in lines.items()) + "\n)"


def _kind(family: Kinds[Any], config: Any) -> str:
    fields = ", ".join(f"{name}={value!r}" for name, value in to_dict(config).items())
    return f"{family.name_of(config)}({fields})"
