"""What a model answers to one prompt."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Solution:
    """The answer to one prompt.

    Args:
        text: the answer as text.
        symbols: the same, one symbol an answer position; a single text where the answer vocabulary is open.
        steps: supervision steps taken.
        halted: whether the reasoner stopped by itself before the most steps allowed.
        confidence: the halt head's probability that the whole answer is right.
        trajectory: the answer's symbols after each step taken.
        motion: relative latent motion of each step taken.
        total_steps: supervision steps computed, over all trajectories of a search.
        verified: whether the answer follows the rules of its task; None where nothing checked it.
        thoughts: what the slots that were taught worked steps say after each step taken; empty where there are none.
        confidences: the probability of being right after each step taken.
    """

    text: str
    symbols: tuple[str, ...]
    steps: int
    halted: bool
    confidence: float
    trajectory: tuple[tuple[str, ...], ...]
    motion: tuple[float, ...]
    total_steps: int
    thoughts: tuple[tuple[str, ...], ...] = ()
    verified: bool | None = None
    confidences: tuple[float, ...] = ()
