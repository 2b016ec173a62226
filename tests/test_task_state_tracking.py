"""State tracking: stories, spans, the path beside the answer, splits, scoring."""

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid.errors import ConfigError
from hybrid.eval.tasks import StateTracking
from hybrid.eval.tasks.show import as_html
from hybrid.eval.tasks.state_tracking import COLOURS, NAMES, VARIED, canonical_swaps

TASKS = {objects: StateTracking(StateTracking.Config(objects, swaps=12, min_swaps=1)) for objects in (3, 4, 5)}
cases = st.tuples(st.sampled_from([3, 4, 5]), st.integers(0, 10_000))


def told(objects, seed):
    """Return the task and one story in each of its wordings."""
    task, rng = TASKS[objects], random.Random(seed)
    story = next(task._instances(rng))
    words = (*task.wordings["train"], *task.wordings["held_out"], *rng.sample(VARIED, 8))
    return task, [task._problem(story, task._key(story), wording, rng) for wording in words]


def simulate(prompt):
    """Follow the swaps by reading the prompt's own words, sentence by sentence."""
    intro, *sentences = prompt.split(". ")
    names = [word for word in re.findall(r"\w+", intro) if word in NAMES]
    held = dict(zip(names, [word for word in re.findall(r"\w+", intro) if word in COLOURS], strict=True))
    path = []
    for sentence in sentences:
        pair = [word for word in re.findall(r"\w+", sentence) if word in NAMES]
        if pair:
            first, second = pair
            held[first], held[second] = held[second], held[first]
            path += [held[first], held[second]]
    return names, held, path


@settings(max_examples=60, deadline=None)
@given(cases)
def test_answer_and_path_are_those_of_a_direct_simulation_in_every_wording(case):
    task, problems = told(*case)
    for problem in problems:
        names, held, path = simulate(problem.prompt)
        assert problem.answer == tuple(held[name] for name in names)
        assert list(problem.path) == path
        assert sorted(problem.answer) == sorted(task.symbols)


@settings(max_examples=60, deadline=None)
@given(cases)
def test_the_layout_finds_introductions_and_swap_names_and_nothing_else(case):
    task, problems = told(*case)
    for problem in problems:
        answer, context = task.layout.spans(problem.prompt)
        names, _, _ = simulate(problem.prompt)
        clauses = [problem.prompt[start:end] for start, end in answer]
        assert [clause.split()[0].rstrip(":") for clause in clauses] == names
        assert all(any(colour in clause for colour in task.symbols) for clause in clauses)
        _, *sentences = problem.prompt.split(". ")
        mentioned = [word for word in re.findall(r"\w+", " ".join(sentences)) if word in NAMES]
        assert [problem.prompt[start:end] for start, end in context] == mentioned
        assert len(context) == len(problem.path) == 2 * problem.difficulty
        assert min((start for start, _ in context), default=0) > max(end for _, end in answer)


@settings(max_examples=40, deadline=None)
@given(cases)
def test_the_scorer_accepts_symbols_names_in_any_order_and_the_trace(case):
    task, problems = told(*case)
    for problem in problems:
        names, held, _ = simulate(problem.prompt)
        by_name = [f"{name} has {held[name]}" for name in names]
        for text in (task.layout.write(problem.answer), problem.trace, ", ".join(reversed(by_name))):
            assert task.score(text, problem)
        assert not task.score("Answer: " + ", ".join(by_name[1:]), problem)
        assert not task.score(task.layout.write(problem.answer[::-1]), problem)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)).filter(lambda p: p[0] != p[1]), max_size=12), st.randoms())
def test_the_key_forgets_who_is_who_and_who_is_named_first(swaps, rng):
    order = rng.sample(range(5), 5)
    other = [(order[a], order[b]) if rng.random() < 0.5 else (order[b], order[a]) for a, b in swaps]
    assert canonical_swaps(5, other) == canonical_swaps(5, swaps)


def test_the_key_tells_different_swap_sequences_apart():
    assert canonical_swaps(3, [(0, 1), (0, 1)]) != canonical_swaps(3, [(0, 1), (1, 2)])
    assert len({canonical_swaps(3, [(0, 1), p, q]) for p in [(0, 1), (1, 2)] for q in [(0, 1), (1, 2), (0, 2)]}) == 5


def test_splits_are_disjoint_by_key_across_seeds():
    task = StateTracking(StateTracking.Config(objects=3, swaps=6))
    keys = {s: {p.key for seed in range(3) for p in task.problems(s, 60, seed=seed)} for s in ("train", "dev", "test")}
    assert not keys["train"] & (keys["dev"] | keys["test"]) and not keys["dev"] & keys["test"]


def test_no_problem_opens_with_a_then():
    task = StateTracking(StateTracking.Config())
    for problem in task.problems("train", 40):
        assert problem.prompt.split(". ")[1].split()[0] not in ("Then", "Next")


def test_the_picture_names_the_people():
    task = StateTracking(StateTracking.Config(3, 2))
    problem = task.problems("train", 1)[0]
    names, held, _ = simulate(problem.prompt)
    assert task.show(problem.prompt, problem.answer).plain == " ".join(f"{name} {held[name]}" for name in names)
    assert all(name in as_html(task.picture(problem.prompt, problem.answer, problem.answer)) for name in names)


@pytest.mark.parametrize("fields", [{"objects": 2}, {"objects": 6}, {"swaps": 0}, {"min_swaps": 13}, {"min_swaps": 0}])
def test_a_config_out_of_range_is_refused(fields):
    with pytest.raises(ConfigError, match="state_tracking"):
        StateTracking.Config(**fields)
