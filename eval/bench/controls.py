"""The controls: the hybrid with one thing changed, so that what it owes to that thing can be read off.

Holds what is changed; training and testing is baselines/trained.py's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from hybrid.adapters import CrossAttention, Learned, Pooled, Words
from hybrid.eval.baselines.thoughts import LatentThoughts
from hybrid.eval.baselines.trained import Trained
from hybrid.recursion.block import AttentionBlock
from hybrid.recursion.cores import Deep, FeedForward

Change = Callable[[Trained.Config, int], Trained.Config]
"""From the hybrid's config, and the answer positions of its task, to the control's."""


Own = TypeVar("Own")


def once(config: Own, core: Any) -> Own:
    """Return a config that holds a reasoner and its training, a method's or a cell's, with a core that is applied once."""
    parts: Any = config
    reasoner = replace(parts.reasoner, core=core, num_supervision_steps=1, num_cycles=1)
    found: Own = replace(parts, reasoner=reasoner, train=replace(parts.train, cycle_spread=0))
    return found


def no_recursion(config: Trained.Config, positions: int) -> Trained.Config:
    """The same network with the same weights, applied once."""
    return once(config, FeedForward.Config(config.reasoner.core.num_layers))


def deep_untied(config: Trained.Config, positions: int) -> Trained.Config:
    """A stack as deep as all supervision steps together, each call with weights of its own."""
    own = config.reasoner
    calls = own.num_supervision_steps * own.num_cycles * (own.core.num_latent_steps + 1)
    return once(config, Deep.Config(own.core.num_layers, calls))


def one_step(config: Trained.Config, positions: int) -> Trained.Config:
    """Trained and tested with one supervision step."""
    return replace(config, reasoner=replace(config.reasoner, num_supervision_steps=1))


def pooled(config: Trained.Config, positions: int) -> Trained.Config:
    """The prompt as one mean vector."""
    return replace(config, encoder=Pooled.Config(max_answers=positions))


def no_path_labels(config: Trained.Config, positions: int) -> Trained.Config:
    """Nothing is taught but the answer: the context positions, where a solver would write, have no labels."""
    return replace(config, train=replace(config.train, path_weight=0.0))


def no_patterns(config: Trained.Config, positions: int) -> Trained.Config:
    """The prompt's words as they come: no pattern says where its parts stand, and so none is labelled."""
    block = config.reasoner.block
    if not isinstance(block, AttentionBlock.Config):
        return replace(config, encoder=CrossAttention.Config(max_answers=positions, max_tokens=1024))
    linked = replace(block, matched_heads=0, word_heads=1, sentence_heads=1)
    return replace(config, encoder=Words.Config(max_answers=positions), reasoner=replace(config.reasoner, block=linked))


def embedding_only(config: Trained.Config, positions: int) -> Trained.Config:
    """The language model's embedding layer, none of its computation."""
    return replace(config, layers=(0,))


def random_weights(config: Trained.Config, positions: int) -> Trained.Config:
    """A language model of the same build that was never trained."""
    return replace(config, weights="random")


def no_llm(config: Trained.Config, positions: int) -> Trained.Config:
    """Tokens straight in: a random code for each token, which the encoder's learned map turns into an embedding."""
    return replace(config, weights="random", layers=(0,))


TRAINED: dict[str, Change] = {
    "no recursion": no_recursion,
    "deep, untied": deep_untied,
    "1 step": one_step,
    "pooled adapter": pooled,
    "no path labels": no_path_labels,
    "no patterns": no_patterns,
    "embedding layer only": embedding_only,
    "random-weight LLM": random_weights,
    "no LLM": no_llm,
}
"""Controls that are trained as the hybrid is, by their name in tables."""

DISTURBED: dict[str, Any] = {
    "shuffled workspaces": "other_problem",
    "latent states zeroed": "latent_zero",
    "latent states noised": "latent_noise",
}
"""Controls that are the trained hybrid itself, disturbed at the test."""


def controls(config: Trained.Config, positions: int) -> dict[str, Trained.Config]:
    """Return every control of a hybrid by its name.

    Args:
        config: of the hybrid, with the core `trm`.
        positions: most answer positions of its task.
    """
    trained = {name: replace(change(config, positions), name=name) for name, change in TRAINED.items()}
    return trained | {name: replace(config, name=name, disturbance=kind) for name, kind in DISTURBED.items()}


def prompt_tuning(config: LatentThoughts.Config) -> LatentThoughts.Config:
    """Vectors that are the same for every problem: the same network and map, applied once to learned slots, and nothing read."""
    own = config.reasoner
    block = replace(own.block, word_heads=0, sentence_heads=0) if isinstance(own.block, AttentionBlock.Config) else own.block
    bare = replace(config, encoder=Learned.Config(), reasoner=replace(own, block=block), init=None, draft_share=0.0)
    return once(bare, FeedForward.Config(own.core.num_layers))


CHANGED: dict[str, Any] = {
    "thoughts of another problem": "other_problem",
    "zeroed thoughts": "zeroed",
    "thoughts after 1 step": "one_step",
}
"""Controls that are the trained latent thoughts themselves, changed at the test."""


def thoughts_controls(config: LatentThoughts.Config) -> dict[str, LatentThoughts.Config]:
    """Return every control of latent thoughts by its name; those not in CHANGED are trained as they are."""
    trained = {
        "prompt tuning": prompt_tuning(config),
        "random recursion": replace(config, recursion="random"),
    }
    changed = {name: replace(config, change=change) for name, change in CHANGED.items()}
    return {name: replace(each, name=name) for name, each in (trained | changed).items()}
