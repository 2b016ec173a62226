"""One thread thinks for all who ask: what waits while it works is answered together. Holds no HTTP."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hybrid.errors import HybridError, InputError
from hybrid.eval.scoring.checked import answered, plain, understood
from hybrid.eval.text.voice import Manner, write
from hybrid.problem import Problem

if TYPE_CHECKING:
    from hybrid.eval.engines import Engine
    from hybrid.eval.tasks.task import Task
    from hybrid.inference.solution import Solution
    from hybrid.model import HybridModel
    from hybrid.serve.writing import Writing

MOST_WRITINGS = 8
"""Texts that may be asked for at once; one is written at a time."""


class QueueFull(HybridError):
    """So many wait already that another one would wait too long."""


class Stopping(HybridError):
    """The server ends; it answers what it has accepted and takes nothing more."""


@dataclass(frozen=True)
class Answer:
    """What was answered, and by whom.

    Args:
        text: the answer.
        by: "head", or "fallback" where the language model or another server wrote the text.
        solution: what the head thought; None where it could not read the prompt, or wrote its answer in words.
        why: why the fallback was asked; empty where it was not.
        understood: the prompt as the head read it.
        read_tokens, written_tokens: tokens of the prompt, and symbols or tokens of the answer.
        ended: whether the text ended by itself, before the most tokens allowed.
    """

    text: str
    by: str
    solution: Solution | None
    why: str = ""
    understood: str = ""
    read_tokens: int = 0
    written_tokens: int = 0
    ended: bool = True


@dataclass(frozen=True)
class Ask:
    """A prompt that waits for its answer, in words of this manner where the head writes them."""

    head: str
    prompt: str
    num_steps: int | None
    manner: Manner | None
    answer: Future[Answer]

    @property
    def alike(self) -> tuple[Any, ...]:
        """What asks have in common that are answered together."""
        return self.head, self.num_steps, self.manner


class Batcher:
    """Heads, and the queue of those who ask them.

    Args:
        heads: trained heads by the names that clients use.
        tasks: what knows how people write their problems, and the rules of an answer; None where nothing does.
        most_waiting: asks that may wait; more raise QueueFull.
        most_together: asks that are thought about at once.
        fallback: writes the answer where a head cannot read a prompt, or is less sure than `least_confidence`.
        least_confidence: probability of being right under which the fallback is asked.
        fallback_tokens: most tokens that it writes.
    """

    def __init__(
        self,
        heads: Mapping[str, HybridModel],
        tasks: Mapping[str, Task | None],
        *,
        most_waiting: int = 256,
        most_together: int = 32,
        fallback: Engine | None = None,
        least_confidence: float = 0.0,
        fallback_tokens: int = 512,
    ) -> None:
        self.heads, self.tasks = dict(heads), dict(tasks)
        self.most_waiting, self.most_together = most_waiting, most_together
        self.fallback, self.least_confidence, self.fallback_tokens = fallback, least_confidence, fallback_tokens
        self.counts: Counter[str] = Counter()
        self.busy_seconds = 0.0
        self._waiting: deque[Ask] = deque()
        self._writings: deque[Writing] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._others = ThreadPoolExecutor(8, thread_name_prefix="fallback")
        self._thread = threading.Thread(target=self._work, name="thinking", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def writes(self, head: str) -> bool:
        """Whether the answers of a head are its language model's words."""
        return self.heads[head].head.decoder.writes

    def ask(self, head: str, *prompts: str, num_steps: int | None = None, manner: Manner | None = None) -> list[Future[Answer]]:
        """Put prompts into the queue, all or none, and return their answers to come; one raises InputError where it is not read.

        Args:
            head, prompts, num_steps: who is asked what, and how many steps may be taken.
            manner: of the words of a head that writes; None takes as many as its answer has slots.

        Raises:
            QueueFull: too many wait.
            Stopping: the server ends.
        """
        with self._changed:
            self._check_going()
            self._waiting = deque(asked for asked in self._waiting if not asked.answer.cancelled())
            if len(self._waiting) + len(prompts) > self.most_waiting:
                raise QueueFull(f"{len(self._waiting)} prompts wait already, {self.most_waiting} may; try again in a moment")
            added = [Ask(head, prompt, num_steps, manner if self.writes(head) else None, Future()) for prompt in prompts]
            self._waiting.extend(added)
            self._changed.notify()
        return [asked.answer for asked in added]

    def write(self, writing: Writing) -> None:
        """Write a text between the answers of heads, a piece at a time, behind those that others asked for.

        Raises:
            QueueFull: too many texts wait.
            Stopping: the server ends.
        """
        with self._changed:
            self._check_going()
            self._writings = deque(each for each in self._writings if not each.unread)
            if len(self._writings) >= MOST_WRITINGS:
                raise QueueFull(f"{len(self._writings)} texts wait already; try again in a moment")
            self._writings.append(writing)
            self._changed.notify()

    def stop(self, *, seconds: float | None = None) -> None:
        """Take nothing more, answer what was accepted, and end; a text that is being written ends where it is."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(seconds)
        self._others.shutdown(wait=seconds is None, cancel_futures=True)

    def _check_going(self) -> None:
        if self._stopping:
            raise Stopping("the server is stopping; ask another one, or later")

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._writings or self._stopping)
                if self._stopping and not self._waiting:
                    break
                together = self._taken() if self._waiting else []
            began = time.perf_counter()
            self._answer([asked for asked in together if asked.answer.set_running_or_notify_cancel()])
            self._write_on()
            self.busy_seconds += time.perf_counter() - began
        for writing in self._writings:
            writing.tell(Stopping("the server is stopping"))

    def _write_on(self) -> None:
        """Write one piece of the first text: heads wait for no more than that."""
        with self._changed:
            first = self._writings[0] if self._writings else None
        if first is not None and not first.go_on():
            with self._changed:
                self._writings = deque(each for each in self._writings if each is not first)

    def _taken(self) -> list[Ask]:
        """Take the first that waits, and those behind it that ask the same of the same head."""
        first, others, together = self._waiting.popleft(), deque[Ask](), []
        together.append(first)
        while self._waiting:
            asked = self._waiting.popleft()
            (together if asked.alike == first.alike and len(together) < self.most_together else others).append(asked)
        self._waiting = others
        return together

    def _answer(self, together: list[Ask]) -> None:
        readable = [(asked, *read) for asked in together if (read := self._read(asked)) is not None]
        try:
            answers = self._solve(readable)
        except Exception:  # One of them breaks it: each is asked alone, so that no other suffers.
            answers = [self._alone(each) for each in readable]
        for (asked, _, _), answer in zip(readable, answers, strict=True):
            if answer is None:
                continue
            unsure = "" if answer.solution is None else self._doubt(answer.solution)
            if self.fallback is not None and unsure:
                self._fall_back(asked, answer.solution, unsure, None)
            else:
                self._give(asked, answer)

    def _read(self, asked: Ask) -> tuple[Problem, int] | None:
        """Return a prompt as its task writes it, with its tokens; None where it cannot be read, which whoever asked is told."""
        try:
            problem = understood(self.tasks[asked.head], Problem(plain(asked.prompt), ()))
            return problem, read_tokens(self.heads[asked.head], problem)
        except InputError as error:
            self._fall_back(asked, None, str(error), error)
        except Exception as error:  # Whatever breaks is told to those who wait for it; the thread goes on.
            self._fail(asked, error)
        return None

    def _solve(self, readable: list[tuple[Ask, Problem, int]]) -> list[Answer | None]:
        if not readable:
            return []
        first, (_, problems, tokens) = readable[0][0], zip(*readable, strict=True)
        model, about = self.heads[first.head], list(zip(problems, tokens, strict=True))
        if first.manner is not None:
            wrote = write(model, problems, first.manner, num_steps=first.num_steps)
            return [
                Answer(each.text, "head", None, "", problem.prompt, count, each.tokens, each.ended)
                for (problem, count), each in zip(about, wrote, strict=True)
            ]
        options: Any = {"num_steps": first.num_steps, "batch_size": len(readable)}
        solutions = answered(model, problems, task=self.tasks[first.head], **options)
        return [
            Answer(found.text, "head", found, "", problem.prompt, count, len(found.symbols))
            for (problem, count), found in zip(about, solutions, strict=True)
        ]

    def _alone(self, each: tuple[Ask, Problem, int]) -> Answer | None:
        try:
            return self._solve([each])[0]
        except Exception as error:  # As above.
            self._fail(each[0], error)
            return None

    def _fail(self, asked: Ask, error: Exception) -> None:
        self.counts["refused" if isinstance(error, InputError) else "failed"] += 1
        asked.answer.set_exception(error)

    def _doubt(self, solution: Solution) -> str:
        """Say why an answer of a head is not to be trusted; empty where it is."""
        if solution.verified is False:
            return "the head's answer breaks a rule"
        unsure = solution.verified is None and solution.confidence < self.least_confidence
        return f"the head is {100 * solution.confidence:.0f}% sure" if unsure else ""

    def _fall_back(self, asked: Ask, solution: Solution | None, why: str, error: InputError | None) -> None:
        """Let the fallback answer: the language model itself in this thread, which alone may use it, a server in others."""
        if self.fallback is None:
            return self._fail(asked, error or InputError(why))
        if self.fallback.elsewhere:
            self._others.submit(self._write, asked, solution, why)
        else:
            self._write(asked, solution, why)

    def _write(self, asked: Ask, solution: Solution | None, why: str) -> None:
        assert self.fallback is not None
        try:
            wrote = self.fallback.write([[{"role": "user", "content": asked.prompt}]], self.fallback_tokens)[0]
            self.fallback.forget()
            self._give(asked, Answer(wrote.text.strip(), "fallback", solution, why, "", wrote.prompt_tokens, wrote.tokens))
        except Exception as fault:  # As above.
            self._fail(asked, fault)

    def _give(self, asked: Ask, answer: Answer) -> None:
        self.counts[answer.by] += 1
        asked.answer.set_result(answer)


def read_tokens(model: HybridModel, problem: Problem) -> int:
    """Return the tokens of a problem as a head reads it; raise InputError where it cannot."""
    prepared, _ = model.prepare([problem])[0]
    return len(getattr(prepared, "ids", prepared))
