"""What a model is, told: in a few lines, which `print(model)` shows, and as the model card of a saved head."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hybrid.adapters import DECODERS, ENCODERS
from hybrid.backbone import Backbone
from hybrid.backbone.default import hub_id
from hybrid.backbone.fingerprint import precision
from hybrid.backbone.tuner import TUNERS
from hybrid.config import HybridConfig
from hybrid.kinds import Kinds, to_dict
from hybrid.recursion.cores import CORES
from hybrid.recursion.halting import HALTING
from hybrid.recursion.reasoner import Reasoner

CARD = "README.md"


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


def model_card(
    repository: str,
    config: HybridConfig,
    *,
    backbone: Backbone,
    weights: tuple[int, int],
    figures: Mapping[str, Any] | None = None,
    license: str | None = None,
) -> str:
    """Return the Markdown of a card, with the hub's metadata in front.

    Args:
        repository: hub id under which the head will be found.
        config: of the head.
        backbone: its language model.
        weights: how many were trained, and how many there are with the language model's.
        figures: what was measured, by name; nothing is made up where none are given.
        license: the hub's short name of a licence, such as apache-2.0; None leaves it out.
    """
    reasoner, name = config.reasoner, hub_id(backbone.name)[0]
    name = Path(name).name if Path(name).is_absolute() else name  # A folder of this machine is nobody else's business.
    header = {"library_name": "hybrid", "tags": ["hybrid", "recursive-reasoning", "trm"]}
    header |= {"base_model": name} if "/" in name and not name.startswith((".", "~")) else {}
    header |= {"license": license} if license else {}
    layers, steps = ", ".join(map(str, backbone.layers)), reasoner.num_supervision_steps
    facts = {
        "language model": f"{name}, layers {layers}, {precision(backbone.fingerprint)}",
        "weights that were trained": f"{weights[0]:,} of {weights[1]:,}" + (", PEFT's among them" if backbone.tuned else ""),
        "recursion": f"width {reasoner.width}, T = {reasoner.num_cycles}, up to {steps} supervision steps",
        "task": f"`{json.dumps(config.task)}`" if config.task else "not recorded",
        **{figure: str(value) for figure, value in (figures or {}).items()},
    }
    rows = "\n".join(f"| {fact} | {value} |" for fact, value in facts.items())
    lines = "\n".join(f"{key}: {json.dumps(value)}" for key, value in header.items())
    return (
        f"---\n{lines}\n---\n\n# {repository.split('/')[-1]}\n\n"
        "A small recursive reasoner for a frozen language model, whose weights are not in this repository.\n\n"
        f"| what | value |\n| --- | --- |\n{rows}\n\n"
        f"```python\nimport hybrid\n\nmodel = hybrid.HybridModel.from_pretrained({json.dumps(repository)})\n"
        'print(model.solve(["..."])[0].text)\n```\n'
    )


def push(model: Any, repository: str, *, figures: Any, license: str | None, private: bool | None, token: str | None) -> str:
    """Upload a HybridModel with its card; see HybridModel.push_to_hub."""
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        own = {"backbone": model.backbone, "weights": model.get_nb_trainable_parameters()}
        card = model_card(repository, model.config, **own, figures=figures, license=license)
        Path(folder, CARD).write_text(card, encoding="utf-8")
        api.create_repo(repository, private=private, exist_ok=True)
        return str(api.upload_folder(repo_id=repository, folder_path=folder, commit_message="Upload a hybrid head"))
