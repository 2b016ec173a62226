"""Answers that can be checked are checked: a head's answers held against the rules of its task.

A prompt is first put as its task writes it, and refused where nothing can solve it. Holds no rules (tasks have them).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hybrid.errors import Faults, HybridError, InputError
from hybrid.eval.tasks import TASKS
from hybrid.eval.tasks.table.cells import check_text
from hybrid.eval.tasks.task import Task
from hybrid.eval.text.sentences import meant
from hybrid.inference.search import SearchConfig
from hybrid.problem import Problem

if TYPE_CHECKING:
    from hybrid.inference.solution import Solution
    from hybrid.model import HybridModel

RETRY_STEPS, RETRY_TRAJECTORIES = 4, 8
"""A retry takes so many times the trained supervision steps, on so many noisy trajectories."""


def task_of(model: HybridModel) -> Task:
    """Return the task that a head was trained on; raise InputError where it names none."""
    if model.config.task is None:
        raise InputError(
            "this head does not name its task; give --task where the command has it, or HybridConfig(task=...) when it is trained"
        )
    return TASKS.build(TASKS.from_dict(model.config.task))


def read_settings(text: str) -> dict[str, Any]:
    """Return the settings of a task that a flag gives as a JSON object; raise InputError where it is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InputError(f'settings is {text[:40]!r}; give a JSON object such as {{"max_blanks": 12}}')
    return found


def task_with(model: HybridModel, settings: dict[str, Any]) -> Task:
    """Return the task that a head was trained on with some settings changed.

    Raises:
        InputError: the head names no task, or the settings give problems that it was trained on.
    """
    own = TASKS.to_dict(task_of(model).config)  # type: ignore[attr-defined]
    if settings.get("kind", own["kind"]) != own["kind"]:
        raise InputError(f"settings.kind is {settings['kind']!r}, and the head was trained on {own['kind']}; leave the kind out")
    task = TASKS.build(TASKS.from_dict(own | settings))
    task.apart(task_of(model))
    return task


def any_task(model: HybridModel) -> Task | None:
    """Return the task that a head was trained on; None where it has no name or cannot be made."""
    try:
        return task_of(model)
    except (HybridError, OSError):
        return None


def known_task(model: HybridModel) -> Task | None:
    """Return the task of a head where it knows rules or writings; None where it knows none."""
    task = any_task(model)
    own = task is not None and any(
        getattr(type(task), name) is not getattr(Task, name) for name in ("understood", "refuse", "check")
    )
    return task if task is not None and own else None


def plain(text: str, name: str = "the prompt") -> str:
    """Return a prompt without what files and fields of forms have and an argument has not: a mark, CR LF, a last line's end.

    Raises:
        InputError: it is empty, or holds what no text holds.
    """
    found = text.removeprefix("\ufeff").replace("\r\n", "\n").strip("\n")
    if not found.strip():
        raise InputError("the prompt is empty; give the text of a problem")
    check_text(found, name)
    return found


def understood(task: Task | None, problem: Problem) -> Problem:
    """Return a problem as its task writes it.

    Raises:
        InputError: the text holds no problem of the task, or one that has no solution; the message says why.
    """
    if not problem.prompt.strip():
        raise InputError("the prompt is empty; give the text of a problem")
    if task is None or problem.spans:
        return problem
    written = task.understood(problem.prompt)
    task.refuse(written)
    return replace(problem, prompt=written)


def every_understood(task: Task | None, problems: Sequence[Problem]) -> list[Problem]:
    """Return several problems as their task writes them; raise DataError, which names the prompts, where some cannot be."""
    if len(problems) == 1:
        return [understood(task, problems[0])]
    faults, found = Faults(), []
    for number, problem in enumerate(problems, 1):
        try:
            found.append(understood(task, problem))
        except InputError as error:
            faults.add(f"prompt {number}: {error}")
    faults.check()
    return found


def solve(
    model: HybridModel, prompts: Sequence[str | Problem], *, task: Task | None = None, retries: int = 0, **options: Any
) -> list[Solution]:
    """Answer prompts as `model.solve` does, check each answer, and think again where one breaks a rule.

    Args:
        model: trained head.
        prompts: as `model.solve` takes them.
        task: with the rules; None leaves every answer unchecked.
        retries: times to think again, longer and with noise, where an answer fails its check.
        options: of `model.solve`.

    Returns:
        The solutions; `verified` says whether an answer follows the rules, None where there are none to check.
    """
    asked = every_understood(task, [each if isinstance(each, Problem) else Problem(each, ()) for each in prompts])
    return think_again(model, asked, answered(model, asked, task=task, **options), retries, task=task, **options)


def answered(model: HybridModel, problems: Sequence[Problem], *, task: Task | None, **options: Any) -> list[Solution]:
    """Answer understood problems as `model.solve` does, and check each answer."""
    return [_checked(model.config.symbols, task, *each) for each in zip(problems, model.solve(problems, **options), strict=True)]


def think_again(
    model: HybridModel, problems: Sequence[Problem], found: Sequence[Solution], retries: int, *, task: Task | None, **options: Any
) -> list[Solution]:
    """Return the solutions of `answered`; those that break a rule are thought about anew, up to `retries` times."""
    found = list(found)
    for number in range(retries):
        again = [place for place, solution in enumerate(found) if solution.verified is False]
        if not again:
            break
        steps = RETRY_STEPS * (options.get("num_steps") or model.config.reasoner.num_supervision_steps)
        longer = options | {"num_steps": steps, "search": SearchConfig(RETRY_TRAJECTORIES, choose="majority", seed=number)}
        for place, solution in zip(
            again, answered(model, [problems[place] for place in again], task=task, **longer), strict=True
        ):
            found[place] = solution
    return found


def _checked(known: Sequence[str], task: Task | None, problem: Problem, solution: Solution) -> Solution:
    if task is None or problem.spans:
        return replace(solution, verified=None)
    return replace(solution, verified=task.check(problem.prompt, meant(known, task, solution.symbols, problem)))
