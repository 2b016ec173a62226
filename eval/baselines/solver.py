"""The classical solver of a task, as a method: what a program of some lines does with the prompt's text alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hybrid.backbone import Backbone
from hybrid.errors import ConfigError
from hybrid.eval.baselines.method import METHODS, Attempt, Method
from hybrid.eval.tasks.task import Task
from hybrid.problem import Problem


@METHODS.register("solver")
class Solver(Method):
    """Answers by `Task.solve`. It runs no model: FLOPs and tokens are 0, its seconds are measured like those of others.

    Raises:
        ConfigError: the task has no solver.
    """

    @dataclass(frozen=True)
    class Config:
        """No fields."""

    def __init__(self, config: Config, backbone: Backbone | None, task: Task) -> None:
        if type(task).solve is Task.solve:
            raise ConfigError(f"the task {task.kind} has no classical solver; leave out the method solver")
        self.config, self.task = config, task
        self.name = "classical solver"

    def attempt(self, problems: Sequence[Problem]) -> list[Attempt]:
        """See Method.attempt."""
        answers = [self.task.solve(problem.prompt) for problem in problems]
        return [
            Attempt(text=self.task.layout.write(answer), right=self.task.right(answer, problem))
            for answer, problem in zip(answers, problems, strict=True)
        ]
