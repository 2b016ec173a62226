"""reasoning-gym's data sets by name, judged by their own scorers.

Holds the task. The problems and the scorers are the package reasoning-gym's (extra `tasks`), which is imported when a
task is built, so that its settings can be read without it.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Literal

from hybrid.errors import ConfigError, InputError
from hybrid.eval.tasks.answers import final_part, said, written_part
from hybrid.eval.tasks.table.row import key_of
from hybrid.eval.tasks.task import TASKS, Split, Task, Wording
from hybrid.kinds import require
from hybrid.layout import END, LayoutConfig
from hybrid.problem import Problem

SURVEYED = 2000
"""Items whose answers give a closed vocabulary where none is given."""
TOKEN_SLOTS = 16
"""Slots of an answer in tokens where no number is given."""

AGAIN = 10
"""Times that each answer must come again, on average, for whole answers to be classes."""

_RUNS_CODE = re.compile(r"\b(?:eval|exec|parse_expr|sympify)\s*\(")


@dataclass(frozen=True)
class GymConfig:
    """Which data set, and how its answers are cut into symbols.

    Args:
        dataset: name of a reasoning-gym data set.
        parameters: its own settings by name, as a mapping; `size` and `seed` are the fields below.
        size: items from which the three splits are drawn.
        seed: of the data set; item i of seed s is item i + 1 of seed s - 1, so seeds close together share items.
        threshold: least score, of the data set's own scorer, that counts as right.
        unit: what an answer's symbols are: the language model's own tokens (an open vocabulary, any text; with --decoder
            tokens --decoder.whole true), the whole answer as one class, its words, or its characters. auto looks at the
            first 2000 answers: few different ones are classes, numbers are characters, anything else is tokens.
        symbols: the closed vocabulary; empty to take the symbols of the first 2000 answers. None for tokens.
        num_answers: slots of an answer; none takes 16 for tokens, else the longest of the first 2000 answers.
        run_answers: allow a scorer that runs answers as Python code, which can do anything on this machine.
    """

    dataset: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    size: int = 100_000
    seed: int = 0
    threshold: float = 1.0
    unit: Literal["auto", "token", "whole", "word", "character"] = "auto"
    symbols: tuple[str, ...] = ()
    num_answers: int | None = None
    run_answers: bool = False

    def __post_init__(self) -> None:
        require(bool(self.dataset), "reasoning_gym.dataset is missing; give a name, such as spell_backward")
        require(1 <= self.size <= 10**7, f"reasoning_gym.size is {self.size}; give 1 to 10,000,000")
        require(self.seed >= 0, f"reasoning_gym.seed is {self.seed}; give at least 0")
        require(0 < self.threshold <= 1, f"reasoning_gym.threshold is {self.threshold}; give a score in (0, 1]")
        count = self.num_answers
        require(count is None or count >= 1, f"reasoning_gym.num_answers is {count}; give at least 1, or none")
        require(
            not (self.unit == "token" and self.symbols),
            "reasoning_gym.unit token has an open vocabulary; leave out reasoning_gym.symbols",
        )
        require(len(self.symbols) != 1, "reasoning_gym.symbols has 1 entry; give at least 2")
        for name in ("size", "seed"):
            require(name not in self.parameters, f"reasoning_gym.parameters has {name}; give reasoning_gym.{name} instead")


@dataclass(frozen=True)
class _Item:
    """One item, known by its question: blanks aside, the same question is the same item."""

    key: str
    index: int = field(compare=False)


@TASKS.register("reasoning_gym")
class Gym(Task):
    """A data set of reasoning-gym, with its own scorer.

    A hash of the question decides the split, so neither an item nor a question of one split is ever in another. A
    problem names its item in `where`, from which the scorer finds its metadata again.
    """

    Config = GymConfig
    wordings: ClassVar = {"train": (None,), "held_out": ()}

    def __init__(self, config: GymConfig) -> None:
        self._given = config
        self.data: Any = _data_set(config)

    @cached_property
    def config(self) -> GymConfig:
        """The settings, with the unit that was found where it was left to the answers."""
        given = self._given
        if given.unit != "auto":
            return given
        if given.symbols:
            return replace(given, unit="whole")
        found = (self._entry(i)["answer"] for i in range(min(SURVEYED, given.size)))
        texts = [str(answer).strip() for answer in found if answer is not None and str(answer).strip()]
        if len(texts) >= AGAIN * len(set(texts)):
            return replace(given, unit="whole")
        return replace(
            given, unit="character" if texts and all(re.fullmatch(r"-?\d+(\.\d+)?", text) for text in texts) else "token"
        )

    @property
    def title(self) -> str:
        """The task's name with that of its data set."""
        return f"{self.kind} {self._given.dataset}"

    @cached_property
    def _survey(self) -> tuple[tuple[str, ...], int, int]:
        """The symbols of the first answers in a fixed order, and symbols of the shortest and the longest."""
        answers = [self._cut(_answer(self._entry(i), self.title, i)) for i in range(min(SURVEYED, self.config.size))]
        lengths = [len(answer) for answer in answers]
        return tuple(sorted({s for answer in answers for s in answer})), min(lengths), max(lengths)

    @cached_property
    def symbols(self) -> tuple[str, ...]:  # type: ignore[override]
        """The answer vocabulary, END included where answers differ in length; empty for an open vocabulary."""
        config = self.config
        if config.unit == "token":
            return ()
        found, shortest, _ = self._survey
        return (*(config.symbols or found), *((END,) if shortest < self._slots else ()))

    @cached_property
    def layout(self) -> LayoutConfig:  # type: ignore[override]
        """Slots for the longest answer."""
        return LayoutConfig(num_answers=self._slots, separator=" " if self.config.unit == "word" else "")

    @property
    def _slots(self) -> int:
        return self.config.num_answers or (TOKEN_SLOTS if self.config.unit == "token" else self._survey[2])

    @property
    def answer_form(self) -> str:
        """The answer's form in words; the question itself says more."""
        return "the answer"

    def read(self, text: str, problem: Problem) -> tuple[str, ...] | None:
        """Return the final part of free text, or its first line, with its markdown or without, whichever the scorer takes.

        The final part without markdown is returned where the scorer takes none.
        """
        parts = [part.strip() for part in (final_part(text), written_part(text))]
        lines = [line.strip() for part in parts for line in (part, *part.splitlines()[:1])]
        bare = [line.strip("*`").rstrip(".").strip() for line in lines]
        candidates = [self._cut(candidate) for candidate in dict.fromkeys((*parts, *lines, *bare)) if candidate]
        taken = (candidate for candidate in candidates if self.right(candidate, problem))
        return next(taken, candidates[0] if candidates else None)

    def said(self, text: str, problem: Problem, lines: int) -> tuple[str, ...] | None:
        """See Task.said."""
        return said(text, lines)

    def right(self, symbols: Sequence[str] | None, problem: Problem) -> bool:
        """Say whether the data set's own scorer gives the written symbols at least the threshold."""
        return symbols is not None and self._points(self.layout.write(symbols), self._entry_of(problem)) >= self.config.threshold

    def problems(self, split: Split, count: int | None = None, *, seed: int = 0, wording: Wording = "train") -> list[Problem]:
        """Return items of a split, drawn at random by `seed`; see Task.problems."""
        if wording == "held_out":
            raise InputError('wording "held_out" is not there: reasoning-gym\'s questions have one wording, "train"')
        return super().problems(split, count, seed=seed, wording=wording)

    def _instances(self, rng: random.Random) -> Iterator[_Item]:
        for index in rng.sample(range(self.config.size), self.config.size):
            yield _Item(key_of(self._entry(index)["question"]), index)

    def _key(self, instance: _Item) -> str:
        return instance.key

    def _problem(self, instance: _Item, key: str, wording: object, rng: random.Random) -> Problem:
        entry = self._entry(instance.index)
        place = f"{self.title} item {instance.index}"
        text = _answer(entry, self.title, instance.index)
        answer = self._cut(text)
        strange = sorted(set(answer) - set(self.symbols)) if self.symbols else []
        if strange:
            raise InputError(
                f"{place}: the answer {text!r:.60} has {strange[0]!r}, which none of the first {SURVEYED} answers has; give "
                "reasoning_gym.symbols, or choose reasoning_gym.unit token"
            )
        points = self._points(self.layout.write(answer), entry)
        if points < self.config.threshold:
            raise InputError(
                f"{place}: the scorer gives its own answer {text!r:.60}, cut by unit {self.config.unit}, {points} points; "
                "choose reasoning_gym.unit token, or a lower reasoning_gym.threshold"
            )
        return Problem(entry["question"], answer, difficulty=len(text), key=instance.key, where=place)

    def _cut(self, text: str) -> tuple[str, ...]:
        unit = self.config.unit
        return tuple(text.split()) if unit == "word" else tuple(text) if unit == "character" else (text,)

    def _points(self, text: str, entry: dict[str, Any]) -> float:
        try:
            return float(self.data.score_answer(text, entry))
        except Exception:  # Scorers of other hands parse any text: one that they choke on is no answer.
            return 0.0

    def _entry(self, index: int) -> dict[str, Any]:
        """Return an item, the same each time, also where its data set draws from Python's own generator."""
        state = random.getstate()
        random.seed(f"{self._given.seed} {index}")
        try:
            entry: dict[str, Any] = self.data[index]
        finally:
            random.setstate(state)
        return entry

    def _entry_of(self, problem: Problem) -> dict[str, Any]:
        """Return the item that `problem` names.

        Raises:
            InputError: it names none, or another question stands there.
        """
        place, _, index = problem.where.rpartition(" item ")
        if place == self.title and index.isdecimal():
            entry = self._entry(int(index))
            if entry["question"] == problem.prompt:
                return entry
        raise InputError(
            f'the problem "{problem.prompt[:40]}" from {problem.where or "nowhere"} is not of {self.title} with these settings; '
            "score it with the task that made it"
        )


def _answer(entry: dict[str, Any], title: str, index: int) -> str:
    answer = entry["answer"]
    if answer is None or not str(answer).strip():
        raise InputError(f"{title} item {index} comes without an answer, so nothing can be learned; choose another data set")
    return str(answer).strip()


def _data_set(config: GymConfig) -> Any:
    """Build the data set.

    Raises:
        ConfigError: the package is missing, a name is unknown, a setting is wrong, or the scorer would run answers.
    """
    try:
        import reasoning_gym
        from reasoning_gym.factory import DATASETS
    except ImportError:
        raise ConfigError('task reasoning_gym needs the package reasoning-gym; pip install "hybrid-reasoner[tasks]"') from None
    name = config.dataset
    if name not in DATASETS:
        near = difflib.get_close_matches(name, DATASETS, n=3) or sorted(DATASETS)[:10]
        raise ConfigError(f'reasoning_gym.dataset "{name}" is unknown; near it are: {", ".join(near)}')
    made, settings = DATASETS[name]
    known = [field.name for field in dataclasses.fields(settings) if field.name not in ("size", "seed")]
    for setting in config.parameters:
        if setting not in known:
            raise ConfigError(f'reasoning_gym.parameters has "{setting}", which {name} has not; it has: {", ".join(known)}')
    if _RUNS_CODE.search(inspect.getsource(made.score_answer)) and not config.run_answers:
        raise ConfigError(
            f"the scorer of {name} runs answers as Python code, also what a language model writes; choose another data set, or "
            "allow it with reasoning_gym.run_answers true"
        )
    try:
        return reasoning_gym.create_dataset(name, **config.parameters, size=config.size, seed=config.seed)
    except (AssertionError, TypeError, ValueError) as error:
        raise ConfigError(f"reasoning_gym.parameters do not fit {name}: {error}; its settings are: {', '.join(known)}") from None
