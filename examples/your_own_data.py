"""Teach a frozen LLM's reasoner data of your own: a CSV file with a prompt and an answer in each row.

    python examples/your_own_data.py [--small]

The same on the command line:

    hybrid train --task table --task.train even.csv --task.prompt_column question --encoder cross_attention --output runs/even

Any .csv, .jsonl or .parquet file will do, and so will a data set of the hub, `hub:OWNER/NAME`. Answers may differ in
length: the head ends one that is shorter than its slots. Rows that cannot be used are named before training begins.
"""

import argparse
import csv
import random
from dataclasses import replace
from pathlib import Path

import torch

import hybrid
from hybrid.adapters import CrossAttention
from hybrid.errors import DataError
from hybrid.eval.tasks.table import Table
from hybrid.train import TrainConfig, train


def write_csv(path: Path, rows: int) -> None:
    draw = random.Random(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["question", "answer"])
        for _ in range(rows):
            numbers = [draw.randrange(10) for _ in range(draw.randint(2, 5))]
            even = [number for number in numbers if number % 2 == 0]
            question = f"Numbers: {' '.join(map(str, numbers))}. Which of them are even, in the same order?"
            table.writerow([question, " ".join(map(str, even)) or "none"])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", type=Path, default=Path("runs/own_data"))
    parser.add_argument("--backbone", default=None)
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    file = options.output / "even.csv"
    write_csv(file, 300 if options.small else 2000)

    # The check: what is wrong, in which row. Here the answers' column is named wrongly.
    try:
        Table(Table.Config(train=str(file), prompt_column="question", answer_column="solution")).problems("train")
    except DataError as error:
        print(f"as it should be: {error}")

    # A tenth of the rows, by a hash of the prompt, is kept for dev and another for test; the vocabulary is what stands in
    # the answers. Answers here have no places of their own in the prompt, so the encoder is cross_attention.
    task = Table(Table.Config(train=str(file), prompt_column="question"))
    print(f"symbols {' '.join(task.symbols)}; up to {task.layout.num_answers} an answer")
    config = hybrid.HybridConfig(layout=task.layout, symbols=task.symbols, encoder=CrossAttention.Config())
    config = replace(config, reasoner=replace(config.reasoner, num_supervision_steps=4))
    torch.manual_seed(0)
    model = hybrid.attach(options.backbone, config)
    schedule = TrainConfig(num_steps=10 if options.small else 1500, eval_every_steps=100, patience=2)
    print(train(model, task.problems("train"), task.problems("dev"), schedule, options.output / "head"))

    test = task.problems("test")
    solutions = model.solve([problem.prompt for problem in test])
    right = sum(solution.symbols == problem.answer for solution, problem in zip(solutions, test, strict=True))
    print(f"{right} of {len(test)} unseen rows right; {test[0].prompt} {solutions[0].text}")


if __name__ == "__main__":
    main()
