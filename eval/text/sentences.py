"""Answers as sentences: what a head learns to write, and what a task reads in what it wrote."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from hybrid.eval.tasks.task import Task
from hybrid.problem import Problem


def as_sentence(task: Task, problem: Problem) -> Problem:
    """Return a problem whose answer is one text, the task's sentence; what is taught about its symbols goes."""
    bare: dict[str, Any] = {"path": (), "steps": (), "spans": (), "weights": (), "word_labels": ()}
    return replace(problem, answer=(task.sentence(problem),), **bare)


def slots(tokenizer: Any, problems: Sequence[Problem]) -> int:
    """Return the tokens of the longest answer that is one text, and one for its end."""
    return 1 + max(map(len, tokenizer([problem.answer[0] for problem in problems], add_special_tokens=False)["input_ids"]))


def meant(known: Sequence[str], task: Task, symbols: Sequence[str], problem: Problem) -> Sequence[str]:
    """Return an answer in the task's symbols: as it is, or if the head has none and wrote a text, what the task reads in it.

    Args:
        known: symbols of the head.
        task: that reads.
        symbols: the answer.
        problem: asked.

    Example:
        >>> from hybrid.eval.tasks.sort import Sort
        >>> task = Sort(Sort.Config(length=3))
        >>> meant((), task, ("They are 1 2 3.",), task.problems("dev", 1)[0])
        ('1', '2', '3')
    """
    if known or not task.symbols:
        return symbols
    return task.read(symbols[0], problem) or ()


def judge(known: Sequence[str], task: Task | None) -> Callable[[Sequence[str], Problem], bool]:
    """Return what says whether an answer of a head with these symbols is right: its task, or equality where it has none."""
    if task is None:
        return lambda symbols, problem: tuple(symbols) == problem.answer
    return lambda symbols, problem: task.right(meant(known, task, symbols, problem), problem)
