"""One batch read by the language model in one or several passes, through whose cache gradients flow; and greedy writing.

Prompts are padded on the left, so that whatever follows them stands in the same columns; what follows, on the right.

Shapes: b batch, s positions of a pass, t tokens of the longest answer, h width, v vocabulary.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hybrid.backbone import Backbone
from hybrid.kinds import require

IGNORED = -100
"""Label of padding."""


@dataclass(frozen=True)
class Written:
    """One answer: its text, its tokens (the one that ends it included), and whether it ended of itself."""

    text: str
    tokens: int
    ended: bool


def pad(rows: Sequence[Sequence[int]], side: str, device: Any) -> tuple[Tensor, Tensor]:
    """Return token ids and mask, both (b, longest) int64; padding is on `side`, left or right.

    Example:
        >>> pad([[5, 6], [7]], "left", "cpu")[0].tolist()
        [[5, 6], [0, 7]]
    """
    longest = max(len(row) for row in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        place = slice(longest - len(row), longest) if side == "left" else slice(0, len(row))
        ids[i, place] = torch.tensor(row, dtype=torch.int64)
        mask[i, place] = 1
    return ids.to(device), mask.to(device)


class Reading:
    """What the model has read of one batch so far.

    Args:
        backbone: its model reads embeddings.
    """

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        self._mask: Tensor | None = None
        self._cache: Any = None
        self._takes = inspect.signature(backbone.model.forward).parameters

    def embed(self, ids: Tensor) -> Tensor:
        """Return the model's own embeddings (..., h) of ids (...)."""
        embedded: Tensor = self.backbone.model.get_input_embeddings()(ids)
        return embedded

    def _inputs(self, embeds_bsh: Tensor, mask_bs: Tensor, *, cached: bool) -> dict[str, Any]:
        from transformers import DynamicCache

        self._mask = mask_bs if self._mask is None else torch.cat([self._mask, mask_bs], 1)
        if cached and self._cache is None:
            said = f"backbone {self.backbone.name} keeps what it has read in a way of its own; leave out pause and coconut"
            require("past_key_values" in self._takes, said)
            self._cache = DynamicCache(config=self.backbone.model.config)
        inputs = {"inputs_embeds": embeds_bsh, "attention_mask": self._mask, "use_cache": self._cache is not None}
        if self._cache is not None:
            inputs["past_key_values"] = self._cache
        if "position_ids" in self._takes:
            inputs["position_ids"] = (self._mask.cumsum(1) - 1).clamp(min=0)[:, -embeds_bsh.shape[1] :]
        return inputs

    def states(self, embeds_bsh: Tensor, mask_bs: Tensor) -> Tensor:
        """Read on and return the last hidden states (b, s, h), normalised as the output matrix gets them."""
        out = self.backbone.body(**self._inputs(embeds_bsh, mask_bs, cached=True))
        states: Tensor = out.last_hidden_state
        return states

    def logits(self, embeds_bsh: Tensor, mask_bs: Tensor, keep: int, *, cached: bool = False) -> Tensor:
        """Read on and return the logits (b, keep, v) of the last `keep` positions.

        Args:
            embeds_bsh: what comes next.
            mask_bs: 1 at tokens, 0 at padding, int64.
            keep: positions whose logits are wanted.
            cached: whether something will be read after this.
        """
        inputs = self._inputs(embeds_bsh, mask_bs, cached=cached)
        if "logits_to_keep" in self._takes:
            inputs["logits_to_keep"] = keep
        logits: Tensor = self.backbone.model(**inputs).logits
        return logits[:, -keep:]

    def write(self, logits_bv: Tensor, end: int, max_new_tokens: int) -> list[Written]:
        """Go on greedily from these logits until every row wrote `end`, or for `max_new_tokens`."""
        ended = torch.zeros(len(logits_bv), dtype=torch.bool, device=logits_bv.device)
        columns: list[Tensor] = []
        while True:
            columns.append(logits_bv.argmax(-1))
            ended |= columns[-1] == end
            if bool(ended.all()) or len(columns) == max_new_tokens:
                break
            step = self.embed(columns[-1][:, None])
            logits_bv = self.logits(step, torch.ones_like(columns[-1][:, None]), 1, cached=True)[:, 0]
        written = []
        for row in torch.stack(columns, 1).tolist():
            stop = row.index(end) if end in row else len(row)
            text = self.backbone.tokenizer.decode(row[:stop], skip_special_tokens=True)
            written.append(Written(text, min(stop + 1, len(row)), end in row))
        return written
