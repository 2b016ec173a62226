"""One thread thinks for all who ask: what waits while it works is answered together. Holds no HTTP."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hybrid.errors import HybridError, InputError
from hybrid.eval.checked import solve, understood
from hybrid.problem import Problem

if TYPE_CHECKING:
    from hybrid.eval.engines import Engine
    from hybrid.eval.tasks.task import Task
    from hybrid.model import HybridModel
    from hybrid.solution import Solution


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
        solution: what the head thought; None where it could not read the prompt.
        why: why the fallback was asked; empty where it was not.
        understood: the prompt as the head read it.
        read_tokens, written_tokens: tokens of the prompt, and symbols or tokens of the answer.
    """

    text: str
    by: str
    solution: Solution | None
    why: str = ""
    understood: str = ""
    read_tokens: int = 0
    written_tokens: int = 0


@dataclass(frozen=True)
class Ask:
    """A prompt that waits for its answer."""

    head: str
    prompt: str
    num_steps: int | None
    answer: Future[Answer]


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
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="thinking", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def ask(self, head: str, prompt: str, num_steps: int | None = None) -> Future[Answer]:
        """Put a prompt into the queue and return its answer to come; it raises InputError for a prompt that is not read.

        Raises:
            QueueFull: too many wait.
            Stopping: the server ends.
        """
        with self._changed:
            if self._stopping:
                raise Stopping("the server is stopping; ask another one, or later")
            if len(self._waiting) >= self.most_waiting:
                raise QueueFull(f"{len(self._waiting)} prompts wait already; try again in a moment")
            asked = Ask(head, prompt, num_steps, Future())
            self._waiting.append(asked)
            self._changed.notify()
        return asked.answer

    def stop(self, *, seconds: float | None = None) -> None:
        """Take nothing more, answer what was accepted, and end."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(seconds)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopping)
                if not self._waiting:
                    return
                together = self._taken()
            began = time.perf_counter()
            self._answer([asked for asked in together if asked.answer.set_running_or_notify_cancel()])
            self.busy_seconds += time.perf_counter() - began

    def _taken(self) -> list[Ask]:
        """Take the first that waits, and those behind it that ask the same head for as many steps."""
        first, others, together = self._waiting.popleft(), deque[Ask](), []
        together.append(first)
        while self._waiting:
            asked = self._waiting.popleft()
            same = (asked.head, asked.num_steps) == (first.head, first.num_steps)
            (together if same and len(together) < self.most_together else others).append(asked)
        self._waiting = others
        return together

    def _answer(self, together: list[Ask]) -> None:
        readable: list[tuple[Ask, Problem, int]] = []
        try:
            for asked in together:
                try:
                    problem = understood(self.tasks[asked.head], Problem(asked.prompt, ()))
                    prepared, _ = self.heads[asked.head].prepare([problem])[0]
                    readable.append((asked, problem, len(getattr(prepared, "ids", prepared))))
                except InputError as error:
                    self._fall_back(asked, None, str(error), error)
            if readable:
                head = readable[0][0].head
                options: Any = {"num_steps": readable[0][0].num_steps, "batch_size": len(readable)}
                found = solve(self.heads[head], [problem for _, problem, _ in readable], task=self.tasks[head], **options)
                for (asked, problem, tokens), solution in zip(readable, found, strict=True):
                    unsure = self._doubt(solution)
                    if self.fallback is not None and unsure:
                        self._fall_back(asked, solution, unsure, None)
                    else:
                        self._give(
                            asked, Answer(solution.text, "head", solution, "", problem.prompt, tokens, len(solution.symbols))
                        )
        except Exception as error:  # Whatever breaks is told to those who wait for it; the thread goes on.
            self.counts["failed"] += 1
            for asked in together:
                if not asked.answer.done():
                    asked.answer.set_exception(error)

    def _doubt(self, solution: Solution) -> str:
        """Say why an answer of a head is not to be trusted; empty where it is."""
        if solution.verified is False:
            return "the head's answer breaks a rule"
        unsure = solution.verified is None and solution.confidence < self.least_confidence
        return f"the head is {100 * solution.confidence:.0f}% sure" if unsure else ""

    def _fall_back(self, asked: Ask, solution: Solution | None, why: str, error: InputError | None) -> None:
        if self.fallback is None:
            self.counts["refused"] += 1
            asked.answer.set_exception(error or InputError(why))
            return
        wrote = self.fallback.write([[{"role": "user", "content": asked.prompt}]], self.fallback_tokens)[0]
        self._give(asked, Answer(wrote.text.strip(), "fallback", solution, why, "", wrote.prompt_tokens, wrote.tokens))

    def _give(self, asked: Ask, answer: Answer) -> None:
        self.counts[answer.by] += 1
        asked.answer.set_result(answer)
