"""Self-consistency: several chains of thought are drawn for a problem, and the answer that most of them give is taken.

"Self-Consistency Improves Chain of Thought Reasoning" (arXiv 2203.11171). All samples' tokens and FLOPs count, the
prompt's once for each sample, as they are run here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hybrid.backbone import Backbone
from hybrid.eval.baselines.method import METHODS, Attempt, Budget
from hybrid.eval.baselines.prompting import FewShotCoT
from hybrid.eval.engines import Engine
from hybrid.eval.tasks.task import Task
from hybrid.eval.text.generation import Sampling
from hybrid.kinds import require
from hybrid.problem import Problem

Symbols = tuple[str, ...]


@METHODS.register("self_consistency")
class SelfConsistency(FewShotCoT):
    """Few-shot chain of thought, drawn several times; the majority of the answers that can be read is the answer."""

    @dataclass(frozen=True)
    class Config(FewShotCoT.Config):
        """Chains of thought and a vote.

        Args:
            shots: worked examples.
            max_new_tokens: of a sample; as in the base.
            num_dev: as in the base; prompts are compared by one greedy answer each.
            samples: most for a problem; none takes 5, or 40 where most_tokens or most_flops bound them.
            temperature: of the draws.
            top_p: of the draws.
            most_tokens: written for a problem: no sample is begun that, as long as those before, would exceed it.
            most_flops: the same in forward FLOPs, to match another method's.
            seed: of the draws; `fit` takes the budget's.
        """

        samples: int | None = None
        temperature: float = 0.7
        top_p: float = 1.0
        most_tokens: float | None = None
        most_flops: float | None = None
        seed: int = 0

        def __post_init__(self) -> None:
            super().__post_init__()
            require(self.samples is None or self.samples >= 1, f"method.samples is {self.samples}; give at least 1")
            require(self.temperature > 0, f"method.temperature is {self.temperature}; give more than 0, or samples are all alike")
            require(0 < self.top_p <= 1, f"method.top_p is {self.top_p}; give a share above 0, at most 1")
            for name in ("most_tokens", "most_flops"):
                most = getattr(self, name)
                require(most is None or most > 0, f"method.{name} is {most}; give more than 0, or none")

    config: Config

    def __init__(self, config: Config, backbone: Backbone, task: Task, engine: Engine | None = None) -> None:
        self.bounded = config.most_tokens is not None or config.most_flops is not None
        self.samples = config.samples or (40 if self.bounded else 5)
        self._seed = config.seed
        super().__init__(config, backbone, task, engine)
        unknown = config.most_flops is not None and not self.engine.knows_flops
        require(not unknown, f"the FLOPs of {self.engine.model} are not known; give method.most_tokens instead of most_flops")

    def _name(self, prompt: str) -> str:
        return super()._name(f"{prompt}, {'up to ' if self.bounded else ''}{self.samples} samples")

    def fit(self, training: Sequence[Problem], dev: Sequence[Problem], folder: Path, budget: Budget) -> None:
        """Choose the prompt as chain of thought does; see Prompting.fit."""
        super().fit(training, dev, folder, budget)
        self._seed = budget.seed

    def attempt(self, problems: Sequence[Problem]) -> list[Attempt]:
        """See Method.attempt."""
        drawn: list[list[Attempt]] = [[] for _ in problems]
        for sample in range(self.samples):
            going = [i for i, before in enumerate(drawn) if self._affords_another(before)]
            if not going:
                break
            sampling = Sampling(self.config.temperature, self.config.top_p, self._seed, sample)
            for i, attempt in zip(going, self.attempt_once([problems[i] for i in going], sampling), strict=True):
                drawn[i].append(attempt)
        return [self._vote(attempts, problem) for attempts, problem in zip(drawn, problems, strict=True)]

    def _affords_another(self, before: Sequence[Attempt]) -> bool:
        """Say whether one more sample as long as those before stays within the bounds; the first always does."""
        if not before:
            return True
        share = 1 + 1 / len(before)
        tokens, flops = sum(a.tokens for a in before) * share, sum(a.flops for a in before) * share
        bounds = ((tokens, self.config.most_tokens), (flops, self.config.most_flops))
        return all(most is None or value <= most for value, most in bounds)

    def _vote(self, attempts: Sequence[Attempt], problem: Problem) -> Attempt:
        answers = [self.task.said(attempt.text, problem, self._lines) for attempt in attempts]
        first = attempts[answers.index(majority(answers))]
        return replace(
            first,
            tokens=sum(attempt.tokens for attempt in attempts),
            flops=sum(attempt.flops for attempt in attempts),
            cut=all(attempt.cut for attempt in attempts),
        )


def majority(answers: Sequence[Symbols | None]) -> Symbols | None:
    """Return the answer given most often, of equal ones the one given first; None where no text could be read.

    Example:
        >>> majority([("1",), None, ("2",), ("2",), None, None])
        ('2',)
    """
    votes = Counter(answer for answer in answers if answer is not None)
    return votes.most_common(1)[0][0] if votes else None
