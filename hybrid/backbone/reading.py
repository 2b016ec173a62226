"""Reading: how a language model's hidden states become the features of a prompt.

Holds which positions are read and how they are kept; the model itself is language_model.py's, codecs are codec.py's.

Shapes: s tokens, p positions, k chosen layers, h channels of the model, c channels kept.
"""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from hybrid.backbone import offsets, words
from hybrid.backbone.codec import Codec, Packed
from hybrid.backbone.offsets import Aligner, Encoded
from hybrid.backbone.prefix import Alike, alike
from hybrid.problem import Places


@dataclass(frozen=True, slots=True)
class Reading:
    """A prompt ready for the backbone.

    Args:
        ids: its tokens, four bytes each.
        ranges: half-open ranges of tokens whose mean states are read; None for every token.
        links: numbers of each word and its sentence (words.links), where words are read.
        prompt: tokens of the prompt as a decoder is to write behind it; empty where none does.
        cuts: tokens at which a sentence begins, where sentences are read one by one; empty where the prompt is read as a whole.
    """

    ids: array[int]
    ranges: tuple[tuple[int, int], ...] | None
    links: array[int] | None = None
    cuts: tuple[int, ...] = ()
    prompt: array[int] = field(default_factory=lambda: array("i"))

    def __len__(self) -> int:
        return len(self.ids) if self.ranges is None else len(self.ranges)


MOST_TOLD = 4096
"""Sentences whose states are kept in memory, those asked for last."""


class LanguageReader:
    """The reader's side of a language model; what it needs of the model, Backbone gives."""

    model: Any
    tokenizer: Any
    layers: tuple[int, ...]
    codec: Codec
    tuned: bool
    runs: ClassVar[bool] = True
    _made: tuple[dict[str, Tensor], Tensor] | None = None

    @property
    def hidden_size(self) -> int:
        """H, channels of a hidden state."""
        raise NotImplementedError

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the hidden states."""
        raise NotImplementedError

    @property
    def identity(self) -> list[Any]:
        """What decides the features of a prompt, as plain data."""
        raise NotImplementedError

    @cached_property
    def aligner(self) -> Aligner:
        """Tokenizes prompts and knows where each token stands."""
        return Aligner(self.tokenizer)

    def encode(self, prompts: Sequence[str]) -> list[Encoded]:
        """Tokenize prompts with the character range of every token."""
        raise NotImplementedError

    def hidden_states(self, ids: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Run the model on token ids and return (states (b, s, k, h), mask (b, s) bool) of the chosen layers."""
        raise NotImplementedError

    @property
    def goes_on(self) -> bool:
        """Whether the model can read on from its cache to the same states."""
        raise NotImplementedError

    def continued(self, begin: Sequence[int], ends: Sequence[Sequence[int]]) -> list[Tensor]:
        """Return the states (s, k, h) of texts that begin with the same tokens, which are read once."""
        raise NotImplementedError

    @property
    def width(self) -> int:
        """Channels of a feature: what the codec leaves of a hidden state."""
        return self.codec.channels(self.hidden_size)

    def prepare(self, prompts: Sequence[str], spans: Places) -> list[Reading]:
        """Tokenize prompts for `read`, with the character spans that are read of each, or their words; None for every token.

        By "sentences", words are read too, but no state knows of another sentence.

        Raises:
            InputError: a prompt is empty or too long, no token touches a span, or tokens cannot be matched to the prompt.
        """
        if spans == "words":
            found = [words.spans(prompt) for prompt in prompts]
            linked = zip(self.prepare(prompts, found), prompts, found, strict=True)
            return [replace(reading, links=words.links(prompt, own)) for reading, prompt, own in linked]
        if spans == "sentences":
            return [replace(reading, cuts=_cuts(reading)) for reading in self.prepare(prompts, "words")]
        encoded, every = self.encode(prompts), [None] * len(prompts) if spans is None else spans
        if spans is not None:
            self.aligner.tell()
        return [
            Reading(array("i", tokens.ids), None if own is None else tuple(offsets.tokens_of_spans(tokens, own)))
            for tokens, own in zip(encoded, every, strict=True)
        ]

    def read(self, prepared: Sequence[Reading]) -> list[Tensor]:
        """Return one tensor (p, k, c) a prompt: the mean state of each span, or the states of all tokens, as kept.

        Gradient flows if the model is in training mode: to a tuner inside it.
        """
        return [self.unpack(row) for row in self.pack(prepared)]

    def pack(self, prepared: Sequence[Reading], *, tokens_a_batch: int = 4096) -> list[Packed]:
        """Run the model on prompts, longest first, up to so many tokens at once, and return what the codec keeps of each."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.model.training):
            states = self._states(prepared, tokens_a_batch)
            return [self._kept(*each) for each in zip(prepared, states, strict=True)]

    def unpack(self, packed: Packed) -> Tensor:
        """Return the features (p, k, c) of a prompt from what was kept."""
        if "ids" not in packed:
            return self.codec.unpack(packed, self.dtype)
        rows = [self._table()[packed["ids"].long()]]
        if "codes" in packed:
            rows += self.codec.unpack(packed, self.dtype).unbind(1)
        place = self.layers.index(0)
        return torch.stack([*rows[1 : place + 1], rows[0], *rows[place + 1 :]], dim=1)

    def fit(self, prepared: Sequence[Reading]) -> None:
        """Fit the codec to the states of some prompts."""
        with torch.no_grad():
            self.codec.fit(self._states(prepared, 4096))

    def bytes_of(self, prepared: Sequence[Reading]) -> int:
        """Return the bytes that the features of these prompts take in a cache."""
        each = self.codec.bytes_a_state(self.hidden_size, self.dtype.itemsize)
        looked = [self._looks_up(reading) for reading in prepared]
        return sum(len(r) * (each * (len(self.layers) - up) + 4 * up) for r, up in zip(prepared, looked, strict=True))

    def _kept(self, reading: Reading, states_pkh: Tensor) -> Packed:
        if not self._looks_up(reading):
            return self.codec.pack(states_pkh)
        ids, place = {"ids": torch.tensor(reading.ids, dtype=torch.int32)}, self.layers.index(0)
        others = [layer for layer in range(len(self.layers)) if layer != place]
        return ids | self.codec.pack(states_pkh[:, others], others) if others else ids

    def _looks_up(self, reading: Reading) -> bool:
        """Say whether the embedding layer's states are kept as token ids: for whole prompts, if they are rows of its table."""
        return not self.codec.lossless and reading.ranges is None and 0 in self.layers and self._embeds

    @cached_property
    def _embeds(self) -> bool:
        weight = self.model.get_input_embeddings().weight
        probe = torch.arange(min(8, len(weight))).repeat(2)
        states = self.hidden_states([probe.tolist()])[0][0, :, self.layers.index(0)]
        return states.shape[-1] == weight.shape[-1] and torch.equal(states, weight[probe.to(weight.device)])

    @cached_property
    def _told(self) -> dict[tuple[int, ...], Tensor]:
        """States of sentences, those asked for last at the end."""
        return {}

    def _table(self) -> Tensor:
        """Return what unpacking gives for each token's embedding, (v, c), made once for what the codec has learned."""
        if self._made is None or self._made[0] is not self.codec.learned:
            weight, place = self.model.get_input_embeddings().weight.detach(), self.layers.index(0)
            rows = [self.codec.reduced(part[:, None], [place])[:, 0].to(self.dtype) for part in weight.split(8192)]
            self._made = (self.codec.learned, torch.cat(rows))
        return self._made[1]

    def _states(self, prepared: Sequence[Reading], tokens_a_batch: int) -> list[Tensor]:
        if any(reading.cuts for reading in prepared):
            return self._sentences(prepared, tokens_a_batch)
        rows: list[Tensor] = [torch.empty(0)] * len(prepared)

        def keep(state: Tensor, i: int) -> None:
            ranges = prepared[i].ranges
            rows[i] = state[: len(prepared[i].ids)].clone() if ranges is None else self.gather(state, ranges)

        groups = list(alike([reading.ids for reading in prepared]))
        if torch.is_grad_enabled() or all(group.shared == 0 for group in groups) or not self.goes_on:
            groups = [Alike(0, [i]) for i in range(len(prepared))]
        order = [i for group in groups if not group.shared for i in group.places]
        order.sort(key=lambda i: -len(prepared[i].ids))
        while order:
            count = max(1, tokens_a_batch // len(prepared[order[0]].ids))
            now, order = order[:count], order[count:]
            states, _ = self.hidden_states([prepared[i].ids for i in now])
            for state, i in zip(states, now, strict=True):
                keep(state, i)
        for shared, places in (group for group in groups if group.shared):
            count = max(1, tokens_a_batch // max(len(prepared[i].ids) for i in places))
            for now in (places[start : start + count] for start in range(0, len(places), count)):
                begin = prepared[now[0]].ids[:shared]
                for state, i in zip(self.continued(begin, [prepared[i].ids[shared:] for i in now]), now, strict=True):
                    keep(state, i)
        return rows

    def _sentences(self, prepared: Sequence[Reading], tokens_a_batch: int) -> list[Tensor]:
        """Read each sentence by itself, behind the tokenizer's token for a beginning; one that comes again is not read again."""
        first = getattr(self.tokenizer, "bos_token_id", None)
        kept = not (torch.is_grad_enabled() or self.tuned or hasattr(self.model, "peft_config"))  # Adapters may change.
        texts = [
            [tuple(reading.ids[i:j]) for i, j in itertools.pairwise((*reading.cuts, len(reading.ids)))] for reading in prepared
        ]
        told = self._told if kept else {}
        asked = dict.fromkeys(text for row in texts for text in row)
        new = [text for text in asked if text not in told]
        begun = [Reading(array("i", text if first in (None, text[0]) else (first, *text)), None) for text in new]
        read = [state[-len(text) :] for text, state in zip(new, self._states(begun, tokens_a_batch), strict=True)]
        told.update(zip(new, read, strict=True))
        whole = (torch.cat([told[text] for text in row]) for row in texts)
        found = [self.gather(state, reading.ranges or ()) for state, reading in zip(whole, prepared, strict=True)]
        for text in asked:  # To the end, where those stand that were asked for last.
            told[text] = told.pop(text)
        for text in list(itertools.islice(told, max(0, len(told) - MOST_TOLD))):
            del told[text]
        return found

    def gather(self, state_skh: Tensor, ranges: Sequence[tuple[int, int]]) -> Tensor:
        """Return the mean of `state_skh` over each range of tokens, (p, k, h).

        Several tokens are normalised one by one before the mean: the states of a first token are a hundred times longer
        than the rest in many models, and would drown them.
        """
        if all(end - start == 1 for start, end in ranges):
            return state_skh[[start for start, _ in ranges]]
        longest = max(end for _, end in ranges)
        normal_skh = F.layer_norm(state_skh[:longest].float(), state_skh.shape[-1:])
        return torch.stack([normal_skh[start:end].mean(0) for start, end in ranges]).to(state_skh.dtype)


def _cuts(reading: Reading) -> tuple[int, ...]:
    """Return the tokens at which a sentence begins: those of its first words; the first one takes what stands before it."""
    assert reading.ranges is not None and reading.links is not None
    begins = {number: start for (start, _), number in zip(reversed(reading.ranges), reversed(reading.links[1::2]), strict=True)}
    return (0, *sorted(begins.values())[1:])
