"""Text from the frozen language model: batched greedy decoding with a key-value cache, through transformers.

Holds no prompts of any method (baselines/) and no scoring (tasks/).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from hybrid.backbone import Backbone
from hybrid.errors import InputError

Message = dict[str, str]


@dataclass(frozen=True)
class Generated:
    """One continuation: its text, its length in tokens, and the prompt's length in tokens."""

    text: str
    tokens: int
    prompt_tokens: int


def chat_text(backbone: Backbone, messages: Sequence[Message]) -> str:
    """Return a conversation as the text that the model was trained on, ready for the assistant's turn."""
    if getattr(backbone.tokenizer, "chat_template", None):
        return str(backbone.tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True))
    return "\n\n".join(message["content"] for message in messages) + "\n\n"


def _stop_tokens(backbone: Backbone) -> list[int]:
    config = getattr(backbone.model, "generation_config", None)
    listed: Any = getattr(config, "eos_token_id", None)
    listed = listed if isinstance(listed, list) else [listed]
    return [int(i) for i in {*listed, backbone.tokenizer.eos_token_id} if i is not None]


@torch.inference_mode()
def generate(backbone: Backbone, texts: Sequence[str], max_new_tokens: int) -> list[Generated]:
    """Continue each text greedily, all as one batch padded on the left.

    Raises:
        InputError: a text and its continuation do not fit the model's context.
    """
    ids = backbone.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    longest = max(len(row) for row in ids)
    limit = backbone.context_length
    if limit is not None and longest + max_new_tokens > limit:
        raise InputError(f"{longest} prompt tokens and {max_new_tokens} new ones exceed the context of {limit}; use fewer shots")
    stops = _stop_tokens(backbone)
    pad = backbone.tokenizer.pad_token_id
    pad = pad if pad is not None else (stops[0] if stops else 0)
    input_ids = torch.tensor([[pad] * (longest - len(row)) + row for row in ids], device=backbone.device)
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in ids], device=backbone.device)
    out = backbone.model.generate(
        input_ids=input_ids,
        attention_mask=mask,
        max_new_tokens=max_new_tokens,
        do_sample=False,
        pad_token_id=pad,
        eos_token_id=stops or None,
    )
    generated = []
    for row, prompt in zip(out[:, longest:].tolist(), ids, strict=True):
        end = next((i for i, token in enumerate(row) if token in stops), len(row))
        text = backbone.tokenizer.decode(row[:end], skip_special_tokens=True)
        generated.append(Generated(text, min(end + 1, len(row)), len(prompt)))
    return generated
