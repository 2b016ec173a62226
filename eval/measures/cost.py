"""What an answer costs: forward FLOPs, seconds, memory. Joules are energy.py's, the cost of a head baselines/head.py's.

FLOPs are counted by torch's FlopCounterMode (matrix products and attention, two for each multiply-add); the products of
quantised layers and of oneDNN, which it does not know, count as those of plain ones. For generated
text, counting every decoding step would take longer than the decoding; a language model's cost is a quadratic in the
number of tokens, so it is counted at a few lengths, and is exact from there. Of text answered as a batch, each problem
costs what it would alone: padding is the batch's, not the method's.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from hybrid.backbone import Backbone
from hybrid.backbone.quantization import plain_weight
from hybrid.device import resident_peak
from hybrid.kinds import require


def count_flops(work: Callable[[], Any]) -> int:
    """Run `work` and return its forward FLOPs."""
    # The fused attention of the CPU hides its products from the counter; the plain one does the same products.
    with (
        FlopCounterMode(display=False, custom_mapping=_further_products()) as counter,
        sdpa_kernel(SDPBackend.MATH),
        torch.no_grad(),
    ):
        work()
    return int(counter.get_total_flops())


FURTHER_PRODUCTS = {
    "hybrid": {"onednn_product": 1},
    "bitsandbytes": {"int8_scaled_mm": 1, "int8_mixed_scaled_mm": 2, "gemm_4bit": 2, "gemv_4bit": 2},
}
"""Operators that the counter does not know, by library, with the place of the weight, or of its shape, among their arguments;
the input stands first."""


def _further_products() -> dict[Any, Any]:
    def formula(place: int) -> Callable[..., int]:
        return lambda *shapes, **rest: 2 * math.prod(shapes[0]) * shapes[place][0]

    return {
        getattr(getattr(torch.ops, library), name): formula(place)
        for library, operators in FURTHER_PRODUCTS.items()
        for name, place in operators.items()
        if hasattr(getattr(torch.ops, library), name)
    }


@dataclass(frozen=True)
class ByLength:
    """FLOPs of reading n tokens or positions at once: fixed + linear n + quadratic n^2."""

    linear: float
    quadratic: float = 0.0
    fixed: float = 0.0

    def flops(self, length: int) -> float:
        """Return the FLOPs of `length` tokens or positions."""
        return self.fixed + self.linear * length + self.quadratic * length * length

    @classmethod
    def through(cls, count: Callable[[int], float], longest: int) -> ByLength:
        """Return what passes through the counts at three lengths up to `longest`; through fewer where it is under 3.

        Example:
            >>> ByLength.through(lambda n: 7 + 5 * n + 2 * n * n, longest=30)
            ByLength(linear=5.0, quadratic=2.0, fixed=7.0)
        """
        lengths = sorted({-(-longest // 3), -(-2 * longest // 3), longest})
        powers = torch.tensor([[n**k for k in range(len(lengths))] for n in lengths], dtype=torch.float64)
        found = torch.linalg.solve(powers, torch.tensor([count(n) for n in lengths], dtype=torch.float64)).tolist()
        fixed, linear, quadratic = (round(value, 3) for value in (*found, 0.0, 0.0)[:3])
        return cls(linear, quadratic, fixed)


@dataclass(frozen=True)
class TextCost:
    """FLOPs of a language model that reads p tokens and writes g + 1, the last of which it never reads.

    They are fixed + linear (p + g) + quadratic (p^2 + pg + g(g + 1)/2) + head (g + 1).

    Args:
        linear: FLOPs a token of all layers but the output matrix.
        quadratic: FLOPs of attention for each pair of tokens; prefill computes all p^2 pairs.
        head: FLOPs of the output matrix for one token.
        fixed: FLOPs of the prefill, however short: those of a recurrent model that reads in chunks.
    """

    linear: float
    quadratic: float
    head: float
    fixed: float = 0.0

    def flops(self, prompt_tokens: int, new_tokens: int) -> float:
        """Return the FLOPs of reading `prompt_tokens` and writing `new_tokens` with a key-value cache."""
        p, g = prompt_tokens, max(new_tokens - 1, 0)
        pairs = p * p + p * g + g * (g + 1) / 2
        return self.fixed + self.linear * (p + g) + self.quadratic * pairs + self.head * new_tokens


@dataclass(frozen=True)
class EncoderDecoderCost:
    """FLOPs of an encoder-decoder whose encoder reads p tokens and whose decoder writes g, beginning with a start token.

    They are those of the encoder, and token g + pair g(g + 1)/2 + key p + cross pg + head g.

    Args:
        encoder: of the encoder.
        token: FLOPs of the decoder's layers for a token.
        pair: FLOPs of self-attention for each pair of tokens.
        key: FLOPs of a prompt token's keys and values for the decoder, once.
        cross: FLOPs of cross-attention for each new and each prompt token.
        head: FLOPs of the output matrix for one token.
    """

    encoder: ByLength
    token: float
    pair: float
    key: float
    cross: float
    head: float

    def flops(self, prompt_tokens: int, new_tokens: int) -> float:
        """Return the FLOPs of reading `prompt_tokens` and writing `new_tokens` with a key-value cache."""
        p, g = prompt_tokens, new_tokens
        decoder = self.token * g + self.pair * g * (g + 1) / 2 + self.key * p + self.cross * p * g + self.head * g
        return self.encoder.flops(p) + decoder


_COSTS: WeakKeyDictionary[Backbone, dict[bool, TextCost | EncoderDecoderCost]] = WeakKeyDictionary()
LONGEST = 48
"""Tokens of the longest prompt that is counted; what the formulas say of longer ones is exact all the same."""


def text_cost(backbone: Backbone) -> TextCost | EncoderDecoderCost:
    """Count the cost of this model at three lengths and return the formula through them; once for a model.

    Raises:
        ConfigError: the model writes no text.
    """
    known = _COSTS.setdefault(backbone, {})
    if backbone.tuned not in known:
        known[backbone.tuned] = _count_text_cost(backbone)
    return known[backbone.tuned]


def _count_text_cost(backbone: Backbone) -> TextCost | EncoderDecoderCost:
    output = backbone.model.get_output_embeddings()
    name = type(backbone.model).__name__
    require(output is not None, f"{name} has no output matrix, so it writes no text; leave out the methods that prompt it")
    weight = plain_weight(output)
    head = 2.0 * weight.shape[0] * weight.shape[1]
    reads = prompt_cost(backbone, lambda ids: backbone.body(input_ids=ids, use_cache=False))
    if not backbone.model.config.is_encoder_decoder:
        return TextCost(reads.linear, reads.quadratic, head, reads.fixed)
    decoder, width = backbone.model.get_decoder(), backbone.hidden_size

    def decoding(p: int, g: int) -> int:
        states = torch.zeros(1, p, width, dtype=backbone.dtype, device=backbone.device)
        return count_flops(lambda: decoder(input_ids=_ids(backbone, g), encoder_hidden_states=states, use_cache=False))

    sizes = [(p, g) for p in (16, 32) for g in (16, 32)]
    terms = torch.tensor([[g, g * g, p, p * g] for p, g in sizes], dtype=torch.float64)
    counts = torch.tensor([decoding(p, g) for p, g in sizes], dtype=torch.float64)
    token, pair, key, cross = torch.linalg.solve(terms, counts).tolist()
    return EncoderDecoderCost(reads, token, pair, key, cross, head)


def prompt_cost(backbone: Backbone, read: Callable[[Tensor], Any]) -> ByLength:
    """Return the FLOPs of `read`, which gets token ids (1, n), for a prompt of any length."""
    longest = min(LONGEST, backbone.context_length or LONGEST)
    return ByLength.through(lambda length: count_flops(lambda: read(_ids(backbone, length))), longest)


def _ids(backbone: Backbone, length: int) -> Tensor:
    return torch.ones(1, length, dtype=torch.int64, device=backbone.device)


def seconds_each(work: Callable[[Any], Any], items: Sequence[Any], *, warmup: int = 1) -> list[float]:
    """Return the wall seconds of `work(item)` for every item, after `warmup` uncounted calls on the first."""
    for item in list(items[:1]) * warmup:
        work(item)
    taken = []
    for item in items:
        with stopwatch() as seconds:
            work(item)
        taken += seconds
    return taken


def seconds_of(work: Callable[[], Any], *, least_seconds: float = 2.0, least_runs: int = 3) -> float:
    """Return the median wall seconds of `work` over enough runs, after one that is not counted."""
    work()
    taken: list[float] = []
    while len(taken) < least_runs or sum(taken) < least_seconds:
        with stopwatch() as seconds:
            work()
        taken += seconds
    return median(taken)


def _wait_for_device() -> None:
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()


class PeakMemory:
    """Peak memory in bytes inside a `with` block: tensors on all GPUs, or of this process on a CPU, libraries included.

    What was freed before the block does not count: on a GPU the bytes of tensors are taken, not what torch keeps in reserve
    (which is what earlier work left); on a CPU free memory is given back to the system first, where the C library is
    glibc, whose heap otherwise keeps most of it. On Linux the process's own high-water mark is reset at the start of the
    block; elsewhere it is the mark since the process began.
    """

    bytes: int = 0

    def __enter__(self) -> PeakMemory:
        gc.collect()
        if torch.cuda.is_available():
            for index in range(torch.cuda.device_count()):
                torch.cuda.reset_peak_memory_stats(index)
        else:
            with contextlib.suppress(OSError, AttributeError):  # No glibc.
                ctypes.CDLL("libc.so.6").malloc_trim(0)
            with contextlib.suppress(OSError):
                Path("/proc/self/clear_refs").write_text("5")
        return self

    def __exit__(self, *error: object) -> None:
        if torch.cuda.is_available():
            self.bytes = sum(torch.cuda.max_memory_allocated(index) for index in range(torch.cuda.device_count()))
        else:
            self.bytes = _resident_peak()


def _resident_peak() -> int:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resident_peak()


@contextlib.contextmanager
def stopwatch() -> Iterator[list[float]]:
    """Yield a list that holds the wall seconds of the block once it has ended, from an idle device until it is idle again."""
    seconds: list[float] = []
    _wait_for_device()
    began = time.perf_counter()
    yield seconds
    _wait_for_device()
    seconds.append(time.perf_counter() - began)
