"""`hybrid solve`: answer prompts with a trained head."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

from hybrid.cli.asking import Asking


@dataclass(frozen=True)
class SolveCommand(Asking):
    """Answer a prompt with a trained head.

    Args:
        prompt: the problem; \\n stands for a new line. Without it, --file or standard input is read.
        model: folder of a trained head.
        file: text file with one prompt, or .jsonl with a `prompt` in each line (and its `spans`, where the head reads them).
        precision: of the language model: float32, bfloat16, float16, int8 or nf4; a warning tells where the head was trained
            on another. None takes the trained one.
        num_steps: most supervision steps.
        halting: halting rule for this call.
        search: noisy trajectories.
        retry: times to think again, longer and with noise, where an answer breaks a rule of its task.
        batch_size: prompts thought about together.
        json: print one JSON object a prompt.
    """

    retry: int = 0
    batch_size: int = 32
    json: bool = False

    def run(self) -> None:
        """Print the answers."""
        from hybrid.eval.checked import answered, every_understood, known_task, think_again

        model, prompts = self.load(), self.prompts()
        options: Any = {"halting": self.halting, "num_steps": self.num_steps, "search": self.search}
        options |= {"task": known_task(model), "batch_size": self.batch_size}
        asked = every_understood(options["task"], prompts)
        if len(prompts) == 1 and asked[0].prompt != prompts[0].prompt:
            print(f"read as: {asked[0].prompt.strip()}", file=sys.stderr)
        answers = think_again(model, asked, answered(model, asked, **options), self.retry, **options)
        for number, solution in enumerate(answers, 1):
            print(json.dumps(vars(solution), ensure_ascii=False) if self.json else solution.text)
            if solution.verified is False:
                of = f" to prompt {number}" if len(prompts) > 1 else ""
                print(f"hybrid: the answer{of} breaks a rule of its task; --retry 3 thinks again", file=sys.stderr)
