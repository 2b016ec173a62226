"""State tracking: people hold coloured balls and swap them; who holds which in the end?

Holds the task. The final state is a composition of transpositions. With five people that is the word problem of S5,
complete for NC1 (Barrington 1989), so a fixed number of layers is not believed to do it for every length (Merrill,
Petty and Sabharwal 2024, The Illusion of State in State-Space Models). Every swap also says what its two people hold
after it, so that a reasoner can be taught the way.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import combinations, permutations, product
from typing import ClassVar

from hybrid.errors import InputError
from hybrid.eval.tasks.answers import read_assignment
from hybrid.eval.tasks.show import Cell, Picture
from hybrid.eval.tasks.task import TASKS, Task, changes
from hybrid.kinds import ADDED, require
from hybrid.layout import LayoutConfig, SpanPattern
from hybrid.problem import Problem

# All are one token in the tokenizers of SmolLM2, so that prompts stay short.
NAMES = ("Alice", "Bob", "David", "Frank", "Henry", "Jack", "Mary", "Paul", "Peter", "Sarah")
COLOURS = ("red", "blue", "green", "yellow", "black")


@dataclass(frozen=True)
class Story:
    """A problem without words.

    Args:
        names: people in the order of their introduction.
        colours: what each holds at first.
        swaps: pairs of places in `names`, in the order in which a sentence names them.
    """

    names: tuple[str, ...]
    colours: tuple[str, ...]
    swaps: tuple[tuple[int, int], ...]

    def states(self) -> list[tuple[str, ...]]:
        """Return the colour each person holds before the first swap and after every one."""
        held = list(self.colours)
        states = [tuple(held)]
        for first, second in self.swaps:
            held[first], held[second] = held[second], held[first]
            states.append(tuple(held))
        return states


@dataclass(frozen=True)
class Words:
    """One way to tell a story: a clause for each person, sentences for swaps, and a question."""

    intro: str
    swaps: tuple[str, ...]
    question: str


INTROS = (
    *("{} has {}", "{} holds {}", "{}: {}", "{} has the {} ball", "{} begins with {}", "{} got {}", "{} keeps {}", "{} owns {}"),
    *("{} is given {}", "{} comes with the {} one", "{} takes the {} ball", "{} plays with {}"),
)
SWAPS = (
    *("{} and {} swap.", "{} trades with {}.", "{} swaps with {}.", "{} and {} trade.", "Then {} trades with {}."),
    *("Next {} and {} trade.", "{} and {} swap balls.", "After that {} swaps with {}.", "{} deals with {}.", "{} and {} deal."),
    *("So {} and {} swap what they hold.", "{} barters with {}.", "Later {} and {} barter.", "{} and {} trade theirs."),
)
QUESTIONS = (
    *("Who has what now?", "What does each hold now?", "Give the final colours.", "Which ball is where now?"),
    *("Tell what everyone has.", "What is the state at the end?", "List who holds which colour."),
)
"""Ways to say the parts of a story where it is told in `varied` words; none is one of those held out."""
_OPENINGS = [form for form in SWAPS if form.startswith("{}")]
VARIED = tuple(Words(intro, (form, *SWAPS), asked) for intro, form, asked in product(INTROS, _OPENINGS, QUESTIONS))


@TASKS.register("state_tracking")
class StateTracking(Task):
    """Follow who holds which ball. Stories are equivalent when they differ in names, colours and word order only."""

    @dataclass(frozen=True)
    class Config:
        """Settings of the stories.

        Args:
            objects: people, and balls, 3 to 5.
            swaps: swaps in a story, 1 to 64; the most when `min_swaps` is given.
            min_swaps: the least; their number is then drawn uniformly. None for `swaps`.
            varied: train on many ways to say each part of a story, mixed, in place of four whole wordings; for heads that read
                words and should understand others.
        """

        objects: int = 5
        swaps: int = 12
        min_swaps: int | None = None
        varied: bool = field(default=False, metadata=ADDED)

        def __post_init__(self) -> None:
            require(3 <= self.objects <= 5, f"state_tracking.objects is {self.objects}; give 3 to 5")
            require(1 <= self.swaps <= 64, f"state_tracking.swaps is {self.swaps}; give 1 to 64")
            require(
                self.min_swaps is None or 1 <= self.min_swaps <= self.swaps,
                f"state_tracking.min_swaps is {self.min_swaps}; give 1 to the swaps, {self.swaps}, or none",
            )

    wordings: ClassVar = {
        "varied": VARIED,
        "train": (
            Words("{} has {}", ("{} and {} swap.",), "Who has what now?"),
            Words("{} holds {}", ("{} trades with {}.", "Then {} trades with {}."), "What does each hold now?"),
            Words("{}: {}", ("{} swaps with {}.",), "Give the final colours."),
            Words("{} has the {} ball", ("{} and {} trade.", "Next {} and {} trade."), "Which ball is where now?"),
        ),
        "held_out": (
            Words("{} starts with {}", ("{} exchanges with {}.",), "How does it end?"),
            Words("{} carries {}", ("Now {} and {} switch.", "{} and {} switch."), "Name everyone's last colour."),
        ),
    }

    def __init__(self, config: Config) -> None:
        self.config, self.told = config, "varied" if config.varied else "train"
        self.symbols = COLOURS[: config.objects]
        name, colour = (rf"\b(?:{'|'.join(words)})\b" for words in (NAMES, self.symbols))
        # Inside a swap only "and" or "... with" stands between two names, inside an introduction only a verb or colon.
        self.layout = LayoutConfig(
            answer=SpanPattern(r"(?s).+", rf"{name}:? (?:[a-z]+ ){{0,3}}?{colour}"),
            context=SpanPattern(rf"{name} (?:and|[a-z]+ with) {name}", name),
            num_answers=config.objects,
        )

    @property
    def answer_form(self) -> str:
        """The answer's form in words."""
        return "the colours alone, in the order in which the people were introduced"

    def read(self, text: str, problem: Problem) -> tuple[str, ...] | None:
        """Return each person's colour: by name in any order, or the colours alone in the order of introduction."""
        return read_assignment(text, self._people(problem.prompt), self.symbols)

    def sentence(self, problem: Problem) -> str:
        """Return who has which colour."""
        told = [f"{name} has {colour}" for name, colour in zip(self._people(problem.prompt), problem.answer, strict=True)]
        return f"{', '.join(told[:-1])} and {told[-1]}."

    def solve(self, prompt: str) -> tuple[str, ...]:
        """Return each person's last colour, found by following the swaps."""
        intros, ends = ([prompt[start:end] for start, end in spans] for spans in self.layout.spans(prompt))
        people = self._people(prompt)
        held = {name: clause.split()[-1] for name, clause in zip(people, intros, strict=True)}
        for first, second in zip(ends[::2], ends[1::2], strict=True):
            if first not in held or second not in held:
                raise InputError(f"{first} and {second} swap, but who holds what at first is told of {', '.join(people)} only")
            held[first], held[second] = held[second], held[first]
        return tuple(held[name] for name in people)

    def picture(self, prompt: str, symbols: Sequence[str], previous: Sequence[str] | None = None) -> Picture:
        """Return the colours, each with the name of the person."""
        marked = zip(symbols, self._people(prompt), changes(symbols, previous), strict=True)
        return Picture((tuple(Cell(symbol, label=name, changed=changed) for symbol, name, changed in marked),))

    def _people(self, prompt: str) -> list[str]:
        spans, _ = self.layout.spans(prompt)
        return [prompt[start:end].split()[0].rstrip(":") for start, end in spans]

    def _instances(self, rng: random.Random) -> Iterator[Story]:
        people, least = range(self.config.objects), self.config.min_swaps or self.config.swaps
        while True:
            names = tuple(rng.sample(NAMES, self.config.objects))
            colours = tuple(rng.sample(self.symbols, self.config.objects))
            count = rng.randint(least, self.config.swaps)
            pairs = (rng.sample(people, 2) for _ in range(count))
            yield Story(names, colours, tuple((first, second) for first, second in pairs))

    def _key(self, instance: Story) -> str:
        return f"{self.config.objects}:{canonical_swaps(self.config.objects, instance.swaps)}"

    def _problem(self, instance: Story, key: str, wording: Words, rng: random.Random) -> Problem:
        names, states = instance.names, instance.states()
        told = [tuple(names[person] for person in pair) for pair in instance.swaps]
        # The first form of a sentence opens the story, so that no "Then" does.
        forms = [rng.choice(wording.swaps) if number else wording.swaps[0] for number in range(len(told))]
        intro = ", ".join(wording.intro.format(*held) for held in zip(names, instance.colours, strict=True))
        swaps = " ".join(form.format(*pair) for form, pair in zip(forms, told, strict=True))
        after = list(zip(told, instance.swaps, states[1:], strict=True))
        steps = [f"{first} and {second}: {_describe(names, state)}." for (first, second), _, state in after]
        return Problem(
            prompt=f"{intro}. {swaps} {wording.question}",
            answer=states[-1],
            path=tuple(state[person] for _, pair, state in after for person in pair),
            trace="\n".join([*steps, f"Answer: {self.layout.write(states[-1])}"]),
            difficulty=len(instance.swaps),
            key=key,
            steps=tuple(states[1:]),
        )


def _describe(names: Sequence[str], state: Sequence[str]) -> str:
    return ", ".join(f"{name} {colour}" for name, colour in zip(names, state, strict=True))


def canonical_swaps(objects: int, swaps: Sequence[tuple[int, int]]) -> str:
    """Return the least spelling of a swap sequence over all ways to number the people; one character a swap.

    Example:
        >>> canonical_swaps(3, [(2, 1), (1, 0)]) == canonical_swaps(3, [(0, 1), (2, 1)])
        True
    """
    numbers, tables = _pair_tables(objects)
    spelled = bytes(numbers[frozenset(pair)] for pair in swaps)
    return min(spelled.translate(table) for table in tables).decode("ascii")


@lru_cache
def _pair_tables(objects: int) -> tuple[dict[frozenset[int], int], list[bytes]]:
    """Return each pair's number, and for every renumbering of the people a table from pair numbers to letters."""
    numbers = {frozenset(pair): number for number, pair in enumerate(combinations(range(objects), 2))}
    tables = []
    for order in permutations(range(objects)):
        table = bytearray(256)
        for pair, number in numbers.items():
            table[number] = ord("a") + numbers[frozenset(order[person] for person in pair)]
        tables.append(bytes(table))
    return numbers, tables
