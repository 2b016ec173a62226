"""Prompts that begin alike: one story and many questions. What they share goes through the language model once.

A model's states of a text do not depend on what follows it only where it reads from left to right; whether it does, and
goes on from its cache, is tried out on the model itself. Holds no codec and no encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from typing import Any, NamedTuple

LEAST_TOKENS = 32
"""Fewest tokens that are worth a pass of their own."""


class Alike(NamedTuple):
    """Texts by their places in a list, and how many first tokens they share; each has at least one token more."""

    shared: int
    places: list[int]


def alike(ids: Sequence[Any]) -> Iterator[Alike]:
    """Yield every text of a list, in groups that share at least LEAST_TOKENS; a text joins where half of it is shared.

    Args:
        ids: tokens of each text, in sequences that can be compared and cut.

    Example:
        >>> story = list(range(40))
        >>> list(alike([story + [1], [7, 8], story + [2, 3]]))
        [Alike(shared=40, places=[0, 2]), Alike(shared=0, places=[1])]
    """
    order = sorted(range(len(ids)), key=lambda place: ids[place])
    group = Alike(0, [])
    for place in order:
        first = ids[group.places[0]][: group.shared] if group.places else ids[place][:0]
        shared = min(sum(1 for _ in takewhile(_equal, zip(first, ids[place], strict=False))), len(ids[place]) - 1)
        if group.places and shared >= LEAST_TOKENS and 2 * shared >= len(ids[place]):
            group = Alike(shared, [*group.places, place])
            continue
        yield from _closed(group)
        group = Alike(len(ids[place]) - 1, [place])
    yield from _closed(group)


def _equal(pair: tuple[Any, Any]) -> bool:
    return bool(pair[0] == pair[1])


def _closed(group: Alike) -> Iterator[Alike]:
    if group.places:
        yield group if len(group.places) > 1 else Alike(0, group.places)


def goes_on(
    whole: Callable[[list[int]], Any], parts: Callable[[list[int], list[int]], Any], vocabulary: int, tolerance: float = 1e-4
) -> bool:
    """Say whether a model that reads a text in two parts gives the states that it gives of the whole.

    Args:
        whole: gives the states (s, k, h) of a text's tokens.
        parts: gives those of a text in two parts.
        vocabulary: tokens there are.
        tolerance: most relative distance, for the precision of the model.
    """
    text = [(7 * place + 1) % vocabulary for place in range(24)]
    try:
        found, expected = parts(text[:16], text[16:]).float(), whole(text).float()
    except Exception:  # What a family raises at a cache that it does not take is its own.
        return False
    return bool((found - expected).norm() < tolerance * expected.norm())
