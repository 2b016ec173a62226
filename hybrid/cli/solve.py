"""`hybrid solve`: answer prompts with a trained head."""

from __future__ import annotations

import json
from dataclasses import dataclass

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
        batch_size: prompts thought about together.
        json: print one JSON object a prompt.
    """

    batch_size: int = 32
    json: bool = False

    def run(self) -> None:
        """Print the answers."""
        model, prompts = self.load(), self.prompts()
        options = {"halting": self.halting, "num_steps": self.num_steps, "search": self.search}
        for solution in model.solve(prompts, batch_size=self.batch_size, **options):
            print(json.dumps(vars(solution), ensure_ascii=False) if self.json else solution.text)
