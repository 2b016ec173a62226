"""Coconut (arXiv 2412.06769): thoughts that are hidden states, fed back as the next input, in place of written steps.

Between two learned marks the model reads its own last hidden state again and again, then writes the answer. It is trained in
stages: at first it writes all the steps of the solver, then thoughts take the place of the first step, of the first two, and
so on. Gradients flow through all thoughts.

Where we differ from the paper: stages are shares of the training time instead of epochs; the optimizer goes on from stage to
stage; the language model is tuned by LoRA like the other baselines. Thoughts fed back are not rescaled, as there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hybrid.backbone import Backbone
from hybrid.errors import InputError
from hybrid.eval.baselines.method import METHODS, trace_of
from hybrid.eval.baselines.tuned import Tuned
from hybrid.eval.tasks.task import Task
from hybrid.eval.tuning import Reading, TuningConfig
from hybrid.kinds import require
from hybrid.problem import Problem

ANSWER = "Answer:"
_STEP = re.compile(r".+?(?:\n+|[.!?](?: +|\n+|$)|$)", re.DOTALL)


@METHODS.register("coconut")
class Coconut(Tuned):
    """Thinks `thoughts_per_step` hidden states for each of up to `num_stages` steps, whatever the problem, then answers."""

    num_embeddings: ClassVar[int] = 2
    config: Coconut.Config

    @dataclass(frozen=True)
    class Config(TuningConfig):
        """As lora_direct's.

        Args:
            thoughts_per_step: latent thoughts that replace one written step.
            num_stages: most steps replaced one by one; all that are left then go at once. None takes the steps of the
                longest trace in training, at most 6.
            steps_share: share of the training that all steps are written.
            answer_share: share of it, at the end, that only the answer is; the stages between have equal shares.
        """

        thoughts_per_step: int = 1
        num_stages: int | None = None
        steps_share: float = 0.4
        answer_share: float = 0.3

        def __post_init__(self) -> None:
            super().__post_init__()
            for name in ("thoughts_per_step", "num_stages"):
                value = getattr(self, name)
                require(value is None or value >= 1, f"method.{name} is {value}; give at least 1")
            shares = (self.steps_share, self.answer_share)
            fits = min(shares) >= 0 and sum(shares) <= 1 and self.answer_share > 0
            require(
                fits, f"method.steps_share and answer_share are {shares}; give shares whose sum is at most 1, the last above 0"
            )

    def __init__(self, config: Coconut.Config, backbone: Backbone, task: Task) -> None:
        super().__init__(config, backbone, task)
        self.num_stages = config.num_stages or 0

    def _measure(self, training: Sequence[Problem]) -> list[tuple[int, int]]:
        if self.config.num_stages is None:
            self.num_stages = max(1, min(6, max(len(split(problem)[0]) for problem in training)))
        return super()._measure(training)

    def stage(self, progress: float) -> int:
        """Return the stage at this progress: 0 writes all steps, `num_stages` + 1 none."""
        config = self.config
        if progress >= 1 - config.answer_share:
            return self.num_stages + 1
        if progress < config.steps_share:
            return 0
        return 1 + int((progress - config.steps_share) / (1 - config.answer_share - config.steps_share) * self.num_stages)

    def target(self, problem: Problem, progress: float) -> str:
        """Return the steps that no thought has replaced yet, and the answer."""
        steps, answer = split(problem)
        stage = self.stage(progress)
        return ("" if stage > self.num_stages else "".join(steps[stage:])) + answer

    def num_steps(self, progress: float) -> int:
        """Return the number of thoughts: the stage's, for long and short traces alike."""
        return min(self.stage(progress), self.num_stages) * self.config.thoughts_per_step

    def num_marks(self, progress: float) -> int:
        """Return 2 for the marks before and after thoughts, where there are some."""
        return 2 if self.stage(progress) else 0

    def opening(self, reading: Reading, prompt_bp: Tensor, mask_bp: Tensor, progress: float) -> tuple[Tensor, Tensor]:
        """Read the prompt, think, and return the mark after the thoughts."""
        prompt_bph = reading.embed(prompt_bp)
        if not self.num_steps(progress):
            return prompt_bph, mask_bp
        one_b1 = mask_bp.new_ones(len(mask_bp), 1)
        before_b1h, after_b1h = (mark.to(prompt_bph.dtype).expand(len(mask_bp), 1, -1) for mark in self._trained.embeddings)
        thought_bsh = reading.states(torch.cat([prompt_bph, before_b1h], 1), torch.cat([mask_bp, one_b1], 1))
        for _ in range(self.num_steps(progress)):
            thought_bsh = reading.states(thought_bsh[:, -1:], one_b1)
        return after_b1h, one_b1


def split(problem: Problem) -> tuple[list[str], str]:
    """Return the steps of a worked solution, a line or a sentence each, and the rest from "Answer:" on; together all of it.

    Example:
        >>> split(Problem("", (), trace="1 once. 2.5 twice.\\nAnswer: 1 2.5 2.5"))
        (['1 once. ', '2.5 twice.\\n'], 'Answer: 1 2.5 2.5')
    """
    text, marker, answer = trace_of(problem).rpartition(ANSWER)
    if not marker:
        raise InputError(f'{problem.where or problem.prompt!r} has a trace without "{ANSWER}"; end it so, or leave coconut out')
    return _STEP.findall(text), marker + answer
