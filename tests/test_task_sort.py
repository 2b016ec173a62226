"""Sorting: answers, spans, splits, scoring."""

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid.errors import ConfigError, InputError
from hybrid.eval.tasks import Sort

TASKS = {digits: Sort(Sort.Config(length=9, min_length=3, digits=digits)) for digits in (1, 2)}
lists = st.sampled_from([1, 2]).flatmap(
    lambda digits: st.tuples(
        st.just(digits),
        st.lists(st.integers(0, 9) if digits == 1 else st.integers(10, 99), min_size=2, max_size=12).map(tuple),
    )
)


@settings(max_examples=60, deadline=None)
@given(lists)
def test_the_layout_finds_exactly_the_numbers_in_every_wording(case):
    digits, numbers = case
    task = TASKS[digits]
    for wording in task.wordings["train"] + task.wordings["held_out"]:
        problem = task._problem(numbers, task._key(numbers), wording, random.Random(0))
        spans, context = task.layout.spans(problem.prompt)
        assert [int(problem.prompt[start:end]) for start, end in spans] == list(numbers)
        assert context == ()


@settings(max_examples=60, deadline=None)
@given(lists)
def test_the_answer_is_sorted_and_scored_right_and_the_list_itself_wrong(case):
    digits, numbers = case
    task = TASKS[digits]
    problem = task._problem(numbers, task._key(numbers), task.wordings["train"][0], random.Random(0))
    assert list(map(int, problem.answer)) == sorted(numbers)
    assert task.score(task.layout.write(problem.answer), problem)
    assert task.score(problem.trace, problem)
    assert task.score(", ".join(problem.answer), problem)
    given_list = " ".join(map(str, numbers))
    assert task.score(f"Answer: {given_list}", problem) == (list(numbers) == sorted(numbers))
    assert not task.score(" ".join(problem.answer[:-1]), problem)


def test_the_key_forgets_the_order_and_nothing_else():
    task = TASKS[1]
    assert task._key((3, 1, 3)) == task._key((1, 3, 3)) != task._key((1, 1, 3))


def test_splits_are_disjoint_by_key_across_seeds_and_lengths_are_drawn():
    short = Sort(Sort.Config(length=4, min_length=2))
    keys = {s: {p.key for seed in range(3) for p in short.problems(s, 60, seed=seed)} for s in ("train", "dev", "test")}
    assert not keys["train"] & (keys["dev"] | keys["test"]) and not keys["dev"] & keys["test"]
    assert {p.difficulty for p in short.problems("train", 60)} == {2, 3, 4}


def test_two_digit_numbers_are_one_symbol_each():
    assert Sort(Sort.Config(digits=2)).symbols == tuple(map(str, range(10, 100)))
    assert Sort(Sort.Config()).symbols == tuple("0123456789")


def test_a_list_with_a_number_of_another_width_is_refused_rather_than_cut():
    for prompt in ("Sort 4 17 3.", "Sort 17 4 3 2.", "Sort 4 3 17."):
        with pytest.raises(InputError):
            TASKS[1].layout.spans(prompt)


def test_a_wrong_count_of_numbers_is_refused():
    with pytest.raises(InputError, match="expects 12"):
        Sort(Sort.Config()).layout.spans("Sort 1 2 3.")


def test_a_trace_shows_the_steps_of_the_sort():
    problem = TASKS[2]._problem((31, 17, 12), "", TASKS[2].wordings["train"][0], random.Random(0))
    assert problem.trace == "1x: 17 12, sorted 12 17. 3x: 31.\nAnswer: 12 17 31"
    assert re.search("ascending|small", problem.prompt)


@pytest.mark.parametrize("fields", [{"length": 1}, {"length": 65}, {"min_length": 13}, {"min_length": 1}, {"digits": 3}])
def test_a_config_out_of_range_is_refused(fields):
    with pytest.raises(ConfigError, match="sort"):
        Sort.Config(**fields)
