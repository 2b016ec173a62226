"""A chain of thought beside a head's answer: the same language model works the problem out in words.

It is asked as in the benchmark, with worked examples of the task's training split, and read by the task's own reader.
Holds no HTTP (chain_route.py) and no tokens' choice (by_token.py).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from hybrid.errors import HybridError
from hybrid.eval.baselines.prompting import AnswerEnd
from hybrid.eval.tasks import TASKS
from hybrid.eval.text.generation import Message, chat_text, stop_tokens
from hybrid.problem import Problem
from hybrid.serve.by_token import check_writes, read_and_write

if TYPE_CHECKING:
    from hybrid.backbone import Backbone
    from hybrid.eval.tasks.task import Task

SHOTS = 1
"""Worked examples before the problem; more of them take longer to read."""
CHOICE = 4
"""Training problems of which the shortest are shown: a worked 9x9 Sudoku of 53 blanks takes 1,700 tokens, read anew each time."""
UNKNOWN = 'Think step by step. End with "Answer:" and the answer.'


@dataclass
class Chain:
    """A text that is written piece by piece while `pieces` is read.

    Args:
        backbone: writes.
        task: has worked examples, and reads the answer; None where nothing does.
        prompt: asked.
        most_tokens: written.
        answer: the head's symbols, to be compared with.
    """

    backbone: Backbone
    task: Task | None
    prompt: str
    most_tokens: int
    answer: tuple[str, ...] = ()
    seconds: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        check_writes(self.backbone)
        ask = UNKNOWN if self.task is None else self.task.instructions("cot")
        self.talk: list[Message] = []
        for prompt, solution in worked_examples(self.task):
            self.talk += [{"role": "user", "content": f"{prompt.strip()}\n{ask}"}, {"role": "assistant", "content": solution}]
        self.talk.append({"role": "user", "content": f"{self.prompt.strip()}\n{ask}"})

    def pieces(self) -> Iterator[dict[str, Any]]:
        """Write, and yield each piece of text with the tokens and seconds so far; last, how it ended and what it answers.

        Seconds are those of the model's own work: what others were answered in between does not count. A piece may be empty.
        """
        written: list[int] = []
        text, ended, stops, ends = "", "length", stop_tokens(self.backbone), self._ends()
        ids = self.backbone.tokenizer(chat_text(self.backbone, self.talk), add_special_tokens=False)["input_ids"]
        tokens = read_and_write(self.backbone, ids, self.most_tokens)
        while (step := self._timed(tokens)) is not None:
            (token,) = step
            if token is None:
                yield self._told("", 0)
                continue
            written.append(token)
            if token in stops:
                ended = "stop"
                break
            whole = self.backbone.tokenizer.decode(written, skip_special_tokens=True)
            piece = "" if whole.endswith("\ufffd") else whole[len(text) :]  # Half a letter waits for its other half.
            text += piece
            yield self._told(piece, len(written))
            if "\n" in piece and ends is not None and ends(text[: text.rfind("\n") + 1]):
                ended = "stop"
                break
        yield self._told("", len(written)) | {"ended": ended, "prompt_tokens": len(ids)} | self._read(text)

    def _timed(self, tokens: Iterator[int | None]) -> tuple[int | None] | None:
        began = time.perf_counter()
        try:
            return (next(tokens),)
        except StopIteration:
            return None
        finally:
            self.seconds += time.perf_counter() - began

    def _told(self, piece: str, tokens: int) -> dict[str, Any]:
        return {"text": piece, "tokens": tokens, "seconds": round(self.seconds, 3)}

    def _ends(self) -> AnswerEnd | None:
        if self.task is None:
            return None
        lines = self.task.layout.write(self.answer).count("\n") + 1 if self.answer else 1
        return AnswerEnd(self.task, Problem(self.prompt, self.answer), lines)

    def _read(self, text: str) -> dict[str, Any]:
        """Return what a text answers: in the task's form, held against the rules, and whether the head says the same."""
        if self.task is None:
            return {"answer": None, "verified": None, "same": None}
        symbols = self.task.read(text, Problem(self.prompt, self.answer))
        if symbols is None:
            return {"answer": None, "verified": None, "same": False if self.answer else None}
        same = tuple(symbols) == self.answer if self.answer else None
        written = self.task.layout.write(symbols)
        return {"answer": written, "verified": self.task.check(self.prompt, symbols), "same": same}


@cache
def worked_examples(task: Task | None) -> tuple[tuple[str, str], ...]:
    """Return prompts with worked solutions of a task's training split; none where it makes none.

    A head may be trained without worked steps; a chain of thought is shown them all the same.
    """
    if task is None:
        return ()
    config: Any = getattr(task, "config", None)
    try:
        whole = TASKS.build(replace(config, worked=True)) if getattr(config, "worked", True) is False else task
        shown = sorted(whole.problems("train", CHOICE, seed=1), key=lambda each: len(whole.worked(each)))[:SHOTS]
        return tuple((each.prompt, whole.worked(each)) for each in shown)
    except (HybridError, OSError):
        return ()
