"""Writing: a frozen language model goes on from a prompt and from vectors that are put behind it.

What the prompt leaves in the model's cache takes no gradient, and is read once; gradient reaches the vectors alone. Holds no
way to choose tokens but the likeliest one: `continued` hands everything else to transformers' own generate.

Shapes: b batch, s prompt tokens, k vectors, t answer tokens, h width of the model, v tokens of its vocabulary.
"""

from __future__ import annotations

import inspect
from array import array
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hybrid.kinds import require

NONE = -1
"""The token of a place behind the end of a prompt."""


def prompt_tokens(tokenizer: Any, prompts: Sequence[str]) -> list[array[int]]:
    """Return the tokens of each prompt as a user's message of the model's chat template, or as plain text where it has none."""
    if getattr(tokenizer, "chat_template", None):
        chats = [[{"role": "user", "content": prompt}] for prompt in prompts]
        prompts = tokenizer.apply_chat_template(chats, tokenize=False, add_generation_prompt=True)
        return [array("i", ids) for ids in tokenizer(prompts, add_special_tokens=False)["input_ids"]]
    return [array("i", ids) for ids in tokenizer(list(prompts))["input_ids"]]


def padded(rows: Sequence[Sequence[int]]) -> Tensor:
    """Return token ids (b, s) int32, NONE behind the end of each.

    Example:
        >>> padded([[5, 6], [7]]).tolist()
        [[5, 6], [7, -1]]
    """
    ids = torch.full((len(rows), max(map(len, rows))), NONE, dtype=torch.int32)
    for place, row in zip(ids, rows, strict=True):
        place[: len(row)] = torch.tensor(row, dtype=torch.int32)
    return ids


class Writer:
    """Writes with a backbone's model.

    Args:
        backbone: anything with `model`, `body`, `tokenizer` and `name`.
    """

    def __init__(self, backbone: Any) -> None:
        self.backbone = backbone

    @property
    def table(self) -> Tensor:
        """The model's embeddings, (v, h)."""
        weight: Tensor = self.backbone.model.get_input_embeddings().weight
        return weight

    @property
    def end(self) -> int:
        """The token that ends a text; ConfigError where the tokenizer has none."""
        end = getattr(self.backbone.tokenizer, "eos_token_id", None)
        require(end is not None, f"{self.backbone.name} has no token that ends a text; choose the decoder classes")
        return int(end)  # type: ignore[arg-type]

    def logits(self, prompt_bs: Tensor, vectors_bkh: Tensor, answer_bt: Tensor) -> Tensor:
        """Return the logits (b, t, v) of each answer token, given the prompt, the vectors and the tokens before it.

        Args:
            prompt_bs: token ids, NONE behind the end.
            vectors_bkh: k of at least 1.
            answer_bt: token ids; a negative one stands for any.
        """
        known_bth = self._embed(answer_bt[:, :-1].clamp(min=0))
        mask_bk = answer_bt.new_ones(vectors_bkh.shape[:2])
        reader = _Pass(self.backbone)
        with torch.no_grad():
            reader.read(*self._left(prompt_bs))
        behind = torch.cat([mask_bk, torch.ones_like(answer_bt[:, :-1])], 1)
        return reader.logits(torch.cat([vectors_bkh.to(known_bth.dtype), known_bth], 1), behind, answer_bt.shape[1])

    @torch.no_grad()
    def greedy(self, prompt_bs: Tensor, vectors_bkh: Tensor, most: int) -> Tensor:
        """Return the likeliest tokens (b, t), t up to `most`: the one that ends a text, and then it alone to the end."""
        reader, ended = _Pass(self.backbone), torch.zeros(len(prompt_bs), dtype=torch.bool, device=prompt_bs.device)
        reader.read(*self._left(prompt_bs))
        step, columns = vectors_bkh.to(self.table.dtype), list[Tensor]()
        while len(columns) < most and not bool(ended.all()):
            best_b = reader.logits(step, torch.ones_like(step[:, :, 0], dtype=torch.int64), 1)[:, 0].argmax(-1)
            columns.append(best_b.masked_fill(ended, self.end))
            ended |= best_b == self.end
            step = self._embed(columns[-1][:, None])
        return torch.stack(columns, 1)

    @torch.no_grad()
    def continued(self, prompt_bs: Tensor, vectors_bkh: Tensor | None, **options: Any) -> Any:
        """Return what transformers' generate returns for the prompts and the vectors behind them; None for no vectors."""
        embeds_bsh, mask_bs = self._left(prompt_bs)
        if vectors_bkh is not None:
            embeds_bsh = torch.cat([embeds_bsh, vectors_bkh.to(embeds_bsh.dtype)], 1)
            mask_bs = torch.cat([mask_bs, mask_bs.new_ones(vectors_bkh.shape[:2])], 1)
        pad = self.backbone.tokenizer.pad_token_id
        own = {"pad_token_id": self.end if pad is None else pad} | options
        return self.backbone.model.generate(inputs_embeds=embeds_bsh, attention_mask=mask_bs, **own)

    def _embed(self, ids: Tensor) -> Tensor:
        embedded: Tensor = self.backbone.model.get_input_embeddings()(ids.long())
        return embedded

    def _left(self, prompt_bs: Tensor) -> tuple[Tensor, Tensor]:
        """Return the embeddings of prompts with what is padded before them, (b, s, h), and their mask (b, s) int64."""
        real_bs = (prompt_bs >= 0).long()
        order_bs = real_bs.argsort(dim=1, stable=True)
        return self._embed(prompt_bs.clamp(min=0).gather(1, order_bs)), real_bs.gather(1, order_bs)


class _Pass:
    """What the model has read of one batch so far."""

    def __init__(self, backbone: Any) -> None:
        from transformers import DynamicCache

        self.backbone, self.takes = backbone, inspect.signature(backbone.model.forward).parameters
        known = "past_key_values" in self.takes
        require(known, f"{backbone.name} keeps what it has read in a way of its own; choose the decoder tokens")
        self.cache = DynamicCache(config=backbone.model.config)
        self.mask: Tensor | None = None

    def read(self, embeds_bsh: Tensor, mask_bs: Tensor) -> None:
        """Read on."""
        self.logits(embeds_bsh, mask_bs, 1)

    def logits(self, embeds_bsh: Tensor, mask_bs: Tensor, keep: int) -> Tensor:
        """Read on, and return the logits (b, keep, v) of the last places."""
        self.mask = mask = mask_bs if self.mask is None else torch.cat([self.mask, mask_bs], 1)
        inputs = {
            "inputs_embeds": embeds_bsh,
            "attention_mask": mask,
            "past_key_values": self.cache,
            "use_cache": True,
            "position_ids": (mask.cumsum(1) - 1).clamp(min=0)[:, -embeds_bsh.shape[1] :],
            "logits_to_keep": keep,
        }
        logits: Tensor = self.backbone.model(**{name: value for name, value in inputs.items() if name in self.takes}).logits
        return logits[:, -keep:]
