"""`hybrid inspect`: the answer forming step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybrid.cli.asking import Asking, check_all
from hybrid.errors import InputError
from hybrid.eval.tasks import TASKS
from hybrid.kinds import A_PATH

if TYPE_CHECKING:
    from hybrid.eval.tasks.task import Task
    from hybrid.inference.solution import Solution
    from hybrid.model import HybridModel


@dataclass(frozen=True)
class InspectCommand(Asking):
    """Show the answer to a prompt forming step by step.

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
        words: words of the prompt; also shows what their places say after each step, for a head that was taught what words mean.
        plots: folder for pictures: course.png (loss, exact match, motion and halting over unseen problems of the task),
            answer.png and answer.gif (the first prompt's answer forming).
        num_problems: problems behind course.png.
        depth: steps of course.png.
        task: that draws the answer and makes the problems; None takes the one that the head was trained on.
    """

    words: tuple[str, ...] = ()
    plots: str | None = field(default=None, metadata=A_PATH)
    num_problems: int = 100
    depth: int = 16
    task: Any = field(default=None, metadata={"kinds": TASKS})

    def run(self) -> None:
        """Draw every step in the terminal."""
        from hybrid.eval.scoring.checked import answered, task_of, understood

        model = self.load()
        task = task_of(model) if self.task is None else TASKS.build(self.task)
        rules = task if self.task is None else None  # A task that is given only draws.
        options: Any = {"halting": self.halting, "num_steps": self.num_steps, "search": self.search}
        failed = count = 0
        for count, asked in enumerate(self.asked(model), 1):
            try:
                if asked.problem is None:
                    raise asked.error or InputError("the prompt cannot be read")
                problem = understood(rules, asked.problem)
                solution = answered(model, [problem], task=rules, **options)[0]
            except InputError as error:
                self.tell(asked, error)
                failed += 1
                continue
            if self.plots is not None and count == 1:
                self._draw(model, task, problem.prompt, solution)
            _show(task, problem.prompt, solution)
            if self.words:
                self._show_words(model, problem.prompt)
        check_all(failed, count)

    def _show_words(self, model: HybridModel, prompt: str) -> None:
        from rich.console import Console
        from rich.table import Table

        asked = {word.casefold() for word in self.words}
        said = [(word, steps) for word, steps in model.word_labels(prompt, num_steps=self.num_steps) if word.casefold() in asked]
        table = Table("word", *[f"step {number}" for number in range(1, len(said[0][1]) + 1 if said else 1)], box=None)
        for word, steps in said:
            table.add_row(word, *steps)
        Console(markup=False, emoji=False).print(table)

    def _draw(self, model: HybridModel, task: Task, prompt: str, solution: Solution) -> None:
        from hybrid.eval.scoring.thinking import course, draw_course, draw_path

        folder = Path(str(self.plots))
        draw_path(task, prompt, solution, folder)
        draw_course(course(model, task.problems("test", self.num_problems), self.depth), folder / "course.png")
        print(f"wrote {folder}/course.png, answer.png and answer.gif")


def _show(task: Task, prompt: str, solution: Solution) -> None:
    from rich.columns import Columns
    from rich.console import Console
    from rich.panel import Panel

    console = Console(markup=False, emoji=False)  # What a prompt or an answer says is no style.
    before: Sequence[tuple[str, ...] | None] = (None, *solution.trajectory)
    panels = [
        Panel(task.show(prompt, symbols, last), title=f"step {number}", subtitle=f"{moved:.2f}", expand=False)
        for number, (symbols, last, moved) in enumerate(zip(solution.trajectory, before, solution.motion, strict=False), 1)
    ]
    console.print(prompt.strip(), highlight=False)
    console.print(Columns(panels))
    console.print(
        "Coloured: changed in that step. Below each: how far the latent state moved, relative to its size.", style="dim"
    )
    for number, thought in enumerate(solution.thoughts, 1):
        console.print(f"thoughts at step {number}: {' '.join(thought)}", highlight=False)
    stop = "halted by itself" if solution.halted else "took every step allowed"
    checked = {True: "; it follows the rules", False: "; it breaks a rule", None: ""}[solution.verified]
    sure = f"probability of being right {solution.confidence:.3f}{checked}"
    console.print(f"{solution.steps} steps, {stop}; {sure}", highlight=False)
