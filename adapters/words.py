"""Words encoder: the workspace holds learned answer slots and, behind them, every word of the prompt, linked to its like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hybrid.adapters.encoder import ENCODERS, Encoder, Positions, behind_slots, check_counts, check_room
from hybrid.adapters.features import Features
from hybrid.backbone.words import number
from hybrid.kinds import ADDED, require
from hybrid.problem import Reads
from hybrid.recursion.block import at_least_float32, linear, rms_norm
from hybrid.recursion.workspace import Workspace

ALONE = -1
"""The number of what is linked to nothing: an answer slot, padding."""


@ENCODERS.register("words")
class Words(Encoder):
    """Workspace = [answer slots; a map of each word's layers, side by side, + its place in its sentence]; l = a + p.

    For prompts in plain language: no pattern says where anything stands. The workspace's links say which words are the
    same and which share a sentence, for the block's `word_heads` and `sentence_heads`.
    """

    reads: Reads = "words"
    gives_links: ClassVar = True
    limits: ClassVar = ("max_words", "max_answers")

    @dataclass(frozen=True)
    class Config:
        """Sizes of the encoder.

        Args:
            max_answers: answer slots.
            max_words: longest prompt, in words and marks.
            max_places: words of a sentence with a learned place of their own; those behind share the last one.
            num_thoughts: slots right behind those of the answer, taught the symbols of a problem's path (what a solver would
                write down) while training; shorter paths leave the last ones free.
            path_at_words: teach a problem's path at the words where the layout's context stands, instead of in further slots; the
                places are asked for while training alone.
            context: what a word's states know of: the prompt before it, or its sentence alone. Sentences by themselves are
                read once however often they come, and say nothing of which prompt they stand in, so that a prompt is not
                so easily learned by heart; what one says of another ("he") is left to the recursion.
            num_word_labels: labels that a word can have at once (`Problem.word_labels`), such as what a person is to one and to
                another; each is read from the word's state by a map of its own.
            dropout: share of the states' channels that are left out while training, so that words are read by more than one sign.
            left_out: words (in lower case) that get no position: those that nearly every sentence has, such as "is" and "the".
                What they say is in the states of their neighbours, and the recursion is as much quicker as it is shorter.
        """

        max_answers: int = 16
        max_words: int = 1000
        max_places: int = 64
        num_thoughts: int = 0
        path_at_words: bool = field(default=False, metadata=ADDED)
        context: Literal["prompt", "sentence"] = field(default="prompt", metadata=ADDED)
        num_word_labels: int = field(default=1, metadata=ADDED)
        dropout: float = field(default=0.0, metadata=ADDED)
        left_out: tuple[str, ...] = field(default=(), metadata=ADDED)

        def __post_init__(self) -> None:
            require(0 <= self.dropout < 1, f"encoder.dropout is {self.dropout}; give a share in [0, 1)")
            check_counts(replace(self, num_thoughts=1) if self.num_thoughts == 0 else self)

    def __init__(self, config: Config, num_layers: int, backbone_width: int, width: int) -> None:
        super().__init__()
        self.reads = "sentences" if config.context == "sentence" else "words"
        self.project = linear(num_layers * backbone_width, width)
        self.slots = Positions(config.max_answers, width, "max_answers")
        self.places = nn.Parameter(torch.randn(config.max_places, width) * width**-0.5)
        self.left_out = torch.tensor([number(word) for word in config.left_out], dtype=torch.int32)
        self.dropout = config.dropout
        self.max_words, self.num_thoughts, self.num_word_labels = config.max_words, config.num_thoughts, config.num_word_labels
        self.thoughts = nn.Parameter(torch.randn(config.num_thoughts, width) * width**-0.5) if config.num_thoughts else None

    @classmethod
    def path_room(cls, config: Any, num_positions: int, num_answers: int) -> int:
        """See Encoder.path_room: a symbol for each thought."""
        return int(config.num_thoughts)

    @classmethod
    def word_positions(cls, config: Any, links: Sequence[int]) -> tuple[int, Sequence[int]]:
        """See Encoder.word_positions: behind all slots, without the words that are left out."""
        out = {number(word) for word in config.left_out}
        return config.max_answers + config.num_thoughts, [place for place, each in enumerate(links[::2]) if each not in out]

    def forward(self, features: Features) -> Workspace:
        """See Encoder.forward; l = max_answers + p."""
        words_bpd, links_bp2, mask_bp = self.words(features)
        slots_bad, answers_ba = self.slots.slots(features) if self.thoughts is None else self._with_thoughts(features)
        x_bld, mask_bl = behind_slots(slots_bad, answers_ba, words_bpd, mask_bp)
        links_bl2 = F.pad(links_bp2, (0, 0, slots_bad.shape[1], 0), value=ALONE)
        return Workspace(x_bld, features.num_answers, mask_bl, links=links_bl2)

    def words(self, features: Features) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return each word's state (b, p, d) with its place in its sentence, the links (b, p, 2), and which are real."""
        states_bpkh, links_bp2, mask_bp = features.states, features.links, features.mask
        check_room(states_bpkh.shape[1], self.max_words, "max_words")
        if links_bp2 is None:
            links_bp2 = states_bpkh.new_zeros(*states_bpkh.shape[:2], 2, dtype=torch.int32)
        places_bp = places(links_bp2[..., 1]).clamp(max=len(self.places) - 1)
        if len(self.left_out):
            left_bp = torch.isin(links_bp2[..., 0], self.left_out.to(links_bp2.device))
            kept_bp = ~left_bp if mask_bp is None else mask_bp & ~left_bp
            order_bp = kept_bp.long().argsort(dim=1, descending=True, stable=True)[:, : max(1, int(kept_bp.sum(1).max()))]
            states_bpkh = states_bpkh.take_along_dim(order_bp[..., None, None], 1)
            links_bp2 = links_bp2.take_along_dim(order_bp[..., None], 1)
            places_bp, mask_bp = places_bp.gather(1, order_bp), kept_bp.gather(1, order_bp)
        normal_bpkh = F.layer_norm(at_least_float32(states_bpkh), states_bpkh.shape[-1:]).to(self.project.weight.dtype)
        if self.dropout and torch.is_grad_enabled():  # Answers are always thought of without gradient.
            normal_bpkh = F.dropout(normal_bpkh, self.dropout)
        return rms_norm(self.project(normal_bpkh.flatten(2))) + self.places[places_bp], links_bp2, mask_bp

    def _with_thoughts(self, features: Features) -> tuple[Tensor, Tensor | None]:
        """Return each row's answer slots with the thoughts right behind them, (b, a + t, d), and which are real."""
        assert self.thoughts is not None
        self.slots.first(features.most)
        count, table = len(self.slots.table), torch.cat([self.slots.table, self.thoughts])
        own_b1 = features.num_answers[:, None]
        place_p = torch.arange(len(table), device=own_b1.device)
        chosen_bp = torch.where(place_p < own_b1, place_p, (count + place_p - own_b1).clamp(max=len(table) - 1))
        real_bp = None if features.fewest >= count else place_p < own_b1 + self.num_thoughts
        return table[chosen_bp], real_bp


def places(sentences_bp: Tensor) -> Tensor:
    """Return the place of each word within its sentence, counted from 0, (b, p) int64."""
    every_p = torch.arange(sentences_bp.shape[1], device=sentences_bp.device)
    begins_bp = F.pad(sentences_bp[:, 1:] != sentences_bp[:, :-1], (1, 0), value=True)
    return every_p - torch.where(begins_bp, every_p, 0).cummax(dim=1).values
