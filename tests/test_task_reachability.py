"""Reachability: maps told in words, distances, the path beside the answer, scoring."""

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid.errors import ConfigError, InputError
from hybrid.eval.tasks import Reachability
from hybrid.eval.tasks.reachability import TOWNS, VARIED

TASKS = {
    directed: Reachability(Reachability.Config(towns=6, roads=7, max_hops=4, directed=directed)) for directed in (True, False)
}
cases = st.tuples(st.booleans(), st.integers(0, 5_000))


def told(directed, seed):
    task, rng = TASKS[directed], random.Random(seed)
    land = next(task._instances(rng))
    words = (*task.wordings["train"], *task.wordings["held_out"], *rng.sample(VARIED, 6))
    return task, land, [task._problem(land, task._key(land), wording, rng) for wording in words]


def walk(directed, prompt):
    """Read the prompt word by word, and spread from the start until nothing changes."""
    names = [word for word in re.findall(r"\w+", prompt) if word in TOWNS]
    start, listed, ends = names[0], names[1:7], names[7:]
    roads = list(zip(ends[::2], ends[1::2], strict=True))
    far = {start: 0}
    for _ in range(6):
        for source, target in [*roads, *(() if directed else [road[::-1] for road in roads])]:
            if source in far:
                far[target] = min(far.get(target, 99), far[source] + 1)
    return start, listed, ends, far


@settings(max_examples=60, deadline=None)
@given(cases)
def test_answer_path_and_layout_are_those_of_a_direct_reading_in_every_wording(case):
    task, _, problems = told(*case)
    for problem in problems:
        start, listed, ends, far = walk(case[0], problem.prompt)
        assert problem.answer == tuple(str(far.get(town, "none")) for town in listed)
        assert problem.path == tuple(str(far.get(town, "none")) for town in (start, *ends))
        assert problem.difficulty == max(far.values())
        answer, context = ([problem.prompt[a:b] for a, b in spans] for spans in task.layout.spans(problem.prompt))
        assert answer == listed and context == [start, *ends]


@settings(max_examples=30, deadline=None)
@given(cases)
def test_the_scorer_takes_names_in_any_order_and_other_words_for_none(case):
    task, _, problems = told(*case)
    for problem in problems:
        _, listed, _, far = walk(case[0], problem.prompt)
        lines = [f"{town}: {far[town]} roads" if town in far else f"{town}: unreachable" for town in listed]
        for text in ("\n".join(lines[::-1]), "Answer: " + ", ".join(lines), problem.trace, task.layout.write(problem.answer)):
            assert task.score(text, problem)
        assert not task.score("\n".join(lines[1:]), problem)
        assert not task.score(task.layout.write(problem.answer[::-1]), problem) or problem.answer == problem.answer[::-1]


def test_hops_are_drawn_evenly_and_splits_are_disjoint():
    task = TASKS[True]
    splits = {split: task.problems(split, 80) for split in ("train", "dev", "test")}
    counts = [sum(p.difficulty == hops for p in splits["train"]) for hops in (1, 2, 3, 4)]
    assert min(counts) >= 10
    keys = {split: {p.key for p in problems} for split, problems in splits.items()}
    assert not keys["train"] & (keys["dev"] | keys["test"]) and not keys["dev"] & keys["test"]


@settings(max_examples=30, deadline=None)
@given(cases, st.randoms())
def test_the_key_forgets_names_and_the_order_of_roads(case, rng):
    task, land, _ = told(*case)
    order = rng.sample(range(6), 6)
    roads = [(order[a], order[b]) for a, b in land.roads]
    rng.shuffle(roads)
    if not case[0]:
        roads = [road[::-1] if rng.random() < 0.5 else road for road in roads]
    assert task._key(type(land)(land.towns[::-1], order[land.start], tuple(roads))) == task._key(land)


def test_a_map_that_cannot_be_is_an_input_error():
    task = Reachability(Reachability.Config(towns=4, roads=12, max_hops=3, min_hops=3))
    with pytest.raises(InputError, match="no map with 3 hops"):
        task.problems("train", 1)


@pytest.mark.parametrize(
    "fields", [{"towns": 2}, {"towns": 17}, {"roads": 0}, {"roads": 57}, {"max_hops": 8}, {"min_hops": 5}, {"min_hops": 0}]
)
def test_a_config_out_of_range_is_refused(fields):
    with pytest.raises(ConfigError, match="reachability"):
        Reachability.Config(**fields)
