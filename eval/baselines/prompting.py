"""Prompting: the frozen language model answers in text - at once or step by step, with worked examples or without.

Where the text comes from is the engine's (engines/), which of a few prompts is taken prompt_choice.py's.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from hybrid.backbone import Backbone
from hybrid.eval.baselines.method import METHODS, Attempt, Budget, Method, trace_of
from hybrid.eval.baselines.prompt_choice import Prompt, Search, choose_prompt
from hybrid.eval.engines import Engine, TransformersEngine
from hybrid.eval.tasks.task import Task
from hybrid.eval.text.generation import GREEDY, Generated, Message, Sampling
from hybrid.kinds import require
from hybrid.problem import Problem

INSTRUCTIONS: dict[str, tuple[str | None, ...]] = {
    "direct": (None, "Give {form}. Write nothing else, no words and no explanation."),
    "cot": (
        None,
        'Work it out one small step at a time. Then write "Answer:" and {form}.',
        'First reason about the problem in full. The last thing that you write is "Answer:" and {form}.',
    ),
}
"""Ways to say how to answer; None is the task's own."""

NUM_SHOWN = 256
"""Training problems that tell how long an answer may be, until `fit` gets all."""

_MARKER = re.compile(r"^[\W_]*(?:the[ \t]+)?(?:final[ \t]+)?answer\b[*_`]*[ \t]*:", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class AnswerEnd:
    """Says whether a text that has come to a line break holds its whole final answer.

    It does when a line begins with "Answer:", as many lines as an answer has stand from there, and the task's own reader
    finds an answer, right or wrong. A text that cannot be read so is never ended: it may still come to an answer.

    Args:
        task: reads.
        problem: asked.
        lines: of an answer.
    """

    task: Task
    problem: Problem
    lines: int = 1

    def __call__(self, text: str) -> bool:
        """Return whether the answer is complete."""
        starts = [match.end() for match in _MARKER.finditer(text)]
        if not starts:
            return False
        # A maze's row may be "# # .", without a letter.
        marks = {symbol for symbol in self.task.symbols if len(symbol) == 1 and not symbol.isspace()}
        lines = text[starts[-1] :].split("\n")
        full = [line for line in lines if any(mark.isalnum() or mark in marks for mark in line)]
        return len(full) >= self.lines and self.task.read(text, self.problem) is not None


class Prompting(Method):
    """Base of the prompted methods: `style` and the number of worked examples make the difference.

    Attributes:
        style: the answer at once, or step by step.
        shot_choices: numbers of worked examples that `fit` tries.
        room: most tokens of an answer, as a multiple of the longest that a worked example could have.
        least_tokens: that may be written in any case, as far as a quarter of the model's context holds them.
    """

    style: Literal["direct", "cot"] = "direct"
    shot_choices: tuple[int, ...] = (3, 1, 6, 0)
    room: float = 1.25
    least_tokens: int = 8

    @dataclass(frozen=True)
    class Config:
        """A prompted method.

        Args:
            shots: worked examples before the problem, from the training split.
            max_new_tokens: most tokens written; None takes a quarter more than the longest answer, or trace, of a training
                problem, and twice as many where no example shows how long an answer is.
            num_dev: dev problems on which `fit` compares prompts.
        """

        shots: int = 3
        max_new_tokens: int | None = None
        num_dev: int = 32

        def __post_init__(self) -> None:
            require(self.shots >= 0, f"method.shots is {self.shots}; give at least 0")
            limit = self.max_new_tokens
            require(limit is None or limit >= 1, f"method.max_new_tokens is {limit}; give at least 1, or none")
            require(self.num_dev >= 1, f"method.num_dev is {self.num_dev}; give at least 1")

    def __init__(self, config: Config, backbone: Backbone, task: Task, engine: Engine | None = None) -> None:
        self.engine = TransformersEngine(TransformersEngine.Config(), backbone) if engine is None else engine
        self.backbone, self.task, self.config = backbone, task, config
        self.batch_sizes, self.elsewhere = self.engine.batch_sizes, bool(self.engine.model)
        self.prompt = Prompt(config.shots)
        self.name = self._name(f", {config.shots} shots" if config.shots else "")
        training = task.up_to("train", NUM_SHOWN, seed=1)
        self._show(training[: max(config.shots, 4)], training)

    def _name(self, prompt: str) -> str:
        by = f", {self.engine.model}" if self.engine.model else ""
        return f"{self.kind.replace('_', ' ')}{prompt}{by}"

    def _show(self, examples: Sequence[Problem], training: Sequence[Problem]) -> None:
        """Take worked examples, and from the length of all that could be shown the most tokens of an answer."""
        self.examples = list(examples)
        longest = self.engine.most_tokens([self.reply(problem) for problem in training])
        context = self.backbone.context_length
        least = self.least_tokens if context is None else min(self.least_tokens, context // 4)
        self.max_new_tokens = self.config.max_new_tokens or max(int(self.room * longest) + 8, least)
        self._lines = max(len(self.task.write(problem).strip().split("\n")) for problem in training)

    @property
    def recalled_seconds(self) -> float:
        """See Method.recalled_seconds."""
        return self.engine.recalled_seconds

    def notes(self) -> list[str]:
        """See Method.notes."""
        return self.engine.notes()

    def reply(self, problem: Problem) -> str:
        """Return what a worked example answers."""
        return self.task.worked(problem) if self.style == "cot" else self.task.write(problem)

    def question(self, problem: Problem) -> str:
        """Return a problem with the instruction how to answer."""
        said = self.prompt.instruction
        instruction = self.task.instructions(self.style) if said is None else said.replace("{form}", self.task.answer_form)
        return f"{problem.prompt.rstrip()}\n{instruction}"

    def messages(self, problem: Problem) -> list[Message]:
        """Return the conversation: worked examples, then the problem."""
        turns: list[Message] = []
        for example in self.examples[: self.prompt.shots]:
            turns += [
                {"role": "user", "content": self.question(example)},
                {"role": "assistant", "content": self.reply(example)},
            ]
        return [*turns, {"role": "user", "content": self.question(problem)}]

    def candidates(self, most_shots: int) -> list[Prompt]:
        """Return the prompts that `fit` tries, the config's own first."""
        shots = [self.config.shots, *(n for n in self.shot_choices if n != self.config.shots)]
        return [Prompt(n, said) for said in INSTRUCTIONS[self.style] for n in shots if n <= most_shots]

    def fit(self, training: Sequence[Problem], dev: Sequence[Problem], folder: Path, budget: Budget) -> None:
        """Choose number of examples and wording on `dev`, within the budget's seconds; see Method.fit.

        The worked examples are drawn from `training` by the budget's seed. `train_seconds` are those of the choice.

        Raises:
            ConfigError: the folder holds a choice made for something else.
        """
        most = min(max(self.config.shots, 4, *self.shot_choices), len(training))
        self._show(random.Random(budget.seed).sample(list(training), most), training)
        asked = dev[: self.config.num_dev]
        search = Search(self.candidates(most), asked, min(self.batch_sizes), budget.seconds, self._made_for())
        choice = choose_prompt(search, self._with, folder, lambda: self.recalled_seconds)
        self.prompt, self.train_seconds = choice.chosen or self.prompt, choice.seconds
        self.name = self._name("")

    def _made_for(self) -> str:
        config: dict[str, Any] = METHODS.to_dict(self.config)
        return json.dumps([config, self.engine.identity, self.max_new_tokens, [asdict(example) for example in self.examples]])

    def _with(self, prompt: Prompt, problems: Sequence[Problem]) -> list[Attempt]:
        self.prompt = prompt
        return self.attempt_once(problems, GREEDY)

    def attempt(self, problems: Sequence[Problem]) -> list[Attempt]:
        """See Method.attempt."""
        return self.attempt_once(problems, GREEDY)

    def attempt_once(self, problems: Sequence[Problem], sampling: Sampling) -> list[Attempt]:
        """Answer each problem with one text."""
        conversations = [self.messages(problem) for problem in problems]
        ends = [AnswerEnd(self.task, problem, self._lines) for problem in problems]
        outs = self.engine.write(conversations, self.max_new_tokens, sampling=sampling, ends=ends)
        return [self._scored(out, problem) for out, problem in zip(outs, problems, strict=True)]

    def _scored(self, out: Generated, problem: Problem) -> Attempt:
        right = not out.fault and self.task.score(out.text, problem)
        cut = not out.fault and not right and out.tokens >= self.max_new_tokens
        return Attempt(out.text, right, tokens=out.tokens, flops=self.engine.flops(out), cut=cut)


@METHODS.register("direct")
class Direct(Prompting):
    """Few-shot, the answer at once."""

    Config = Prompting.Config


@METHODS.register("zero_shot_cot")
class ZeroShotCoT(Prompting):
    """Step by step, without examples (arXiv 2205.11916)."""

    style: Literal["direct", "cot"] = "cot"
    shot_choices = (0,)
    room = 2.0
    least_tokens = 256

    @dataclass(frozen=True)
    class Config(Prompting.Config):
        """Args: shots: none. max_new_tokens: as in the base. num_dev: as in the base."""

        shots: int = 0


@METHODS.register("few_shot_cot")
class FewShotCoT(Prompting):
    """Step by step, after examples with a real solver's steps (arXiv 2201.11903)."""

    style: Literal["direct", "cot"] = "cot"
    shot_choices = (2, 1, 4)

    @dataclass(frozen=True)
    class Config(Prompting.Config):
        """Args: shots: worked examples. max_new_tokens: as in the base. num_dev: as in the base."""

        shots: int = 2

    def reply(self, problem: Problem) -> str:
        """Return the worked steps and the answer; raise InputError where there are none."""
        return trace_of(problem)
