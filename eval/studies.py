"""The studies that this project publishes, as lists of cells; run one, or print the table of what has been run.

    python -m hybrid.eval.studies gradients --output runs/gradients [--seeds 0 1 2] [--seconds 180]
    python -m hybrid.eval.studies gradients --table eval/results/gradients.json

gradients: every gradient scheme, averaging, deep supervision, T and n, under one budget of training seconds.
depth: heads trained at N = 4, tested at 1 to 64 steps, with halting and with noisy search.
codecs: the quickstart's Sudoku, and StepGame or another file of --data, with the hidden states kept raw, in int8, and projected.
reading: prompts in plain language (--data, --test), without patterns: the recipe, and what each of its parts gives.
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
from hybrid.backbone.codec import Int8, Projected, Raw
from hybrid.errors import HybridError, InputError
from hybrid.eval import program
from hybrid.eval.bench.controls import once
from hybrid.eval.bench.study import (
    Cell,
    Result,
    depth_table,
    difficulty_table,
    gain_table,
    halting_table,
    read,
    recipe_table,
    rules,
    run,
    table,
)
from hybrid.eval.bench.suites import Entry, quickstart_entries, sort, state_tracking, sudoku
from hybrid.eval.tasks import TASKS
from hybrid.eval.tasks.table import Table
from hybrid.eval.tasks.task import Split
from hybrid.inference.search import SearchConfig
from hybrid.recursion.block import AttentionBlock
from hybrid.recursion.cores import TRM, FeedForward
from hybrid.recursion.equilibrium import Implicit, Phantom
from hybrid.recursion.gradients import Full, LastCycle, LastK, OneStep
from hybrid.recursion.halting import Learned
from hybrid.recursion.losses import Stablemax
from hybrid.train.optimizer import AdamAtan2, AdamW
from hybrid.train.recipe import plain_language

Data = tuple[str, str | None, str | None]
"""A user's files of training and of test, and the column that says how hard a row is."""


def cell(entry: Entry, num_cycles: int | None = None) -> Cell:
    """Return the hybrid of a suite's entry as a cell of a study, with other T where it is given."""
    own, reasoner = entry.hybrid, entry.hybrid.reasoner
    return Cell(
        "last_cycle",
        entry.task,
        replace(reasoner, num_cycles=num_cycles or reasoner.num_cycles),
        own.train,
        BackboneConfig(layers=own.layers),
        num_train=entry.num_train,
        halting=rules(),
    )


def deep(entry: Entry) -> Entry:
    """Return an entry whose hybrid reads the default layers, as these studies were run; the suites' own reads fewer."""
    return replace(entry, hybrid=replace(entry.hybrid, layers=None))


def gradients(seeds: Sequence[int], seconds: float) -> list[Cell]:
    """Return the cells of the gradient table, all variants of the first seed before the next seed."""
    bases = [cell(entry, num_cycles=2) for entry in (deep(sudoku()), state_tracking())]
    return [_trained(each, seed, seconds) for seed in seeds for base in bases for each in _variants(base)]


def _variants(base: Cell) -> list[Cell]:
    def reasoner(variant: str, **changes: Any) -> Cell:
        return replace(base, variant=variant, reasoner=replace(base.reasoner, **changes))

    def training(variant: str, **changes: Any) -> Cell:
        return replace(base, variant=variant, train=replace(base.train, **changes))

    return [
        reasoner("last_cycle (T = 2, n = 1)"),
        reasoner("one_step", gradient=OneStep.Config()),
        reasoner("last_k (k = 3 of 4 calls)", gradient=LastK.Config(k=3)),
        reasoner("full", gradient=Full.Config()),
        reasoner("implicit", gradient=Implicit.Config(max_iterations=4, max_adjoint_iterations=4)),
        reasoner("phantom", gradient=Phantom.Config(max_iterations=4)),
        training("without averaged weights", ema_decay=0.0),
        training("without deep supervision", deep_supervision=False),
        *(
            reasoner(f"T = {cycles}, n = {latent}", num_cycles=cycles, core=TRM.Config(num_latent_steps=latent))
            for cycles, latent in ((1, 1), (3, 1), (2, 2), (2, 4))
        ),
    ]


def depth(seeds: Sequence[int], seconds: float) -> list[Cell]:
    """Return the cells of the depth study."""
    searches = {
        f"8 trajectories, {choose}": SearchConfig(num_trajectories=8, noise=0.1, choose=choose) for choose in ("halt", "majority")
    }
    bases = [
        replace(cell(entry), num_steps=64, num_test=200, search=searches)
        for entry in (deep(sudoku()), deep(sort()), state_tracking())
    ]
    return [_trained(base, seed, seconds) for seed in seeds for base in bases]


def recipe(seeds: Sequence[int], seconds: float) -> list[Cell]:
    """Return the cells that train one model until 95% of the dev split are right.

    Once with this library's optimizer, loss and halting, once with the paper's, which gets three times the seconds.
    """
    base = cell(deep(sudoku()))
    goal = replace(base.train, target=0.95, patience=1, eval_every_steps=50)
    ours = replace(base, variant="this library's recipe", train=goal)
    paper = AdamAtan2.Config(learning_rate=1e-4, weight_decay=1.0, beta1=0.9, beta2=0.95, warmup_steps=2000, schedule="constant")
    theirs = replace(
        ours,
        variant="the paper's recipe",
        reasoner=replace(ours.reasoner, num_supervision_steps=16, halting=Learned.Config(exploration=0.1)),
        train=replace(goal, optimizer=paper, loss=Stablemax.Config(), ema_decay=0.999),
    )
    return [_trained(each, seed, limit) for seed in seeds for each, limit in ((ours, seconds), (theirs, 3 * seconds))]


def _trained(untrained: Cell, seed: int, seconds: float) -> Cell:
    return replace(untrained, train=replace(untrained.train, seed=seed, max_seconds=seconds))


def codecs(seeds: Sequence[int], seconds: float, data: Data) -> list[Cell]:
    """Return the cells that compare what is kept of the hidden states: two tasks, three codecs."""
    bases = [replace(cell(quickstart_entries()[0]), halting={}), plain(data)]
    kept = {"raw": Raw.Config(), "int8": Int8.Config(), "projected to 128": Projected.Config()}
    return [
        _trained(replace(base, variant=name, backbone=replace(base.backbone, codec=codec)), seed, seconds)
        for seed in seeds
        for base in bases
        for name, codec in kept.items()
    ]


def plain(data: Data) -> Cell:
    """Return the recipe for plain language as a cell of a user's file."""
    train, test, hardness = data
    config = Table.Config(train, test=test, unit="whole", duplicates="drop")
    task = TASKS.build(config)
    found = plain_language(task.up_to("train", 2000), task.layout.num_answers or 1)
    most: dict[Split, int] = {"train": 100_000, "dev": 300, "test": 2000}
    counts = {split: len(task.up_to(split, count)) for split, count in most.items()}
    schedule = replace(found.train, num_steps=1_000_000, eval_every_steps=250)
    return Cell(
        "the recipe",
        config,
        found.reasoner,
        schedule,
        BackboneConfig(codec=Projected.Config()),
        counts["train"],
        counts["dev"],
        counts["test"],
        encoder=found.encoder,
        difficulty_column=hardness,
    )


def reading(seeds: Sequence[int], seconds: float, data: Data) -> list[Cell]:
    """Return the cells of plain language: the recipe, and without each of its parts."""
    base = replace(plain(data), num_steps=12, single_cycles=True)
    own = base.reasoner
    variants = [
        base,
        replace(base, variant="embedding layer only", backbone=replace(base.backbone, layers=(0,))),
        replace(base, variant="random-weight LLM", random_weights=True),
        once(replace(base, variant="no recursion"), FeedForward.Config()),
        replace(base, variant="no linked heads", reasoner=replace(own, block=AttentionBlock.Config(max_positions=4096))),
        replace(base, variant="AdamW", train=replace(base.train, optimizer=AdamW.Config(weight_decay=0.01, warmup_steps=200))),
        replace(base, variant="no curriculum", train=replace(base.train, curriculum=False)),
        replace(base, variant="gradient of the last cycle", reasoner=replace(own, gradient=LastCycle.Config())),
    ]
    return [_trained(each, seed, seconds) for seed in seeds for each in variants]


STUDIES: dict[str, Callable[[Sequence[int], float], list[Cell]]] = {"gradients": gradients, "depth": depth, "recipe": recipe}
OF_DATA: dict[str, Callable[[Sequence[int], float, Data], list[Cell]]] = {"codecs": codecs, "reading": reading}
TABLES: dict[str, Sequence[Callable[[Sequence[Result]], str]]] = {
    "gradients": [table],
    "depth": [depth_table, halting_table],
    "recipe": [recipe_table],
    "codecs": [table],
    "reading": [table, gain_table, difficulty_table],
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run a study, or print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=[*STUDIES, *OF_DATA])
    parser.add_argument("--output", type=program.path, default=None, help="folder; the same command again goes on")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--seconds", type=float, default=180.0, help="of training a cell")
    parser.add_argument("--data", help="file of prompts and answers to train on, for codecs and reading")
    parser.add_argument("--test", help="file of the test split; without, a tenth of --data")
    parser.add_argument("--difficulty", help="column of both that says how hard a row is")
    parser.add_argument("--only", default="", help="part of a cell's name: run the cells that have it")
    parser.add_argument("--table", type=program.path, nargs="+", help="only print the table of these result files")
    options = parser.parse_args(argv)
    budget = (options.seeds, options.seconds)
    if options.table:
        missing = [str(file) for file in options.table if not file.is_file()]
        if missing:
            parser.error(f"{missing[0]} is not there; give the results.json of a study")
        try:
            results = [result for file in options.table for result in read(file)]
        except InputError as error:
            parser.error(str(error))
    else:
        if options.study in OF_DATA and not options.data:
            parser.error(f"the study {options.study} reads a file of yours; give --data FILE")
        try:
            own = (options.data, options.test, options.difficulty)
            of_data = OF_DATA.get(options.study)
            cells = STUDIES[options.study](*budget) if of_data is None else of_data(*budget, own)
        except HybridError as error:
            parser.error(str(error))
        chosen = [each for each in cells if options.only in each.name]
        if not chosen:
            parser.error(f'no cell has "{options.only}" in its name; the first is "{cells[0].name}"')
        results = run(chosen, options.output or Path("runs") / options.study)
    print("\n\n".join(show(results) for show in TABLES[options.study]))


if __name__ == "__main__":
    program.run(main)
