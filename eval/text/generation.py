"""Text from the frozen language model, through transformers: in batches, with a key-value cache, greedy or drawn.

Holds no prompts of any method (baselines/), no scoring (tasks/), and no other way to get text (engines/). A drawn text
depends on its prompt, seed and number alone: every row has noise of its own, so that neither the batch nor an
interrupted run changes it (the maximum of the log-probabilities plus Gumbel noise is a draw from the probabilities).
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hybrid.backbone import Backbone
from hybrid.errors import InputError
from hybrid.kinds import require

Message = dict[str, str]
Ends = Callable[[str], bool]
"""Says of a text that ends with a line break whether its answer is complete."""

MOST_CHARACTERS, MOST_LINES = 100_000, 1000
"""A longer text is not looked through for its answer's end, nor further lines: it came from a server that raves."""


@dataclass(frozen=True)
class Generated:
    """One continuation.

    Args:
        text: what was written.
        tokens: its length in tokens.
        prompt_tokens: the prompt's length in tokens.
        fault: why there is no text to read ("empty", "refused", ...); nothing where there is one.
    """

    text: str
    tokens: int
    prompt_tokens: int
    fault: str = ""


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen.

    Args:
        temperature: 0 takes the likeliest token; above, tokens are drawn.
        top_p: tokens are drawn from the likeliest ones that hold this share of the probability.
        seed: of the draws.
        sample: number of the sample, where several are drawn for one prompt.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    sample: int = 0

    def __post_init__(self) -> None:
        require(0 <= self.temperature < float("inf"), f"temperature is {self.temperature}; give at least 0")
        require(0 < self.top_p <= 1, f"top_p is {self.top_p}; give a share above 0, at most 1")


GREEDY = Sampling()


def opening(tokenizer: Any) -> str:
    """Return the token that the tokenizer puts before every text, as text; nothing where it puts none.

    A chat template writes it itself; a text without one begins with it, as the prompts do that a head reads.
    """
    first = None if tokenizer is None else tokenizer.bos_token_id
    return str(tokenizer.bos_token) if first is not None and tokenizer("a")["input_ids"][:1] == [first] else ""


def chat_text(backbone: Backbone, messages: Sequence[Message]) -> str:
    """Return a conversation as the text that the model was trained on, ready for the assistant's turn."""
    if getattr(backbone.tokenizer, "chat_template", None):
        return str(backbone.tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True))
    return opening(backbone.tokenizer) + "\n\n".join(message["content"] for message in messages) + "\n\n"


def cut(text: str, ends: Ends | None) -> str:
    """Return the text up to the first line break at which its answer is complete; all of it where none is.

    Example:
        >>> cut("Answer: 3\\nNext: 4\\n", lambda text: "Answer" in text)
        'Answer: 3\\n'
    """
    place = 0
    for _ in range(MOST_LINES if ends is not None and len(text) <= MOST_CHARACTERS else 0):
        place = text.find("\n", place) + 1
        if not place:
            break
        if ends is not None and ends(text[:place]):
            return text[:place]
    return text


def stop_tokens(backbone: Backbone) -> list[int]:
    """Return the tokens at which a model ends a text: its own and its tokenizer's."""
    config = getattr(backbone.model, "generation_config", None)
    listed: Any = getattr(config, "eos_token_id", None)
    listed = listed if isinstance(listed, list) else [listed]
    return [int(i) for i in {*listed, backbone.tokenizer.eos_token_id} if i is not None]


KEPT = ("bos_token_id", "decoder_start_token_id", "forced_bos_token_id", "forced_eos_token_id", "cache_implementation")
"""What a model's own generation settings may say; penalties, beams and the like would make greedy text other than greedy."""


@contextlib.contextmanager
def plainly(model: Any) -> Iterator[None]:
    """Leave the model's own generation settings out inside the block, but for KEPT; transformers fills in what is not given."""
    from transformers import GenerationConfig

    own = model.generation_config
    model.generation_config = GenerationConfig(**{name: getattr(own, name, None) for name in KEPT})  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        model.generation_config = own


class _AnswerGiven:
    """A stopping rule of transformers: ends each row of ids at the line break that completes its answer."""

    def __init__(self, tokenizer: Any, start: int, ends: Sequence[Ends]) -> None:
        self.tokenizer, self.start, self.ends = tokenizer, start, ends
        self.lengths: dict[int, int] = {}

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        last = input_ids[:, -1].tolist()
        for row, token in enumerate(last):
            if row not in self.lengths and "\n" in self.tokenizer.decode([token]):
                text = self.tokenizer.decode(input_ids[row, self.start :].tolist(), skip_special_tokens=True)
                if self.ends[row](text[: text.rfind("\n") + 1]):
                    self.lengths[row] = input_ids.shape[1] - self.start
        return torch.tensor([row in self.lengths for row in range(len(last))], device=input_ids.device)


class _Noise:
    """A processor of transformers: adds Gumbel noise to scores (b, v), so that their maximum is a draw."""

    def __init__(self, texts: Sequence[str], sampling: Sampling, device: torch.device) -> None:
        self.generators = [torch.Generator(device).manual_seed(_seed(text, sampling)) for text in texts]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        waits = torch.empty_like(scores, dtype=torch.float32)
        for row, generator in zip(waits, self.generators, strict=True):
            row.exponential_(generator=generator)
        return scores.float() - waits.log()


def _seed(text: str, sampling: Sampling) -> int:
    digest = hashlib.blake2b(f"{sampling.seed} {sampling.sample} {text}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def processors(texts: Sequence[str], sampling: Sampling, device: torch.device) -> Any:
    """Return what makes transformers' greedy search draw the next tokens of texts as `sampling` says."""
    from transformers.generation.logits_process import LogitsProcessorList, TemperatureLogitsWarper, TopPLogitsWarper

    found: list[Any] = []
    if sampling.temperature:
        found = [TemperatureLogitsWarper(float(sampling.temperature)), _Noise(texts, sampling, device)]
        if sampling.top_p < 1:
            found.insert(1, TopPLogitsWarper(sampling.top_p))
    return LogitsProcessorList(found)


@torch.inference_mode()
def generate(
    backbone: Backbone,
    texts: Sequence[str],
    max_new_tokens: int,
    *,
    sampling: Sampling = GREEDY,
    ends: Sequence[Ends] | None = None,
) -> list[Generated]:
    """Continue each text, all as one batch padded on the left.

    Args:
        backbone: writes.
        texts: prompts.
        max_new_tokens: most tokens written for each.
        sampling: greedy, or how tokens are drawn.
        ends: for each text, when its answer is complete; writing ends there, and at the model's end token.

    Raises:
        InputError: a text and its continuation do not fit the model's context.
    """
    ids = backbone.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    longest = max(len(row) for row in ids)
    limit = backbone.context_length
    if limit is not None and longest + max_new_tokens > limit:
        raise InputError(f"{longest} prompt tokens and {max_new_tokens} new ones exceed the context of {limit}; use fewer shots")
    stops = stop_tokens(backbone)
    pad = backbone.tokenizer.pad_token_id
    pad = pad if pad is not None else (stops[0] if stops else 0)
    input_ids = torch.tensor([[pad] * (longest - len(row)) + row for row in ids], device=backbone.device)
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in ids], device=backbone.device)
    given = _AnswerGiven(backbone.tokenizer, longest, ends or ())
    with plainly(backbone.model):
        out = backbone.model.generate(
            input_ids=input_ids,
            attention_mask=mask,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            logits_processor=processors(texts, sampling, backbone.device),
            stopping_criteria=[given] if ends is not None else None,
            pad_token_id=pad,
            eos_token_id=stops or None,
        )
    generated = []
    for i, (row, prompt) in enumerate(zip(out[:, longest:].tolist(), ids, strict=True)):
        row = row[: given.lengths.get(i, len(row))]
        end = next((place for place, token in enumerate(row) if token in stops), len(row))
        text = backbone.tokenizer.decode(row[:end], skip_special_tokens=True)
        generated.append(Generated(cut(text, ends[i] if ends else None), min(end + 1, len(row)), len(prompt)))
    return generated
