"""Symmetries of a task's problems: changes of places and names that turn one problem into another of the same kind.

A Sudoku with two rows of a band exchanged is a Sudoku; so are its digits renamed and its grid turned. Training draws such a
change for each problem whenever its turn comes. Holds no task's own symmetries and does not apply them to tensors.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from hybrid.errors import InputError


class Change(NamedTuple):
    """A permutation of places and a renaming of symbols.

    Args:
        places: where each place takes its symbol from.
        names: the new name of each symbol that gets one.
    """

    places: tuple[int, ...]
    names: Mapping[str, str]

    def of(self, symbols: Sequence[str]) -> tuple[str, ...]:
        """Return the changed symbols.

        Example:
            >>> Change((2, 0, 1), {"1": "2", "2": "1"}).of("120")
            ('0', '2', '1')
        """
        return tuple(self.names.get(symbol, symbol) for symbol in map(symbols.__getitem__, self.places))

    def back(self) -> Change:
        """Return the change that undoes this one.

        Example:
            >>> change = Change((2, 0, 1), {"1": "2", "2": "1"})
            >>> change.back().of(change.of("120"))
            ('1', '2', '0')
        """
        places = sorted(range(len(self.places)), key=self.places.__getitem__)
        return Change(tuple(places), {new: old for old, new in self.names.items()})

    def first(self, count: int) -> Change:
        """Return the change of the first `count` places alone.

        Raises:
            InputError: they are too many, or do not keep to themselves.

        Example:
            >>> Change((1, 0, 3, 2), {}).first(2)
            Change(places=(1, 0), names={})
        """
        places = self.places[:count]
        if len(places) < count or max(places, default=0) >= count:
            raise InputError(
                f"a symmetry of {len(self.places)} places does not fit a problem of {count}; take problems of one size"
            )
        return Change(places, self.names)


@lru_cache
def square(side: int) -> tuple[tuple[int, ...], ...]:
    """Return the places of the eight symmetries of a square of side * side cells: mirrored, then turned over and mirrored.

    Example:
        >>> square(2)[:2], square(2)[4]
        (((0, 1, 2, 3), (1, 0, 3, 2)), (0, 2, 1, 3))
    """
    cells = range(side)
    flips = [(rows, columns) for rows in (cells, cells[::-1]) for columns in (cells, cells[::-1])]
    straight = [tuple(row * side + column for row in rows for column in columns) for rows, columns in flips]
    turned = [tuple(column * side + row for row in rows for column in columns) for rows, columns in flips]
    return (*straight, *turned)


class Symmetry(ABC):
    """Base: the symmetries of a task whose problems have one place for each symbol of the prompt.

    The answer's symbols have the first places. A problem may have fewer places than a change, where the change keeps them to
    themselves.

    Attributes:
        symbols: that a change may write, where a few prompts may lack some.
    """

    symbols: Sequence[str] = ()

    @abstractmethod
    def draw(self, rng: random.Random) -> Change:
        """Return a change, drawn from all there are."""
