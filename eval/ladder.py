"""The ladder: what to train when a GPU is there for some minutes, rung by rung, each resumed where it was left.

    python -m hybrid.train.ladder --until SECONDS --output DIR [--sudoku FILE] [--seconds 600] [--small]

Rungs: `speed`, a table of training steps at the papers' sizes; `sudoku`, every row of a file of 9x9 puzzles beside no language
model, in disguises drawn from the puzzle's symmetries; `sudoku_1000`, a thousand of its rows; `preset`, the same with the
recipe of the TRM paper (train/presets.py). A rung that is done is skipped; one that is cut off by `--until` goes on at the
next call, to the same bits. Leaves results.json, speed.json and the heads in DIR. `--small` is the same at the size of a test.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from hybrid.checkpoint import write_text
from hybrid.device import usual_device
from hybrid.eval import program
from hybrid.eval.bench.benchmark import device_name
from hybrid.eval.bench.study import Cell, run
from hybrid.eval.speed import Setting, measure
from hybrid.eval.tasks.sudoku import Sudoku
from hybrid.recursion.grid_block import GridBlock
from hybrid.train.presets import GRID, TRM_SUDOKU

DIGITS = tuple("0123456789")


def speed(output: Path, small: bool) -> None:
    """Time training steps, eager and compiled, and leave speed.json; a table that is there is kept."""
    file = output / "speed.json"
    if file.exists():
        return
    sizes = [(32, 4)] if small else [(128, 768), (512, 768)]
    rows = []
    for width, batch in sizes:
        for compiled in (False, True):
            seconds, share, peak = measure(Setting(width, batch, torch.bfloat16, compiled=compiled))
            rows.append({"width": width, "batch": batch, "compiled": compiled, "seconds": seconds, "share": share, "peak": peak})
            print(f"speed: {rows[-1]}", flush=True)
    write_text(file, json.dumps({"device": device_name(usual_device()), "rows": rows}, indent=1) + "\n")


def cells(sudoku: str, seconds: float, small: bool) -> list[Cell]:
    """Return the rungs that train, in order, each for so many seconds."""
    gpu = usual_device().type == "cuda"
    block = GridBlock.Config(row_length=9, box_height=3, box_width=3, box_heads=1)
    schedule = replace(
        GRID.train,
        num_steps=12 if small else 1_000_000,
        max_seconds=None if small else seconds,
        batch_size=8 if small else 768,
        eval_every_steps=6 if small else 1000,
        save_every_seconds=60,
        compile=gpu,
        mixed_precision="bf16" if gpu else "no",
    )
    quick = Cell(
        "ours, all rows",
        Sudoku.Config(size=9, file=sudoku, worked=False),
        replace(GRID.reasoner, width=32 if small else 512, num_cycles=3, block=block),
        schedule,
        GRID.backbone,
        num_train=12 if small else 70_000,
        num_dev=2 if small else 500,
        num_test=4 if small else 1000,
        num_steps=16 if small else 64,
        encoder=replace(GRID.encoder, vocabulary=DIGITS),
    )
    return [
        quick,
        replace(quick, variant="ours, 1,000 rows", num_train=10 if small else 1000),
        replace(
            quick,
            variant="the TRM paper's recipe, 1,000 rows",
            reasoner=replace(TRM_SUDOKU.reasoner, width=32 if small else 512),
            train=replace(schedule, optimizer=TRM_SUDOKU.train.optimizer, loss=TRM_SUDOKU.train.loss),
            num_train=10 if small else 1000,
            encoder=replace(TRM_SUDOKU.encoder, vocabulary=DIGITS),
        ),
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Climb; return 0 when every rung is done, 3 when the time was over before."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--until", type=program.seconds, required=True, help="seconds from now")
    parser.add_argument("--output", type=program.path, required=True)
    parser.add_argument("--sudoku", help="a file of 9x9 puzzles, with the columns question and answer")
    parser.add_argument("--seconds", type=program.seconds, default=600.0, help="of training, for each rung that trains")
    parser.add_argument("--rungs", nargs="+", choices=["speed", "sudoku", "sudoku_1000", "preset"], help="only these")
    parser.add_argument("--small", action="store_true", help="at the size of a test")
    options = parser.parse_args(argv)
    rungs = options.rungs or ["speed", "sudoku", "sudoku_1000", "preset"]
    signal.signal(signal.SIGALRM, _interrupt)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        # Again and again: an exception that rises inside a callback of the garbage collector is lost.
        signal.setitimer(signal.ITIMER_REAL, options.until, 0.5)
        try:
            _climb(options, rungs)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        print(f"the time is over; the same command goes on from {options.output}")
        return 3
    return 0


def _climb(options: argparse.Namespace, rungs: Sequence[str]) -> None:
    if "speed" in rungs:
        speed(options.output, options.small)
    if options.sudoku:
        named: Any = zip(("sudoku", "sudoku_1000", "preset"), cells(options.sudoku, options.seconds, options.small), strict=True)
        run([cell for name, cell in named if name in rungs], options.output)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End as Ctrl-C would: a training saves first."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        signal.setitimer(signal.ITIMER_REAL, 0)  # the training notes it, which cannot be lost; twice would end it unsaved
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    program.run(main)
