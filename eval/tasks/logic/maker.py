"""Draws the graphs of the logic task, and gives their nodes names.

Holds the drawing only: prompts are logic.py's. The graphs are of the kind of ProsQA (Hao et al. 2024, Training Large
Language Models to Reason in a Continuous Latent Space, arXiv 2412.06769, appendix): two roots grow families that partly
mix, the question is about the farthest leaf of one root alone, and the wrong option belongs to the other root alone.
Names, text and code are our own; the constants are those that match the sizes of its official problems.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from hybrid.eval.tasks.graph import hops

# All names are one token in the tokenizer of SmolLM2: a name of several is a blur where positions look for the same name.
PERSONS = (
    *("Alice", "Bob", "David", "Frank", "Henry", "Jack", "Mary", "Paul", "Peter", "Sarah"),
    *("Anna", "Carl", "Emma", "George", "Helen", "James", "Laura", "Martin", "Susan", "Thomas"),
)
CONCEPTS = (
    *("baker", "sailor", "dancer", "farmer", "hunter", "singer", "rider", "scout", "knight", "tailor"),
    *("pilot", "poet", "painter", "doctor", "lawyer", "driver", "trader", "keeper", "runner", "player"),
    *("speaker", "dealer", "broker", "builder", "founder", "leader", "mayor", "captain", "soldier", "guard"),
    *("judge", "clerk", "nurse", "writer", "reader", "teacher", "tutor", "student", "scholar", "priest"),
)

_ROOTS = 2
_MEAN_PARENTS = 1.5
_FIRST, _SECOND = 0.35, 0.8
_DEPTH_WEIGHT = 1.5

Edge = tuple[str, str]


@dataclass(frozen=True)
class Family:
    """A problem without words.

    Args:
        edges: (lower, higher): every lower is a higher; a person is a lower only.
        root: the person asked about.
        target: what the root is.
        wrong: the other option, which the root is not.
        swapped: whether the wrong option is named first.
    """

    edges: tuple[Edge, ...]
    root: str
    target: str
    wrong: str
    swapped: bool = False


def draw_family(nodes: int, shortest: int, longest: int, rng: random.Random) -> Family:
    """Return a family grown from `nodes` nodes whose question takes `shortest` to `longest` hops."""
    while True:
        edges, labels = _grow(nodes, rng)
        asked = _question(edges, labels, rng)
        if asked and shortest <= asked[0] <= longest:
            _, *chosen = asked
            return _named(edges, chosen, rng)


def _grow(nodes: int, rng: random.Random) -> tuple[list[tuple[int, int]], list[int]]:
    """Return edges and labels; the bits of a label say which of the two roots reach the node."""
    labels, depths = [1, 2], [0, 0]
    edges: list[tuple[int, int]] = []
    for node in range(_ROOTS, nodes):
        draw = rng.random()
        wanted = 1 if draw <= _FIRST else 2 if draw <= _SECOND else None
        candidates = [other for other in range(node) if wanted is None or labels[other] == wanted]
        count = min(_poisson(_MEAN_PARENTS, rng), len(candidates))
        weights = [_DEPTH_WEIGHT * depths[other] + 1 for other in candidates]
        parents = []
        for _ in range(count):
            place = rng.choices(range(len(candidates)), weights)[0]
            parents.append(candidates.pop(place))
            weights.pop(place)
        edges += [(parent, node) for parent in parents]
        label = 0
        for parent in parents:
            label |= labels[parent]
        labels.append(label)
        depths.append(1 + min(depths[parent] for parent in parents) if parents else 0)
    return edges, labels


def _poisson(mean: float, rng: random.Random) -> int:
    count, product, limit = 0, rng.random(), math.exp(-mean)
    while product > limit:
        count, product = count + 1, product * rng.random()
    return count


def _question(edges: Sequence[tuple[int, int]], labels: Sequence[int], rng: random.Random) -> tuple[int, int, int, int] | None:
    """Return (hops, root, target, wrong option), or None where a root has no leaf of its own."""
    lower = {source for source, _ in edges}
    inner = range(_ROOTS, len(labels))
    leaves = [[node for node in inner if labels[node] == label and node not in lower] for label in (1, 2)]
    if not all(leaves):
        return None
    far = [hops(edges, root) for root in range(_ROOTS)]
    most, _, root, target = max((far[root][leaf], rng.random(), root, leaf) for root in range(_ROOTS) for leaf in leaves[root])
    return most, root, target, rng.choice(leaves[1 - root])


def _named(edges: Sequence[tuple[int, int]], chosen: Sequence[int], rng: random.Random) -> Family:
    higher = {target for _, target in edges}
    nodes = sorted({node for edge in edges for node in edge})
    persons, concepts = iter(rng.sample(PERSONS, len(PERSONS))), iter(rng.sample(CONCEPTS, len(CONCEPTS)))
    names = {node: next(concepts) if node in higher else next(persons) for node in nodes}
    told = [(names[source], names[target]) for source, target in edges]
    rng.shuffle(told)
    root, target, wrong = (names[node] for node in chosen)
    return Family(tuple(told), root, target, wrong, rng.random() < 0.5)
