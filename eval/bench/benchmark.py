"""The benchmark: methods on the same problems, with accuracy and every cost.

One pass answers some problems one by one, warm (p50 and p95 seconds); another answers all of them in batches (accuracy,
tokens, FLOPs), at the method's better batch size (problems a second, memory, joules). Holds no training and no drawing,
and writes nothing before all is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from hybrid.backbone import Backbone
from hybrid.eval.baselines.method import Attempt, Method
from hybrid.eval.measures.cost import PeakMemory, seconds_each, stopwatch
from hybrid.eval.measures.energy import Energy
from hybrid.eval.measures.intervals import wilson
from hybrid.eval.results import Record, versions
from hybrid.problem import Problem


@dataclass(frozen=True)
class Measured:
    """A method's record, and its attempts in the order of the problems."""

    record: Record
    attempts: list[Attempt]


def measure(
    method: Method,
    problems: Sequence[Problem],
    *,
    task_name: str,
    split: str,
    seed: int,
    backbone: Backbone,
    num_latency: int = 10,
    depth: int = 0,
    say: Callable[[str], None] = lambda text: None,
) -> Measured:
    """Answer `problems` with `method` and return accuracy with its interval, and costs.

    Args:
        method: what answers.
        problems: of one split.
        task_name, split, seed: of the problems, for the record.
        backbone: the language model behind the method.
        num_latency: problems answered one by one for the seconds, evenly spread.
        depth: supervision steps to which accuracy by step is taken, for methods that take steps.
        say: gets a line before the work.

    Raises:
        ValueError: there are no problems, or the method does not answer each of them.
    """
    if not problems:
        raise ValueError(f"there are no problems for {method.name}; give at least one")
    say(f"{method.name}: {len(problems)} problems")
    single = _single_seconds(method, spread(problems, num_latency))
    attempts, best = _answer(method, problems)
    n, right = len(attempts), sum(attempt.right for attempt in attempts)
    low, high = wilson(right, n)
    record = Record(
        task=task_name,
        method=method.name,
        split=split,
        n=n,
        seed=seed,
        exact=right / n,
        exact_low=low,
        exact_high=high,
        accuracy_by_step=method.depth_curve(problems, depth) if depth else None,
        tokens_generated_mean=sum(a.tokens for a in attempts) / n,
        reasoner_steps_mean=sum(a.steps for a in attempts) / n,
        flops_mean=sum(a.flops for a in attempts) / n,
        latency_p50_seconds=float(np.quantile(single, 0.5)),
        latency_p95_seconds=float(np.quantile(single, 0.95)),
        throughput_per_second=best.count / best.seconds,
        peak_memory_bytes=best.peak_bytes,
        trainable_parameters=method.trainable_parameters,
        train_seconds=method.train_seconds,
        train_problems=method.train_problems,
        cut_share=sum(a.cut for a in attempts) / n,
        timed_problems=len(single),
        backbone=backbone.name,
        device=device_name(backbone.device),
        versions=versions(),
        energy_joules_mean=None if best.energy.joules is None or method.elsewhere else best.energy.joules / best.count,
    )
    return Measured(record, attempts)


def spread(problems: Sequence[Problem], count: int) -> list[Problem]:
    """Return `count` of the problems, evenly spread; all where there are no more.

    Example:
        >>> spread([3, 1, 4, 1, 5, 9], 3)
        [3, 4, 5]
    """
    count = min(count, len(problems))
    return [problems[i * len(problems) // count] for i in range(count)]


def _single_seconds(method: Method, problems: Sequence[Problem]) -> list[float]:
    """Return the seconds of each problem alone."""
    _timed(method, problems[:1])  # Warms up the rest.
    return [_timed(method, [problem])[1] for problem in problems]


QUICK = 1.0
"""Seconds under which the first batch of a size is answered twice, for a time that is warm."""


@dataclass
class _Pace:
    """What the batches of one size took: problems answered, seconds, joules, most memory."""

    size: int
    energy: Energy = field(default_factory=Energy)
    count: int = 0
    seconds: float = 0.0
    peak_bytes: int = 0

    def attempt(self, method: Method, problems: Sequence[Problem]) -> list[Attempt]:
        """Answer one batch, and count it."""
        with self.energy:
            found, seconds = _timed(method, problems)
        self.count += len(found)
        self.seconds += seconds
        return found


def _answer(method: Method, problems: Sequence[Problem]) -> tuple[list[Attempt], _Pace]:
    """Answer all problems: some at each of two batch sizes, the others at the quicker one, whose pace comes back too.

    Few problems make one batch. Nothing is answered twice, but by a method so quick that this costs nothing.
    """
    sizes = sorted({method.batch_sizes[0], method.batch_sizes[-1]})
    if sum(sizes) > len(problems):
        sizes = [min(sizes[-1], len(problems))]
    attempts: list[Attempt] = []
    paces: list[_Pace] = []
    for size in sizes:
        found, pace = _try(method, problems[len(attempts) : len(attempts) + size])
        attempts, paces = attempts + found, [*paces, pace]
    best = max(paces, key=lambda pace: pace.count / pace.seconds)
    with PeakMemory() as memory:
        for start in range(len(attempts), len(problems), best.size):
            attempts += best.attempt(method, problems[start : start + best.size])
    best.peak_bytes = max(best.peak_bytes, memory.bytes)
    return attempts, best


def _try(method: Method, problems: Sequence[Problem]) -> tuple[list[Attempt], _Pace]:
    """Answer `problems` as one batch; a quick one again, as the first of its size is slower than the others will be."""
    pace = _Pace(len(problems))
    with PeakMemory() as memory:
        found = pace.attempt(method, problems)
        if pace.seconds < QUICK:
            pace = _Pace(len(problems))
            found = pace.attempt(method, problems)
    pace.peak_bytes = memory.bytes
    return found, pace


def _timed(method: Method, problems: Sequence[Problem]) -> tuple[list[Attempt], float]:
    """Return a batch's answers and its seconds; an answer from disk has the seconds that it took when asked for."""
    before = method.recalled_seconds
    with stopwatch() as seconds:
        found = method.attempt(problems)
    if len(found) != len(problems):
        raise ValueError(f"{method.name} gave {len(found)} attempts at {len(problems)} problems; return one for each, in order")
    return found, seconds[0] + method.recalled_seconds - before


def device_name(device: torch.device) -> str:
    """Return the name of a GPU, or of the processor with the threads that torch uses."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return device.type
    model = ""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = (line for line in info.read_text().splitlines() if line.startswith("model name"))
        model = next(lines, "").partition(":")[2].strip()
    return f"{model or 'CPU'}, {torch.get_num_threads()} threads"


def forward_seconds(backbone: Backbone, problems: Sequence[Problem]) -> list[float]:
    """Return the seconds of the language model's own forward pass over each prompt alone, tokens to logits.

    Of an encoder-decoder it is the encoder's, which alone reads the prompt.
    """
    reads = backbone.body if backbone.model.config.is_encoder_decoder else backbone.model
    encoded = backbone.encode([problem.prompt for problem in problems])
    rows = [torch.tensor([tokens.ids], device=backbone.device) for tokens in encoded]
    with torch.inference_mode():
        return seconds_each(lambda ids: reads(input_ids=ids, use_cache=False), rows, warmup=2)
