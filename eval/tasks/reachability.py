"""Reachability: roads between towns are told one by one; how many of them lead from one town to each other?

Holds the task. Reachability in a directed graph is complete for NL, and the answer holds the path as well as the verdict:
for every town its distance, or that no way leads there. Both ends of every road say their town's distance too, so that a
reasoner can be taught the way.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import ClassVar

from hybrid.errors import InputError
from hybrid.eval.tasks.answers import read_assignment
from hybrid.eval.tasks.graph import Node, graph_key, hops
from hybrid.eval.tasks.show import Cell, Picture
from hybrid.eval.tasks.task import TASKS, Task, changes
from hybrid.kinds import ADDED, require
from hybrid.layout import LayoutConfig, SpanPattern
from hybrid.problem import Problem

# Each is one token in the tokenizer of SmolLM2, so that prompts stay short.
TOWNS = (
    *("Paris", "London", "Berlin", "Rome", "Vienna", "Oslo", "Madrid", "Athens", "Cairo", "Lima"),
    *("Delhi", "Tokyo", "Milan", "Geneva", "Dublin", "Prague"),
)
NONE = "none"
_NO_WAY = re.compile(
    r"(?i)\b(?:unreachable|not reachable|inaccessible|impossible|no (?:way|path|road|roads)|infinit[ey]|inf|n/a)\b|\u221e"
)
_DRAWS = 5_000

Road = tuple[int, int]


@dataclass(frozen=True)
class Land:
    """A problem without words.

    Args:
        towns: in the order of the list.
        start: place in `towns`.
        roads: pairs of places in `towns`, in the order in which they are told.
    """

    towns: tuple[str, ...]
    start: int
    roads: tuple[Road, ...]


@dataclass(frozen=True)
class Words:
    """One way to tell it: how it begins (start, towns), sentences for one-way and two-way roads, and a question."""

    intro: str
    one_way: tuple[str, ...]
    two_way: tuple[str, ...]
    question: str


INTROS = (
    *("Start in {}. Towns: {}.", "From {} to the towns {}.", "We live in {} and visit {}.", "Begin at {}. On the map are {}."),
    *("Our house is in {}. We want to see {}.", "Set out from {} for {}.", "You are in {}. The places are {}."),
    *("We leave {} for the towns {}.", "Home is {}. There are {}.", "Take {} as the first place. All places: {}."),
    *("Our tour starts in {} and covers {}.", "A post office in {} writes to {}.", "He was born in {}. He has heard of {}."),
    *("The king of {} also rules {}.", "They set off at {} and look for {}.", "Here is {}. Elsewhere are {}."),
)
ONE_WAY = (
    *("{} leads to {}.", "Road from {} to {}.", "{} has a road to {}.", "A bus goes from {} to {}.", "From {} you get to {}."),
    *("You can walk from {} to {}.", "A path begins in {} and ends in {}.", "{} sends cars to {}.", "Ships sail from {} to {}."),
    *("The way out of {} is the way into {}.", "A tram that leaves {} stops in {}.", "There is a street from {} to {}."),
    *("It is possible to cycle from {} to {}.", "The river of {} flows to {}.", "Letters of {} arrive in {}."),
    *("From {} the coach runs to {}.", "Who is in {} may go on to {}.", "The bridge of {} takes you to {}."),
)
TWO_WAY = (
    *("{} touches {}.", "Road between {} and {}.", "{} and {} share a road.", "A bus links {} with {}.", "{} and {} meet."),
    *("You can walk between {} and {}.", "A path binds {} to {}.", "{} borders on {}.", "{} and {} are neighbours."),
    *("Ships sail between {} and {}.", "A street connects {} and {}.", "{} is beside {}."),
)
QUESTIONS = (
    *("How many roads to each town?", "How far is each?", "How many roads to each?", "How many rides to each?"),
    *("Count the ways to every place.", "Give the distance of each.", "How many steps are there to each town?"),
)
"""Ways to say the parts where a map is told in `varied` words; none is one of those held out."""
VARIED = tuple(Words(intro, ONE_WAY, TWO_WAY, asked) for intro, asked in product(INTROS, QUESTIONS))


@TASKS.register("reachability")
class Reachability(Task):
    """Count roads to every town. Maps are equivalent when they differ in names and the order of roads only."""

    @dataclass(frozen=True)
    class Config:
        """Settings of the maps.

        Args:
            towns: on the map, 3 to 16.
            roads: told, at least 1.
            max_hops: roads to the farthest town that can be reached, 1 to 9: the difficulty.
            min_hops: the least; the difficulty is drawn uniformly. None for 1.
            directed: whether roads lead one way only.
            varied: train on many ways to say each part, mixed, in place of four whole wordings; for heads that read words and
                should understand others.
        """

        towns: int = 8
        roads: int = 10
        max_hops: int = 4
        min_hops: int | None = None
        directed: bool = True
        varied: bool = field(default=False, metadata=ADDED)

        def __post_init__(self) -> None:
            require(3 <= self.towns <= len(TOWNS), f"reachability.towns is {self.towns}; give 3 to {len(TOWNS)}")
            most = self.towns * (self.towns - 1) // (1 if self.directed else 2)
            require(1 <= self.roads <= most, f"reachability.roads is {self.roads}; give 1 to {most} for {self.towns} towns")
            longest = min(9, self.towns - 1, self.roads)
            hops_asked = f"reachability.max_hops is {self.max_hops}"
            require(1 <= self.max_hops <= longest, f"{hops_asked}; give 1 to {longest} for so many towns and roads")
            least = self.min_hops
            require(
                least is None or 1 <= least <= self.max_hops,
                f"reachability.min_hops is {least}; give 1 to the max_hops, {self.max_hops}, or none",
            )

    wordings: ClassVar = {
        "varied": VARIED,
        "train": (
            Words("Start in {}. Towns: {}.", ("{} leads to {}.",), ("{} touches {}.",), "How many roads to each town?"),
            Words("From {} to the towns {}.", ("Road from {} to {}.",), ("Road between {} and {}.",), "How far is each?"),
            Words(
                "We live in {} and visit {}.", ("{} has a road to {}.",), ("{} and {} share a road.",), "How many roads to each?"
            ),
            Words(
                "Begin at {}. On the map are {}.",
                ("A bus goes from {} to {}.",),
                ("A bus links {} with {}.",),
                "How many rides to each?",
            ),
        ),
        "held_out": (
            Words(
                "My home is {}. I know {}.",
                ("One can drive from {} to {}.",),
                ("{} is next to {}.",),
                "How many drives to each town?",
            ),
            Words(
                "A train leaves {} for {}.",
                ("The line from {} ends in {}.",),
                ("A line joins {} and {}.",),
                "Count the lines to each stop.",
            ),
        ),
    }

    def __init__(self, config: Config) -> None:
        self.config, self.told = config, "varied" if config.varied else "train"
        self.symbols = (*map(str, range(config.max_hops + 1)), NONE)
        town = rf"(?:{'|'.join(TOWNS)})"
        # Only the list has commas beside its towns; all others are the start and the ends of roads.
        self.layout = LayoutConfig(
            answer=SpanPattern(rf"\b{town}(?:, {town})+\b", town),
            context=SpanPattern(rf"(?<!, )\b{town}\b(?!, )", town),
            num_answers=config.towns,
        )

    @property
    def answer_form(self) -> str:
        """The answer's form in words."""
        return f'a number for each town in the order of the list, 0 for the first place and "{NONE}" where no way leads'

    def read(self, text: str, problem: Problem) -> tuple[str, ...] | None:
        """Return each town's number: by name in any order, or the numbers alone in the order of the list."""
        return read_assignment(_NO_WAY.sub(NONE, text), self._parts(problem.prompt)[0], self.symbols)

    def sentence(self, problem: Problem) -> str:
        """Return how far each town is."""
        far = {"1": "is 1 road away", NONE: "has no way"}
        towns, _, _ = self._parts(problem.prompt)
        told = [f"{town} {far.get(count, f'is {count} roads away')}" for town, count in zip(towns, problem.answer, strict=True)]
        return f"{', '.join(told[:-1])} and {told[-1]}."

    def solve(self, prompt: str) -> tuple[str, ...]:
        """Return each town's distance, found by breadth-first search."""
        towns, start, roads = self._parts(prompt)
        return self._distances(towns, start, roads)

    def picture(self, prompt: str, symbols: Sequence[str], previous: Sequence[str] | None = None) -> Picture:
        """Return the numbers, each with the name of the town."""
        towns, start, _ = self._parts(prompt)
        marked = zip(symbols, towns, changes(symbols, previous), strict=True)
        return Picture((tuple(Cell(symbol, label=t, given=t == start, changed=changed) for symbol, t, changed in marked),))

    def _parts(self, prompt: str) -> tuple[list[str], str, list[tuple[str, str]]]:
        """Return the towns of the list, the start and the roads, as the prompt names them."""
        listed, told = ([prompt[start:end] for start, end in spans] for spans in self.layout.spans(prompt))
        if len(told) % 2 == 0:
            raise InputError(f"the prompt names {len(told)} ends of roads after the list and the start; give pairs")
        return listed, told[0], list(zip(told[1::2], told[2::2], strict=True))

    def _distances(self, towns: Sequence[str], start: str, roads: Sequence[tuple[str, str]]) -> tuple[str, ...]:
        far = hops(self._ways(roads), start)
        return tuple(str(far[town]) if town in far else NONE for town in towns)

    def _ways(self, roads: Sequence[tuple[Node, Node]]) -> list[tuple[Node, Node]]:
        """Return the roads, each in both directions unless they are one-way."""
        return list(roads) if self.config.directed else [*roads, *((target, source) for source, target in roads)]

    def _instances(self, rng: random.Random) -> Iterator[Land]:
        config, places = self.config, range(self.config.towns)
        while True:
            wanted = rng.randint(config.min_hops or 1, config.max_hops)
            for _ in range(_DRAWS):
                pairs = [(a, b) for a in places for b in places if a < b or (config.directed and a != b)]
                roads = [
                    pair if config.directed or rng.random() < 0.5 else pair[::-1] for pair in rng.sample(pairs, config.roads)
                ]
                start = rng.choice(places)
                if max(hops(self._ways(roads), start).values()) == wanted:
                    yield Land(tuple(rng.sample(TOWNS, config.towns)), start, tuple(roads))
                    break
            else:
                raise InputError(f"no map with {wanted} hops was found; give reachability another number of roads or hops")

    def _key(self, instance: Land) -> str:
        return f"{len(instance.towns)}:{graph_key(self._ways(instance.roads), {instance.start: 'start'})}"

    def _problem(self, instance: Land, key: str, wording: Words, rng: random.Random) -> Problem:
        towns, start = instance.towns, instance.towns[instance.start]
        roads = [(towns[source], towns[target]) for source, target in instance.roads]
        forms = wording.one_way if self.config.directed else wording.two_way
        told = " ".join(rng.choice(forms).format(*road) for road in roads)
        answer = self._distances(towns, start, roads)
        far = dict(zip(towns, answer, strict=True))
        path = tuple(far[town] for town in (start, *(end for road in roads for end in road)))
        most = max(int(symbol) for symbol in answer if symbol != NONE)
        waves = ({"", *map(str, range(wave + 1))} for wave in range(1, most))
        return Problem(
            prompt=f"{wording.intro.format(start, ', '.join(towns))} {told} {wording.question}",
            answer=answer,
            path=path,
            trace="\n".join([*_waves(far), f"Answer: {self.layout.write(answer)}"]),
            difficulty=most,
            key=key,
            steps=(*(tuple(s if s in known else "" for s in (*answer, *path)) for known in waves), answer),
        )


def _waves(far: dict[str, str]) -> list[str]:
    """Return the steps of a breadth-first search in words.

    Example:
        >>> _waves({"Rome": "0", "Oslo": "1", "Lima": "none"})
        ['0 roads: Rome.', '1 road: Oslo.', 'No way: Lima.']
    """
    waves: dict[str, list[str]] = {}
    for town, symbol in far.items():
        waves.setdefault(symbol, []).append(town)
    names = {NONE: "No way", "1": "1 road"}
    return [f"{names.get(symbol, f'{symbol} roads')}: {', '.join(waves[symbol])}." for symbol in sorted(waves)]
