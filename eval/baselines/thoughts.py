"""Latent thoughts: the frozen language model writes the answer behind the states of a trained recursion.

Holds the method, and what is changed at the test; the controls by their names are controls.py's. In the manner of Coconut
(arXiv 2412.06769), CODI (2502.21074) and SoftCoT (2502.12134), but nothing of the language model is trained, and the thoughts
come from a network of their own that runs once, before the first token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

import hybrid
from hybrid import checkpoint
from hybrid.adapters import DECODERS, ENCODERS, SoftPrompt, Words
from hybrid.backbone import Backbone, BackboneConfig
from hybrid.backbone.writing import prompt_tokens
from hybrid.eval.baselines.head import HeadMethod
from hybrid.eval.baselines.method import METHODS, Attempt, Budget, scored
from hybrid.eval.baselines.trained import READING_SHARE, Trained, readable, reading_pace
from hybrid.eval.measures.cost import text_cost
from hybrid.eval.tasks.task import Task
from hybrid.eval.text.draft import BATCH, DRAFT_SHARE, asking, drafted, rehearse, start, written
from hybrid.eval.text.sentences import as_sentence, slots
from hybrid.eval.text.voice import Manner, write
from hybrid.kinds import A_PATH, family_field, require
from hybrid.layout import LayoutConfig
from hybrid.problem import Problem
from hybrid.recursion.halting import Fixed

Change = Literal["none", "other_problem", "zeroed", "one_step"]
"""What happens to the thoughts at the test: nothing; they are of another problem; all are zero; they are those after one
supervision step, or after one cycle where the head takes one step only."""


@METHODS.register("latent_thoughts")
class LatentThoughts(Trained):
    """A head whose language model writes, trained with the benchmark's budget on the answers as sentences."""

    @dataclass(frozen=True)
    class Config(Trained.Config):
        """As trained's.

        Args:
            change: to the thoughts, at the test.
            num_answers: K, the vectors; none takes the tokens of the longest answer.
            init: folder of a trained head to begin from, whose reading, encoder and recursion are taken: of a draft, which is
                then written down, or of symbols, from which the draft is learned.
            recursion: trained, or left at its random weights while the rest is trained.
            draft_share: of the training seconds, in which the answer states learn to be the sentence themselves, token by token,
                by the decoder tokens and with the worked steps of the task. Tokens that no sentence has are not scored. No
                pass through the language model is needed for it, and afterwards it has a draft to write down. 0 learns none.
        """

        name: str = "latent thoughts"
        encoder: Any = family_field(ENCODERS, Words.Config)
        decoder: Any = family_field(DECODERS, SoftPrompt.Config)
        change: Change = "none"
        num_answers: int | None = None
        init: str | None = field(default=None, metadata=A_PATH)
        recursion: Literal["trained", "random"] = "trained"
        draft_share: float = DRAFT_SHARE

        def __post_init__(self) -> None:
            require(isinstance(self.decoder, SoftPrompt.Config), "latent_thoughts takes the decoder soft_prompt; choose it")
            require(self.disturbance == "none", "latent_thoughts changes its thoughts by `change`; leave out `disturbance`")
            require(0 <= self.draft_share < 1, f"draft_share is {self.draft_share}; give a share in [0, 1)")
            require(self.tuner is None, "latent_thoughts leaves the language model as it is; leave out the tuner")

    config: Config

    def __init__(self, config: Config, backbone: Backbone, task: Task) -> None:
        super().__init__(config, backbone, task)
        self.num_answers = config.num_answers or 0
        self.begun = config.init

    def fit(self, training: Sequence[Problem], dev: Sequence[Problem], folder: Path, budget: Budget) -> None:
        """See Trained.fit; first the draft, then what the language model writes."""
        own, spent = self.config, 0.0
        if own.draft_share and not self.drafted:
            told = self.taught([*training, *dev])
            base = self._base(LayoutConfig(num_answers=self.num_answers), SoftPrompt.Config())
            pace = reading_pace(hybrid.attach(self.backbone, base), told, folder)
            training = readable(training, int(READING_SHARE * budget.seconds / pace))
            limit = own.draft_share * (budget.seconds - pace * len(training))  # What was read is counted by Trained.fit.
            schedule = replace(own.train, max_seconds=limit, seed=budget.seed, batch_size=BATCH)
            rows, options = (training, dev), {"show": False, "resumable": False}
            found = rehearse(self.task, self.backbone, base, rows, schedule, folder, self.begun, self._begin, **options)
            self.begun, spent = found
        super().fit(training, dev, folder, replace(budget, seconds=budget.seconds - spent))
        self.train_seconds += spent

    @property
    def drafted(self) -> tuple[str, ...]:
        """Tokens that the head to begin from drafts in; none where it maps its states freely."""
        return drafted(self.begun)

    def _base(self, layout: LayoutConfig, decoder: Any) -> hybrid.HybridConfig:
        """Return a config with the reading, encoder and recursion of the head to begin from, where there is one."""
        own = self.config
        reads, encoder, reasoner = BackboneConfig(layers=own.layers), own.encoder, own.reasoner
        if self.begun is not None:
            theirs = hybrid.HybridConfig.from_dict(checkpoint.load(self.begun).config)
            reads, encoder, reasoner = theirs.backbone, theirs.encoder, theirs.reasoner
        return hybrid.HybridConfig(layout, (), reads, replace(encoder, max_answers=layout.num_answers), reasoner, decoder)

    def _begin(self, model: hybrid.HybridModel, begun: str | None) -> None:
        """Give a head the weights of one to begin from; its recursion stays at random where that is the control."""
        core = model.head.reasoner.core
        fresh = {name: tensor.clone() for name, tensor in core.state_dict().items()}
        start(model, begun)
        if self.config.recursion == "random":
            core.requires_grad_(False)
            if begun == self.config.init:  # What came later was trained with the random recursion that it has.
                core.load_state_dict(fresh)

    def taught(self, problems: Sequence[Problem]) -> Sequence[Problem]:
        """See Trained.taught: the answer is one sentence."""
        told = [as_sentence(self.task, problem) for problem in problems]
        self.num_answers = self.num_answers or slots(self.backbone.tokenizer, told)
        return told

    def _config(self, config: hybrid.HybridConfig) -> hybrid.HybridConfig:
        base = self._base(LayoutConfig(num_answers=self.num_answers), config.decoder)
        return written(replace(base, task=config.task), self.drafted)

    def _attached(self, seed: int, backbone: Backbone, tuner: Any) -> hybrid.HybridModel:
        model = super()._attached(seed, backbone, tuner)
        self._begin(model, self.begun)
        self.config = replace(self.config, train=asking(model, self.config.train))
        return model

    def _tested(self, model: hybrid.HybridModel, dev: Sequence[Problem], seconds: float, seed: int) -> HeadMethod:
        return Voiced(HeadMethod.Config(self.name), model, self.task, train_seconds=seconds).changed(
            self.config.change, dev, seed
        )

    @property
    def symmetry(self) -> None:
        """See Trained.symmetry: none is known of texts."""
        return None

    @property
    def recursive(self) -> bool:
        """See Trained.recursive: there is no answer after each step."""
        return False


class Voiced(HeadMethod):
    """A head whose answers are what its language model writes, greedily, with its thoughts as they are or changed."""

    batch_sizes = (8, 32)

    def changed(self, change: Change, donors: Sequence[Problem], seed: int) -> Voiced:
        """Return this head after it was told what happens to its thoughts, whose are taken, and the seed of the choice."""
        self.change, self.donors, self.generator = change, donors, torch.Generator().manual_seed(seed)
        most = self.model.config.layout.length(())
        self.manner = Manner(int(1.25 * most) + 8)
        return self

    def vectors(self, problems: Sequence[Problem]) -> Tensor:
        """Return the thoughts that are put behind the prompts, (b, k, h)."""
        model, recursion, steps = self.model, self.model.head.reasoner, None
        if self.change == "other_problem":
            places = torch.randint(len(self.donors), (len(problems),), generator=self.generator).tolist()
            problems = [self.donors[place] for place in places]
        if self.change == "one_step":
            steps, recursion.extra_cycles = 1, 0 if self.num_steps > 1 else 1 - recursion.config.num_cycles
        found = model.soft_prompt(problems, halting=Fixed.Config(), num_steps=steps)[1]
        recursion.extra_cycles = 0
        if self.change == "zeroed":
            found[:, : self.model.config.layout.length(())] = 0  # A cue behind the thoughts stays.
        return found

    @property
    def num_steps(self) -> int:
        """Supervision steps that the head was trained to take."""
        return self.model.config.reasoner.num_supervision_steps

    def attempt(self, problems: Sequence[Problem]) -> list[Attempt]:
        """See Method.attempt."""
        backbone, steps = self.model.backbone, 1 if self.change == "one_step" else self.num_steps
        wrote = write(self.model, problems, self.manner, vectors=self.vectors(problems))
        prompts = prompt_tokens(backbone.tokenizer, [problem.prompt for problem in problems])
        ready, encoded = self.model.prepare(problems), backbone.encode([problem.prompt for problem in problems])
        thinks, writes = self.cost(problems, [len(prepared) for prepared, _ in ready]), text_cost(backbone)
        return [
            scored(
                self.task,
                out,
                problem,
                steps=steps,
                flops=thinks.flops(tokens=len(read.ids), positions=len(prepared), answers=count, steps=steps)
                + writes.flops(len(prompt) + count, out.tokens),
            )
            for out, problem, prompt, read, (prepared, count) in zip(wrote, problems, prompts, encoded, ready, strict=True)
        ]
