"""A draft: the sentence that is the answer, token by token, which a head learns before a language model writes it down.

A vector that stands for the right one of thirty tokens is far from any token's embedding, and a frozen language model does not
learn to read it. The same draft as tokens is text to it, and a few learned vectors, the cue, are enough to ask for it. A head
that has no worked steps to learn from finds a sentence much later than one symbol: then it learns symbols first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch

from hybrid import checkpoint
from hybrid.adapters import Classes, SoftPrompt, Tokens, Words
from hybrid.backbone import Backbone
from hybrid.config import HybridConfig
from hybrid.errors import InputError
from hybrid.eval.tasks.task import Task
from hybrid.eval.text.sentences import as_sentence
from hybrid.layout import END, LayoutConfig, SpanPattern
from hybrid.model import HybridModel, attach
from hybrid.problem import Problem
from hybrid.train import TrainConfig, train
from hybrid.train.optimizer import AdamW

BATCH, WRITTEN_BATCH = 32, 8
"""Problems of a step while a draft is learned, and while the language model writes it down, which costs much more."""
DRAFT_SHARE = 0.6
"""Of the seconds of a training, in which the draft is learned; what is left is for writing it down."""
SYMBOLS_SHARE = 0.75
"""Of the seconds of a draft, in which symbols are learned first."""
LEAST = 0.05
"""Least weight of a slot of a draft."""
CUE = 16
"""Learned vectors behind a draft."""
CUE_RATE, CUE_DECAY = 3e-3, 0.9
"""Learning rate of the cue, and of its average over steps, which are few."""


@dataclass(frozen=True)
class Draft:
    """How the sentences of a task are drafted.

    Args:
        symbols: tokens of sentences and worked steps, and END, as texts; none where one of them cannot be told by its text.
        slots: of the longest sentence, its end included.
        weights: of the slots; none for equal ones.
    """

    symbols: tuple[str, ...]
    slots: int
    weights: tuple[float, ...] = ()

    @classmethod
    def of(cls, backbone: Backbone, problems: Sequence[Problem], slots: int) -> Draft:
        """Return how the sentences of problems, whose answer is one text, are drafted."""
        tokens = _tokens(backbone, problems)
        symbols = _symbols(backbone, tokens, {symbol for each in problems for symbol in each.path if symbol})
        return cls(symbols, slots, surprise(tokens, slots) if symbols else ())

    def rows(self, backbone: Backbone, problems: Sequence[Problem]) -> list[Problem]:
        """Cut the sentences into the texts of their tokens, and spell worked steps as they stand in sentences (" blue")."""
        if not self.symbols:
            return [replace(each, path=()) for each in problems]  # The model's own tokens are no worked steps.
        tokens, spelled = _tokens(backbone, problems), {symbol.strip(): symbol for symbol in self.symbols}
        text = {i: backbone.tokenizer.decode([i]) for i in {i for row in tokens for i in row}}
        return [
            replace(
                each,
                answer=tuple(text[i] for i in row),
                path=tuple(spelled.get(symbol, symbol) for symbol in each.path),
                weights=self.weights,
            )
            for each, row in zip(problems, tokens, strict=True)
        ]

    def config(self, config: HybridConfig, context: SpanPattern | None) -> HybridConfig:
        """Return the config of the head that drafts, from that of the head that writes; worked steps stand at `context`."""
        at, encoder = context if self.symbols else None, replace(config.encoder, max_answers=self.slots)
        if isinstance(encoder, Words.Config) and at is not None:
            encoder = replace(encoder, path_at_words=True)
        layout, decoder = LayoutConfig(num_answers=self.slots, context=at), Tokens.Config(whole=not self.symbols)
        return replace(config, layout=layout, symbols=self.symbols, encoder=encoder, decoder=decoder)


def rehearse(
    task: Task,
    backbone: Backbone,
    base: HybridConfig,
    problems: tuple[Sequence[Problem], Sequence[Problem]],
    schedule: TrainConfig,
    folder: Path,
    begun: str | None = None,
    begin: Callable[[HybridModel, str | None], None] | None = None,
    **options: Any,
) -> tuple[str, float]:
    """Learn a draft; return the folder of the head that drafts, and its seconds of training.

    A head that has no worked steps to learn from, and nothing to begin from, learns the task's symbols first.

    Args:
        task: whose answers become sentences.
        backbone: the language model.
        base: the head that will write, with a slot for each token of the longest sentence.
        problems: for training and for choosing, with their symbols.
        schedule: of the training; `max_seconds` is for all of it.
        folder: in which the stages get folders of their own, `symbols` and `draft`.
        begun: folder of a trained head of symbols to begin from.
        begin: gives a new head the weights of the one in a folder, in place of `start`.
        options: of `train`.
    """
    layout, spent = task.layout, 0.0
    most = base.layout.num_answers or 1

    def stage(config: HybridConfig, parts: Sequence[Sequence[Problem]], share: float, name: str) -> tuple[str, float]:
        """Train the head to begin from, or a fresh one; return its folder and its seconds."""
        training, dev = parts
        torch.manual_seed(schedule.seed)
        model = attach(backbone, config)
        (begin or start)(model, begun)
        limit = None if schedule.max_seconds is None else share * schedule.max_seconds
        outcome = train(model, training, dev, replace(schedule, max_seconds=limit), folder / name, **options)
        return str(folder / name), outcome.seconds

    if begun is None and task.symbols and not layout.aligned and layout.num_answers is not None:
        encoder = replace(base.encoder, max_answers=layout.num_answers)
        symbols = replace(base, layout=layout, symbols=task.symbols, encoder=encoder, decoder=Classes.Config())
        begun, spent = stage(symbols, problems, SYMBOLS_SHARE, "symbols")
    rows = [[replace(as_sentence(task, each), path=each.path) for each in part] for part in problems]
    draft = Draft.of(backbone, [each for part in rows for each in part], most)
    share = 1.0 if schedule.max_seconds is None else 1 - spent / schedule.max_seconds
    place, seconds = stage(draft.config(base, layout.context), [draft.rows(backbone, part) for part in rows], share, "draft")
    return place, spent + seconds


def start(model: HybridModel, begun: str | None) -> None:
    """Give a head the weights of a trained one, by its folder; None leaves it fresh."""
    if begun is not None:
        model.start_from(begun)


def drafted(folder: str | Path | None) -> tuple[str, ...]:
    """Return the tokens that a trained head drafts in; none where it does not, or where there is no head."""
    if folder is None:
        return ()
    theirs = HybridConfig.from_dict(checkpoint.load(folder).config)
    return theirs.symbols if isinstance(theirs.decoder, Tokens.Config) and END in theirs.symbols else ()


def written(config: HybridConfig, symbols: tuple[str, ...]) -> HybridConfig:
    """Return the config of a head that writes with the draft's tokens, and a cue; as it is where there is no draft."""
    if symbols:
        cue = config.decoder.cue or CUE
        config = replace(config, symbols=(), decoder=replace(config.decoder, draft=symbols, cue=cue))
    if isinstance(config.encoder, Words.Config):  # Worked steps are taught to the draft alone.
        config = replace(config, encoder=replace(config.encoder, path_at_words=False))
    return config


def asking(model: HybridModel, train: TrainConfig) -> TrainConfig:
    """Hold all of a head that writes a draft but its cue, and return how that is trained; the same where there is no draft."""
    if not isinstance(model.config.decoder, SoftPrompt.Config) or not model.config.decoder.draft:
        return train
    model.head.requires_grad_(False)
    cue: Any = model.head.decoder.cue
    cue.requires_grad_(True)
    asks = AdamW.Config(learning_rate=CUE_RATE, weight_decay=0.0, warmup_steps=10)
    return replace(train, optimizer=asks, ema_decay=CUE_DECAY)


def surprise(answers: Sequence[Sequence[Any]], slots: int) -> tuple[float, ...]:
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


def _tokens(backbone: Backbone, problems: Sequence[Problem]) -> list[list[int]]:
    """Return the tokens of the sentences that are the answers."""
    found: list[list[int]] = backbone.tokenizer([each.answer[0] for each in problems], add_special_tokens=False)["input_ids"]
    return found


def _symbols(backbone: Backbone, tokens: Sequence[Sequence[int]], steps: set[str]) -> tuple[str, ...]:
    used = {i for row in tokens for i in row}
    pieces = {backbone.tokenizer.decode([i]): i for i in sorted(used)}
    steps = steps - {piece.strip() for piece in pieces}
    try:
        pieces |= {symbol: backbone.token_id(symbol) for symbol in sorted(steps)}
        told = all(backbone.token_id(piece) == i for piece, i in pieces.items())
    except InputError:
        told = False
    return (*pieces, END) if told and len(set(pieces.values())) == len(used) + len(steps) else ()
