"""A head's thoughts in its language model's own voice: text, and how likely the model finds a text, behind a soft prompt.

For heads whose decoder writes. Holds no scorer and no server; how tokens are chosen and drawn is generation.py's.

Shapes: b batch, s prompt tokens, k vectors, t tokens of a text, h width, v vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hybrid.backbone.writing import Writer, padded, prompt_tokens
from hybrid.errors import InputError
from hybrid.eval.text.generation import GREEDY, Sampling, plainly, processors, stop_tokens
from hybrid.eval.tuning.reading import Written, pad
from hybrid.kinds import require
from hybrid.model import HybridModel
from hybrid.problem import Problem

TOGETHER = 2048
"""Tokens that are scored at once: each has a logit for every token of the vocabulary."""
MOST = 2048
"""Tokens of a running text that are scored with one another in sight, where the context holds as many."""


@dataclass(frozen=True)
class Manner:
    """How a text is written.

    Args:
        most_tokens: written.
        sampling: greedy, or how tokens are drawn.
        until: texts before which it ends.
    """

    most_tokens: int = 256
    sampling: Sampling = GREEDY
    until: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require(self.most_tokens >= 1, f"most_tokens is {self.most_tokens}; give at least 1")


@torch.no_grad()
def write(model: HybridModel, problems: Sequence[Problem], manner: Manner, **options: Any) -> list[Written]:
    """Let the language model write behind the thoughts of one batch; the recursion runs once.

    Args:
        model: head that writes.
        problems: whose answers are not looked at.
        manner: how it is written.
        options: of `HybridModel.generate`.

    Raises:
        InputError: a prompt leaves no room in the model's context.
    """
    backbone = model.backbone
    prompts = prompt_tokens(backbone.tokenizer, [problem.prompt for problem in problems])
    most, stops = min(manner.most_tokens, room(model, max(map(len, prompts)))), stop_tokens(backbone)
    ends = [end for end in manner.until if end]
    if ends:
        options |= {"stop_strings": ends, "tokenizer": backbone.tokenizer}
    options |= {"max_new_tokens": most, "do_sample": False, "eos_token_id": stops, "return_dict_in_generate": True}
    options["logits_processor"] = processors([problem.prompt for problem in problems], manner.sampling, backbone.device)
    with plainly(backbone.model):
        found: list[list[int]] = model.generate(problems, **options).sequences.tolist()
    return [_written(row, backbone.tokenizer, stops, ends, most) for row in found]


def room(model: HybridModel, prompt: int) -> int:
    """Return how many tokens may follow a prompt of so many; raise InputError for none."""
    limit, vectors = model.backbone.context_length, model.config.layout.length(())
    if limit is not None and prompt + vectors >= limit:
        raise InputError(f"the prompt has {prompt} tokens and {vectors} thoughts, the context holds {limit}; shorten it")
    return MOST if limit is None else limit - prompt - vectors


def _written(row: Sequence[int], tokenizer: Any, stops: Sequence[int], ends: Sequence[str], most: int) -> Written:
    end = next((place for place, token in enumerate(row) if token in stops), len(row))
    whole = tokenizer.decode(row[:end], skip_special_tokens=True)
    text = before(whole, ends)
    return Written(text, min(end + 1, len(row)), end < most or text != whole)


def before(text: str, ends: Sequence[str]) -> str:
    """Return the text before the first of some other texts.

    Example:
        >>> before("red.\\nQ: next", ["Q:", "\\n"])
        'red.'
    """
    return text[: min((place for end in ends if (place := text.find(end)) >= 0), default=len(text))]


@dataclass(frozen=True)
class Piece:
    """A text behind a prompt.

    Args:
        prompt: tokens that the language model reads first.
        text: tokens whose probability is wanted.
        about: what the head thinks about between the two; None for no thoughts.
    """

    prompt: Sequence[int]
    text: Sequence[int]
    about: Problem | None = None


@dataclass(frozen=True)
class Likelihood:
    """The log-probability of a text, its tokens, and whether each is the likeliest behind those before it."""

    log_p: float
    tokens: int
    greedy: bool


def continuation(model: HybridModel, problem: Problem, text: str) -> Piece:
    """Return a text as the answer to a problem; it begins without a blank, as answers are taught.

    A blank prompt is nothing to think about: then the text stands alone, behind the token that opens one.
    """
    tokenizer = model.backbone.tokenizer
    ids = tokenizer(text.lstrip() or text, add_special_tokens=False)["input_ids"]
    if not problem.prompt.strip():
        return Piece([_opens(tokenizer)], ids)
    return Piece(prompt_tokens(tokenizer, [problem.prompt])[0], ids, problem)


def running(model: HybridModel, text: str) -> Iterator[Piece]:
    """Cut a running text into stretches of the context's length, each into an opening half and one behind the head's thoughts.

    The head thinks about the opening half, which the language model reads without a chat template. So every token has one
    probability given those before it, and thoughts stand in front of half of them.
    """
    tokenizer = model.backbone.tokenizer
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    size, opens = min(MOST, room(model, 1)), _opens(tokenizer)
    for start in range(0, len(ids), size):
        stretch = ids[start : start + size]
        first, second = stretch[: len(stretch) // 2], stretch[len(stretch) // 2 :]
        opening = tokenizer.decode(first, skip_special_tokens=True)
        if first:
            yield Piece([opens], first)
        yield Piece([opens, *first], second, Problem(opening, ()) if opening.strip() else None)
        opens = stretch[-1]


def _opens(tokenizer: Any) -> int:
    """Return the token that a text without a prompt stands behind: of its beginning, or else of an end."""
    return int(tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id)


@torch.no_grad()
def likelihoods(
    model: HybridModel, pieces: Sequence[Piece], *, batch_size: int = 8, latent_thoughts: bool = True, **options: Any
) -> list[Likelihood]:
    """Return how likely the language model finds each text.

    Args:
        model: head that writes.
        pieces: prompts and texts.
        batch_size: most pieces read at once.
        latent_thoughts: False leaves them out: the language model as it is.
        options: `halting` and `num_steps`, as of `solve`.
    """
    found: dict[int, Likelihood] = {}
    for thinks in (True, False):
        places = [i for i, piece in enumerate(pieces) if (latent_thoughts and piece.about is not None) == thinks]
        for batch in _batches(places, lambda i: len(pieces[i].text), batch_size):
            own = [pieces[i] for i in batch]
            vectors = model.soft_prompt([piece.about for piece in own if piece.about], **options)[1] if thinks else None
            found |= dict(zip(batch, _scored(model, own, vectors), strict=True))
    return [found[i] for i in range(len(pieces))]


def _batches(places: Sequence[int], size: Callable[[int], int], most: int) -> Iterator[list[int]]:
    batch: list[int] = []
    for place in sorted(places, key=size):
        if batch and (len(batch) == most or (len(batch) + 1) * size(place) > TOGETHER):
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


def _scored(model: HybridModel, pieces: Sequence[Piece], vectors_bkh: Tensor | None) -> list[Likelihood]:
    text_bt, real_bt = pad([piece.text or [0] for piece in pieces], "right", model.backbone.device)
    prompt_bs = padded([piece.prompt for piece in pieces]).to(model.backbone.device)
    log_p_btv = Writer(model.backbone).logits(prompt_bs, vectors_bkh, text_bt).float().log_softmax(-1)
    real_bt *= torch.tensor([[bool(piece.text)] for piece in pieces], device=real_bt.device)
    log_p_bt = log_p_btv.gather(-1, text_bt[..., None])[..., 0] * real_bt
    greedy_b = ((log_p_btv.argmax(-1) == text_bt) | (real_bt == 0)).all(1)
    sums = zip(log_p_bt.sum(1).tolist(), real_bt.sum(1).tolist(), greedy_b.tolist(), strict=True)
    return [Likelihood(*each) for each in sums]
