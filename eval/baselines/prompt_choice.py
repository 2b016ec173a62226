"""Which prompt a prompted method takes: a few, tried on the same dev problems, the most exact one kept.

Equal answers are decided by fewer tokens, then by the order of the candidates. Each trial is written down as it ends,
so that a choice that was interrupted goes on. Never sees a test problem. Holds no prompt of any method (prompting.py).
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from hybrid.checkpoint import write_text
from hybrid.errors import ConfigError, InputError
from hybrid.eval.baselines.method import Attempt
from hybrid.kinds import from_dict
from hybrid.problem import Problem

FILE = "prompt.json"


@dataclass(frozen=True)
class Prompt:
    """A way to ask.

    Args:
        shots: worked examples before the problem.
        instruction: how to answer, with {form} for the answer's form; None for the task's own words.
    """

    shots: int
    instruction: str | None = None


@dataclass(frozen=True)
class Trial:
    """What a prompt did on dev: problems asked, answers right, tokens a problem; `error` where it cannot be asked."""

    prompt: Prompt
    asked: int = 0
    right: int = 0
    tokens: float = 0.0
    error: str = ""


@dataclass(frozen=True)
class Choice:
    """The trials of prompts, the seconds that they took, and the prompt taken; None until all have been tried."""

    chosen: Prompt | None = None
    seconds: float = 0.0
    trials: tuple[Trial, ...] = ()


@dataclass(frozen=True)
class Search:
    """What is chosen from, and with how much.

    Args:
        candidates: the first is taken where time allows no trial.
        dev: problems that every candidate answers.
        batch_size: of them at once.
        seconds: after which no further batch is begun; a candidate that has not answered all problems is out.
        made_for: names the method, task and model, so that another run's choice is not taken.
    """

    candidates: Sequence[Prompt]
    dev: Sequence[Problem]
    batch_size: int
    seconds: float
    made_for: str


def choose_prompt(
    search: Search, attempt: Callable[[Prompt, Sequence[Problem]], list[Attempt]], folder: Path, recalled: Callable[[], float]
) -> Choice:
    """Try the candidates and return the best, which `folder`/prompt.json keeps; the same call again reads or goes on.

    Args:
        search: candidates, dev problems and bounds.
        attempt: answers a batch with a prompt.
        folder: of the method.
        recalled: seconds that answers taken from disk took when they were asked for; they count.

    Raises:
        ConfigError: the folder holds another method's choice.
        InputError: no candidate fits the model's context.
    """

    def now() -> float:
        return time.perf_counter() + recalled()

    path, made_for = folder / FILE, _digest(search)
    choice = _read(path, made_for)
    tried = {trial.prompt for trial in choice.trials}
    for prompt in () if choice.chosen else [p for p in search.candidates if p not in tried]:
        began = now()
        trial = _try(prompt, search, attempt, now=now, until=began + search.seconds - choice.seconds)
        choice = replace(choice, seconds=choice.seconds + now() - began)
        if trial is None:
            break
        choice = replace(choice, trials=(*choice.trials, trial))
        _write(path, made_for, choice)
    if choice.chosen is None:
        choice = replace(choice, chosen=_best(search.candidates, choice.trials))
        _write(path, made_for, choice)
    return choice


def _try(
    prompt: Prompt,
    search: Search,
    attempt: Callable[[Prompt, Sequence[Problem]], list[Attempt]],
    *,
    now: Callable[[], float],
    until: float,
) -> Trial | None:
    """Return a candidate's trial, or None where the time is up."""
    attempts: list[Attempt] = []
    for start in range(0, len(search.dev), search.batch_size):
        if now() >= until:
            return None
        try:
            attempts += attempt(prompt, search.dev[start : start + search.batch_size])
        except InputError as error:  # Too many worked examples for the model's context.
            return Trial(prompt, error=str(error))
    asked = max(len(attempts), 1)
    return Trial(prompt, len(attempts), sum(a.right for a in attempts), sum(a.tokens for a in attempts) / asked)


def _best(candidates: Sequence[Prompt], trials: Sequence[Trial]) -> Prompt:
    ended = [trial for trial in trials if not trial.error]
    if ended:
        return max(ended, key=lambda trial: (trial.right, -trial.tokens)).prompt
    unable = {trial.prompt: trial.error for trial in trials}
    possible = [prompt for prompt in candidates if prompt not in unable]
    if not possible:
        raise InputError(f"no prompt can be asked: {next(iter(unable.values()))}")
    return possible[0]


def _digest(search: Search) -> str:
    parts = [search.made_for, [asdict(prompt) for prompt in search.candidates], [problem.prompt for problem in search.dev]]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _read(path: Path, made_for: str) -> Choice:
    """Return what a file holds of a choice, nothing where there is no file."""
    if not path.is_file():
        return Choice()
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        same = data.pop("made_for") == made_for
        choice: Choice = from_dict(Choice, data, "choice")
    except (OSError, ValueError, KeyError, TypeError, ConfigError) as error:
        raise ConfigError(f"{path} is damaged ({error}); delete it, and the prompt is chosen anew") from None
    if not same:
        raise ConfigError(f"{path} was chosen for another method, task, model or set of problems; give another folder")
    return choice


def _write(path: Path, made_for: str, choice: Choice) -> None:
    write_text(path, json.dumps({"made_for": made_for} | asdict(choice), indent=2, ensure_ascii=False) + "\n")
