"""A head scored on problems with answers: right answers as it halts, and after each step without halting, by difficulty.

Holds the measuring and its table; which problems is the command's (cli/score.py).
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hybrid.errors import InputError
from hybrid.eval.measures.calibration import calibration
from hybrid.eval.measures.intervals import wilson
from hybrid.eval.scoring.checked import any_task
from hybrid.eval.tasks.task import Task
from hybrid.eval.text.sentences import judge
from hybrid.kinds import require
from hybrid.problem import Problem
from hybrid.recursion.halting import HALTING
from hybrid.train.dataset import answer_labels

if TYPE_CHECKING:
    from hybrid.adapters import Features
    from hybrid.model import HybridModel

SHOWN = 8
"""Columns of a table at most: the first steps, the last, and some between them."""


@dataclass(frozen=True)
class Scores:
    """What was found.

    Args:
        n: problems.
        right: share of answers that are right, as the head halts.
        interval: Wilson's, 95%.
        steps: supervision steps taken on average.
        calibration_error: expected, between a head's probability of being right and how often it is (measures/calibration.py).
        seconds: of reading and thinking, halting and further steps together.
        counts: problems of each difficulty.
        by_step: for each difficulty the share right after each step, without halting.
    """

    n: int
    right: float
    interval: tuple[float, float]
    steps: float
    calibration_error: float
    seconds: float
    counts: dict[int, int]
    by_step: dict[int, list[float]]

    def lines(self, unit: str) -> Iterator[str]:
        """Yield the lines of a table; `unit` names the difficulty."""
        low, high = self.interval
        yield (
            f"{100 * self.right:.1f}% of {self.n:,} right ({100 * low:.1f} to {100 * high:.1f}), {self.steps:.1f} steps on "
            f"average, calibration error {100 * self.calibration_error:.1f}%, {self.seconds:.0f} s"
        )
        steps = shown(max(map(len, self.by_step.values())))
        yield ""
        yield f"{unit:>12} {'rows':>6}   right in percent after step " + " ".join(f"{step:5d}" for step in steps)
        for value, shares in sorted(self.by_step.items()):
            cells = " ".join(f"{100 * shares[step - 1]:5.1f}" for step in steps)
            yield f"{value:>12,} {self.counts[value]:>6,}   {' ' * 28}{cells}"


def shown(count: int) -> list[int]:
    """Return the steps that a table shows.

    Example:
        >>> shown(16)
        [1, 2, 3, 4, 6, 8, 12, 16]
        >>> shown(3)
        [1, 2, 3]
    """
    if count <= SHOWN:
        return list(range(1, count + 1))
    doubled = sorted({1, 2, 3, 4, *(count * part // 8 for part in (3, 4, 6, 8))})
    return [step for step in doubled if step <= count]


def score(model: HybridModel, problems: Sequence[Problem], num_steps: int | None = None, *, batch_size: int = 64) -> Scores:
    """Ask a head problems whose answers are known.

    Args:
        model: trained head.
        problems: as a task gives them; a task with rules of its own says what is right (any shortest path of a maze).
        num_steps: most supervision steps; None takes the trained N.
        batch_size: problems thought about together.

    Raises:
        InputError: a problem cannot be read, or no answer can be written by this head; names the first.
    """
    require(bool(problems), "there are no problems to score; give at least one")
    began, task = time.perf_counter(), any_task(model)
    right = judge(model.config.symbols, task)
    rights: list[list[bool]] = []
    halted, steps, sure = [], 0, []
    lost: list[str] = []
    for start in range(0, len(problems), batch_size):
        batch = problems[start : start + batch_size]
        features = _read(model, batch)
        if model.config.symbols and (task is None or type(task).right is Task.right):
            lost += _unwritable(model, batch, features.num_answers.tolist())
        every = model.think(features, halting=HALTING["fixed"].Config(), num_steps=num_steps)  # type: ignore[attr-defined]
        for problem, thought in zip(batch, model.write(every, features), strict=True):
            rights.append([right(symbols, problem) for symbols in thought.trajectory or (thought.symbols,)])
        for problem, answer in zip(batch, model.write(model.think(features, num_steps=num_steps), features), strict=True):
            halted.append(right(answer.symbols, problem))
            sure.append(answer.confidence)
            steps += answer.steps
    if lost:
        require(len(lost) < len(problems), f"this head can write none of the answers: {lost[0]}")
        warnings.warn(
            f"{len(lost):,} of {len(problems):,} answers count as wrong, as this head cannot write them: {lost[0]}", stacklevel=2
        )
    levels = sorted({problem.difficulty for problem in problems})
    own = {level: [row for row, problem in zip(rights, problems, strict=True) if problem.difficulty == level] for level in levels}
    n, seconds = len(problems), time.perf_counter() - began
    shares = {level: [sum(column) / len(rows) for column in zip(*rows, strict=True)] for level, rows in own.items()}
    counts, error = {level: len(rows) for level, rows in own.items()}, calibration(sure, halted)[0]
    return Scores(n, sum(halted) / n, wilson(sum(halted), n), steps / n, error, round(seconds, 1), counts, shares)


def _read(model: HybridModel, batch: Sequence[Problem]) -> Features:
    """Read a batch; a problem that cannot be read is named."""
    try:
        return model.read(batch)
    except InputError:
        for problem in batch if len(batch) > 1 or batch[0].where else ():
            try:
                model.read([problem])
            except InputError as error:
                raise InputError(f"{_name(problem)}: {error}") from None
        raise


def _unwritable(model: HybridModel, batch: Sequence[Problem], places: Sequence[int]) -> Iterator[str]:
    """Yield which problems have answers that the head cannot write, and why."""
    for problem, own in zip(batch, places, strict=True):
        try:
            answer_labels(model, problem.answer, own)
        except InputError as error:
            yield f"{_name(problem)}: {error}"


def _name(problem: Problem) -> str:
    """Return where a problem was read, or else how it begins."""
    return problem.where or repr(problem.prompt[:40])
