"""A trained head on the frozen backbone, as a method: the hybrid itself, or a control with another core."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from hybrid.eval.baselines.method import METHODS, Attempt, Method
from hybrid.eval.cost import count_flops
from hybrid.eval.tasks.task import Task
from hybrid.model import HybridModel
from hybrid.problem import Problem
from hybrid.search import SearchConfig


@METHODS.register("hybrid")
class HeadMethod(Method):
    """Answers with `model`; FLOPs are counted on one problem and scale with tokens and steps."""

    batch_sizes = (32, 128)

    @dataclass(frozen=True)
    class Config:
        """Args: name: in tables. num_steps: most supervision steps, None for the trained N. search: noisy trajectories."""

        name: str = "hybrid"
        num_steps: int | None = None
        search: SearchConfig = field(default_factory=SearchConfig)

    def __init__(self, config: Config, model: HybridModel, task: Task, halting: Any = None, train_seconds: float = 0.0) -> None:
        self.model, self.task, self.halting, self.config = model, task, halting, config
        self.name, self.train_seconds = config.name, train_seconds
        self.trainable_parameters = model.num_trainable_parameters()

    @cached_property
    def _flops(self) -> tuple[float, float]:
        """FLOPs a prompt token (backbone to the deepest layer read, and encoder), and FLOPs a supervision step."""
        problem = self.task.problems("train", 1)[0]
        tokens = len(self.model.backbone.encode([problem.prompt])[0].ids)
        features = self.model.read([problem])
        fixed = _fixed()
        read = count_flops(lambda: self.model.read([problem]))
        one = count_flops(lambda: self.model.think(features, halting=fixed, num_steps=1))
        two = count_flops(lambda: self.model.think(features, halting=fixed, num_steps=2))
        return (read + 2 * one - two) / tokens, float(two - one)

    def attempt(self, problems: Sequence[Problem]) -> list[Attempt]:
        """See Method.attempt."""
        solutions = self.model.solve(
            problems,
            halting=self.halting,
            num_steps=self.config.num_steps,
            search=self.config.search,
            batch_size=len(problems),
        )
        encoded = self.model.backbone.encode([problem.prompt for problem in problems])
        per_token, per_step = self._flops
        return [
            Attempt(
                text=solution.text,
                right=self.task.right(solution.symbols, problem),
                steps=solution.total_steps,
                flops=per_token * len(tokens.ids) + per_step * solution.total_steps,
                right_by_step=tuple(self.task.right(step, problem) for step in solution.trajectory),
                answers_by_step=tuple(self.task.layout.write(step) for step in solution.trajectory),
            )
            for solution, problem, tokens in zip(solutions, problems, encoded, strict=True)
        ]

    def depth_curve(self, problems: Sequence[Problem], depth: int) -> list[float]:
        """Return the share of `problems` whose whole answer is right after 1..depth supervision steps."""
        right = [0] * depth
        for start in range(0, len(problems), 128):
            part = problems[start : start + 128]
            solutions = self.model.solve(part, halting=_fixed(), num_steps=depth, batch_size=128)
            for solution, problem in zip(solutions, part, strict=True):
                for step, symbols in enumerate(solution.trajectory):
                    right[step] += self.task.right(symbols, problem)
        return [count / len(problems) for count in right]


def _fixed() -> Any:
    from hybrid.halting import HALTING

    return HALTING["fixed"].Config()  # type: ignore[attr-defined]
