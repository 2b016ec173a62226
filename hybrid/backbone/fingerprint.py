"""Fingerprints: what a head was made for, part by part, so that another backbone is refused by the name of what differs.

Weights and tokenizer are digests; the config is kept as text, so that a refusal can say which of its fields differ. A few
weights that every precision of a model shares are kept too: by them, one model in two precisions is told from two models.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybrid.errors import BackboneError

if TYPE_CHECKING:
    from torch import Tensor

UNRELATED = {
    "architectures",
    "bos_token_id",
    "dtype",
    "eos_token_id",
    "id2label",
    "label2id",
    "output_attentions",
    "output_hidden_states",
    "quantization_config",
    "return_dict",
    "torch_dtype",
    "transformers_version",
    "unk_token_id",
    "use_cache",
}
"""Fields of a config that do not decide the hidden states, or that the weights and the precision say already."""
LANDMARKS = 64
"""Weights of the embedding that are kept."""
ROUNDING = 2.0**-8
"""What bfloat16 changes a number by, relative to it, at most; twice, so that two roundings may follow each other."""
MOST_FIELDS = 4
"""Fields that a refusal lists."""
PROBE = "Probe: Zoë's  ﬁne 🙂 ½ 3.14\n\t{x == 'Y'}; 日本, Ünïcödé ３ \u200b\u0301 straße"
"""A text with what tokenizers treat differently; its tokens stand for rules that are not in a vocabulary."""


def weights_digest(model: Any) -> str:
    """Return the SHA-256 of every name, shape and byte of a model's weights."""
    return tensors_digest(_tensors(model))


def tensors_digest(tensors: Iterable[tuple[str, Tensor]]) -> str:
    """Return the SHA-256 of every name, shape and byte."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in tensors:
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype} ".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _tensors(model: Any) -> Iterator[tuple[str, Tensor]]:
    """Yield a model's weights in the order of their names; those that wait on a disk are fetched one layer at a time."""
    from accelerate.utils.modeling import align_module_device

    for name, tensor in sorted(model.state_dict().items()):
        owner = model.get_submodule(name.rpartition(".")[0]) if tensor.is_meta else None
        if owner is None:
            yield name, tensor
        else:
            with align_module_device(owner):
                yield name, owner.state_dict()[name.rpartition(".")[2]]


def landmarks(embedding: Any) -> dict[str, str]:
    """Return some weights of the embedding layer, which quantisation leaves alone, as text under "landmarks".

    Nothing is returned where the layer has no plain weight of two dimensions.
    """
    from accelerate.utils.modeling import align_module_device

    with align_module_device(embedding):
        weight = getattr(embedding, "weight", None)
        if weight is None or weight.ndim != 2 or not weight.is_floating_point():
            return {}
        step = max(weight.numel() // LANDMARKS, 1) | 1  # Odd, so that the places go through the columns.
        places = [place * step % weight.numel() for place in range(LANDMARKS)]
        values = [weight[place // weight.shape[1], place % weight.shape[1]].item() for place in places]
    return {"landmarks": json.dumps([*weight.shape, *values])}


def same_landmarks(mine: str, theirs: str) -> bool:
    """Say whether two `landmarks` are those of one model, each in its own precision.

    Example:
        >>> same_landmarks("[2, 1, 0.5, 1.0]", "[2, 1, 0.501, 1.0]"), same_landmarks("[2, 1, 0.5, 1.0]", "[2, 1, 0.51, 1.0]")
        (True, False)
    """
    pairs = list(zip(json.loads(mine), json.loads(theirs), strict=False))
    return all(abs(one - other) <= ROUNDING * max(abs(one), abs(other)) + 1e-6 for one, other in pairs)


def tokenizer_digest(tokenizer: Any) -> str:
    """Return the SHA-256 of a tokenizer's vocabulary and rules."""
    tokens = sorted(tokenizer.get_vocab().items())
    backend = getattr(tokenizer, "backend_tokenizer", None)
    rules = _fast_rules(backend) if backend is not None else _slow_rules(tokenizer)
    return hashlib.sha256(f"{tokens} {rules}".encode()).hexdigest()


def settings(config: Any, adapted: Any = None) -> str:
    """Return what besides the weights decides the hidden states (rotary base, epsilons, ...), as JSON text.

    Args:
        config: of the model.
        adapted: the model, where it came with adapters of PEFT: which of them are active, and how strong, decides too.
    """
    fields = json.loads(config.to_json_string(use_diff=True))
    fields |= adapters(adapted) or {}
    return json.dumps(
        {name: value for name, value in fields.items() if name not in UNRELATED and not name.startswith("_")}, sort_keys=True
    )


def adapters(model: Any) -> dict[str, Any] | None:
    """Return which adapters of PEFT are active in a model, and how strong; None for a model without any."""
    if not hasattr(model, "peft_config"):
        return None
    layers = [each for each in model.modules() if getattr(each, "disable_adapters", None) is False]
    strengths = [(each.scaling, each.active_adapters) for each in layers if isinstance(getattr(each, "scaling", None), dict)]
    scaled = [strength.get(name) for strength, active in strengths for name in active]
    return {
        "active_adapters": sorted({name for each in layers for name in each.active_adapters}),
        "adapter_scaling": hashlib.sha256(repr(scaled).encode()).hexdigest()[:12],
    }


def check_adapters(beside: Mapping[str, Any] | None, now: Mapping[str, Any] | None, name: str) -> None:
    """Raise BackboneError where a model's adapters are others than those that it had when a head was put beside it.

    Args:
        beside, now: of `adapters`, then and now.
        name: of the model.
    """
    if now == beside:
        return
    if beside is None:
        raise BackboneError(
            f"a tuner was put into {name} for another head, which changes what this one reads; load the model once more "
            "for the head with the tuner"
        )
    then, active = beside["active_adapters"], (now or {"active_adapters": []})["active_adapters"]
    changed = (
        "the strength of its adapters has changed" if then == active else f"its active adapters are {active}, and were {then}"
    )
    raise BackboneError(f"{changed} since this head was put beside {name}; change them back, or load the head anew")


def differences(wanted: dict[str, str], found: dict[str, str]) -> list[str]:
    """Return the names of the parts that differ, the config's with its fields; a part that was not saved is not compared.

    Where the weights are others, or are not compared, a config without adapters is one in which none is active.

    Landmarks are not: where the weights are the same, so are they. Config fields that only one side has are left out: another
    version of transformers may have added or dropped them.

    Example:
        >>> differences({"weights": "a", "config": '{"eps": 1, "old": 2}'}, {"weights": "a", "config": '{"eps": 3}'})
        ['config (eps: 3 instead of 1)']
    """
    parts = []
    for part, value in wanted.items():
        if part == "config" and part in found:
            mine, theirs = json.loads(value), json.loads(found[part])
            if wanted.get("weights") != found.get("weights") and {"active_adapters"} & (mine.keys() | theirs.keys()):
                mine, theirs = ({"active_adapters": []} | each for each in (mine, theirs))
            fields = [name for name in mine if name in theirs and mine[name] != theirs[name]]
            said = [f"{name}: {theirs[name]} instead of {mine[name]}" for name in fields[:MOST_FIELDS]]
            more = [f"{len(fields) - MOST_FIELDS} more"] if len(fields) > MOST_FIELDS else []
            parts += [f"config ({', '.join(said + more)})"] if fields else []
        elif part == "landmarks":
            continue
        elif value != found.get(part):
            parts.append(part)
    return parts


def precision(parts: dict[str, str]) -> str:
    """Return the precision in a fingerprint, in words.

    Example:
        >>> precision({"dtype": "float32"}), precision({"dtype": "float32", "quantization": "int8"})
        ('float32', 'int8 with float32')
    """
    dtype, quantized = parts.get("dtype", "unknown"), parts.get("quantization")
    return f"{quantized} with {dtype}" if quantized else dtype


def same_but_for_precision(wanted: dict[str, str], found: dict[str, str]) -> bool:
    """Say whether two fingerprints are of one model in two precisions, as far as can be told without its plain weights.

    Tokenizer, config and landmarks are compared; landmarks that were not saved are not.
    """
    others = {part: value for part, value in wanted.items() if part not in ("weights", "dtype", "quantization")}
    marks = [parts["landmarks"] for parts in (wanted, found) if "landmarks" in parts]
    known = precision(wanted) != precision(found) and not differences(others, found)
    return known and (len(marks) < 2 or same_landmarks(*marks))


def _fast_rules(backend: Any) -> str:
    """Return a fast tokenizer as text, without the padding and truncation that each call sets anew."""
    copy = type(backend).from_str(backend.to_str())
    copy.no_padding()
    copy.no_truncation()
    return str(copy.to_str())


def _slow_rules(tokenizer: Any) -> str:
    """Return the digests of a slow tokenizer's files and what it makes of a text."""
    files: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        with contextlib.suppress(NotImplementedError):
            tokenizer.save_vocabulary(folder)
        files = [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(Path(folder).iterdir())]
    return f"{files} {tokenizer(PROBE)['input_ids']}"
