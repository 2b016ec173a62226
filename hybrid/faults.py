"""What is wrong with a data set, collected row by row and raised at once.

Holds the collecting only; what a fault is, the readers of data say.
"""

from __future__ import annotations

from hybrid.errors import DataError

MAX_SHOWN = 20
"""Faults that are named; the others are counted."""


class Faults:
    """Counts faults and keeps the first ones, so that a data set of nothing but bad rows needs no memory.

    Example:
        >>> faults = Faults()
        >>> faults.add("my.csv row 2: the prompt is empty; write one, or drop the row")
        >>> faults.count
        1
    """

    def __init__(self) -> None:
        self.count = 0
        self.shown: list[str] = []

    def add(self, fault: str) -> None:
        """Note one fault: where it is, what is wrong, what to do; it becomes one line."""
        self.count += 1
        if len(self.shown) < MAX_SHOWN:
            self.shown.append(" ".join(fault.split()))

    def check(self) -> None:
        """Raise DataError where there are faults: the fault itself, or their number and the first of them."""
        if self.count == 1:
            raise DataError(self.shown[0])
        if self.count:
            which = "" if self.count == len(self.shown) else f", the first {len(self.shown)} are"
            raise DataError("\n".join([f"the data has {self.count:,} faults{which}:", *self.shown]))
