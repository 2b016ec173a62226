"""Problems are plain, frozen data."""

import dataclasses

import pytest

from hybrid.problem import Problem


def test_a_problem_needs_a_prompt_and_an_answer_alone():
    problem = Problem("1 + 1", ("2",))
    assert (problem.path, problem.trace, problem.difficulty, problem.key) == ((), "", 0, "")


def test_a_problem_cannot_be_changed_and_equals_its_like():
    problem = Problem("1 + 1", ("2",))
    with pytest.raises(dataclasses.FrozenInstanceError):
        problem.prompt = "2"
    assert problem == Problem("1 + 1", ("2",)) and hash(problem) == hash(Problem("1 + 1", ("2",)))
