"""Peak memory of training: a step by the number of cycles for each gradient scheme, or LoRA with the head by N.

    python -m hybrid.eval.memory [--cycles 3 12 48] [--plot memory.svg]
    python -m hybrid.eval.memory --joint 2 8 16
    python -m hybrid.eval.memory --words 100 500 1000 2000 [--plot lengths.svg]

Every cell is a process of its own, so that no cell counts what another left behind. Its figure is the peak over one
whole optimizer step, less what the process holds before it (weights, inputs, libraries). An equilibrium scheme takes as
many iterations of its forward solve as the others take cycles. Joint training is measured on the default language model, over
whole runs of the trainer.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import torch

import hybrid
from hybrid.adapters import Features, Segments, Targets
from hybrid.backbone import BackboneConfig
from hybrid.backbone.default import DEFAULT_BACKBONE
from hybrid.backbone.tuner import Lora
from hybrid.checkpoint import write_text
from hybrid.config import HybridConfig
from hybrid.eval import program
from hybrid.eval.measures.cost import PeakMemory, seconds_each
from hybrid.eval.report.plots import as_file, memory_curve
from hybrid.eval.speed import OneStep, Setting
from hybrid.eval.tasks.sudoku import Sudoku
from hybrid.head import Head
from hybrid.layout import LayoutConfig
from hybrid.problem import Problem
from hybrid.recursion.gradients import GRADIENTS
from hybrid.recursion.losses import LOSSES, Softmax
from hybrid.recursion.reasoner import ReasonerConfig
from hybrid.train import TrainConfig, train
from hybrid.train.recipe import plain_language

_EXACT = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
"""Lets glibc give memory back as soon as it is free, so that a process holds what is in use and no leftovers."""
T = TypeVar("T")
WORDS_A_SENTENCE = 12
SCHEMES = ("one_step", "last_cycle", "last_k", "implicit", "phantom", "full")


def gradient(kind: str, num_cycles: int) -> Any:
    """Return the config of a scheme that takes `num_cycles` cycles forward; last_k keeps four calls."""
    if kind in ("implicit", "phantom"):
        return GRADIENTS.from_dict({"kind": kind, "tolerance": 1e-30, "max_iterations": num_cycles})
    return GRADIENTS.from_dict({"kind": kind} | ({"k": 4} if kind == "last_k" else {}))


def over_before(work: Callable[[], Any]) -> int:
    """Return the peak bytes of `work` over what the process holds before it."""
    with PeakMemory() as before:
        pass
    with PeakMemory() as during:
        work()
    return during.bytes - before.bytes


def peak_bytes(kind: str, num_cycles: int, batch: int, width: int) -> int:
    """Return the peak bytes of one optimizer step over what was held before it; call it in a fresh process."""
    torch.set_num_threads(1)
    setting = Setting(width, batch, torch.float32, num_cycles=num_cycles, num_latent_steps=2, gradient=gradient(kind, num_cycles))
    step = OneStep(setting)
    return over_before(step)


def joint_peak_bytes(num_supervision_steps: int, name: str = DEFAULT_BACKBONE) -> int:
    """Return the peak bytes of training LoRA and head together, two batches, over what was held before; in a fresh process."""
    torch.set_num_threads(1)
    task = Sudoku(Sudoku.Config(size=4))
    reasoner = ReasonerConfig(num_supervision_steps=num_supervision_steps)
    reads = BackboneConfig(name, dtype="float32")
    config = hybrid.HybridConfig(task.layout, task.symbols, reads, reasoner=reasoner, tuner=Lora.Config())
    recipe = TrainConfig(num_steps=2 * num_supervision_steps, batch_size=16, eval_every_steps=1000, save_every_seconds=1e6)
    model, problems = hybrid.attach(None, config), task.problems("train", 64)
    with tempfile.TemporaryDirectory() as folder:
        return over_before(lambda: train(model, problems, problems[:4], recipe, folder, show=False, resumable=False))


def step_of_words(kind: str, length: int) -> tuple[int, float]:
    """Return the peak bytes and the seconds of a step of plain language on a prompt of so many words."""
    torch.set_num_threads(1)
    recipe = plain_language([Problem("word " * length, ("a",))], 1)
    encoder = recipe.encoder if kind == "words" else Segments.Config(max_answers=1, max_words=length)
    config = HybridConfig(LayoutConfig(num_answers=1), ("a", "b"), encoder=encoder, reasoner=recipe.reasoner)
    no_vocabulary: Any = None  # The decoder of classes has its own.
    head = Head(config, 3, 576, no_vocabulary)
    links = [each for word in range(length) for each in (word % 40, word // WORDS_A_SENTENCE)]
    features = Features.pad([torch.randn(length, 3, 576)], [1], links=[links])
    goal = Targets(torch.zeros(1, 1, 1), torch.ones(1), torch.ones(1, 1)).at(torch.ones(1, dtype=torch.int64))

    def step() -> None:
        out = head(features, head.start(features), goal, LOSSES.build(Softmax.Config()))
        out.loss.sum().backward()
        head.zero_grad()

    return over_before(step), min(seconds_each(lambda _: step(), range(3), warmup=0))


def by_words(lengths: Sequence[int], plot: Path | None) -> None:
    """Print, and draw, seconds and memory of a step by the words of the prompt, for both encoders of plain language."""
    from rich.console import Console
    from rich.table import Table

    kinds = ("words", "segments")
    cells = [(kind, length) for kind in kinds for length in lengths]
    found = dict(zip(cells, alone(step_of_words, cells), strict=True))
    title = "a supervision step of one prompt with its gradient, width 128: seconds, peak MB"
    table = Table("encoder", *(f"{length:,} words" for length in lengths), title=title)
    for kind in kinds:
        table.add_row(
            kind, *(f"{seconds:.2f}, {peak / 1e6:,.0f}" for peak, seconds in (found[kind, length] for length in lengths))
        )
    Console().print(table)
    if plot:
        peaks = {kind: [found[kind, length][0] for length in lengths] for kind in kinds}
        write_text(plot, as_file(memory_curve(peaks, lengths, along="words of the prompt")))


def alone(work: Callable[..., T], cells: Sequence[tuple[Any, ...]]) -> list[T]:
    """Return `work` of each cell, every one in a process of its own that holds no freed memory back."""
    context = multiprocessing.get_context("spawn")
    before = dict(os.environ)
    os.environ.update(_EXACT)
    try:
        with ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=1) as pool:
            return list(pool.map(work, *zip(*cells, strict=True)))
    finally:
        for name in _EXACT:
            os.environ.pop(name)
        os.environ.update(before)


def measure(kinds: Sequence[str], cycles: Sequence[int], batch: int, width: int) -> dict[str, list[int]]:
    """Return the peak bytes of every scheme at every number of cycles, one process a cell."""
    cells = [(kind, count, batch, width) for kind in kinds for count in cycles]
    found = alone(peak_bytes, cells)
    return {kind: found[i * len(cycles) : (i + 1) * len(cycles)] for i, kind in enumerate(kinds)}


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table and draw the picture."""
    from rich.console import Console
    from rich.table import Table

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--cycles", type=program.positive, nargs="+", default=[3, 12, 48], help="T, or iterations of the forward solve"
    )
    parser.add_argument("--schemes", nargs="+", default=list(SCHEMES), choices=SCHEMES)
    parser.add_argument("--batch", type=program.positive, default=8)
    parser.add_argument("--width", type=program.positive, default=128)
    parser.add_argument("--plot", type=program.path, help="SVG file to draw")
    parser.add_argument("--joint", type=program.positive, nargs="+", help="N of joint training, measured instead")
    parser.add_argument("--words", type=program.positive, nargs="+", help="words of a prompt in plain language, measured instead")
    options = parser.parse_args(argv)
    if options.words:
        by_words(options.words, options.plot)
        return
    if options.joint:
        title = "peak MB of training LoRA and head together, 4x4 Sudoku, batch 16"
        table = Table(*(f"N = {count}" for count in options.joint), title=title)
        table.add_row(*(f"{peak / 1e6:,.1f}" for peak in alone(joint_peak_bytes, [(count,) for count in options.joint])))
        Console().print(table)
        return
    found = measure(options.schemes, options.cycles, options.batch, options.width)
    title = f"peak MB of one training step, width {options.width}, batch {options.batch}, 97 positions, n = 2"
    table = Table("gradient", *(f"T = {count}" for count in options.cycles), "growth", title=title)
    for kind, peaks in found.items():
        growth = f"{100 * (peaks[-1] / peaks[0] - 1):+.1f}%"
        table.add_row(kind, *(f"{peak / 1e6:,.1f}" for peak in peaks), growth)
    Console().print(table)
    if options.plot:
        write_text(options.plot, as_file(memory_curve(found, options.cycles)))


if __name__ == "__main__":
    program.run(main)
