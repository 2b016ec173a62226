"""Prompting: the frozen language model answers in text - at once or step by step, with worked examples or without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hybrid.backbone import Backbone
from hybrid.eval.baselines.method import METHODS, Attempt, Method
from hybrid.eval.cost import text_cost
from hybrid.eval.generation import Message, chat_text, generate
from hybrid.eval.tasks.task import Task
from hybrid.kinds import require
from hybrid.problem import Problem


class Prompting(Method):
    """Base of the prompted methods: `style` and the number of worked examples make the difference."""

    style: Literal["direct", "cot"] = "direct"

    @dataclass(frozen=True)
    class Config:
        """A prompted method.

        Args:
            shots: worked examples before the problem, from the training split.
            max_new_tokens: most tokens written; None takes a quarter more than the longest example's answer.
        """

        shots: int = 3
        max_new_tokens: int | None = None

        def __post_init__(self) -> None:
            require(self.shots >= 0, f"method.shots is {self.shots}; give at least 0")
            limit = self.max_new_tokens
            require(limit is None or limit >= 1, f"method.max_new_tokens is {limit}; give at least 1, or none")

    def __init__(self, config: Config, backbone: Backbone, task: Task) -> None:
        require(backbone.tokenizer is not None, f"backbone {backbone.name} writes no text; leave out the method {self.kind}")
        self.backbone, self.task, self.config = backbone, task, config
        self.name = f"{self.kind.replace('_', ' ')}" + (f", {config.shots} shots" if config.shots else "")
        self.examples = task.problems("train", max(config.shots, 4), seed=1)
        written = [self.reply(problem) for problem in self.examples]
        longest = max(len(ids) for ids in backbone.tokenizer(written)["input_ids"])
        self.max_new_tokens = config.max_new_tokens or int(1.25 * longest) + 8

    def reply(self, problem: Problem) -> str:
        """Return what a worked example answers."""
        return problem.trace if self.style == "cot" else self.task.write(problem)

    def question(self, problem: Problem) -> str:
        """Return a problem with the instruction how to answer."""
        return f"{problem.prompt.rstrip()}\n{self.task.instructions(self.style)}"

    def messages(self, problem: Problem) -> list[Message]:
        """Return the conversation: worked examples, then the problem."""
        turns: list[Message] = []
        for example in self.examples[: self.config.shots]:
            turns += [
                {"role": "user", "content": self.question(example)},
                {"role": "assistant", "content": self.reply(example)},
            ]
        return [*turns, {"role": "user", "content": self.question(problem)}]

    def attempt(self, problems: Sequence[Problem]) -> list[Attempt]:
        """See Method.attempt."""
        texts = [chat_text(self.backbone, self.messages(problem)) for problem in problems]
        cost = text_cost(self.backbone)
        return [
            Attempt(
                text=out.text,
                right=self.task.score(out.text, problem),
                tokens=out.tokens,
                flops=cost.flops(out.prompt_tokens, out.tokens),
            )
            for out, problem in zip(generate(self.backbone, texts, self.max_new_tokens), problems, strict=True)
        ]


@METHODS.register("direct")
class Direct(Prompting):
    """Few-shot, the answer at once."""

    Config = Prompting.Config


@METHODS.register("zero_shot_cot")
class ZeroShotCoT(Prompting):
    """Step by step, without examples (arXiv 2205.11916)."""

    style: Literal["direct", "cot"] = "cot"

    @dataclass(frozen=True)
    class Config(Prompting.Config):
        """Args: shots: none. max_new_tokens: as in the base."""

        shots: int = 0


@METHODS.register("few_shot_cot")
class FewShotCoT(Prompting):
    """Step by step, after examples with a real solver's steps (arXiv 2201.11903)."""

    style: Literal["direct", "cot"] = "cot"

    @dataclass(frozen=True)
    class Config(Prompting.Config):
        """Args: shots: worked examples. max_new_tokens: as in the base."""

        shots: int = 2
