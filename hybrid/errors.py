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

A message says what was wrong, the value got, and what to do.
"""

from __future__ import annotations


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
