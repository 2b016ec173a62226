"""Directed graphs of the tasks that tell one in words: distances, one shortest path, a key that forgets the names.

Holds no prompts. An edge is a pair of nodes, a node any hashable.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

Node = TypeVar("Node", bound=Hashable)


def hops(edges: Iterable[tuple[Node, Node]], start: Node) -> dict[Node, int]:
    """Return the least number of edges from `start` to every node that can be reached, nearest first.

    Example:
        >>> hops([("a", "b"), ("b", "c"), ("d", "a")], "a")
        {'a': 0, 'b': 1, 'c': 2}
    """
    ahead: dict[Node, list[Node]] = {}
    for source, target in edges:
        ahead.setdefault(source, []).append(target)
    found, wave = {start: 0}, [start]
    while wave:
        fresh = []
        for node in wave:
            for near in ahead.get(node, ()):
                if near not in found:
                    found[near] = found[node] + 1
                    fresh.append(near)
        wave = fresh
    return found


def way(edges: Sequence[tuple[Node, Node]], start: Node, goal: Node) -> list[Node]:
    """Return the nodes of a shortest path, both ends included; empty where there is none.

    Example:
        >>> way([("a", "b"), ("b", "c"), ("a", "d"), ("d", "c")], "a", "c")
        ['a', 'b', 'c']
    """
    far = hops(edges, start)
    if goal not in far:
        return []
    path = [goal]
    while path[-1] != start:
        path.append(next(s for s, t in edges if t == path[-1] and far.get(s) == far[path[-1]] - 1))
    return path[::-1]


def graph_key(edges: Sequence[tuple[Node, Node]], marks: Mapping[Node, str]) -> str:
    """Return a name that is the same for the same graph with other names for its nodes, in any order of its edges.

    Colours are refined from the `marks` of single nodes and the colours around (Weisfeiler and Leman 1968). Rarely two
    graphs that differ share a name; two that are the same always do, which is what splits need.

    Example:
        >>> graph_key([("a", "b")], {"a": "start"}) == graph_key([("y", "x")], {"y": "start"})
        True
    """
    nodes = sorted({node for edge in edges for node in edge} | set(marks), key=str)
    ahead: dict[Node, list[Node]] = {node: [] for node in nodes}
    behind: dict[Node, list[Node]] = {node: [] for node in nodes}
    for source, target in edges:
        ahead[source].append(target)
        behind[target].append(source)
    digest = hashlib.blake2b(digest_size=12)
    first = {node: marks.get(node, "") for node in nodes}
    ranks = {mark: rank for rank, mark in enumerate(sorted(set(first.values())))}
    digest.update(repr(sorted(first.values())).encode())
    colours = {node: ranks[first[node]] for node in nodes}
    while True:
        seen = {
            node: (colours[node], *(tuple(sorted([colours[near] for near in side[node]])) for side in (ahead, behind)))
            for node in nodes
        }
        kinds = sorted(set(seen.values()))
        digest.update(repr(sorted(seen.values())).encode())
        if len(kinds) == len(set(colours.values())):
            return digest.hexdigest()
        places = {kind: rank for rank, kind in enumerate(kinds)}
        colours = {node: places[seen[node]] for node in nodes}
