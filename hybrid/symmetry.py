"""Symmetries of a task's problems: changes of places and names that turn one problem into another of the same kind.

A Sudoku with two rows of a band exchanged is a Sudoku; so are its digits renamed and its grid turned. Training draws such a
change for each problem whenever its turn comes. Holds no task's own symmetries and does not apply them to tensors.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import NamedTuple


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


class Symmetry(ABC):
    """Base: the symmetries of a task whose problems have one place for each symbol of prompt and answer."""

    @abstractmethod
    def draw(self, rng: random.Random) -> Change:
        """Return a change, drawn from all there are."""
