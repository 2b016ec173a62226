"""The tree of errors is the one that its docstring draws."""

import inspect
import re

import pytest

from hybrid import errors


def test_the_drawn_tree_names_every_error_and_no_other():
    defined = {name for name, kind in vars(errors).items() if inspect.isclass(kind) and kind.__module__ == errors.__name__}
    assert set(re.findall(r"\b[A-Z]\w+Error\b", errors.__doc__)) == defined


@pytest.mark.parametrize(
    "name",
    [
        "ConfigError",
        "InputError",
        "DataError",
        "BackboneError",
        "CheckpointError",
        "StorageError",
        "TrainingError",
        "EngineError",
    ],
)
def test_every_error_is_a_hybrid_error(name):
    assert issubclass(getattr(errors, name), errors.HybridError)


def test_errors_are_also_what_python_calls_them():
    assert issubclass(errors.ConfigError, ValueError) and issubclass(errors.InputError, ValueError)
    assert issubclass(errors.StorageError, OSError)
