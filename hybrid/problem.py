"""One problem: a prompt, its answer as symbols, and what a teacher may show beside it.

Holds no way to make problems (eval/tasks does) and no way to read them (layout.py does).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from hybrid.errors import InputError

Span = tuple[int, int]
"""Half-open range of characters of a prompt."""
Reads = Literal["spans", "tokens", "words", "sentences"]
"""What an encoder asks of a reader: the states of spans, of every token, or of every word, read whole or by sentences."""
Places = Sequence[Sequence[Span]] | Literal["words", "sentences"] | None
"""The same for prompts: their spans, None for every token."""

SHOWN = {"shown": True}
"""Marks a field that a head does not learn from."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A prompt with its one right answer.

    Args:
        prompt: the text that the backbone reads.
        answer: A symbols, one an answer position (a digit, a word).
        path: C symbols, one a context position of the workspace: the intermediate results that a solver would write
            there. They teach during training and are never part of the answer. Empty when there are none.
        trace: a worked solution in words that ends with the answer, for chain-of-thought prompts.
        difficulty: the task's own count (blanks, numbers to sort, swaps).
        key: name of the problem's equivalence class; two problems with one key never stand in two splits.
        spans: the answer positions' own places in the prompt, where they come with the problem; empty where the layout's
            pattern finds them, or where the answer has no places.
        weights: weight of each answer position's loss against the others, in the answer's order; empty for equal ones.
        where: where the problem was read ("my.csv row 3"), for messages.
        steps: worked steps, each a symbol for every answer position, or for these and the context positions: what would
            stand there after it, an empty symbol for what is not known yet. The last is the answer. Empty where there are none.
        word_labels: what words of the prompt mean on the way to the answer, pairs of a word and a symbol; a line a
            supervision step, of which the last holds to the end. A word that comes again in a line has a further label, each
            read from its state in its own way; an empty symbol teaches nothing. Empty where there are none.
    """

    prompt: str
    answer: tuple[str, ...]
    path: tuple[str, ...] = ()
    trace: str = field(default="", metadata=SHOWN)
    difficulty: int = field(default=0, metadata=SHOWN)
    key: str = field(default="", metadata=SHOWN)
    spans: tuple[Span, ...] = ()
    weights: tuple[float, ...] = ()
    where: str = field(default="", metadata=SHOWN)
    steps: tuple[tuple[str, ...], ...] = ()
    word_labels: tuple[tuple[tuple[str, str], ...], ...] = ()

    def labels(self) -> set[str]:
        """Return the symbols of all labels of words."""
        return {symbol for line in self.word_labels for _, symbol in line if symbol}

    @property
    def num_word_labels(self) -> int:
        """The most labels that a word, case aside, has at once; 1 where none has any."""
        counts = (Counter(word.casefold() for word, _ in line).values() for line in self.word_labels)
        return max((max(each, default=1) for each in counts), default=1)


def asked(prompts: Any, context: str | None, questions: Collection[str] | None) -> list[str | Problem]:
    """Return the prompts to answer: those given, or a context with each of several questions behind it.

    Raises:
        InputError: neither, both, or a bare text where a list belongs.

    Example:
        >>> asked(None, "Zoe is in the kitchen.", ["Where is Zoe?"])
        ['Zoe is in the kitchen. Where is Zoe?']
    """
    parts = (context is not None, questions is not None)
    if not (all(parts) if prompts is None else not any(parts)):
        raise InputError("solve takes prompts, or a context with questions; give one of the two")
    if isinstance(prompts, str) or isinstance(questions, str):
        raise InputError("solve takes a list of prompts or questions; give [prompt]")
    return list(prompts) if context is None else [f"{context.rstrip()} {question}" for question in questions or ()]


def digest(problems: Iterable[Problem], without: Collection[str] = ()) -> str:
    """Return the SHA-256 of what a head may learn from problems; fields named in `without` are not taught.

    A field added later counts where it is not at its default, so that a run of before goes on.
    """
    first = {"prompt", "answer", "path", "spans", "weights"}
    later = [each for each in fields(Problem) if each.name not in {*first, *without} and not each.metadata.get("shown")]

    def taught(p: Problem) -> tuple[Any, ...]:
        further = [(each.name, getattr(p, each.name)) for each in later if getattr(p, each.name) != each.default]
        return (p.prompt, p.answer, p.path, *p.spans, *p.weights, *further)

    return hashlib.sha256(repr([taught(p) for p in problems]).encode()).hexdigest()
