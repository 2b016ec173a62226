"""Train a recursive reasoner on 4x4 Sudoku beside a frozen LLM and compare it with chain of thought.

    python examples/quickstart.py [--output runs/quickstart] [--small]

Writes results.json, report.html and the trained heads to the output folder; run again, it resumes.
"""

import argparse
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console

import hybrid
from hybrid.eval.baselines import METHODS, HeadMethod
from hybrid.eval.bench.comparison import Plan, compare
from hybrid.eval.results import results_table
from hybrid.eval.tasks import TASKS
from hybrid.eval.tasks.sudoku import Sudoku
from hybrid.recursion.cores import FeedForward
from hybrid.train import TrainConfig, calibrate, train

NUM_STEPS = 1250
"""Supervision steps of the hybrid, about 80 s on two cores; the control then has as many seconds as they took."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("runs/quickstart"))
    parser.add_argument("--backbone", default=None, help="hub id, folder or .gguf file; default SmolLM2-135M-Instruct")
    parser.add_argument("--small", action="store_true", help="a few seconds of everything, to see that it runs")
    options = parser.parse_args()
    console = Console()

    # The problems: puzzles of 8 to 11 blanks to learn from, unseen ones of 10 or 11 to test on. No test puzzle is
    # equivalent to a training one under relabelling, permutation or transposition.
    learn = TASKS.build(Sudoku.Config(size=4, min_blanks=8, max_blanks=11))
    test = TASKS.build(Sudoku.Config(size=4, min_blanks=10, max_blanks=11))
    training = learn.problems("train", 100 if options.small else 2000)
    dev = test.problems("dev", 20 if options.small else 300)

    # The model, and its control: the same network with the same weights, applied once.
    config = hybrid.HybridConfig(layout=learn.layout, symbols=learn.symbols, task={"kind": "sudoku", "size": 4})
    control = replace(config, reasoner=replace(config.reasoner, core=FeedForward.Config(), num_supervision_steps=1))
    schedule = TrainConfig(num_steps=10 if options.small else NUM_STEPS, patience=3)
    backbone = hybrid.Backbone.load(hybrid.BackboneConfig(**({"name": options.backbone} if options.backbone else {})))
    methods = []
    for name, each in (("hybrid", config), ("no recursion", control)):
        console.print(f"training: {name}")
        torch.manual_seed(0)
        model = hybrid.attach(backbone, each)
        outcome = train(model, training, dev, schedule, options.output / name.replace(" ", "_"))
        calibrate(model, dev)  # How sure halting must be.
        model.save_pretrained(options.output / name.replace(" ", "_"))
        methods.append(HeadMethod(HeadMethod.Config(name=name), model, test, train_seconds=outcome.seconds))
        schedule = replace(schedule, num_steps=10 if options.small else 1_000_000, max_seconds=outcome.seconds)
    methods += [METHODS[name](METHODS[name].Config(), backbone, test) for name in ("direct", "zero_shot_cot", "few_shot_cot")]

    plan = Plan(20, 4, 3) if options.small else Plan()
    command = shlex.join(["python", *sys.argv])
    records = compare(methods[0].model, test, methods, options.output, plan, command=command, say=console.print)
    console.print(results_table(records, width=console.width))
    console.print(f"wrote {options.output}/results.json and {options.output}/report.html", highlight=False)


if __name__ == "__main__":
    main()
