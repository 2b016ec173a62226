"""Checkpoints of the TRM and HRM papers' code, read into our format.

The state dict tells the sizes: width, layers, vocabulary, prefix, MLP or attention. What it cannot tell (heads, T, n, N,
rotary or not) is given by the caller. Names as in the official repositories, with or without `_orig_mod.`.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hybrid import checkpoint
from hybrid.adapters import Classes, Structured
from hybrid.backbone import BackboneConfig
from hybrid.backbone.codes import NO_BACKBONE
from hybrid.config import HybridConfig
from hybrid.errors import CheckpointError
from hybrid.layout import LayoutConfig, SpanPattern
from hybrid.model import HybridModel, attach
from hybrid.recursion.block import AttentionBlock, MLPBlock
from hybrid.recursion.cores import HRM, TRM
from hybrid.recursion.gradients import LastCycle, OneStep
from hybrid.recursion.halting import Fixed
from hybrid.recursion.reasoner import ReasonerConfig


@dataclass(frozen=True)
class OfficialSizes:
    """What a state dict does not tell.

    Args:
        num_heads: attention heads.
        num_cycles: T (H_cycles); None takes 3 for TRM, 2 for HRM, as in their papers' configs.
        num_latent_steps: n (L_cycles); None takes 6 for TRM, 2 for HRM.
        num_supervision_steps: N (halt_max_steps).
        rotary: rotary positions in attention; False where there are none. With learned ones in the file there are none.
        puzzle_emb_len: prefix positions; 0, as there, ceil(puzzle width / width). None takes 16 for TRM, as in its
            config, and 0 for HRM.
        vocabulary: the text of each token; None takes the numbers as text.
        answer: pattern of the tokens' places in a prompt; None takes every symbol of the vocabulary in the prompt.
    """

    num_heads: int = 8
    num_cycles: int | None = None
    num_latent_steps: int | None = None
    num_supervision_steps: int = 16
    rotary: bool = True
    puzzle_emb_len: int | None = None
    vocabulary: tuple[str, ...] | None = None
    answer: SpanPattern | None = None


INSIDE = ("model_state_dict", "state_dict", "model")
"""What training scripts call the weights in a checkpoint."""


def _by_name(value: Any) -> bool:
    """Say whether a value is a mapping of names to tensors alone."""
    return isinstance(value, dict) and all(isinstance(name, str) and isinstance(each, Tensor) for name, each in value.items())


def read_state_dict(file: str | Path) -> dict[str, Tensor]:
    """Return the tensors of a .pt file (loaded with weights_only) or a safetensors file, prefixes taken off.

    A checkpoint of training holds them beside the optimizer's, under one of the names in `INSIDE`.

    Raises:
        CheckpointError: the file is missing, damaged or holds more than tensors.
    """
    from safetensors.torch import load_file

    path = Path(file)
    if not path.is_file():
        raise CheckpointError(f"no file {file}; give a .pt or .safetensors file")
    try:
        raw = load_file(path) if path.suffix == ".safetensors" else torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # A damaged pickle raises whatever its bytes happen to mean.
        said = f"{type(error).__name__} {error}".split(". ")[0].splitlines()[0]
        raise CheckpointError(
            f"{file} is no state dict that can be read safely ({said}); save the model's state_dict() with torch.save"
        ) from None
    sets = [name for name, each in raw.items() if _by_name(each) and each] if isinstance(raw, dict) else []
    taken = next((name for name in INSIDE if isinstance(raw, dict) and isinstance(raw.get(name), dict)), None)
    if taken is not None:
        others = ", ".join(str(name) for name in sets if name != taken)
        if others:
            warnings.warn(f"{file} holds weights under {others} too; those under {taken} are taken", stacklevel=2)
        raw = raw[taken]
    if not _by_name(raw):
        raise CheckpointError(
            f"{file} holds no tensors by name, alone or under one of {', '.join(INSIDE)}; save the model's state_dict()"
        )
    return {_plain(name): tensor for name, tensor in raw.items()}


def _plain(name: str) -> str:
    return re.sub(r"^(weights\.)?(model\.)?(inner\.)?", "", name.replace("_orig_mod.", ""))


def _layers(tensors: dict[str, Tensor], level: str) -> int:
    found = [int(m[1]) for name in tensors if (m := re.match(rf"{level}\.layers\.(\d+)\.", name))]
    return max(found, default=-1) + 1


def config_of(tensors: dict[str, Tensor], sizes: OfficialSizes) -> HybridConfig:
    """Return the config of a model with these tensors.

    Raises:
        CheckpointError: the tensors that tell the sizes are missing.
    """
    needed = ("embed_tokens.embedding_weight", "lm_head.weight", "L_level.layers.0.mlp.down_proj.weight", "H_init", "L_init")
    missing = [name for name in needed if name not in tensors]
    if missing:
        raise CheckpointError(f"this is no TRM or HRM state dict: missing {missing}; give the file of an official checkpoint")
    num_symbols, width = tensors["embed_tokens.embedding_weight"].shape
    low, high = _layers(tensors, "L_level"), _layers(tensors, "H_level")
    t, n = (2, 2) if high else (3, 6)
    t, n = sizes.num_cycles or t, sizes.num_latent_steps or n
    puzzles = tensors.get("puzzle_emb.weights", torch.zeros(0, 0))
    derived = -(-puzzles.shape[1] // width)
    usual = 16 if len(puzzles) and not high else derived
    prefix = usual if sizes.puzzle_emb_len is None else sizes.puzzle_emb_len or derived
    learned = tensors.get("embed_pos.embedding_weight", torch.zeros(0, 0)).shape[0]
    inner = tensors["L_level.layers.0.mlp.down_proj.weight"].shape[1]
    expansion = 1.5 * inner / width
    mixing = tensors.get("L_level.layers.0.mlp_t.down_proj.weight")
    block: Any
    if mixing is not None:
        # Both SwiGLUs round up to 256 there; the expansion that gives exactly these widths is read off the channels.
        block = MLPBlock.Config(mixing.shape[0], expansion, multiple_of=1, inner_positions=mixing.shape[1])
    else:
        positions: Any = "rotary" if sizes.rotary and not learned else "none"
        block = AttentionBlock.Config(sizes.num_heads, expansion, 1, positions, max_positions=4096)
    core: Any = HRM.Config(high, low, n) if high else TRM.Config(low, n)
    vocabulary = sizes.vocabulary or tuple(map(str, range(num_symbols)))
    every_symbol = SpanPattern(r"(?s).+", "|".join(sorted(map(re.escape, vocabulary), key=len)[::-1]))
    return HybridConfig(
        layout=LayoutConfig(
            answer=sizes.answer or every_symbol, num_answers=_num_answers(learned if mixing is None else len(mixing), prefix)
        ),
        symbols=vocabulary,
        backbone=BackboneConfig(name=NO_BACKBONE, layers=(0,)),
        encoder=Structured.Config(vocabulary, prefix, puzzles.shape[0], puzzles.shape[1], learned),
        reasoner=ReasonerConfig(
            width=width,
            num_cycles=t,
            num_supervision_steps=sizes.num_supervision_steps,
            core=core,
            block=block,
            gradient=OneStep.Config() if high else LastCycle.Config(),
            halting=Fixed.Config(num_logits=2),
        ),
        decoder=Classes.Config(),
    )


def _num_answers(length: int, prefix: int) -> int | None:
    """Return the symbols of a problem; None where the file does not tell how many positions there are in all."""
    if 0 < length <= prefix:
        raise CheckpointError(f"the file has {length} positions, which a prefix of {prefix} fills; give --sizes.puzzle_emb_len")
    return length - prefix if length else None


_NAMES = (
    (r"^L_level\.", "reasoner.core.{low}."),
    (r"^H_level\.", "reasoner.core.high."),
    (r"\.self_attn\.qkv_proj\.", ".qkv."),
    (r"\.self_attn\.o_proj\.", ".out."),
    (r"\.mlp_t\.", ".mix."),
    (r"\.gate_up_proj\.", ".gate_up."),
    (r"\.down_proj\.", ".down."),
    (r"^embed_tokens\.embedding_weight$", "encoder.embedding"),
    (r"^embed_pos\.embedding_weight$", "encoder.positions"),
    (r"^puzzle_emb\.weights$", "encoder.puzzles"),
    (r"^lm_head\.weight$", "decoder.out.weight"),
    (r"^q_head\.", "reasoner.halt."),
)


def own_name(name: str, *, hrm: bool) -> str:
    """Return our name of an official tensor."""
    for pattern, ours in _NAMES:
        name = re.sub(pattern, ours.format(low="low" if hrm else "network"), name)
    return name


def import_checkpoint(file: str | Path, sizes: OfficialSizes) -> HybridModel:
    """Return a model without LLM that computes what the official checkpoint computes.

    Where the file has no puzzle table, the answers are the official ones and the halt logits are not: there is no prefix whose
    first position the halt head could read, and it reads the mean over the answer instead of the first symbol.

    Raises:
        CheckpointError: the file cannot be read, or tensors are missing or surplus; the message lists them.
    """
    official = read_state_dict(file)
    model = attach(None, config_of(official, sizes))
    hrm = _layers(official, "H_level") > 0
    initial = torch.stack([official.pop("H_init"), official.pop("L_init")])
    tensors = {own_name(name, hrm=hrm): tensor.float() for name, tensor in official.items()}
    checkpoint.restore(model.head, tensors | {"reasoner.initial": initial.float()}, str(file))
    return model
