"""What an answer costs: forward FLOPs, seconds, memory.

FLOPs are counted by torch's FlopCounterMode (matrix products and attention, two for each multiply-add); the products of
quantised layers, which it does not know, count as those of plain ones. For generated
text, counting every decoding step would take longer than the decoding; a language model's cost is a quadratic in the
number of tokens, so it is counted at two lengths, and is exact from there.
"""

from __future__ import annotations

import contextlib
import math
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from hybrid.backbone import Backbone
from hybrid.quantization import plain_weight


def count_flops(work: Callable[[], Any]) -> int:
    """Run `work` and return its forward FLOPs."""
    # The fused attention of the CPU hides its products from the counter; the plain one does the same products.
    with (
        FlopCounterMode(display=False, custom_mapping=_quantized_products()) as counter,
        sdpa_kernel(SDPBackend.MATH),
        torch.no_grad(),
    ):
        work()
    return int(counter.get_total_flops())


QUANTIZED_PRODUCTS = {"int8_scaled_mm": 1, "int8_mixed_scaled_mm": 2, "gemm_4bit": 2, "gemv_4bit": 2}
"""Operators of bitsandbytes with the place of the weight, or of its shape, among their arguments; the input stands first."""


def _quantized_products() -> dict[Any, Any]:
    if "bitsandbytes" not in sys.modules:
        return {}

    def formula(place: int) -> Callable[..., int]:
        return lambda *shapes, **rest: 2 * math.prod(shapes[0]) * shapes[place][0]

    return {getattr(torch.ops.bitsandbytes, name): formula(place) for name, place in QUANTIZED_PRODUCTS.items()}


@dataclass(frozen=True)
class TextCost:
    """FLOPs of a language model that reads p tokens and writes g + 1, the last of which it never reads.

    They are linear (p + g) + quadratic (p^2 + pg + g(g + 1)/2) + head (g + 1).

    Args:
        linear: FLOPs a token of all layers but the output matrix.
        quadratic: FLOPs of attention for each pair of tokens; prefill computes all p^2 pairs.
        head: FLOPs of the output matrix for one token.
    """

    linear: float
    quadratic: float
    head: float

    def flops(self, prompt_tokens: int, new_tokens: int) -> float:
        """Return the FLOPs of reading `prompt_tokens` and writing `new_tokens` with a key-value cache."""
        p, g = prompt_tokens, max(new_tokens - 1, 0)
        return self.linear * (p + g) + self.quadratic * (p * p + p * g + g * (g + 1) / 2) + self.head * new_tokens


@lru_cache(maxsize=8)
def text_cost(backbone: Backbone) -> TextCost:
    """Count the cost of this model at 16 and 32 tokens and return the formula through them."""

    def body(length: int) -> int:
        ids = torch.ones(1, length, dtype=torch.int64, device=backbone.device)
        return count_flops(lambda: backbone.body(input_ids=ids, use_cache=False))

    short, long = body(16), body(32)
    quadratic = (long - 2 * short) / (32 * 32 - 2 * 16 * 16)
    weight = plain_weight(backbone.model.get_output_embeddings())
    return TextCost((short - quadratic * 16 * 16) / 16, quadratic, 2.0 * weight.shape[0] * weight.shape[1])


def seconds_each(work: Callable[[Any], Any], items: Sequence[Any], *, warmup: int = 1) -> list[float]:
    """Return the wall seconds of `work(item)` for every item, after `warmup` uncounted calls on the first."""
    for item in list(items[:1]) * warmup:
        work(item)
    seconds = []
    for item in items:
        began = time.perf_counter()
        work(item)
        _wait_for_device()
        seconds.append(time.perf_counter() - began)
    return seconds


def _wait_for_device() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which a `share` of `values` lies, interpolated.

    Example:
        >>> percentile([1.0, 2.0, 3.0], 0.5)
        2.0
    """
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


class PeakMemory:
    """Peak memory in bytes inside a `with` block: of the GPU, or of this process on a CPU.

    On Linux the process's own high-water mark is reset at the start of the block; elsewhere it is the mark since the
    process began.
    """

    bytes: int = 0

    def __enter__(self) -> PeakMemory:
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        else:
            with contextlib.suppress(OSError):
                Path("/proc/self/clear_refs").write_text("5")
        return self

    def __exit__(self, *error: object) -> None:
        self.bytes = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else _resident_peak()


def _resident_peak() -> int:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@contextlib.contextmanager
def stopwatch() -> Iterator[list[float]]:
    """Yield a list that holds the wall seconds of the block once it has ended."""
    seconds: list[float] = []
    began = time.perf_counter()
    yield seconds
    _wait_for_device()
    seconds.append(time.perf_counter() - began)
