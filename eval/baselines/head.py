"""A trained head on the frozen backbone, as a method: the hybrid itself, or a control with another core."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hybrid.eval.baselines.method import METHODS, Attempt, Method
from hybrid.eval.head_cost import HeadCost, head_cost
from hybrid.eval.tasks.task import Task
from hybrid.model import HybridModel
from hybrid.problem import Problem
from hybrid.search import SearchConfig
from hybrid.solution import Solution


@METHODS.register("hybrid")
class HeadMethod(Method):
    """Answers with `model`; FLOPs follow from the lengths of prompt, workspace and answer, and from the steps taken."""

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
        self._cost: HeadCost | None = None
        self._counted = 0

    def cost(self, problems: Sequence[Problem], positions: Sequence[int]) -> HeadCost:
        """Return FLOPs by length, counted at the first call, and again where that saw too short a workspace."""
        longest = max(range(len(problems)), key=lambda i: positions[i])
        enough = min(positions[longest], 3)  # Three lengths give the whole polynomial.
        if self._cost is None or self._counted < enough:
            found = head_cost(self.model, problems[longest], self.config.search.num_trajectories)
            self._cost, self._counted = found, enough
        return self._cost

    def _flops(self, problems: Sequence[Problem], solutions: Sequence[Solution]) -> list[float]:
        backbone, prompts = self.model.backbone, [problem.prompt for problem in problems]
        tokens = [len(encoded.ids) for encoded in backbone.encode(prompts)] if backbone.runs else [0] * len(prompts)
        ready = self.model.prepare(problems)
        cost = self.cost(problems, [len(prepared) for prepared, _ in ready])
        return [
            cost.flops(tokens=n, positions=len(prepared), answers=answers, steps=solution.total_steps)
            for n, (prepared, answers), solution in zip(tokens, ready, solutions, strict=True)
        ]

    def solutions(self, problems: Sequence[Problem]) -> list[Solution]:
        """Return the model's solutions, all of one batch."""
        own = self.config
        return self.model.solve(
            problems, halting=self.halting, num_steps=own.num_steps, search=own.search, batch_size=len(problems)
        )

    def attempt(self, problems: Sequence[Problem]) -> list[Attempt]:
        """See Method.attempt."""
        solutions = self.solutions(problems)
        return [
            Attempt(
                text=solution.text,
                right=self.task.right(solution.symbols, problem),
                steps=solution.total_steps,
                flops=flops,
                right_by_step=tuple(self.task.right(step, problem) for step in solution.trajectory),
                answers_by_step=tuple(self.task.layout.write(step) for step in solution.trajectory),
            )
            for solution, problem, flops in zip(solutions, problems, self._flops(problems, solutions), strict=True)
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
