"""Arithmetic: chains modulo 10, the path of results, keys, scoring."""

import random
import re
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid.errors import ConfigError, InputError
from hybrid.eval.tasks import Arithmetic
from hybrid.eval.tasks.arithmetic import VARIED

TASK = Arithmetic(Arithmetic.Config(steps=8, min_steps=1))


def told(seed):
    rng = random.Random(seed)
    chain = next(TASK._instances(rng))
    words = (*TASK.wordings["train"], *TASK.wordings["held_out"], *rng.sample(VARIED, 8))
    return chain, [TASK._problem(chain, TASK._key(chain), wording, rng) for wording in words]


def follow(prompt):
    """Do as the prompt says, sentence by sentence."""
    sentences = [s for s in re.split(r"[.?] ?", prompt) if re.search(r"\b\d\b", s.replace("10", ""))]
    value, results = 0, []
    for sentence in sentences:
        number = int(re.findall(r"\b\d\b", sentence)[0])
        lower = sentence.lower()
        if "add" in lower or "plus" in lower:
            value += number
        elif "subtract" in lower or "minus" in lower:
            value -= number
        elif "multiply" in lower or "times" in lower:
            value *= number
        else:
            value = number
        value %= 10
        results.append(str(value))
    return results


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10_000))
def test_answer_and_path_are_those_of_doing_as_the_prompt_says(seed):
    _, problems = told(seed)
    for problem in problems:
        results = follow(problem.prompt)
        path = [results[0], *(value for pair in pairwise(results) for value in pair), results[-1]]
        assert problem.answer == (results[-1],) and list(problem.path) == path
        assert problem.difficulty == len(results) - 1
        answer, context = ([problem.prompt[a:b] for a, b in spans] for spans in TASK.layout.spans(problem.prompt))
        assert answer == ["result"] == context[-1:] and len(context) == len(problem.path)
        assert all(place.isdecimal() for place in context[:-1:2]) and not any(place.isdecimal() for place in context[1::2])


def test_a_trace_shows_every_sum():
    problem = TASK._problem((7, (("+", 5), ("-", 3), ("x", 7))), "", TASK.wordings["train"][0], random.Random(0))
    assert problem.prompt == "Modulo 10, start with 7. Add 5. Subtract 3. Multiply by 7. The result?"
    assert problem.trace == "7 + 5 = 12, so 2. 2 - 3 = -1, so 9. 9 x 7 = 63, so 3.\nAnswer: 3"


@pytest.mark.parametrize("text", ["3", "Answer: 3.", "The result is **3** (mod 10)", "Answer: 3 modulo 10", "So $\\boxed{3}$"])
def test_one_digit_is_read_from_many_ways_of_writing_it(text):
    problem = TASK._problem((3, ()), "", TASK.wordings["train"][0], random.Random(0))
    assert TASK.score(text, problem)
    assert not TASK.score(text.replace("3", "4"), problem) and not TASK.score("Answer: 13", problem)


def test_the_key_forgets_the_start_and_how_a_number_is_taken_away():
    assert TASK._key((1, (("-", 3), ("x", 7)))) == TASK._key((5, (("+", 7), ("x", 7)))) != TASK._key((1, (("+", 3), ("x", 7))))


def test_results_are_even_and_splits_are_disjoint():
    task = Arithmetic(Arithmetic.Config(steps=6))
    splits = {split: task.problems(split, 300) for split in ("train", "dev", "test")}
    assert max(Counter(p.answer for p in splits["train"]).values()) < 60
    keys = {split: {p.key for p in problems} for split, problems in splits.items()}
    assert not keys["train"] & (keys["dev"] | keys["test"]) and not keys["dev"] & keys["test"]


def test_no_number_above_the_largest_is_added_or_subtracted():
    for problem in Arithmetic(Arithmetic.Config(largest=2)).problems("train", 20):
        told = re.findall(r"(?i)(?:add|plus|subtract|minus) (\d)", problem.prompt)
        assert set(told) <= {"1", "2"}


def test_a_prompt_that_is_no_chain_is_refused():
    with pytest.raises(InputError, match="no chain"):
        TASK.solve("Add 3. Take 5. The result?")


@pytest.mark.parametrize(
    "fields", [{"steps": 0}, {"steps": 65}, {"min_steps": 11}, {"min_steps": 0}, {"largest": 0}, {"largest": 10}]
)
def test_a_config_out_of_range_is_refused(fields):
    with pytest.raises(ConfigError, match="arithmetic"):
        Arithmetic.Config(**fields)
