"""A method answers problems and says what each answer cost. The family; kinds are in the files beside this one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from hybrid.errors import InputError
from hybrid.eval.tasks.task import Task
from hybrid.eval.tuning.reading import Written
from hybrid.kinds import Kinds
from hybrid.problem import Problem


@dataclass(frozen=True)
class Attempt:
    """One answer to one problem.

    Args:
        text: what the method wrote.
        right: whether the task's scorer takes it.
        tokens: tokens generated.
        steps: supervision steps of a reasoner.
        flops: forward FLOPs, prefill included; 0 where they are not known.
        right_by_step: for a reasoner, whether the answer after each step was right.
        answers_by_step: for a reasoner, the answer's text after each step.
        cut: whether the text ended because no more tokens were allowed.
    """

    text: str
    right: bool
    tokens: int = 0
    steps: int = 0
    flops: float = 0.0
    right_by_step: tuple[bool, ...] | None = None
    answers_by_step: tuple[str, ...] | None = None
    cut: bool = False


@dataclass(frozen=True)
class Budget:
    """What every method gets to prepare itself with, the same for all.

    Args:
        seconds: of training, the language model's reading of the training problems included; evaluation and saving are
            not counted.
        seed: of initial weights, data order and sampling.
    """

    seconds: float
    seed: int = 0


class Method(ABC):
    """Base of the family.

    Attributes:
        name: as it stands in tables.
        trainable_parameters: weights trained for the task.
        train_seconds: seconds of that training.
        train_problems: that it learned from.
        course: (training seconds, exact share on dev) at every evaluation of the training; None where there was none.
        elsewhere: whether another machine may do the work, whose energy is not known here.
        batch_sizes: of which the first and the last are tried for the best throughput.
    """

    kind: ClassVar[str]
    name: str
    trainable_parameters: int = 0
    train_seconds: float = 0.0
    train_problems: int = 0
    course: list[list[float]] | None = None
    elsewhere: bool = False
    batch_sizes: tuple[int, ...] = (8, 32)

    def fit(self, training: Sequence[Problem], dev: Sequence[Problem], folder: Path, budget: Budget) -> None:  # noqa: B027
        """Train on `training`, choose on `dev`, and keep the outcome in `folder`: the same call again resumes or loads it.

        A method that has nothing to learn or to choose does nothing. Sets `train_seconds` and `trainable_parameters`.
        """

    def depth_curve(self, problems: Sequence[Problem], depth: int) -> list[float] | None:
        """Return the share of `problems` whose whole answer is right after 1..depth steps; None for a method without."""
        return None

    @property
    def recalled_seconds(self) -> float:
        """Seconds that answers taken from disk took when they were asked for; whoever takes times adds them."""
        return 0.0

    def notes(self) -> list[str]:
        """Return what a reader of the method's figures must know."""
        return []

    @abstractmethod
    def attempt(self, problems: Sequence[Problem]) -> list[Attempt]:
        """Answer `problems` as one batch."""


def scored(task: Task, out: Written, problem: Problem, *, steps: int, flops: float) -> Attempt:
    """Return a text that a language model wrote as an attempt; one that was cut is never right."""
    right = out.ended and task.score(out.text, problem)
    return Attempt(out.text, right, tokens=out.tokens, steps=steps, flops=flops, cut=not out.ended)


def trace_of(problem: Problem) -> str:
    """Return the worked solution of a problem.

    Raises:
        InputError: it has none.
    """
    if not problem.trace.strip():
        raise InputError(
            f"{problem.where or problem.prompt!r} has no worked steps, which few_shot_cot, self_consistency, lora_cot and "
            "coconut show or learn; leave these methods out, or name a table's column of steps with --task.trace_column"
        )
    return problem.trace


METHODS: Kinds[Method] = Kinds("method")
