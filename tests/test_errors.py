"""The tree of errors is the one that its docstring draws; faults are collected, counted and raised at once."""

import inspect
import re

import pytest

from hybrid import errors
from hybrid.errors import MAX_SHOWN, DataError, Faults


def test_the_drawn_tree_names_every_error_and_no_other():
    kinds = {name: kind for name, kind in vars(errors).items() if inspect.isclass(kind) and kind.__module__ == errors.__name__}
    defined = {name for name, kind in kinds.items() if issubclass(kind, Exception)}
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


def collected(count):
    faults = Faults()
    for row in range(1, count + 1):
        faults.add(f"row {row}: is\nbad")
    return faults


def test_without_faults_nothing_is_raised():
    Faults().check()


def test_one_fault_is_the_message_itself():
    with pytest.raises(DataError, match=r"\Arow 1: is bad\Z"):
        collected(1).check()


def test_several_faults_are_counted_and_stand_one_a_line():
    with pytest.raises(DataError) as error:
        collected(2).check()
    assert str(error.value).splitlines() == ["the data has 2 faults:", "row 1: is bad", "row 2: is bad"]


def test_only_the_first_faults_are_kept():
    faults = collected(5000)
    assert len(faults.shown) == MAX_SHOWN
    with pytest.raises(DataError, match="the data has 5,000 faults, the first 20 are:") as error:
        faults.check()
    assert len(str(error.value).splitlines()) == 1 + MAX_SHOWN
