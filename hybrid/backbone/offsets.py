"""Offsets: which characters of a prompt each of its tokens stands for.

A fast tokenizer says it, and is not always right (byte-level ones behind added tokens, say): what it says is held against
the text of its tokens, and where it misses something or takes too much, the place is found by decoding (placing.py), as for
tokenizers that say nothing. Where neither is certain there are no offsets, never wrong ones. Knows no model.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

from hybrid.backbone.placing import BLANK, TORN, TokenTexts, loose, placed, spelled
from hybrid.errors import InputError
from hybrid.problem import Span


@dataclass(frozen=True)
class Encoded:
    """A prompt as tokens.

    Args:
        ids: token ids.
        offsets: half-open character range of each token, empty for one that stands for no character, or for blanks of which
            the tokenizer does not say where they stand; None where they cannot be found.
    """

    ids: list[int]
    offsets: list[Span] | None


PROBES = ("Sort: 3 1 2", " Zoë  naïve\n3 x", "日本 한국 x🙂y 7", "e\u0301é ﬁne ½ İx 3")
"""Texts on which a fast tokenizer's offsets are checked, with PROBE for its added tokens."""
PROBE = "Zoë 3{0}é1 {0} 2  {0}x7 {0}{0}"


@dataclass
class Aligner:
    """Tokenizes prompts, and says of each token where in the prompt it stands.

    Args:
        tokenizer: fast or slow. A fast one's offsets are checked when first asked for: where they miss letters that decoding
            finds, they are taken only of prompts that the texts of all tokens bear out.
    """

    tokenizer: Any
    _missed: str | None = None
    _told: bool = False

    def encode(self, prompts: Sequence[str]) -> list[Encoded]:
        """Tokenize prompts, with special tokens and without truncation."""
        if self._fast:
            return self._encode(prompts, strict=self.missed is not None)
        batch = self.tokenizer(list(prompts), return_special_tokens_mask=True, truncation=False, verbose=False)
        text_of = TokenTexts(self.tokenizer, batch["input_ids"])
        rows = zip(prompts, batch["input_ids"], batch["special_tokens_mask"], strict=True)
        return [Encoded(list(ids), placed(text_of, ids, added, prompt)) for prompt, ids, added in rows]

    def _encode(self, prompts: Sequence[str], *, strict: bool) -> list[Encoded]:
        options = {"return_special_tokens_mask": True, "return_offsets_mapping": True}
        batch = self.tokenizer(list(prompts), truncation=False, verbose=False, **options)
        rows = zip(prompts, batch["input_ids"], batch["special_tokens_mask"], batch["offset_mapping"], strict=True)
        return [
            Encoded(list(ids), self._checked(prompt, ids, added, [(start, end) for start, end in given], strict=strict))
            for prompt, ids, added, given in rows
        ]

    @property
    def _fast(self) -> bool:
        return bool(getattr(self.tokenizer, "is_fast", False))

    def tell(self) -> None:
        """Warn once where the tokenizer's offsets were found wrong."""
        missed = self.missed or self._missed
        if missed and not self._told:
            self._told = True
            kind = type(self.tokenizer).__name__
            warnings.warn(f"this {kind} gives wrong offsets ({missed}); tokens are placed by decoding them", stacklevel=2)

    @cached_property
    def missed(self) -> str | None:
        """What a fast tokenizer's offsets miss of the probes; None where they are right."""
        if not self._fast:
            return None
        rules = ("lstrip", "rstrip", "single_word", "normalized", "special")
        added = getattr(self.tokenizer, "added_tokens_decoder", {}).values()
        kinds = {tuple(bool(getattr(token, rule, False)) for rule in rules): str(token) for token in added}
        self._encode([*PROBES, *(PROBE.format(token) for token in kinds.values())], strict=False)
        return self._missed

    @cached_property
    def _text_of(self) -> TokenTexts:
        options = {"add_special_tokens": False, "truncation": False, "verbose": False}
        return TokenTexts(self.tokenizer, self.tokenizer(list(PROBES), **options)["input_ids"])

    def _checked(
        self, prompt: str, ids: Sequence[int], added: Sequence[int], given: list[Span], *, strict: bool
    ) -> list[Span] | None:
        """Return the offsets as `given` where they are right, else as decoding finds them.

        Where decoding finds none they are given as they are; under `strict`, None.
        """
        if self._borne_out(prompt, ids, added, given):
            return given
        own = placed(self._text_of, ids, added, prompt)
        if own is None:
            return None if strict else given
        if missing := _missing(prompt, given, own):
            i, letters = missing
            piece, said = self.tokenizer.convert_ids_to_tokens([ids[i]])[0], prompt[slice(*given[i])]
            self._missed = self._missed or f"{said!r} for the token {piece!r}, which stands for {letters!r}"
            return own
        return self._narrowed(prompt, ids, given, own)

    def _borne_out(self, prompt: str, ids: Sequence[int], added: Sequence[int], given: Sequence[Span]) -> bool:
        """Return whether the text of all tokens, one behind the other, is the prompt at their offsets."""
        runs: list[list[int]] = []  # Tokens that are parts of characters and share one belong together.
        for i in (i for i in range(len(ids)) if not added[i]):
            if runs and given[i][0] < given[runs[-1][-1]][1] and all(TORN in self._text_of((ids[j],)) for j in (runs[-1][-1], i)):
                runs[-1].append(i)
            else:
                runs.append([i])
        place = 0
        for run in runs:
            start, end = given[run[0]][0], given[run[-1]][1]
            text = self._text_of(tuple(ids[i] for i in run))
            wide = len(run) > 1 and end - start > (1 if given[run[0]] == given[run[-1]] else 3)
            if wide or start < place or prompt[place:start].strip() or not _alike(prompt[start:end], text):
                return False
            place = end
        return not prompt[place:].strip()

    def _is_blank(self, token: int) -> bool:
        text = self._text_of((token,))
        return bool(text) and not spelled(text, str)

    def _narrowed(self, prompt: str, ids: Sequence[int], given: Sequence[Span], own: Sequence[Span]) -> list[Span]:
        """Return the `given` offsets, but the `own` ones of tokens that were given letters of others, or none of their own.

        Such are a blank that the tokenizer put in front, bytes of which each is given the characters of all, and a letter whose
        accent alone was given its place.
        """
        kept = [own[i] if start == end and _letters_in(prompt, own[i]) else (start, end) for i, (start, end) in enumerate(given)]
        for span, group in groupby(range(len(ids)), key=own.__getitem__):
            tokens = [i for i in group if span != (0, 0) or self._is_blank(ids[i]) or len(_letters_in(prompt, given[i])) > 1]
            if not {place for i in tokens for place in _letters_in(prompt, given[i])} <= {*_letters_in(prompt, span)}:
                for i in tokens:
                    kept[i] = span if _letters_in(prompt, given[i]) else given[i]
        return kept


def encode(tokenizer: Any, prompts: Sequence[str]) -> list[Encoded]:
    """Tokenize prompts, with special tokens and without truncation."""
    return Aligner(tokenizer).encode(prompts)


def tokens_of_spans(encoded: Encoded, spans: Sequence[Span]) -> list[tuple[int, int]]:
    """Return for each character span its half-open range of tokens: all that share a character with it.

    Raises:
        InputError: no token touches a span, or the tokens could not be aligned.
    """
    if encoded.offsets is None:
        raise InputError(
            "the tokenizer gives no character offsets and its tokens cannot be matched to the prompt; "
            "give the model's fast tokenizer, or choose an encoder that reads tokens, such as cross_attention"
        )
    ranges = []
    for start, end in spans:
        touching = [i for i, (left, right) in enumerate(encoded.offsets) if left < end and start < right]
        if not touching:
            raise InputError(f"no token of the prompt touches its characters {start} to {end}; check the spans")
        ranges.append((touching[0], touching[-1] + 1))
    return ranges


def _letters_in(text: str, span: Span) -> list[int]:
    """Return the places of a range that hold neither blanks nor marks, which tokenizers count differently."""
    return [i for i in range(*span) if spelled(text[i], loose)]


def _missing(prompt: str, given: Sequence[Span], own: Sequence[Span]) -> tuple[int, str] | None:
    """Return the first token whose `given` range lacks letters of its `own`, with the text of the own; None where none does.

    Tokens of the same own range are parts of one whole, and miss nothing together.
    """
    for span, group in groupby(range(len(own)), key=own.__getitem__):
        tokens = list(group)
        if not {*_letters_in(prompt, span)} <= {place for i in tokens for place in range(*given[i])}:
            return tokens[0], prompt[slice(*span)]
    return None


def _alike(text: str, other: str) -> bool:
    """Return whether two texts are the same but for blanks and, where they must be, for forms, case and marks."""
    return text.strip() == other.replace(BLANK, " ").strip() or spelled(text, loose) == spelled(other, loose)
