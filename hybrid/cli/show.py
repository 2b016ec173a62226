"""`hybrid inspect`: the answer forming step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hybrid.cli.asking import Asking, task_of


@dataclass(frozen=True)
class InspectCommand(Asking):
    """Show the answer to a prompt forming step by step.

    Args:
        prompt: the problem; \\n stands for a new line. Without it, --file or standard input is read.
        model: folder of a trained head.
        file: text file with one prompt, or .jsonl with a `prompt` in each line.
        num_steps: most supervision steps.
        halting: halting rule for this call.
        search: noisy trajectories.
    """

    def run(self) -> None:
        """Draw every step in the terminal."""
        from rich.columns import Columns
        from rich.console import Console
        from rich.panel import Panel

        model = self.load()
        task = task_of(model)
        console = Console()
        for prompt in self.prompts():
            solution = model.solve([prompt], halting=self.halting, num_steps=self.num_steps, search=self.search)[0]
            before: Sequence[tuple[str, ...] | None] = (None, *solution.trajectory)
            panels = [
                Panel(task.show(prompt, symbols, last), title=f"step {number}", subtitle=f"moved {moved:.2f}", expand=False)
                for number, (symbols, last, moved) in enumerate(
                    zip(solution.trajectory, before, solution.motion, strict=False), 1
                )
            ]
            console.print(prompt.strip(), highlight=False, markup=False)
            console.print(Columns(panels))
            stop = "halted by itself" if solution.halted else "took every step allowed"
            console.print(
                f"{solution.steps} steps, {stop}; probability of being right {solution.confidence:.3f}", highlight=False
            )
