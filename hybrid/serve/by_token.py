"""Text from the language model one token at a time, so that others may be answered between two tokens.

What it writes is what `hybrid.eval.text.generation.generate` writes greedily. Holds no prompts (chain.py) and no queue
(batcher.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from hybrid.backbone import Backbone, tuner
from hybrid.errors import InputError
from hybrid.eval.text.generation import stop_tokens

READ_TOGETHER = 128
"""Tokens of a prompt that are read before others get their turn."""


def check_writes(backbone: Backbone) -> None:
    """Raise InputError where a model does not write token by token."""
    if not backbone.runs:
        raise InputError("this head reads symbols alone: there is no language model to write; ask a head that stands beside one")
    model = backbone.model
    whole = getattr(model.config, "is_encoder_decoder", False) or not model.can_generate()
    if backbone.tokenizer is None or whole:
        raise InputError(f"{backbone.name} writes no text token by token; ask a server of text")


def read_and_write(backbone: Backbone, ids: list[int], most_tokens: int) -> Iterator[int | None]:
    """Read a prompt and yield the likeliest next tokens, one by one; None while the prompt is read.

    Ends at the model's end token, which is yielded too, after `most_tokens`, or where the model's context is full.

    Args:
        backbone: reads and writes, without a head's tuner.
        ids: of the prompt.
        most_tokens: written.

    Raises:
        InputError: the prompt leaves no room in the context.
    """
    limit = backbone.context_length
    most = most_tokens if limit is None else min(most_tokens, limit - len(ids))
    if most < 1:
        raise InputError(f"the prompt has {len(ids)} tokens, the context holds {limit}; shorten it")
    stops, memory = stop_tokens(backbone), None
    for start in range(0, len(ids) - 1, READ_TOGETHER):
        _, memory = _step(backbone, ids[start : min(start + READ_TOGETHER, len(ids) - 1)], memory)
        yield None
    token = ids[-1]
    for _ in range(most):
        token, memory = _step(backbone, [token], memory)
        yield token
        if token in stops:
            return


@torch.inference_mode()
def _step(backbone: Backbone, ids: list[int], memory: Any) -> tuple[int, Any]:
    """Read some tokens behind what is remembered; return the likeliest next one and the memory."""
    with tuner.set_aside(backbone):
        given = torch.tensor([ids], device=backbone.device)
        out = backbone.model(input_ids=given, past_key_values=memory, use_cache=True)
    if getattr(out, "past_key_values", None) is None:
        raise InputError(f"{backbone.name} keeps no memory of what it read that this server can use; ask a server of text")
    return int(out.logits[0, -1].argmax()), out.past_key_values
