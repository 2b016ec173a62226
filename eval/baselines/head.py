"""A trained head on the frozen backbone, as a method: the hybrid itself, or a control with another core.

What its answer costs is counted once, on an idle clock, at a few lengths of prompt, workspace and answer each; polynomials
through them are exact at every other length, as tokens and positions meet one another in pairs at most. An equilibrium scheme
is the exception: its iterations depend on the problem, and those of one training problem stand for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch

from hybrid.adapters import Features
from hybrid.eval.baselines.method import METHODS, Attempt, Method
from hybrid.eval.measures.cost import ByLength, count_flops, prompt_cost
from hybrid.eval.tasks.task import Task
from hybrid.eval.text.sentences import judge
from hybrid.inference.search import SearchConfig
from hybrid.inference.solution import Solution
from hybrid.model import HybridModel
from hybrid.problem import Problem
from hybrid.recursion.halting import Fixed


@dataclass(frozen=True)
class HeadCost:
    """FLOPs of a head and the part of the language model that it reads.

    Args:
        read: of the language model to the deepest layer read, by prompt tokens.
        encode: of the encoder, by positions that it reads.
        step: of a supervision step with its halt head, by the same positions.
        answer: of the decoder for one answer position of a step.
        trajectories: how often each problem is encoded: once for each trajectory of a search.
    """

    read: ByLength
    encode: ByLength
    step: ByLength
    answer: float
    trajectories: int = 1

    def flops(self, *, tokens: int, positions: int, answers: int, steps: int) -> float:
        """Return the FLOPs of a problem asked alone; `steps` are those of all its trajectories."""
        thinking = steps * (self.step.flops(positions) + self.answer * answers)
        return self.read.flops(tokens) + self.trajectories * self.encode.flops(positions) + thinking


@torch.no_grad()
def head_cost(model: HybridModel, problem: Problem, trajectories: int = 1) -> HeadCost:
    """Count the cost of `model`; `problem` gives the longest workspace that is counted, so let it be a long one."""
    features, head, backbone = model.read([problem]), model.head, model.backbone
    longest, device = features.states.shape[1], model.device
    # A search changes the states before each cycle, and so runs them one by one.
    disturb = None if trajectories == 1 else lambda state: state

    def of_length(length: int) -> Features:
        links = None if features.links is None else features.links[:, :length]
        return Features.of(features.states[:, :length], [length], [min(features.most, length)], links)

    def encode(length: int) -> int:
        return count_flops(lambda: head.encode(of_length(length)))

    def step(length: int) -> int:
        workspace = head.encode(of_length(length))
        first = head.step(workspace, head.reasoner.start(workspace.x), disturb=disturb)
        return count_flops(lambda: head.halt(workspace, head.step(workspace, first, disturb=disturb)))

    def read(ids: torch.Tensor) -> torch.Tensor:
        return backbone.run(ids, torch.ones_like(ids, dtype=torch.bool))

    y_bad, decoder = torch.zeros(1, 1, model.config.reasoner.width, device=device), cast(Any, head.decoder)
    told = decoder.vectors if decoder.writes else decoder.read
    return HeadCost(
        read=prompt_cost(backbone, read) if backbone.runs else ByLength(0.0),
        encode=ByLength.through(encode, longest),
        step=ByLength.through(step, longest),
        answer=float(count_flops(lambda: told(y_bad))),
        trajectories=trajectories,
    )


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
        self.right = judge(model.config.symbols, task)
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
                right=self.right(solution.symbols, problem),
                steps=solution.total_steps,
                flops=flops,
                right_by_step=tuple(self.right(step, problem) for step in solution.trajectory),
                answers_by_step=tuple(self.task.layout.write(step) for step in solution.trajectory),
            )
            for solution, problem, flops in zip(solutions, problems, self._flops(problems, solutions), strict=True)
        ]

    def depth_curve(self, problems: Sequence[Problem], depth: int) -> list[float]:
        """Return the share of `problems` whose whole answer is right after 1..depth supervision steps."""
        right = [0] * depth
        for start in range(0, len(problems), 128):
            part = problems[start : start + 128]
            solutions = self.model.solve(part, halting=Fixed.Config(), num_steps=depth, batch_size=128)
            for solution, problem in zip(solutions, part, strict=True):
                for step, symbols in enumerate(solution.trajectory):
                    right[step] += self.right(symbols, problem)
        return [count / len(problems) for count in right]
