"""Latent thoughts: the frozen language model writes the answer behind the states of a trained recursion.

Holds the method, and what is changed at the test; the controls by their names are controls.py's. In the manner of Coconut
(arXiv 2412.06769), CODI (2502.21074) and SoftCoT (2502.12134), but nothing of the language model is trained, and the thoughts
come from a network of their own that runs once, before the first token.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

import hybrid
from hybrid import checkpoint
from hybrid.adapters import DECODERS, ENCODERS, SoftPrompt, Tokens, Words
from hybrid.backbone import Backbone, BackboneConfig
from hybrid.backbone.writing import prompt_tokens
from hybrid.errors import InputError
from hybrid.eval.baselines.head import HeadMethod
from hybrid.eval.baselines.method import METHODS, Attempt, Budget, scored
from hybrid.eval.baselines.trained import Trained
from hybrid.eval.measures.cost import text_cost
from hybrid.eval.tasks.task import Task
from hybrid.eval.text.sentences import as_sentence, slots
from hybrid.eval.text.voice import Manner, write
from hybrid.kinds import A_PATH, family_field, require
from hybrid.layout import END, LayoutConfig
from hybrid.problem import Problem
from hybrid.recursion.halting import Fixed
from hybrid.train import train
from hybrid.train.optimizer import AdamW

Change = Literal["none", "other_problem", "zeroed", "one_step"]
"""What happens to the thoughts at the test: nothing; they are of another problem; all are zero; they are those after one
supervision step, or after one cycle where the head takes one step only."""


DRAFT_BATCH = 32
"""Problems of a step while the draft is learned."""
LEAST = 0.05
"""Least weight of a slot of a draft."""
CUE = 16
"""Learned vectors behind a draft, which say that it is to be written down; of 64
dev stories 64 are written right after 100 steps, with 4 vectors 61."""
CUE_RATE, CUE_DECAY = 3e-3, 0.9
"""Learning rate of the cue, and of its average over steps, which are few."""


def surprise(answers: Sequence[Sequence[str]], slots: int) -> tuple[float, ...]:
    """Return a weight for each slot of an answer: the share of answers that have another token there than most, or LEAST.

    What every sentence has ("The answer is") is learned at once. Unweighed it would be most of the mean.

    Example:
        >>> surprise([["is", "red"], ["is", "blue"]], 3)
        (0.05, 0.5, 0.05)
    """
    columns = zip_longest(*((*answer, END) for answer in answers))
    counts = [Counter(token for token in column if token is not None) for column in columns]
    found = [max(LEAST, 1 - max(count.values()) / count.total()) for count in counts[:slots]]
    return (*found, *[LEAST] * (slots - len(found)))


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
        draft_share: float = 0.6

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
        self.drafted: tuple[str, ...] = ()

    def fit(self, training: Sequence[Problem], dev: Sequence[Problem], folder: Path, budget: Budget) -> None:
        """See Trained.fit; first the draft, then what the language model writes."""
        spent, self.drafted = 0.0, self._drafted()
        if self.config.draft_share and not self.drafted:
            spent = self._draft(training, dev, folder / "draft", budget)
            self.begun = str(folder / "draft")
            self.drafted = self._drafted()
        if self.drafted:  # The head is left as it drafts; what is learned is how to ask for it.
            asks = AdamW.Config(learning_rate=CUE_RATE, weight_decay=0.0, warmup_steps=10)
            self.config = replace(self.config, train=replace(self.config.train, optimizer=asks, ema_decay=CUE_DECAY))
        super().fit(training, dev, folder, replace(budget, seconds=budget.seconds - spent))
        self.train_seconds += spent

    def _draft(self, training: Sequence[Problem], dev: Sequence[Problem], folder: Path, budget: Budget) -> float:
        """Train a head whose answer states are the tokens of the sentence; return its seconds, reading apart."""
        own, context = self.config, self.task.layout.context
        rows, chosen = (
            [replace(told, path=each.path) for told, each in zip(self.taught(problems), problems, strict=True)]
            for problems in (training, dev)
        )
        symbols = self._symbols([*rows, *chosen])
        if symbols:
            rows, chosen = ([self._in_pieces(each, symbols) for each in part] for part in (rows, chosen))
            told = surprise([row.answer for row in rows], self.num_answers)
            rows = [replace(row, weights=told) for row in rows]
        layout = LayoutConfig(num_answers=self.num_answers, context=context)
        torch.manual_seed(budget.seed)
        reads, decoder = BackboneConfig(layers=own.layers), Tokens.Config(whole=not symbols)
        encoder = replace(own.encoder, max_answers=self.num_answers)
        config = self._alike(hybrid.HybridConfig(layout, symbols, reads, encoder, own.reasoner, decoder))
        if isinstance(config.encoder, Words.Config) and context is not None:
            config = replace(config, encoder=replace(config.encoder, path_at_words=True))
        model = self._begun(hybrid.attach(self.backbone, config))
        schedule = replace(own.train, max_seconds=own.draft_share * budget.seconds, seed=budget.seed, batch_size=DRAFT_BATCH)
        return train(model, rows, chosen, schedule, folder, show=False, resumable=False).seconds

    def _tokens(self, problem: Problem) -> list[int]:
        """Return the tokens of the sentence that is the answer."""
        return [int(i) for i in self.backbone.tokenizer(problem.answer[0], add_special_tokens=False)["input_ids"]]

    def _in_pieces(self, problem: Problem, symbols: Sequence[str]) -> Problem:
        """Cut the sentence into the texts of its tokens, and spell worked steps as they stand in sentences (" blue")."""
        spelled = {symbol.strip(): symbol for symbol in symbols}
        pieces = tuple(self.backbone.tokenizer.decode([i]) for i in self._tokens(problem))
        return replace(problem, answer=pieces, path=tuple(spelled.get(symbol, symbol) for symbol in problem.path))

    def _symbols(self, rows: Sequence[Problem]) -> tuple[str, ...]:
        """Return the tokens of sentences and worked steps, and END; none where one of them cannot be told by its text."""
        used = {i for each in rows for i in self._tokens(each)}
        pieces = {self.backbone.tokenizer.decode([i]): i for i in sorted(used)}
        steps = {symbol for each in rows for symbol in each.path if symbol} - {piece.strip() for piece in pieces}
        try:
            pieces |= {symbol: self.backbone.token_id(symbol) for symbol in sorted(steps)}
            told = all(self.backbone.token_id(piece) == i for piece, i in pieces.items())
        except InputError:
            told = False
        return (*pieces, END) if told and len(set(pieces.values())) == len(used) + len(steps) else ()

    def _theirs(self) -> hybrid.HybridConfig | None:
        """Return the config of the head to begin from."""
        return None if self.begun is None else hybrid.HybridConfig.from_dict(checkpoint.load(self.begun).config)

    def _drafted(self) -> tuple[str, ...]:
        """Return the tokens that the head to begin from drafts in; none where it maps its states freely."""
        theirs = self._theirs()
        drafts = theirs is not None and isinstance(theirs.decoder, Tokens.Config) and END in theirs.symbols
        return theirs.symbols if theirs is not None and drafts else ()

    def _alike(self, config: hybrid.HybridConfig) -> hybrid.HybridConfig:
        """Return the config with the reading, encoder and recursion of the head to begin from, and as many slots as needed."""
        if theirs := self._theirs():
            encoder = replace(theirs.encoder, max_answers=self.num_answers)
            return replace(config, backbone=theirs.backbone, encoder=encoder, reasoner=theirs.reasoner)
        return replace(config, encoder=replace(config.encoder, max_answers=self.num_answers))

    def _begun(self, model: hybrid.HybridModel) -> hybrid.HybridModel:
        """Return the model with the weights of the head to begin from, and the recursion at random where that is the control."""
        fresh = {name: tensor.clone() for name, tensor in model.head.reasoner.core.state_dict().items()}
        if self.begun is not None:
            model.start_from(self.begun)
        if self.config.recursion == "random":
            model.head.reasoner.core.load_state_dict(fresh)
        return self._held(model)

    def _held(self, model: hybrid.HybridModel) -> hybrid.HybridModel:
        """Return the model with all but the cue of a draft left as it is, or its recursion, where that is the control."""
        if self.drafted:
            model.head.requires_grad_(False)
            model.head.decoder.cue.requires_grad_(True)
        elif self.config.recursion == "random":
            model.head.reasoner.core.requires_grad_(False)
        return model

    def taught(self, problems: Sequence[Problem]) -> Sequence[Problem]:
        """See Trained.taught: the answer is one sentence."""
        told = [as_sentence(self.task, problem) for problem in problems]
        self.num_answers = self.num_answers or slots(self.backbone.tokenizer, told)
        return told

    def _config(self, config: hybrid.HybridConfig) -> hybrid.HybridConfig:
        decoder = config.decoder
        if self.drafted:
            decoder = replace(decoder, draft=self.drafted, cue=decoder.cue or CUE)
        layout = LayoutConfig(num_answers=self.num_answers)
        config = replace(self._alike(config), layout=layout, symbols=(), decoder=decoder)
        if isinstance(config.encoder, Words.Config):  # Worked steps are taught to the draft alone.
            config = replace(config, encoder=replace(config.encoder, path_at_words=False))
        return config

    def _attached(self, seed: int, backbone: Backbone, tuner: Any) -> hybrid.HybridModel:
        return self._begun(super()._attached(seed, backbone, tuner))

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
