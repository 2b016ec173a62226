"""The recipe for prompts in plain language: what a run takes where no pattern finds the answer's places and nothing is said.

Chosen on the dev rows of StepGame, by no test split (eval/RESULTS.md, "Reading language"): words in place of tokens, heads
that follow a word's other places and its sentence, back-propagation through all cycles of one supervision step, Muon, short
prompts first. AdamW stays at the plateau several times longer, and learns no second hop from the same rows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

from hybrid.adapters import Words
from hybrid.block import AttentionBlock
from hybrid.cores import SingleState
from hybrid.gradients import Full
from hybrid.problem import Problem
from hybrid.reasoner import ReasonerConfig
from hybrid.train.config import TrainConfig
from hybrid.train.optimizer import Muon
from hybrid.words import spans

LEAST_ROOM, ROOM = 1000, 1.5
"""Words that a head can take: at least so many, and so many times those of the longest training prompt. Room costs nothing."""


class Recipe(NamedTuple):
    """Encoder, recursion and training for a set of problems, and in words why."""

    encoder: Words.Config
    reasoner: ReasonerConfig
    train: TrainConfig
    reasons: list[str]


def plain_language(problems: Sequence[Problem], num_answers: int) -> Recipe:
    """Return the recipe for prompts in plain language.

    Args:
        problems: those to be trained on.
        num_answers: slots of the longest answer.
    """
    longest = max((len(spans(problem.prompt)) for problem in problems), default=0)
    thoughts = max((len(problem.path) for problem in problems), default=0)
    room = max(LEAST_ROOM, int(ROOM * longest))
    block = AttentionBlock.Config(word_heads=1, sentence_heads=1, max_positions=room + num_answers + thoughts)
    reasoner = ReasonerConfig(
        num_cycles=3, num_supervision_steps=2, core=SingleState.Config(num_latent_steps=1), block=block, gradient=Full.Config()
    )
    optimizer = Muon.Config(weight_decay=0.01, warmup_steps=200)
    train = TrainConfig(
        num_steps=4000, batch_size=32, optimizer=optimizer, curriculum=True, group_by_length=True, mixed_precision="bf16"
    )
    return Recipe(
        Words.Config(max_answers=num_answers, max_words=room, num_thoughts=thoughts),
        reasoner,
        train,
        [
            *([f"encoder.num_thoughts {thoughts}: slots that are taught the worked steps"] if thoughts else []),
            f"encoder words, for up to {room} words: no pattern says where the answer stands (longest prompt: {longest} words)",
            "block.word_heads 1 and sentence_heads 1: places of the same word, and of the same sentence, see each other",
            "core single_state with gradient full, T = 3, N = 2: binding across sentences needs the whole way back",
            "optimizer muon, batch 32, short prompts first, batches of like length, bf16: the quickest found off the plateau",
        ],
    )


def fill(own: Any, recipe: Any) -> Any:
    """Return a config's own fields where they were changed, and the recipe's elsewhere.

    Example:
        >>> fill(TrainConfig(num_steps=9), TrainConfig(num_steps=4000, batch_size=32)).batch_size
        32
    """
    default = type(own)()
    names = (field.name for field in dataclasses.fields(own))
    changes = {name: getattr(recipe, name) for name in names if getattr(own, name) == getattr(default, name)}
    return dataclasses.replace(own, **changes)
