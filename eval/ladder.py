"""The ladder: what to train when a GPU is there for some minutes, rung by rung, each resumed where it was left.

    python -m hybrid.train.ladder --until SECONDS --output DIR [--sudoku FILE] [--seconds 600] [--small]

Rungs: `speed`, a table of training steps at the papers' sizes; `sudoku`, every row of a file of 9x9 puzzles beside no language
model, in disguises drawn from the puzzle's symmetries; `sudoku_1000`, a thousand of its rows; `preset`, the same with the
recipe of the TRM paper. A rung that is done is skipped; one that is cut off by `--until` goes on at the next call, to the
same bits. Leaves results.json, speed.json and the heads in DIR. `--small` is the same at the size of a test.
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

from hybrid.adapters import Structured
from hybrid.backbone import BackboneConfig
from hybrid.block import MLPBlock
from hybrid.checkpoint import write_text
from hybrid.cores import TRM
from hybrid.device import usual_device
from hybrid.eval import program
from hybrid.eval.benchmark import device_name
from hybrid.eval.speed import Setting, measure
from hybrid.eval.study import Cell, run
from hybrid.eval.tasks.sudoku import Sudoku
from hybrid.halting import Learned
from hybrid.losses import Stablemax
from hybrid.reasoner import ReasonerConfig
from hybrid.train.config import TrainConfig
from hybrid.train.optimizer import AdamAtan2, Muon

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
    quick = Cell(
        "ours, all rows",
        Sudoku.Config(size=9, file=sudoku, worked=False),
        ReasonerConfig(
            width=32 if small else 512,
            num_cycles=3,
            num_supervision_steps=16,
            core=TRM.Config(num_latent_steps=2),
            block=MLPBlock.Config(num_positions=81),
            halting=Learned.Config(exploration=0.1),
        ),
        TrainConfig(
            num_steps=12 if small else 1_000_000,
            max_seconds=None if small else seconds,
            batch_size=8 if small else 768,
            optimizer=Muon.Config(weight_decay=0.1, warmup_steps=200, learning_rate=1e-3),
            ema_decay=0.999,
            eval_every_steps=6 if small else 1000,
            save_every_seconds=60,
            symmetries=True,
            compile=gpu,
            mixed_precision="bf16" if gpu else "no",
        ),
        BackboneConfig("none"),
        num_train=12 if small else 70_000,
        num_dev=2 if small else 500,
        num_test=4 if small else 1000,
        num_steps=16 if small else 64,
        encoder=Structured.Config(DIGITS),
    )
    paper = AdamAtan2.Config(learning_rate=1e-4, weight_decay=1.0, warmup_steps=2000, schedule="constant")
    return [
        quick,
        replace(quick, variant="ours, 1,000 rows", num_train=10 if small else 1000),
        replace(
            quick,
            variant="the TRM paper's recipe, 1,000 rows",
            reasoner=replace(quick.reasoner, core=TRM.Config(num_latent_steps=6), block=MLPBlock.Config(81, multiple_of=256)),
            train=replace(quick.train, optimizer=paper, loss=Stablemax.Config()),
            num_train=10 if small else 1000,
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
    signal.setitimer(signal.ITIMER_REAL, options.until)
    try:
        if "speed" in rungs:
            speed(options.output, options.small)
        if options.sudoku:
            named: Any = zip(
                ("sudoku", "sudoku_1000", "preset"), cells(options.sudoku, options.seconds, options.small), strict=True
            )
            run([cell for name, cell in named if name in rungs], options.output)
    except KeyboardInterrupt:
        print(f"the time is over; the same command goes on from {options.output}")
        return 3
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End as Ctrl-C would: a training saves first."""
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    program.run(main)
