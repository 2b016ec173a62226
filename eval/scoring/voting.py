"""Voting: a problem asked in several disguises, and the answers given most often, each with its disguise taken off.

The first ballot is the problem as it is. For tasks with a symmetry, whose prompts have one character at each place. Holds no
task: what counts as the same answer, and as none, the caller says.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hybrid.errors import InputError
from hybrid.problem import Problem, Span
from hybrid.symmetry import Change, Symmetry

if TYPE_CHECKING:
    from hybrid.model import HybridModel

TRIES = 2
"""Answers that ARC lets one give."""


@dataclass(frozen=True)
class Choice:
    """An answer, the number of disguises in which it was given, and the mean probability of being right there."""

    symbols: tuple[str, ...]
    votes: int
    confidence: float


def ranked(
    ballots: Sequence[tuple[tuple[str, ...], float]], same: Callable[[tuple[str, ...]], Hashable | None] = tuple
) -> list[Choice]:
    """Return the different answers: most votes first, of as many the one with the higher mean confidence.

    Args:
        ballots: (symbols, confidence) of each disguise, the disguise taken off.
        same: answers for which it returns the same are one; None is no answer, and has no vote.

    Example:
        >>> [choice.symbols for choice in ranked([(("a",), 0.2), (("b",), 0.9), (("a",), 0.2), (("c",), 0.5)])]
        [('a',), ('b',), ('c',)]
    """
    given: dict[Hashable, list[tuple[tuple[str, ...], float]]] = {}
    for symbols, confidence in ballots:
        answer = same(symbols)
        if answer is not None:
            given.setdefault(answer, []).append((symbols, confidence))
    found = [Choice(own[0][0], len(own), sum(sure for _, sure in own) / len(own)) for own in given.values()]
    return sorted(found, key=lambda choice: (-choice.votes, -choice.confidence))


def disguised(problem: Problem, spans: Sequence[Span], change: Change) -> Problem:
    """Return a problem with another symbol at each place of its prompt; its answer is left out.

    Args:
        problem: to be disguised.
        spans: its places, those of the answer first.
        change: to make.

    Raises:
        InputError: a place has several characters, or the change does not fit.
    """
    text = list(problem.prompt)
    if any(end - start != 1 for start, end in spans):
        raise InputError("voting needs prompts with one character at each place; leave it out")
    for (start, _), symbol in zip(spans, change.first(len(spans)).of([text[start] for start, _ in spans]), strict=True):
        text[start] = symbol
    return replace(problem, prompt="".join(text), answer=())


def vote(
    model: HybridModel,
    problems: Sequence[Problem],
    symmetry: Symmetry,
    count: int,
    *,
    same: Callable[[tuple[str, ...]], Hashable | None] = tuple,
    seed: int = 0,
    num_steps: int | None = None,
    batch_size: int = 32,
) -> list[list[Choice]]:
    """Ask each problem in `count` disguises and return its answers as `ranked` does.

    Args:
        model: trained head.
        problems: of one task.
        symmetry: of the task.
        count: disguises, the problem as it is among them.
        same: see `ranked`.
        seed: of the disguises.
        num_steps: most supervision steps; None takes the trained number.
        batch_size: prompts thought about together.

    Raises:
        InputError: a prompt cannot be read or disguised.
    """
    asked, changes = [], []
    for number, problem in enumerate(problems):
        own, context = model.config.layout.spans(problem.prompt, problem.spans)
        rng = random.Random(f"{seed} {number}")
        places = Change(tuple(range(len(own) + len(context))), {})
        for change in (places, *(symmetry.draw(rng) for _ in range(count - 1))):
            asked.append(disguised(problem, (*own, *context), change))
            changes.append(change.first(len(own)).back())
    found = model.solve(asked, num_steps=num_steps, batch_size=batch_size)
    ballots = [(back.of(answer.symbols), answer.confidence) for back, answer in zip(changes, found, strict=True)]
    return [ranked(ballots[start : start + count], same) for start in range(0, len(ballots), count)]
