"""Placing: where in a prompt its tokens stand, found by decoding them.

Every token's text is read in the company of a plain token, and the texts are laid along the prompt, blanks left out. A
tokenizer may have changed the text first (compatibility forms, case, accents), so letters are compared in the strictest of
three forms in which all of them agree; unknown tokens take what is left between their neighbours. Where more than one way
fits, there is no place, never a wrong one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import Any

from hybrid.problem import Span

BYTE = re.compile(r"<0x([0-9A-F]{2})>")
"""A piece of sentencepiece that stands for one byte."""
TORN = "\N{REPLACEMENT CHARACTER}"
"""What decoding gives for a part of a character."""
BLANK = "\N{LOWER ONE EIGHTH BLOCK}"
"""What sentencepiece writes for a blank."""
MOST_KNOWN = 200_000
"""Texts kept: more than there are tokens."""
Letter = tuple[str | None, range]
"""A character, None for an unknown token, whose text is not known; and the tokens that stand for it."""


def placed(text_of: TokenTexts, ids: Sequence[int], added: Sequence[int], prompt: str) -> list[Span] | None:
    """Return the range of `prompt` that each of its tokens stands for; None where that is not certain.

    Args:
        text_of: the texts of the tokenizer's tokens.
        ids: tokens of the prompt.
        added: 1 for those that the tokenizer added to the prompt's own.
        prompt: the text; tokens of blanks, and those added, get the range (0, 0).
    """
    letters = _letters(text_of, ids, added)
    for form in (str, _compatible, loose):
        places = _matched(letters, prompt, form, len(ids))
        if places is not None:
            return [(min(own), max(own) + 1) if own else (0, 0) for own in places]
    return None


def _letters(text_of: TokenTexts, ids: Sequence[int], added: Sequence[int]) -> list[Letter]:
    """Return the text of all tokens but those `added` to the prompt's own; tokens that are parts of a character share it."""
    letters: list[Letter] = []
    start, text = 0, ""
    for i, token in enumerate(ids):
        if added[i] or token == text_of.unknown:
            letters += [] if added[i] else [(None, range(i, i + 1))]
            start, text = i + 1, ""
            continue
        before, text = text, text_of(tuple(ids[start : i + 1]))
        if text and not before and text == text_of((token,)):
            start = i  # The tokens before it have no text.
        if text and (not text.endswith(TORN) or text_of.whole(ids[start : i + 1])):
            letters += [(c, range(start, i + 1)) for c in text]
            start, text = i + 1, ""
    return [*letters, *((c, range(start, len(ids))) for c in text)]


@dataclass
class TokenTexts:
    """Reads tokens as text: between two plain tokens, as some are written otherwise at the ends.

    Args:
        tokenizer: fast or slow.
        rows: token ids to choose a plain one from.
        known: texts that were read.
    """

    tokenizer: Any
    rows: Sequence[Sequence[int]]
    known: dict[tuple[int, ...], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.unknown = self.tokenizer.unk_token_id
        special = set(self.tokenizer.all_special_ids)
        distinct = dict.fromkeys(i for row in self.rows for i in row)
        plain = (i for i in distinct if i not in special and self._bytes([i]) is None and self._decode([i]).strip().isalnum())
        self.frame = next(([i] for i in plain), [])
        self.left = self._decode(self.frame)
        right = self._decode(self.frame * 2).removeprefix(self.left)
        self.rights = (right, right.lstrip())  # With a blank where words are parted by it.

    def __call__(self, ids: tuple[int, ...]) -> str:
        """Return the text of tokens that stand one behind the other."""
        if ids not in self.known:
            if len(self.known) >= MOST_KNOWN:
                self.known.clear()
            data = self._bytes(ids)
            self.known[ids] = self._framed(list(ids)) if data is None else data.decode("utf-8", "replace")
        return self.known[ids]

    def _decode(self, ids: list[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)) if ids else ""

    def _framed(self, ids: list[int]) -> str:
        text = self._decode(self.frame + ids + self.frame)
        right = next((right for right in self.rights if right and text.endswith(right)), None)
        if right is None or not text.startswith(self.left):
            return self._decode(ids)
        return text[len(self.left) : len(text) - len(right)]

    def whole(self, ids: Sequence[int]) -> bool:
        """Return whether these are bytes of whole characters, even of one that looks torn."""
        data = self._bytes(ids) or b""
        return data != b"" and data.decode("utf-8", "ignore").encode() == data

    def _bytes(self, ids: Sequence[int]) -> bytes | None:
        pieces = [BYTE.fullmatch(str(token)) for token in self.tokenizer.convert_ids_to_tokens(list(ids))]
        return bytes(int(piece[1], 16) for piece in pieces if piece) if all(pieces) else None


def _compatible(character: str) -> str:
    return unicodedata.normalize("NFKD", character)


def loose(character: str) -> str:
    """Return a text without case, forms, accents and signs that are not seen."""
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", character).casefold())
    return "".join(c for c in folded if unicodedata.category(c) not in ("Mn", "Cc", "Cf"))


def spelled(text: str, form: Callable[[str], str]) -> list[str]:
    """Return the letters of a text in a form, without blanks."""
    return [c for c in form(text) if not c.isspace() and c != BLANK]


def _matched(letters: Sequence[Letter], prompt: str, form: Callable[[str], str], count: int) -> list[set[int]] | None:
    """Return the places in the prompt of each of `count` tokens; None unless one way alone fits."""
    wanted = [(c, place) for place, each in enumerate(prompt) for c in spelled(each, form)]
    stretches: list[list[tuple[str, range]]] = [[]]
    gaps: list[list[int]] = []  # Unknown tokens between two stretches; between those that only blanks part is nothing to place.
    for letter, tokens in letters:
        if letter is not None:
            stretches[-1] += [(c, tokens) for c in spelled(letter, form)]
        elif gaps and not stretches[-1]:
            gaps[-1] += tokens
        else:
            gaps, stretches = [*gaps, [*tokens]], [*stretches, []]
    words = ["".join(c for c, _ in stretch) for stretch in stretches]
    starts = _only_way("".join(c for c, _ in wanted), words)
    if starts is None:
        return None
    places: list[set[int]] = [set() for _ in range(count)]
    for stretch, start in zip(stretches, starts, strict=True):
        for (_, tokens), (_, place) in zip(stretch, wanted[start:], strict=False):
            for token in tokens:
                places[token].add(place)
    for gap, word, (start, end) in zip(gaps, words, pairwise(starts), strict=False):
        parts = _parts(sorted({place for _, place in wanted[start + len(word) : end]}), len(gap))
        if parts is None:
            return None
        for token, part in zip(gap, parts, strict=False):
            places[token].update(part)
    return places


def _parts(places: list[int], count: int) -> list[list[int]] | None:
    """Share places out to `count` unknown tokens in order; None where it is not certain whose they are.

    Every stretch of places has a token at least: with as many stretches as tokens, each has exactly one.
    """
    runs = [[place for _, place in run] for _, run in groupby(enumerate(places), key=lambda pair: pair[1] - pair[0])]
    ways = ([places], runs, [[place] for place in places])
    return next((way for way in ways if len(way) == count), None) if places else [[]] * count


def _only_way(text: str, words: Sequence[str]) -> list[int] | None:
    """Return where the words stand in the text, the first at its start and the last at its end, if that is certain.

    Example:
        >>> _only_way("abXcd", ["ab", "cd"]), _only_way("aXbXbXa", ["a", "b", "a"])
        ([0, 3], None)
    """
    if len(words) == 1:
        return [0] if text == words[0] else None
    end = len(text) - len(words[-1])
    if not text.startswith(words[0]) or not text.endswith(words[-1]) or end < len(words[0]):
        return None
    earliest, latest, left, right = [0], [end], len(words[0]), end
    for word in words[1:-1]:
        earliest.append(text.find(word, left, end))
        left = earliest[-1] + len(word)
    for word in reversed(words[1:-1]):
        latest.append(text.rfind(word, len(words[0]), right))
        right = latest[-1]
    certain = [*earliest, end] == [0, *reversed(latest)] and -1 not in earliest
    return [*earliest, end] if certain else None
