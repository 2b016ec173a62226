"""One problem: a prompt, its answer as symbols, and what a teacher may show beside it.

Holds no way to make problems (eval/tasks does) and no way to read them (layout.py does).
"""

from __future__ import annotations

from dataclasses import dataclass

Span = tuple[int, int]
"""Half-open range of characters of a prompt."""


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
    """

    prompt: str
    answer: tuple[str, ...]
    path: tuple[str, ...] = ()
    trace: str = ""
    difficulty: int = 0
    key: str = ""
    spans: tuple[Span, ...] = ()
    weights: tuple[float, ...] = ()
    where: str = ""
