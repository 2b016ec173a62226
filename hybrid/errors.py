"""What can go wrong because of what a user gave us, as one tree.

    HybridError                  everything below; the command line turns it into one line and exit code 2
    ├── ConfigError              a field is unknown, ill-typed or out of range
    ├── InputError               a prompt, file or table cannot be used
    │   └── DataError            rows of a data set cannot be used, each named
    ├── BackboneError            the language model cannot be found, loaded, or is not the one a head was made for
    ├── CheckpointError          a saved file is missing, damaged or does not fit
    ├── StorageError             a folder cannot be written or the disk is too small
    ├── TrainingError            a run cannot go on (the loss became NaN)
    └── EngineError              a server of text does not answer, or refuses what it is asked

A message says what was wrong, the value got, and what to do. Faults of a data set are collected row by row and raised at once;
what a fault is, the readers of data say.
"""

from __future__ import annotations

MAX_SHOWN = 20
"""Faults that are named; the others are counted."""


class HybridError(Exception):
    """A mistake that the user can mend."""


class ConfigError(HybridError, ValueError):
    """A configuration field is unknown, ill-typed or out of range."""


class InputError(HybridError, ValueError):
    """A prompt, file or table cannot be used."""


class DataError(InputError):
    """Rows of a data set cannot be used; the message has one line for each of the first."""


class BackboneError(HybridError):
    """The language model cannot be found or loaded, or is not the one that a head was made for."""


class CheckpointError(HybridError):
    """A saved file is missing, damaged or does not fit."""


class StorageError(HybridError, OSError):
    """A folder cannot be written, or the disk is too small."""


class TrainingError(HybridError):
    """A training run cannot go on."""


class EngineError(HybridError):
    """A server of text does not answer, or refuses what it is asked."""


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
