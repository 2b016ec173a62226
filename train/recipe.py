"""The recipe for prompts in plain language: what a run takes where no pattern finds the answer's places and nothing is said.

Chosen on the dev rows of StepGame, by no test split (eval/RESULTS.md, "Reading language"): words in place of tokens, heads
that follow a word's other places and its sentence, back-propagation through all of a random number of cycles, Muon, short
prompts first. AdamW stays at the plateau several times longer, and learns no second hop from the same rows.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import fields, replace
from typing import Any, NamedTuple

from hybrid.adapters import Words
from hybrid.backbone.codec import Projected
from hybrid.backbone.words import common, spans
from hybrid.kinds import require
from hybrid.layout import LayoutConfig
from hybrid.problem import Problem
from hybrid.recursion.block import AttentionBlock
from hybrid.recursion.cores import SingleState
from hybrid.recursion.gradients import Full
from hybrid.recursion.grid_block import GridBlock
from hybrid.recursion.halting import Learned
from hybrid.recursion.reasoner import ReasonerConfig
from hybrid.train.config import TrainConfig
from hybrid.train.optimizer import Muon

LEAST_ROOM, ROOM = 1000, 1.5
"""Words that a head can take: at least so many, and so many times those of the longest training prompt. Room costs nothing."""

LEAST_STEPS = 12
"""Supervision steps where labels of words come line by line: at least so many, for problems that are longer than any trained."""

DROPOUT = 0.15
"""Share of the states' channels left out where words are labelled: wordings of other people are then read better."""

LOOKED_AT = 2000
"""Prompts that are searched for common words."""


class Recipe(NamedTuple):
    """Encoder, recursion, training and what is kept of the hidden states for a set of problems, and in words why."""

    encoder: Words.Config
    reasoner: ReasonerConfig
    train: TrainConfig
    codec: Projected.Config
    reasons: list[str]


def plain_language(problems: Sequence[Problem], num_answers: int, *, path_at_words: bool = False) -> Recipe:
    """Return the recipe for prompts in plain language.

    Args:
        problems: those to be trained on.
        num_answers: slots of the longest answer.
        path_at_words: whether the layout says at which words of the prompt a path is taught.
    """
    longest = max((len(spans(problem.prompt)) for problem in problems), default=0)
    path = max((len(problem.path) for problem in problems), default=0)
    thoughts, at_words = (0, path > 0) if path_at_words else (path, False)
    lines = max((len(problem.word_labels) for problem in problems), default=0)
    many = max((problem.num_word_labels for problem in problems), default=1)
    room = max(LEAST_ROOM, int(ROOM * longest))
    left_out = [] if at_words else _common(problems)
    block = AttentionBlock.Config(word_heads=1, sentence_heads=1, max_positions=room + num_answers + thoughts)
    stepwise = lines > 1
    steps = max(LEAST_STEPS, 2 * lines) if stepwise else 1
    reasoner = ReasonerConfig(
        num_cycles=1 if stepwise else 4,
        num_supervision_steps=steps,
        core=SingleState.Config(num_latent_steps=1),
        block=block,
        gradient=Full.Config(),
        halting=Learned.Config(exploration=0.3) if stepwise else Learned.Config(),  # What is known must last in longer problems.
    )
    optimizer = Muon.Config(weight_decay=0.01, warmup_steps=200)
    train = TrainConfig(
        num_steps=8000,
        batch_size=32,
        cycle_spread=0 if stepwise else 1,
        patience=2,
        max_seconds=3600.0,
        optimizer=optimizer,
        curriculum=True,
        curriculum_until=0.5,
        group_by_length=True,
        mixed_precision="bf16",
    )
    return Recipe(
        Words.Config(
            max_answers=num_answers,
            max_words=room,
            num_thoughts=thoughts,
            path_at_words=at_words,
            num_word_labels=many,
            dropout=DROPOUT if stepwise else 0.0,
            context="sentence",
            left_out=tuple(left_out),
        ),
        reasoner,
        train,
        Projected.Config(),
        [
            *([f"encoder.num_thoughts {thoughts}: slots that are taught the worked steps"] if thoughts else []),
            *(["encoder.path_at_words: intermediate results are taught at the words that they belong to"] if at_words else []),
            f"encoder words, for up to {room} words: no pattern says where the answer stands (longest prompt: {longest} words)",
            *(
                [f"encoder.left_out {', '.join(left_out)}: nearly every sentence has them; they get no position"]
                if left_out
                else []
            ),
            "encoder.context sentence: each sentence is read by itself, so that no state tells which prompt it is of",
            "block.word_heads 1 and sentence_heads 1: places of the same word, and of the same sentence, see each other",
            *(
                [f"core single_state, T = 1, N = {steps}: labels of words come step by step; encoder.dropout {DROPOUT}"]
                if stepwise
                else [
                    "core single_state with gradient full, T = 4, N = 1: binding across sentences needs the whole way back",
                    "train.cycle_spread 1: three to five cycles at random, so that what is known after four is known after more",
                ]
            ),
            "backbone.codec projected: principal components of the states, a fraction of their bytes, no loss that was seen",
            "at most an hour of training, and none after dev was right twice: --train.max_seconds and --train.patience",
            "train.curriculum_until 0.5: short prompts first, all of them by half of the run however many answers are right",
            "optimizer muon, batch 32, batches of like length, bf16: the quickest found off the plateau",
        ],
    )


def _common(problems: Sequence[Problem]) -> list[str]:
    """Return the words that nearly every sentence has and that no label belongs to."""
    labelled = {word.casefold() for problem in problems for line in problem.word_labels for word, _ in line}
    often = common([problem.prompt for problem in problems[:: max(1, len(problems) // LOOKED_AT)]])
    return [word for word in often if word not in labelled]


def lines(
    block: GridBlock.Config,
    row_length: int | None,
    box: tuple[int, int] | None,
    named: Collection[str],
    *,
    stacked: bool = False,
) -> GridBlock.Config:
    """Return the grid block with the lines of a task's grid, where its own were not named.

    Args:
        block: as it was asked for.
        row_length: cells a row; None for no grid.
        box: rows and columns of a box; None for none, then a head looks at the cells beside.
        named: dotted names of fields that were given, such as "reasoner.block.row_length".
        stacked: whether each box is a grid of its own; then a head looks across them in place of one inside.

    Example:
        >>> lines(GridBlock.Config(), 6, (2, 3), ()).box_width
        3
    """
    height, width = box or (0, 0)
    found = {"box_height": height, "box_width": width, "box_heads": int(box is not None), "beside_heads": int(box is None)}
    found |= {"box_heads": 0, "across_heads": 1} if stacked else {}
    found |= {"row_length": row_length} if row_length else {}
    return replace(block, **{name: each for name, each in found.items() if f"reasoner.block.{name}" not in named})


def vocabulary(problems: Sequence[Problem], layout: LayoutConfig, further: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the symbols that stand at the places of the first prompts, and `further` ones, sorted.

    Example:
        >>> from hybrid.layout import SpanPattern
        >>> vocabulary([Problem("10 02", ("1",))], LayoutConfig(SpanPattern("[0-9 ]+", "[0-9]")))
        ('0', '1', '2')
    """
    found = ((problem.prompt, layout.spans(problem.prompt, problem.spans)) for problem in problems[:LOOKED_AT])
    return tuple(sorted({*further, *(prompt[start:end] for prompt, spans in found for start, end in (*spans[0], *spans[1]))}))


def fill(own: Any, recipe: Any, named: Collection[str], prefix: str) -> Any:
    """Return the recipe's config with the fields of `own` that were named by whoever runs it.

    Args:
        own: config with those fields.
        recipe: config of the recipe, of the same class.
        named: dotted names of fields, such as "train.seed" or "train.optimizer.weight_decay".
        prefix: name of this config.

    Raises:
        ConfigError: a named field belongs to another kind than the recipe's.

    Example:
        >>> fill(TrainConfig(num_steps=9), TrainConfig(batch_size=32), {"train.num_steps"}, "train").batch_size
        32
    """
    changes = {}
    for field in fields(own):
        name, value, theirs = f"{prefix}.{field.name}", getattr(own, field.name), getattr(recipe, field.name)
        below = {each.split(".")[-1] for each in named if each.startswith(f"{name}.")}
        if "kind" in below or (name in named and not below):
            changes[field.name] = value
        elif below:
            known = {each.name for each in fields(theirs)}
            require(below <= known, f"{name}.{min(below)} is no field of the recipe's kind; give --{name} KIND too")
            changes[field.name] = replace(theirs, **{each: getattr(value, each) for each in below})
    return replace(recipe, **changes)
