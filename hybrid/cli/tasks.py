"""`hybrid tasks`: the list of tasks, and problems of one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hybrid.console import json_line
from hybrid.eval.tasks import TASKS
from hybrid.kinds import require


@dataclass(frozen=True)
class TasksCommand:
    """List the tasks, or show problems of one.

    Args:
        name: a task; without it, all are listed.
        task: the same with settings, as --task NAME --task.FIELD VALUE.
        num_problems: problems to show.
        split: train, dev or test.
        json: print one JSON object a problem.
    """

    name: str | None = field(default=None, metadata={"positional": True})
    task: Any = field(default=None, metadata={"kinds": TASKS})
    num_problems: int = 1
    split: str = "train"
    json: bool = False

    def run(self) -> None:
        """Print the list, or the problems."""
        both = self.name is not None and self.task is not None
        require(not both or self.name == TASKS.name_of(self.task), f"give either {self.name} or --task, not both")
        chosen = self.task if self.task is not None else (TASKS.from_dict(self.name) if self.name else None)
        if chosen is None:
            for name in TASKS:
                print(f"{name:<16}{(TASKS[name].__doc__ or '').strip().splitlines()[0]}")
            return
        task = TASKS.build(chosen)
        if task.left_out and not self.json:
            print(task.left_out, end="\n\n")
        for problem in task.problems(self.split, self.num_problems):  # type: ignore[arg-type]
            if self.json:
                print(json_line({name: getattr(problem, name) for name in problem.__slots__}))
            else:
                print(f"{problem.prompt.rstrip()}\n\n{task.worked(problem)}\n")
