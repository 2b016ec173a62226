"""Faults are collected, counted and raised at once."""

import pytest

from hybrid.errors import DataError
from hybrid.faults import MAX_SHOWN, Faults


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
