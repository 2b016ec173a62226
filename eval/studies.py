"""The studies that this project publishes, as lists of cells; run one, or print the table of what has been run.

    python -m hybrid.eval.studies gradients --output runs/gradients [--seeds 0 1 2] [--seconds 180]
    python -m hybrid.eval.studies gradients --table eval/results/gradients.json

gradients: every gradient scheme, averaging, deep supervision, T and n, under one budget of training seconds.
depth: heads trained at N = 4, tested at 1 to 64 steps, with halting and with noisy search.
recipe: seconds until 95% of the dev split are right, with this library's recipe and with that of the TRM paper.

Several processes may fill one study when each has its own --output; --seeds and --only say which cells are whose.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hybrid.backbone import BackboneConfig
from hybrid.block import AttentionBlock
from hybrid.cores import TRM
from hybrid.equilibrium import Implicit, Phantom
from hybrid.eval.study import Cell, read, rules, run, table
from hybrid.eval.tasks.sort import Sort
from hybrid.eval.tasks.state_tracking import StateTracking
from hybrid.eval.tasks.sudoku import Sudoku
from hybrid.gradients import Full, LastK, OneStep
from hybrid.halting import Learned
from hybrid.losses import Stablemax
from hybrid.reasoner import ReasonerConfig
from hybrid.search import SearchConfig
from hybrid.train import TrainConfig
from hybrid.train.optimizer import AdamAtan2

PRECISE = BackboneConfig(dtype="float32")
"""A processor without bfloat16 units computes several times faster in float32."""


def sudoku() -> Cell:
    """6x6 Sudoku with 8 to 14 blanks, N = 4."""
    return Cell(
        "last_cycle",
        Sudoku.Config(size=6, min_blanks=8, max_blanks=14),
        ReasonerConfig(num_supervision_steps=4),
        TrainConfig(num_steps=1_000_000, eval_every_steps=100, save_every_seconds=60.0),
        PRECISE,
        num_train=3000,
        halting=rules(),
    )


def state_tracking() -> Cell:
    """Up to 8 swaps among 5 people, N = 4; three people have so few different stories that they are learned by heart."""
    block, halting = AttentionBlock.Config(matched_heads=4), Learned.Config(exploration=0.3)
    return Cell(
        "last_cycle",
        StateTracking.Config(objects=5, swaps=8, min_swaps=1),
        ReasonerConfig(num_supervision_steps=4, block=block, halting=halting),
        TrainConfig(num_steps=1_000_000, eval_every_steps=100, save_every_seconds=60.0, curriculum=True),
        replace(PRECISE, layers=(0, 10)),
        num_train=16000,
        halting=rules(),
    )


def sort() -> Cell:
    """Twelve digits in order, N = 4."""
    return replace(sudoku(), task=Sort.Config(length=12), num_train=4000)


def gradients(seeds: Sequence[int], seconds: float) -> list[Cell]:
    """Return the cells of the gradient table, all variants of the first seed before the next seed."""
    cells = []
    for seed in seeds:
        for base in (sudoku(), state_tracking()):
            cells += [_trained(cell, seed, seconds) for cell in _variants(base)]
    return cells


def _variants(base: Cell) -> list[Cell]:
    def reasoner(variant: str, **changes: Any) -> Cell:
        return replace(base, variant=variant, reasoner=replace(base.reasoner, **changes))

    def training(variant: str, **changes: Any) -> Cell:
        return replace(base, variant=variant, train=replace(base.train, **changes))

    return [
        reasoner("last_cycle (T = 2, n = 2)"),
        reasoner("one_step", gradient=OneStep.Config()),
        reasoner("last_k (k = 4 of 6 calls)", gradient=LastK.Config(k=4)),
        reasoner("full", gradient=Full.Config()),
        reasoner("implicit", gradient=Implicit.Config(max_iterations=4, max_adjoint_iterations=4)),
        reasoner("phantom", gradient=Phantom.Config(max_iterations=4)),
        training("without averaged weights", ema_decay=0.0),
        training("without deep supervision", deep_supervision=False),
        *(
            reasoner(f"T = {cycles}, n = {latent}", num_cycles=cycles, core=TRM.Config(num_latent_steps=latent))
            for cycles, latent in ((1, 2), (3, 2), (2, 1), (2, 4))
        ),
    ]


def depth(seeds: Sequence[int], seconds: float) -> list[Cell]:
    """Return the cells of the depth study: n = 1, with which most is learned in a few minutes."""
    searches = {
        f"8 trajectories, {choose}": SearchConfig(num_trajectories=8, noise=0.1, choose=choose) for choose in ("halt", "majority")
    }
    bases = [
        replace(
            cell,
            num_steps=64,
            num_test=200,
            search=searches,
            reasoner=replace(cell.reasoner, core=TRM.Config(num_latent_steps=1)),
        )
        for cell in (sudoku(), sort(), state_tracking())
    ]
    return [_trained(base, seed, seconds) for seed in seeds for base in bases]


def recipe(seeds: Sequence[int], seconds: float) -> list[Cell]:
    """Return the cells that train one model until 95% of the dev split are right.

    Once with this library's optimizer, loss and halting, once with the paper's, which gets three times the seconds.
    """
    goal = replace(sudoku().train, target=0.95, patience=1, eval_every_steps=50)
    model = replace(sudoku().reasoner, core=TRM.Config(num_latent_steps=1))
    ours = replace(sudoku(), variant="this library's recipe", reasoner=model, train=goal)
    paper = AdamAtan2.Config(learning_rate=1e-4, weight_decay=1.0, beta1=0.9, beta2=0.95, warmup_steps=2000, schedule="constant")
    theirs = replace(
        ours,
        variant="the paper's recipe",
        reasoner=replace(ours.reasoner, num_supervision_steps=16, halting=Learned.Config(exploration=0.1)),
        train=replace(goal, optimizer=paper, loss=Stablemax.Config(), ema_decay=0.999),
    )
    return [_trained(cell, seed, limit) for seed in seeds for cell, limit in ((ours, seconds), (theirs, 3 * seconds))]


def _trained(cell: Cell, seed: int, seconds: float) -> Cell:
    return replace(cell, train=replace(cell.train, seed=seed, max_seconds=seconds))


STUDIES: dict[str, Callable[[Sequence[int], float], list[Cell]]] = {"gradients": gradients, "depth": depth, "recipe": recipe}


def main(argv: Sequence[str] | None = None) -> None:
    """Run a study, or print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=list(STUDIES))
    parser.add_argument("--output", type=Path, default=None, help="folder; the same command again goes on")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--seconds", type=float, default=180.0, help="of training a cell")
    parser.add_argument("--only", default="", help="part of a cell's name: run the cells that have it")
    parser.add_argument("--table", type=Path, nargs="+", help="only print the table of these result files")
    options = parser.parse_args(argv)
    if options.table:
        results = [result for file in options.table for result in read(file)]
    else:
        cells = STUDIES[options.study](options.seeds, options.seconds)
        chosen = [cell for cell in cells if options.only in cell.name]
        if not chosen:
            parser.error(f'no cell has "{options.only}" in its name; the first is "{cells[0].name}"')
        results = run(chosen, options.output or Path("runs") / options.study)
    print(table(results))


if __name__ == "__main__":
    main()
