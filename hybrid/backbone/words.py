"""Words: where those of a text stand, which are the same word, and which stand in one sentence.

No knowledge of a task: letters, digits and marks decide. Positions in the workspace carry the two numbers along, and heads
of the attention block may look at the places of the same word, or of the own sentence, alone.
"""

from __future__ import annotations

import re
import zlib
from array import array
from collections import Counter
from collections.abc import Sequence

from hybrid.problem import Span

WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|\w+|[^\w\s]")
"""A run of letters and digits, one character of a script without blanks, or one mark."""
END = re.compile(r"[.!?。！？]+(?=\s|$)\s*|\n\s*")
"""Where a sentence ends: marks in front of a blank, or the end of a line."""


def spans(text: str) -> list[Span]:
    """Return the character range of each word and mark.

    Example:
        >>> spans("Ann's 3 cats.")
        [(0, 3), (3, 4), (4, 5), (6, 7), (8, 12), (12, 13)]
    """
    return [match.span() for match in WORD.finditer(text)]


def links(text: str, words: Sequence[Span]) -> array[int]:
    """Return two numbers a word, one behind another: the same one for the same word, case aside; and its sentence's.

    Example:
        >>> list(links("Go. Go", [(0, 2), (2, 3), (4, 6)]))[1::2]
        [0, 0, 1]
    """
    ends = [match.end() for match in END.finditer(text)]
    found, sentence = array("i"), 0
    for start, end in words:
        while sentence < len(ends) and start >= ends[sentence]:
            sentence += 1
        found.append(number(text[start:end]))
        found.append(sentence)
    return found


def number(word: str) -> int:
    """Return a word's number, the same for every case."""
    return zlib.crc32(word.casefold().encode()) & 0x7FFFFFFF


def common(texts: Sequence[str], share: float = 0.7, least: int = 3) -> list[str]:
    """Return the words, in lower case and in order, that at least this share of all sentences have; numbers never count.

    None, where a text has fewer sentences than `least` on average: what a list of few words has often may be what it says.

    Example:
        >>> common(["Ann is big. Bob is not.", "Is Ann big?"], least=1)
        ['is']
    """
    sentences = [part for text in texts for part in END.split(text) if part.strip()]
    if len(sentences) < least * len(texts):
        return []
    found = Counter(word for sentence in sentences for word in set(WORD.findall(sentence.casefold())))
    return sorted(word for word, count in found.items() if count >= share * len(sentences) and not word.isnumeric())
