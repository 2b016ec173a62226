"""Graphs told in words: distances, ways, and keys that forget names."""

import random
from itertools import pairwise, permutations

from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid.eval.tasks.graph import graph_key, hops, way

edges = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=14, unique=True)


@settings(max_examples=80, deadline=None)
@given(edges)
def test_distances_are_those_of_repeated_relaxation(edges):
    far = {0: 0}
    for _ in range(8):
        for source, target in edges:
            if source in far:
                far[target] = min(far.get(target, 99), far[source] + 1)
    assert hops(edges, 0) == far
    for node in range(7):
        path = way(edges, 0, node)
        assert (len(path) - 1 if path else None) == far.get(node)
        assert all(step in edges for step in pairwise(path))


@settings(max_examples=80, deadline=None)
@given(edges, st.randoms())
def test_the_key_forgets_names_and_order_but_not_marks(edges, rng):
    names = rng.sample("abcdefg", 7)
    renamed = [(names[a], names[b]) for a, b in edges]
    rng.shuffle(renamed)
    assert graph_key(edges, {0: "start"}) == graph_key(renamed, {names[0]: "start"})
    assert graph_key(edges, {0: "start"}) != graph_key(edges, {0: "goal"})


def test_the_key_tells_small_graphs_apart():
    nodes = range(4)
    pairs = [(a, b) for a in nodes for b in nodes if a != b]
    rng = random.Random(0)
    for _ in range(200):
        first, second = (frozenset(rng.sample(pairs, 4)) for _ in range(2))
        same = any(frozenset((order[a], order[b]) for a, b in first) == second for order in permutations(nodes) if order[0] == 0)
        marks = {node: "start" if node == 0 else "" for node in nodes}
        assert (graph_key(sorted(first), marks) == graph_key(sorted(second), marks)) == same
