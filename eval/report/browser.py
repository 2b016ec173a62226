"""The problems of a task to look at: what was asked, what every method wrote, how the hybrid's answer grew.

Holds the choice of problems and the cutting of texts, so that a report stays small whatever was written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from hybrid.eval.report.entries import Group, TaskResults
from hybrid.eval.report.visible import cut, visible
from hybrid.eval.tasks.show import as_html

MOST_PROBLEMS = 20
"""Problems shown of a task."""
PROMPT_LENGTH, TEXT_LENGTH, STEP_LENGTH = 2000, 600, 300
"""Characters shown of a prompt, of a method's text (its end among them, where the answer stands), of a step's answer."""
MOST_STEPS = 16

FILTERS = {
    "all": "all shown",
    "win": "hybrid right, CoT wrong",
    "loss": "hybrid wrong, CoT right",
    "both": "both right",
    "none": "both wrong",
}


@dataclass(frozen=True)
class Word:
    """A piece of a step's answer, and whether the step changed it."""

    text: str
    changed: bool


@dataclass(frozen=True)
class Step:
    """An answer after a step: a drawing where there is one, else its text in pieces."""

    caption: str
    picture: str
    words: list[Word]


@dataclass(frozen=True)
class Try:
    """What a method wrote."""

    method: str
    group: Group
    right: bool
    text: str
    note: str


@dataclass(frozen=True)
class Shown:
    """A problem as it is shown; `kind` is a name of FILTERS, "" where hybrid or chain of thought has no answer."""

    number: int
    difficulty: int
    kind: str
    prompt: str
    answer: str
    tries: list[Try]
    steps: list[Step]
    more_steps: int


@dataclass(frozen=True)
class Browser:
    """The problems shown of a task; `counts` of all its problems by the names of FILTERS."""

    total: int
    shown: list[Shown]
    counts: dict[str, int]
    chain: str


def browse(task: TaskResults) -> Browser:
    """Return at most MOST_PROBLEMS problems, of every outcome of hybrid against chain of thought some."""
    kinds = {index: _kind(task, index) for index in range(len(task.problems))}
    chosen = _choose(task, kinds)
    lines = {entry.method: entry.first.answers(set(chosen)) for entry in task.measured}
    shown = [_shown(task, index, kinds[index], lines) for index in chosen]
    counts = {name: sum(kind == name for kind in kinds.values()) for name in FILTERS if name != "all"}
    return Browser(len(task.problems), shown, counts, task.chain.method if task.chain and task.chain is not task.ours else "")


def _kind(task: TaskResults, index: int) -> str:
    if task.ours is None or task.chain is None:
        return ""
    ours, theirs = task.ours.first.right.get(index), task.chain.first.right.get(index)
    if ours is None or theirs is None:
        return ""
    return {(True, False): "win", (False, True): "loss", (True, True): "both", (False, False): "none"}[ours, theirs]


def _choose(task: TaskResults, kinds: Mapping[int, str]) -> list[int]:
    """Return the drawn problems, then by turns one of each kind, in the order of the test split."""
    drawn = [each.problem for each in task.drawn if each.problem in kinds][:MOST_PROBLEMS]
    known = [[index for index, kind in kinds.items() if kind == name and index not in drawn] for name in (*FILTERS, "")]
    compared, rest = known[:-1], known[-1]
    turns = [own[turn] for turn in range(max(map(len, compared))) for own in compared if turn < len(own)]
    return drawn + sorted((turns + rest)[: MOST_PROBLEMS - len(drawn)])


def _shown(task: TaskResults, index: int, kind: str, lines: Mapping[str, Mapping[int, dict[str, Any]]]) -> Shown:
    problem = task.problems[index]
    answer = " ".join(problem.answer)
    tries = []
    for entry in task.measured:
        line = lines[entry.method].get(index)
        if line:
            text = cut(line["text"], TEXT_LENGTH, end=TEXT_LENGTH // 3)
            tries.append(Try(entry.method, entry.group, line["right"], text, _cost(line)))
    ours = lines[task.ours.method].get(index, {}) if task.ours else {}
    texts = [text for text in ours.get("answers_by_step") or [] if isinstance(text, str)]
    drawn = next((each for each in task.drawn if each.problem == index), None)
    if drawn:
        steps = [Step(picture.caption, visible(as_html(picture)), []) for picture in drawn.steps]
    else:
        steps = _steps(texts, (answer, ours["text"]) if ours.get("right") else (answer,))
    prompt, right = cut(problem.prompt, PROMPT_LENGTH), cut(answer, TEXT_LENGTH)
    more = max(0, len(steps) - MOST_STEPS)
    return Shown(index + 1, problem.difficulty, kind, prompt, right, tries, steps[:MOST_STEPS], more)


def _cost(line: Mapping[str, Any]) -> str:
    counts = ((line.get("tokens"), "tokens"), (line.get("steps"), "steps"))
    return ", ".join(f"{count} {name if count != 1 else name[:-1]}" for count, name in counts if isinstance(count, int) and count)


def _steps(texts: Sequence[str], answers: Sequence[str]) -> list[Step]:
    """Return the steps; one is right if it says what one of `answers` does, white space aside.

    A task may have further right answers that nobody gave, so that another step is said to differ, not to be wrong.
    """
    known = {"".join(answer.split()) for answer in answers}
    steps: list[Step] = []
    before: str | None = None
    for number, text in enumerate(texts, 1):
        shown = cut(text, STEP_LENGTH)
        verdict = "right" if "".join(text.split()) in known else "differs"
        steps.append(Step(f"step {number}: {verdict}", "", _words(shown, before)))
        before = shown
    return steps


def _words(text: str, before: str | None) -> list[Word]:
    """Return the words of a text, marked where they differ from the text before; letters where both are equally long."""
    if before is None:
        return [Word(text, changed=False)]
    alike = len(text) == len(before)
    parts, old = (list(each) if alike else re.findall(r"\s+|\S+", each) for each in (text, before))
    changed = [i >= len(old) or part != old[i] for i, part in enumerate(parts)]
    runs = groupby(zip(parts, changed, strict=True), key=lambda pair: pair[1])
    return [Word("".join(part for part, _ in own), change) for change, own in runs]
