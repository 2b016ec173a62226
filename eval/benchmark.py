"""The benchmark: methods on the same problems, with accuracy and every cost.

One pass answers all problems at the method's best batch size (accuracy, problems a second, memory); another answers
some of them one by one (p50 and p95 seconds). Holds no training and no drawing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from hybrid.backbone import Backbone
from hybrid.eval.baselines.method import Attempt, Method
from hybrid.eval.cost import PeakMemory, percentile, seconds_each, stopwatch
from hybrid.eval.intervals import wilson
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
    say: Callable[[str], None] = lambda text: None,
) -> Measured:
    """Answer `problems` with `method` and return accuracy with its interval, and costs.

    Args:
        method: what answers.
        problems: of one split.
        task_name: for the record.
        split: of the problems, for the record.
        seed: of the problems, for the record.
        backbone: the language model behind the method.
        num_latency: problems answered one by one for the seconds.
        say: gets a line before each pass.
    """
    say(f"{method.name}: {len(problems)} problems")
    warmup = 1 if method.trainable_parameters else 0  # Text is written token by token: the first ones warm up the rest.
    single = _single_seconds(method, problems[:num_latency], warmup)
    batch_size = _best_batch(method, problems)
    attempts: list[Attempt] = []
    recalled = method.recalled_seconds
    with PeakMemory() as memory, stopwatch() as seconds:
        for start in range(0, len(problems), batch_size):
            attempts += method.attempt(problems[start : start + batch_size])
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
        accuracy_by_step=None,
        tokens_generated_mean=sum(a.tokens for a in attempts) / n,
        reasoner_steps_mean=sum(a.steps for a in attempts) / n,
        flops_mean=sum(a.flops for a in attempts) / n,
        latency_p50_seconds=percentile(single, 0.5),
        latency_p95_seconds=percentile(single, 0.95),
        throughput_per_second=n / (seconds[0] + method.recalled_seconds - recalled),
        peak_memory_bytes=memory.bytes,
        trainable_parameters=method.trainable_parameters,
        train_seconds=method.train_seconds,
        backbone=backbone.name,
        device=device_name(),
        versions=versions(),
    )
    return Measured(record, attempts)


def _single_seconds(method: Method, problems: Sequence[Problem], warmup: int) -> list[float]:
    """Return the seconds of each problem alone; an answer from disk has the seconds that it took when asked for."""
    seconds: list[float] = []
    for place, problem in enumerate(problems):
        before = method.recalled_seconds
        (spent,) = seconds_each(method.attempt, [[problem]], warmup=0 if place else warmup)
        seconds.append(spent + method.recalled_seconds - before)
    return seconds


def _best_batch(method: Method, problems: Sequence[Problem]) -> int:
    """Return the batch size with the most problems a second on the first problems; the largest where there are few."""
    sizes = [size for size in method.batch_sizes if 2 * size <= len(problems)]
    if len(sizes) < 2:
        return min(max(method.batch_sizes), len(problems))
    rates = {size: size / seconds_each(method.attempt, [problems[:size]])[0] for size in sizes}
    return max(rates, key=lambda size: rates[size])


def device_name() -> str:
    """Return the name of the machine's accelerator, or of its processor with the threads that torch uses."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
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
