"""`hybrid solve`: answer prompts with a trained head."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from hybrid.cli.asking import Asked, Asking, check_all
from hybrid.console import json_line
from hybrid.errors import InputError
from hybrid.kinds import require
from hybrid.problem import Problem

if TYPE_CHECKING:
    from hybrid.eval.tasks.task import Task
    from hybrid.inference.solution import Solution
    from hybrid.model import HybridModel


@dataclass(frozen=True)
class SolveCommand(Asking):
    """Answer a prompt with a trained head.

    Args:
        prompt: the problem; \\n stands for a new line. Without it, --file or standard input is read.
        model: folder of a trained head.
        file: text file with one prompt, or a table (.csv, .tsv, .jsonl, .json, .parquet, ...) with a `prompt` in each row (and
            its `spans`, where the head reads them). A row that cannot be answered is named, and the others go on.
        precision: of the language model: float32, bfloat16, float16, int8 or nf4; a warning tells where the head was trained
            on another. None takes the trained one.
        num_steps: most supervision steps.
        halting: halting rule for this call.
        search: noisy trajectories.
        strict: stop at the first row that cannot be answered.
        retry: times to think again, longer and with noise, where an answer breaks a rule of its task.
        batch_size: prompts thought about together.
        json: print one JSON object a prompt; one with `error` and `where` for a row that cannot be answered.
    """

    retry: int = 0
    batch_size: int = 32
    json: bool = False

    def run(self) -> None:
        """Print each answer as soon as it is there."""
        from hybrid.eval.scoring.checked import known_task

        require(self.batch_size >= 1, f"batch_size is {self.batch_size}; give at least 1")
        require(self.retry >= 0, f"retry is {self.retry}; give at least 0")
        model = self.load()
        task, asked, failed, count = known_task(model), self.asked(model), 0, 0
        while batch := list(islice(asked, self.batch_size)):
            for each, answer in zip(batch, self._answers(model, task, batch), strict=True):
                count += 1
                if isinstance(answer, InputError):
                    self.tell(each, answer)
                    failed += 1
                    print(json_line({"error": str(answer), "where": each.place}) if self.json else "", flush=True)
                    continue
                print(json_line(vars(answer)) if self.json else answer.text, flush=True)
                if answer.verified is False:
                    of = f" to {each.place}" if each.place else ""
                    print(f"hybrid: the answer{of} breaks a rule of its task; --retry 3 thinks again", file=sys.stderr)
        check_all(failed, count)

    def _answers(self, model: HybridModel, task: Task | None, batch: Sequence[Asked]) -> list[Solution | InputError]:
        """Answer a batch; a prompt that cannot be answered is an error in the place of its answer."""
        from hybrid.eval.scoring.checked import answered, think_again, understood

        options: Any = {"halting": self.halting, "num_steps": self.num_steps, "search": self.search}
        options |= {"task": task, "batch_size": self.batch_size}
        found: dict[int, Any] = {place: each.error for place, each in enumerate(batch)}
        ready: dict[int, Problem] = {}
        for place, each in enumerate(batch):
            if each.problem is not None:
                try:
                    ready[place] = understood(task, each.problem)
                except InputError as error:
                    found[place] = error
        if not batch[0].place and 0 in ready and ready[0] != batch[0].problem:
            print(f"read as: {ready[0].prompt.strip()}", file=sys.stderr)

        def think(places: Sequence[int]) -> None:
            problems = [ready[place] for place in places]
            answers = think_again(model, problems, answered(model, problems, **options), self.retry, **options)
            found.update(zip(places, answers, strict=True))

        try:
            think(list(ready))
        except InputError:  # Of one of them, such as a prompt longer than the context: each by itself.
            for place in ready:
                try:
                    think([place])
                except InputError as error:
                    found[place] = error
        return list(found.values())
