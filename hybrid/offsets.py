"""Offsets: which characters of a prompt each of its tokens stands for.

A fast tokenizer says it. For one that does not, it is found by decoding: every token's text is read in the company of a
plain token, and the texts are laid along the prompt. A tokenizer may have changed the text first (compatibility forms,
case, accents, runs of blanks), so letters are compared in the strictest of three forms in which all of them agree; unknown
tokens take what is left between their neighbours. Where more than one way fits, there are no offsets, never wrong ones.
Knows no model.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import Any

from hybrid.errors import InputError
from hybrid.problem import Span

BYTE = re.compile(r"<0x([0-9A-F]{2})>")
"""A piece of sentencepiece that stands for one byte."""
TORN = "\N{REPLACEMENT CHARACTER}"
"""What decoding gives for a part of a character."""
BLANKS = "\N{LOWER ONE EIGHTH BLOCK}"
"""What a tokenizer takes for a blank besides blanks: sentencepiece's mark."""


@dataclass(frozen=True)
class Encoded:
    """A prompt as tokens.

    Args:
        ids: token ids.
        offsets: half-open character range of each token, empty for one that stands for no character; None where they
            cannot be found.
    """

    ids: list[int]
    offsets: list[Span] | None


def encode(tokenizer: Any, prompts: Sequence[str]) -> list[Encoded]:
    """Tokenize prompts, with special tokens and without truncation."""
    fast = bool(getattr(tokenizer, "is_fast", False))
    options = {"return_offsets_mapping": True} if fast else {}
    batch = tokenizer(list(prompts), truncation=False, verbose=False, **options)
    if fast:
        pairs = zip(batch["input_ids"], batch["offset_mapping"], strict=True)
        return [Encoded(list(ids), [tuple(pair) for pair in offsets]) for ids, offsets in pairs]
    own = tokenizer(list(prompts), truncation=False, verbose=False, add_special_tokens=False)["input_ids"]
    text_of = _Reader(tokenizer, own)
    rows = zip(prompts, batch["input_ids"], own, strict=True)
    return [Encoded(list(ids), _framed(ids, plain, _aligned(text_of, plain, prompt))) for prompt, ids, plain in rows]


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


def _framed(ids: Sequence[int], own: Sequence[int], offsets: list[Span] | None) -> list[Span] | None:
    """Give the special tokens around a prompt's `own` tokens empty ranges."""
    surplus = len(ids) - len(own)
    before = next((i for i in range(surplus + 1) if list(ids[i : i + len(own)]) == list(own)), None)
    if offsets is None or before is None:
        return None
    return [(0, 0)] * before + offsets + [(0, 0)] * (surplus - before)


def _aligned(text_of: _Reader, ids: Sequence[int], prompt: str) -> list[Span] | None:
    """Return the range of `prompt` that each of its tokens stands for; None where that is not certain."""
    letters = _letters(text_of, ids)
    for form in (_exact, _compatible, _loose):
        matched = _matched(letters, prompt, form)
        if matched is not None:
            break
    else:
        return None
    if not _share_gaps(letters, matched, prompt):
        return None
    ranges: list[Span] = [(0, 0)] * len(ids)
    for place, found in enumerate(matched):
        for token in {token for i in found for token in letters[i].tokens}:
            ranges[token] = (ranges[token][0] if ranges[token][1] else place, place + 1)
    return ranges


@dataclass(frozen=True)
class _Letter:
    """A character that tokens stand for, or one mark for an unknown token, whose text is not known."""

    text: str
    tokens: range
    unknown: bool = False

    @property
    def blank(self) -> bool:
        return not self.unknown and _is_blank(self.text)


def _letters(text_of: _Reader, ids: Sequence[int]) -> list[_Letter]:
    """Return the text of all tokens, letter by letter; several tokens may share one."""
    letters: list[_Letter] = []
    window: list[_Letter] = []  # Of tokens start to i, which end inside a character.
    start = 0
    for i, token in enumerate(ids):
        if token == text_of.unknown:
            letters, window, start = [*letters, *window, _Letter(TORN, range(i, i + 1), True)], [], i + 1
            continue
        text = text_of((token,) if start == i else tuple(ids[start : i + 1]))
        if start < i and not window and text and text == text_of((token,)):
            start = i  # The tokens before it have no text.
        same = 0
        while same < min(len(window), len(text)) and window[same].text == text[same]:
            same += 1
        first = window[same].tokens.start if same < len(window) else i if window else start
        new = [_Letter(c, range(i if k else first, i + 1)) for k, c in enumerate(text[same:])]
        if window and not new:  # One more part of the same character.
            same, new = same - 1, [_Letter(window[-1].text, range(window[-1].tokens.start, i + 1))]
        window = window[:same] + new
        if text and (not text.endswith(TORN) or text_of.whole(ids[start : i + 1])):
            letters, window, start = letters + window, [], i + 1
    return letters + window


@dataclass
class _Reader:
    """Reads tokens as text: between two plain tokens, so that no blank at the ends is lost."""

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
        self.right = self.left.lstrip()
        self.gap = self._decode(self.frame * 2)[len(self.left) : -len(self.right) or None]

    def __call__(self, ids: tuple[int, ...]) -> str:
        if ids not in self.known:
            data = self._bytes(ids)
            self.known[ids] = self._framed(list(ids)) if data is None else data.decode("utf-8", "replace")
        return self.known[ids]

    def _decode(self, ids: list[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)) if ids else ""

    def _framed(self, ids: list[int]) -> str:
        text = self._decode(self.frame + ids + self.frame)
        if not self.frame or not (text.startswith(self.left) and text.endswith(self.right)):
            return self._decode(ids)
        return text[len(self.left) : len(text) - len(self.right)].removesuffix(self.gap)

    def whole(self, ids: Sequence[int]) -> bool:
        """Return whether these are bytes of whole characters, even of one that looks torn."""
        data = self._bytes(ids) or b""
        return data != b"" and data.decode("utf-8", "ignore").encode() == data

    def _bytes(self, ids: Sequence[int]) -> bytes | None:
        pieces = [BYTE.fullmatch(str(token)) for token in self.tokenizer.convert_ids_to_tokens(list(ids))]
        return bytes(int(piece[1], 16) for piece in pieces if piece) if all(pieces) else None


def _is_blank(character: str) -> bool:
    return character.isspace() or character in BLANKS


def _exact(character: str) -> str:
    return character


def _compatible(character: str) -> str:
    return unicodedata.normalize("NFKD", character)


def _loose(character: str) -> str:
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", character).casefold())
    return "".join(c for c in folded if unicodedata.category(c) not in ("Mn", "Cc", "Cf"))


def _form(text: Sequence[str], form: Callable[[str], str]) -> list[tuple[str, int]]:
    """Return the characters of a text in a normal form, without blanks, each with its place; marks in canonical order."""
    spelled = [(c, place) for place, each in enumerate(text) for c in form(each) if not _is_blank(c)]
    start = 0
    for end in range(len(spelled) + 1):
        if end == len(spelled) or not unicodedata.combining(spelled[end][0]):
            spelled[start:end] = sorted(spelled[start:end], key=lambda pair: unicodedata.combining(pair[0]))
            start = end + 1
    return spelled


def _matched(letters: Sequence[_Letter], prompt: str, form: Callable[[str], str]) -> list[list[int]] | None:
    """Return for each character of the prompt the letters that it is, none for blanks; None unless one way alone fits."""
    wanted = _form(prompt, form)
    cuts = [-1, *(i for i, letter in enumerate(letters) if letter.unknown), len(letters)]
    stretches = [
        [(c, place + left + 1) for c, place in _form([letter.text for letter in letters[left + 1 : right]], form)]
        for left, right in pairwise(cuts)
    ]
    # Between unknown tokens that only blanks keep apart there is nothing to place.
    stretches = [each for i, each in enumerate(stretches) if each or i in (0, len(stretches) - 1)]
    words = ["".join(c for c, _ in stretch) for stretch in stretches]
    starts = _only_way("".join(c for c, _ in wanted), words)
    if starts is None:
        return None
    matched: list[list[int]] = [[] for _ in prompt]
    for stretch, start in zip(stretches, starts, strict=True):
        for (_, letter), (_, place) in zip(stretch, wanted[start:], strict=False):
            matched[place].append(letter)
    return matched


def _share_gaps(letters: Sequence[_Letter], matched: list[list[int]], prompt: str) -> bool:
    """Give the characters without letters those left between their neighbours'; False where it is not certain whose."""
    place, used = 0, 0
    while place < len(prompt):
        end = place
        while end < len(prompt) and not matched[end]:
            end += 1
        until = min(matched[end]) if end < len(prompt) else len(letters)
        if end > place and not _share(letters, matched, prompt, range(place, end), range(used, until)):
            return False
        if end < len(prompt):
            used = max(matched[end]) + 1
        place = end + 1
    return True


def _share(letters: Sequence[_Letter], matched: list[list[int]], prompt: str, gap: range, free: range) -> bool:
    unknown = [i for i in free if letters[i].unknown]
    solid = [place for place in gap if not _is_blank(prompt[place])]
    if not solid and any(letters[i].blank for i in free):
        unknown = []
    solid = solid or list(gap)  # Else blanks that the vocabulary does not hold.
    runs = [[place for _, place in run] for _, run in groupby(enumerate(solid), key=lambda pair: pair[1] - pair[0])]
    ways = [[range(solid[0], solid[-1] + 1)], [range(run[0], run[-1] + 1) for run in runs], [range(p, p + 1) for p in solid]]
    # Every stretch has a token at least: with as many stretches as tokens, each has exactly one.
    parts = next((way for way in ways if len(way) == len(unknown)), [])
    if unknown and not parts:
        return False
    place, used = gap.start, free.start
    for part, token in zip(parts, unknown, strict=True):
        _share_blanks(letters, matched, prompt, range(place, part.start), range(used, token))
        for each in part:
            matched[each] = [token]
        place, used = part.stop, token + 1
    _share_blanks(letters, matched, prompt, range(place, gap.stop), range(used, free.stop))
    return True


def _share_blanks(letters: Sequence[_Letter], matched: list[list[int]], prompt: str, gap: range, free: range) -> None:
    """Share the blank letters of `free` out to the blanks of a gap; its marks went into the letter before them."""
    blanks, spare = [place for place in gap if _is_blank(prompt[place])], [i for i in free if letters[i].blank]
    for k, place in enumerate(blanks):
        # A run may have become shorter, or have got a blank before it.
        matched[place] = spare[k - len(blanks) :][:1] if len(spare) >= len(blanks) else spare
    for place in gap:
        if not _is_blank(prompt[place]) and place:
            matched[place] = matched[place - 1]


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
