"""Writing: a frozen language model goes on from a prompt and from vectors that are put behind it.

What the prompt leaves in the model's cache takes no gradient, and is read once; gradient reaches the vectors alone. Holds no
way to choose tokens but the likeliest one: `continued` hands everything else to transformers' own generate.

Shapes: b batch, s prompt tokens, k vectors, t answer tokens, h width of the model, v tokens of its vocabulary.
"""

from __future__ import annotations

import copy
import inspect
from array import array
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hybrid.kinds import require

USERS = "pause, coconut and the decoder soft_prompt"
"""What needs a model whose memory of what it read is transformers' own."""
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


class Pass:
    """What the model has read of one batch so far, in one or several parts; gradient flows through its cache.

    Args:
        backbone: its model reads embeddings.
    """

    def __init__(self, backbone: Any) -> None:
        self.backbone = backbone
        self._mask: Tensor | None = None
        self._cache: Any = None
        self._takes = inspect.signature(backbone.model.forward).parameters

    def copied(self) -> Pass:
        """Return another pass that has read the same, and goes on by itself; only while no gradient is in it."""
        other = Pass(self.backbone)
        other._mask, other._cache = self._mask, copy.deepcopy(self._cache)
        return other

    def embed(self, ids: Tensor) -> Tensor:
        """Return the model's own embeddings (..., h) of ids (...)."""
        embedded: Tensor = self.backbone.model.get_input_embeddings()(ids)
        return embedded

    def _inputs(self, embeds_bsh: Tensor, mask_bs: Tensor, *, cached: bool) -> dict[str, Any]:
        from transformers import DynamicCache

        self._mask = mask_bs if self._mask is None else torch.cat([self._mask, mask_bs], 1)
        if cached and self._cache is None:
            said = f"backbone {self.backbone.name} keeps what it has read in a way of its own; leave out {USERS}"
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

    def greedy(self, logits_bv: Tensor, end: int, most: int) -> Tensor:
        """Go on from these logits with the likeliest tokens, (b, t), t up to `most`: after `end` a row has nothing else."""
        ended = torch.zeros(len(logits_bv), dtype=torch.bool, device=logits_bv.device)
        columns: list[Tensor] = []
        while True:
            columns.append(logits_bv.argmax(-1).masked_fill(ended, end))
            ended |= columns[-1] == end
            if bool(ended.all()) or len(columns) == most:
                return torch.stack(columns, 1)
            step = self.embed(columns[-1][:, None])
            logits_bv = self.logits(step, torch.ones_like(columns[-1][:, None]), 1, cached=True)[:, 0]


class Writer:
    """Writes with a backbone's model.

    Args:
        backbone: anything with `model`, `body`, `tokenizer` and `name`.
        keep: whether what was read of a batch of prompts stays for `logits` until others come, as all supervision steps of a
            batch have the same; a model that is trained itself reads anew.
    """

    def __init__(self, backbone: Any, *, keep: bool = False) -> None:
        self.backbone, self.keep = backbone, keep
        self._kept: tuple[Tensor, Pass] | None = None

    @property
    def table(self) -> Tensor:
        """The model's embeddings, (v, h)."""
        weight: Tensor = self.backbone.model.get_input_embeddings().weight
        return weight

    def logits(self, prompt_bs: Tensor, vectors_bkh: Tensor | None, answer_bt: Tensor) -> Tensor:
        """Return the logits (b, t, v) of each answer token, given the prompt, the vectors and the tokens before it.

        Args:
            prompt_bs: token ids, NONE behind the end.
            vectors_bkh: k of at least 1; None for none.
            answer_bt: token ids; a negative one stands for any.
        """
        reader = Pass(self.backbone)
        known_bth = reader.embed(answer_bt[:, :-1].clamp(min=0).long())
        if vectors_bkh is None:  # The prompt's last token is read with the answer, as its logits are wanted.
            before_bsh, mask_bs = self._left(prompt_bs)
            vectors_bkh = before_bsh[:, -1:]
            if before_bsh.shape[1] > 1:
                self._read(reader, before_bsh[:, :-1], mask_bs[:, :-1])
        else:
            reader = self._after(prompt_bs)
        behind_bt = answer_bt.new_ones(len(answer_bt), vectors_bkh.shape[1] + known_bth.shape[1], dtype=torch.int64)
        behind_bth = torch.cat([vectors_bkh.to(known_bth.dtype), known_bth], 1)
        return reader.logits(behind_bth, behind_bt, answer_bt.shape[1], cached=True)

    @torch.no_grad()
    def greedy(self, prompt_bs: Tensor, vectors_bkh: Tensor, end: int, most: int) -> Tensor:
        """Return the likeliest tokens (b, t) behind the prompts and the vectors, as `Pass.greedy`."""
        reader, mask_bk = Pass(self.backbone), torch.ones(vectors_bkh.shape[:2], dtype=torch.int64, device=prompt_bs.device)
        self._read(reader, *self._left(prompt_bs))
        logits_bv = reader.logits(vectors_bkh.to(self.table.dtype), mask_bk, 1, cached=True)[:, 0]
        return reader.greedy(logits_bv, end, most)

    @torch.no_grad()
    def continued(self, prompt_bs: Tensor, vectors_bkh: Tensor | None, **options: Any) -> Any:
        """Return what transformers' generate returns for the prompts and the vectors behind them; None for no vectors."""
        embeds_bsh, mask_bs = self._left(prompt_bs)
        if vectors_bkh is not None:
            embeds_bsh = torch.cat([embeds_bsh, vectors_bkh.to(embeds_bsh.dtype)], 1)
            mask_bs = torch.cat([mask_bs, mask_bs.new_ones(vectors_bkh.shape[:2])], 1)
        tokenizer = self.backbone.tokenizer
        own = {"pad_token_id": tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id} | options
        return self.backbone.model.generate(inputs_embeds=embeds_bsh, attention_mask=mask_bs, **own)

    def _after(self, prompt_bs: Tensor) -> Pass:
        """Return a pass that has read these prompts: the one that is kept, where it is theirs."""
        if self._kept is not None and torch.equal(self._kept[0], prompt_bs):
            return self._kept[1].copied()
        reader, self._kept = Pass(self.backbone), None
        self._read(reader, *self._left(prompt_bs))
        if self.keep and not getattr(self.backbone, "tuned", False):
            self._kept = prompt_bs, reader.copied()
        return reader

    @torch.no_grad()
    def _read(self, reader: Pass, prompt_bsh: Tensor, mask_bs: Tensor) -> None:
        reader.logits(prompt_bsh, mask_bs, 1, cached=True)

    def _left(self, prompt_bs: Tensor) -> tuple[Tensor, Tensor]:
        """Return the embeddings of prompts with what is padded before them, (b, s, h), and their mask (b, s) int64."""
        real_bs = (prompt_bs >= 0).long()
        order_bs = real_bs.argsort(dim=1, stable=True)
        ids_bs = prompt_bs.long().clamp(min=0).gather(1, order_bs)
        return Pass(self.backbone).embed(ids_bs), real_bs.gather(1, order_bs)
