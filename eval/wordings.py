"""Other words: the trained heads of a suite on wordings that no training prompt has.

    python -m hybrid.eval.wordings runs/standard [--suite standard] [--only reachability]

A head that reads a language model may owe it what other words mean; one that reads random codes cannot. So the hybrid and
the controls that go without the language model answer the same test problems twice, in the words of training and in
others. Nothing is trained here: heads are taken from the suite's folder, and those that are not there are left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from hybrid.backbone import Backbone, BackboneConfig
from hybrid.device import usual_device
from hybrid.eval import program
from hybrid.eval.baselines import METHODS, Budget
from hybrid.eval.bench.benchmark import measure
from hybrid.eval.bench.comparison import task_name
from hybrid.eval.bench.suite import Cell
from hybrid.eval.bench.suites import suite
from hybrid.eval.report.suite_folder import read_about
from hybrid.eval.results import Record, as_markdown, exact_text, read_results, write_results
from hybrid.eval.tasks import TASKS
from hybrid.eval.tasks.task import Wording
from hybrid.train.run.folder import RunFolder

HEADS = ("hybrid", "embedding layer only", "random-weight LLM", "no LLM")
"""Methods that differ in what of the language model they read."""

SPLITS: dict[Wording, str] = {"train": "test, the words of training", "held_out": "test, other words"}
"""Names of the two readings of the test split."""


def trained(cells: Sequence[Cell], folder: Path) -> list[Cell]:
    """Return the cells of HEADS whose training on their task's largest number of problems has ended in `folder`."""
    most = {cell.task: max(other.num_train for other in cells if other.task == cell.task) for cell in cells}
    chosen = [cell for cell in cells if cell.name in HEADS and cell.num_train == most[cell.task]]
    kept = {cell.slug: RunFolder(folder / "cells" / cell.fit_slug / "fit").read_record() or {} for cell in chosen}
    return [cell for cell in chosen if kept[cell.slug].get("finished") is not None]


def records(cell: Cell, backbone: Backbone, folder: Path, seconds: float) -> list[Record]:
    """Return the record of a trained head in the words of training and in others; none for a task without others."""
    task = TASKS.build(cell.task)
    if not task.wordings["held_out"]:
        return []
    method = METHODS.build(cell.method, backbone, task)
    training, dev = task.problems("train", cell.num_train), task.problems("dev", cell.num_dev)
    method.fit(training, dev, folder / "cells" / cell.fit_slug / "fit", Budget(seconds, cell.seed))
    return [
        measure(
            method,
            task.problems("test", cell.num_test, wording=wording),
            task_name=task_name(task),
            split=split,
            seed=cell.seed,
            backbone=backbone,
            num_latency=1,
        ).record
        for wording, split in SPLITS.items()
    ]


def table(found: Sequence[Record]) -> str:
    """Return a row a task and head: exact match in the words of training and in others, with Wilson's interval."""
    head = ["task", "head", "seed", "n", "words of training: exact % (95%)", "other words: exact % (95%)"]
    told, others = ([record for record in found if record.split == split] for split in SPLITS.values())
    pairs = [(a, [exact_text(r.exact, r.exact_low, r.exact_high) for r in (a, b)]) for a, b in zip(told, others, strict=True)]
    return as_markdown(head, [[a.task, a.method, str(a.seed), str(a.n), *shares] for a, shares in pairs])


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, write wordings.json into the suite's folder and print the table; or print that of a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=program.path, help="output folder of `hybrid bench --suite`, or a wordings.json of it")
    parser.add_argument("--suite", default="standard", help="name of the suite")
    parser.add_argument("--only", default="", help="part of a cell's name: take the cells that have it")
    parser.add_argument("--backbone", default=BackboneConfig().name, help="the language model that the suite ran with")
    options = parser.parse_args(argv)
    if options.folder.is_file():
        print(table(read_results(options.folder)))
        return
    about = read_about(options.folder) if (options.folder / "suite.json").exists() else {}
    seeds = sorted({cell["seed"] for cell in about.get("cells", [])}) or None
    asked = suite(options.suite, seconds=about.get("seconds"), seeds=seeds)
    cells = [cell for cell in trained(asked.cells, options.folder) if options.only in cell.slug]
    if not cells:
        parser.error(f"{options.folder} holds no trained heads of the suite {asked.name}; run `hybrid bench --suite` first")
    backbone = Backbone.load(BackboneConfig(name=options.backbone))
    backbone.to(usual_device())
    found: list[Record] = []
    for cell in cells:
        found += records(cell, backbone, options.folder, asked.seconds)
        write_results(options.folder / "wordings.json", found)
    print(table(found))


if __name__ == "__main__":
    program.run(main)
