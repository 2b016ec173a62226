"""Fingerprints: what a head was made for, part by part, so that another backbone is refused by the name of what differs.

Weights and tokenizer are digests; the config is kept as text, so that a refusal can say which of its fields differ.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

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
MOST_FIELDS = 4
"""Fields that a refusal lists."""
PROBE = "Probe: Zoë's  ﬁne 🙂 ½ 3.14\n\t{x == 'Y'}; 日本, Ünïcödé ３ \u200b\u0301 straße"
"""A text with what tokenizers treat differently; its tokens stand for rules that are not in a vocabulary."""


def weights_digest(model: Any) -> str:
    """Return the SHA-256 of every name, shape and byte of a model's weights."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype} ".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def tokenizer_digest(tokenizer: Any) -> str:
    """Return the SHA-256 of a tokenizer's vocabulary and rules."""
    tokens = sorted(tokenizer.get_vocab().items())
    backend = getattr(tokenizer, "backend_tokenizer", None)
    rules = _fast_rules(backend) if backend is not None else _slow_rules(tokenizer)
    return hashlib.sha256(f"{tokens} {rules}".encode()).hexdigest()


def settings(config: Any) -> str:
    """Return what besides the weights decides the hidden states (rotary base, epsilons, ...), as JSON text."""
    fields = json.loads(config.to_json_string(use_diff=True))
    return json.dumps(
        {name: value for name, value in fields.items() if name not in UNRELATED and not name.startswith("_")}, sort_keys=True
    )


def differences(wanted: dict[str, str], found: dict[str, str]) -> list[str]:
    """Return the names of the parts that differ, the config's with its fields; a part that was not saved is not compared.

    Config fields that only one side has are left out: another version of transformers may have added or dropped them.

    Example:
        >>> differences({"weights": "a", "config": '{"eps": 1, "old": 2}'}, {"weights": "a", "config": '{"eps": 3}'})
        ['config (eps: 3 instead of 1)']
    """
    parts = []
    for part, value in wanted.items():
        if part == "config" and part in found:
            mine, theirs = json.loads(value), json.loads(found[part])
            fields = [name for name in mine if name in theirs and mine[name] != theirs[name]]
            said = [f"{name}: {theirs[name]} instead of {mine[name]}" for name in fields[:MOST_FIELDS]]
            more = [f"{len(fields) - MOST_FIELDS} more"] if len(fields) > MOST_FIELDS else []
            parts += [f"config ({', '.join(said + more)})"] if fields else []
        elif value != found.get(part):
            parts.append(part)
    return parts


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
