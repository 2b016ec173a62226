"""What a task is: a maker of problems in disjoint splits, a scorer of free text and a drawing of answers.

Holds the base class, its registry, the splitting and the drawing of distinct problems; no task of its own. How free
text is read is answers.py's, how an answer is drawn show.py's.
"""

from __future__ import annotations

import hashlib
import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from hybrid.errors import ConfigError, InputError
from hybrid.eval.tasks.show import Cell, Picture, as_text
from hybrid.kinds import Kinds
from hybrid.layout import LayoutConfig
from hybrid.problem import Problem
from hybrid.symmetry import Symmetry

if TYPE_CHECKING:
    from rich.text import Text

Split = Literal["train", "dev", "test"]
Wording = Literal["train", "held_out"]
Style = Literal["direct", "cot"]

USUAL_COUNT: dict[str, int] = {"train": 2000, "dev": 300, "test": 500}
"""Problems of each split where no number is asked for."""

_PATIENCE = 5000
"""Draws in a row without a new problem after which a split counts as exhausted."""


class Task(ABC):
    """A family of problems, mostly with a closed answer vocabulary.

    Every problem has a `key`, the name of its equivalence class, and a hash of the key alone decides its split. So no
    problem equivalent to a training one is ever in dev or test, whatever the seeds, configs and counts.

    Attributes:
        Config: frozen dataclass of the task's settings.
        symbols: the answer vocabulary, in fixed order.
        layout: finds answer and context spans in every wording of the prompts.
        symmetry: what turns a problem into another of the task, None where nothing is known to.
        box: rows and columns of a grid's boxes, None where there are none.
        wordings: ways to put a problem, for training and held out for out-of-distribution tests.
        told: which of them training problems are put in.
        dev_share, test_share: parts of all equivalence classes.
    """

    kind: ClassVar[str]
    Config: ClassVar[type[Any]]
    wordings: ClassVar[Mapping[str, tuple[Any, ...]]]
    told: str = "train"
    dev_share: ClassVar[float] = 0.1
    test_share: ClassVar[float] = 0.1

    symbols: tuple[str, ...]
    layout: LayoutConfig
    symmetry: Symmetry | None = None
    box: tuple[int, int] | None = None

    @property
    def title(self) -> str:
        """The task's name as it stands in tables, before its settings."""
        return self.kind

    @abstractmethod
    def __init__(self, config: Any) -> None: ...

    @property
    @abstractmethod
    def answer_form(self) -> str:
        """The answer's form in words, for instructions: `the sorted numbers, with blanks between them`."""

    @abstractmethod
    def read(self, text: str, problem: Problem) -> tuple[str, ...] | None:
        """Return the final answer that free text gives to `problem`, or None for none or several; never raise."""

    def said(self, text: str, problem: Problem, lines: int) -> tuple[str, ...] | None:
        """Return what free text answers, the same for texts that say the same, whatever the right answer is. Here: as read.

        Args:
            text: what was written.
            problem: asked.
            lines: of the longest answer; what stands behind them is no part of one.
        """
        return self.read(text, problem)

    @property
    def left_out(self) -> str:
        """What of the task's data is left out, in words; empty for nothing. Here: nothing."""
        return ""

    def apart(self, trained: Task) -> None:  # noqa: B027
        """Raise InputError where problems of this task are those that another one trains on.

        Here: never, as a hash of its class decides a problem's split whatever the settings.
        """

    @abstractmethod
    def _instances(self, rng: random.Random) -> Iterator[Any]:
        """Yield hashable problems without words, in any split; may end."""

    @abstractmethod
    def _key(self, instance: Any) -> str:
        """Return the name of the equivalence class of `instance`."""

    @abstractmethod
    def _problem(self, instance: Any, key: str, wording: Any, rng: random.Random) -> Problem:
        """Put `instance` into words; `rng` may draw what the wording leaves open."""

    def problems(self, split: Split, count: int | None = None, *, seed: int = 0, wording: Wording = "train") -> list[Problem]:
        """Return `count` problems with distinct prompts, the same ones for the same arguments and config.

        A smaller `count` gives the beginning of a greater one; None takes 2000, 300 or 500 for train, dev or test. Another
        `wording` puts the same problems in other words, so that the two can be compared pair by pair.

        Raises:
            InputError: an argument is unknown, or the split has too few different problems.
        """
        check_arguments(split, count, wording)
        count = USUAL_COUNT[split] if count is None else count
        found = self._some(split, count, seed, wording)
        if len(found) < count:
            raise InputError(
                f"{count} {split} problems of {self.kind} were asked for, but only {len(found)} different ones were "
                "found; ask for fewer, or widen the task's config"
            )
        return found

    def up_to(self, split: Split, count: int, *, seed: int = 0) -> list[Problem]:
        """Return `count` problems as `problems` does, or all that it finds where there are fewer."""
        check_arguments(split, count, "train")
        return self._some(split, count, seed, "train")

    def _some(self, split: Split, count: int, seed: int, wording: Wording) -> list[Problem]:
        draws, words = (random.Random(f"{self.kind} {split} {seed} {use}") for use in ("draw", "word"))
        seen: set[Any] = set()
        found: list[Problem] = []
        misses = 0
        for instance in self._instances(draws) if count else ():
            misses += 1
            if instance not in seen:
                seen.add(instance)
                key = self._key(instance)
                if self.split_of(key) == split:
                    found.append(
                        self._problem(
                            instance, key, words.choice(self.wordings[self.told if wording == "train" else wording]), words
                        )
                    )
                    misses = 0
            if len(found) == count:
                return found
            if misses >= _PATIENCE:
                break
        return found

    def split_of(self, key: str) -> Split:
        """Return the split of the problems with this key."""
        digest = hashlib.blake2b(f"{self.kind} {key}".encode(), digest_size=8).digest()
        place = int.from_bytes(digest, "big") / 2**64
        if place < self.test_share:
            return "test"
        return "dev" if place < self.test_share + self.dev_share else "train"

    def score(self, text: str, problem: Problem) -> bool:
        """Say whether free text gives the right answer to `problem` as its one final answer.

        Markdown, words around the answer and an "Answer:" before it do no harm; an answer that is missing, incomplete
        or ambiguous is wrong. Never raises, whatever the string.
        """
        return self.right(self.read(text, problem), problem)

    def right(self, symbols: Sequence[str] | None, problem: Problem) -> bool:
        """Say whether `symbols` answer `problem`; None never does. Here: they are its answer."""
        return symbols is not None and tuple(symbols) == problem.answer

    def solve(self, prompt: str) -> tuple[str, ...]:
        """Return the answer that a classical solver finds in the prompt's text alone, in any wording.

        Raises:
            ConfigError: this task has no solver.
            InputError: the prompt holds no problem of this task, or one without an answer.
        """
        raise ConfigError(f"the task {self.kind} has no classical solver; leave out the method solver")

    def understood(self, prompt: str) -> str:
        """Return a prompt as heads read it; tasks whose problems people write in many ways know some. Here: as it is.

        Raises:
            InputError: the text holds no problem of this task; the message has an example that works.
        """
        return prompt

    def refuse(self, prompt: str) -> None:  # noqa: B027
        """Raise InputError, which says why, for an understood prompt that has no solution. Here: never."""

    def check(self, prompt: str, symbols: Sequence[str]) -> bool | None:
        """Say whether an answer follows the rules, without knowing the solution. Here: None, there are none to check."""
        return None

    def write(self, problem: Problem) -> str:
        """Return the answer to `problem` as a worked example gives it. Here: its symbols."""
        return self.layout.write(problem.answer)

    def sentence(self, problem: Problem) -> str:
        """Return the answer to `problem` as a sentence that `read` understands, for one who writes. Here: as `write`."""
        return self.write(problem)

    def worked(self, problem: Problem) -> str:
        """Return the worked solution of `problem`, or where it has none, its answer as a solution would end."""
        return problem.trace or f"Answer: {self.write(problem)}"

    def instructions(self, style: Style) -> str:
        """Return the sentence to append to a prompt that asks a language model to answer.

        Args:
            style: "direct" for the answer alone, "cot" for reasoning that ends with "Answer:" and the answer.
        """
        if style == "direct":
            return f"Reply with only {self.answer_form}."
        return f'Think step by step. End with "Answer:" and {self.answer_form}.'

    def picture(self, prompt: str, symbols: Sequence[str], previous: Sequence[str] | None = None) -> Picture:
        """Return the cells of an answer to `prompt`, marked where they differ from the `previous` answer."""
        return Picture((tuple(Cell(s, changed=c) for s, c in zip(symbols, changes(symbols, previous), strict=True)),))

    def show(self, prompt: str, symbols: Sequence[str], previous: Sequence[str] | None = None) -> Text:
        """Return an answer as rich text for the terminal, changed positions coloured."""
        return as_text(self.picture(prompt, symbols, previous))


def changes(symbols: Sequence[str], previous: Sequence[str] | None) -> list[bool]:
    """Say for each symbol whether it differs from the previous answer's; nothing does when there is none.

    Example:
        >>> changes("abc", "axc"), changes("ab", None)
        ([False, True, False], [False, False])
    """
    if previous is None:
        return [False] * len(symbols)
    return [i >= len(previous) or symbol != previous[i] for i, symbol in enumerate(symbols)]


def check_arguments(split: str, count: int | None, wording: str) -> None:
    """Raise InputError unless these are a split, a count and a wording."""
    for name, value, known in (("split", split, get_args(Split)), ("wording", wording, get_args(Wording))):
        if value not in known:
            raise InputError(f'{name} "{value}" is unknown; choose one of: {", ".join(known)}')
    if count is not None and count < 0:
        raise InputError(f"count is {count}; give a number of at least 0")


TASKS: Kinds[Task] = Kinds("task")


def worked(answer: Sequence[str], order: Sequence[int], lines: int = 4) -> tuple[tuple[str, ...], ...]:
    """Return up to so many worked steps of an answer whose places become known in this order; all others are known at once.

    Example:
        >>> worked(("a", "b", "c"), [2, 0], 2)
        (('', 'b', 'c'), ('a', 'b', 'c'))
    """
    place = {cell: number for number, cell in enumerate(order)}
    shown = [-(-len(order) * line // lines) for line in range(1, lines + 1)]
    return tuple(tuple(s if place.get(i, -1) < most else "" for i, s in enumerate(answer)) for most in dict.fromkeys(shown))
