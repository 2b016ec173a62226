"""Does thinking longer help? A Sudoku head on a file of hard puzzles: right answers by source, by guesses and by step.

    python -m hybrid.eval.hard_sudoku --model FOLDER --file puzzles.csv [--group source] [--by rating] [--num_steps 64]

The file is a table of questions and answers as `--task.file` reads it, with a column that names the source of a puzzle and one
that counts the guesses a solver needs. Puzzles are of the file's test split. Guesses are put together by their size: 0, 1, 2
to 3, 4 to 7 and so on. Besides, a part of the puzzles is thought about several times with noise, and the answers vote.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from hybrid.checkpoint import write_text
from hybrid.device import usual_device
from hybrid.errors import InputError
from hybrid.eval import program
from hybrid.eval.bench.benchmark import device_name
from hybrid.eval.measures.intervals import wilson
from hybrid.eval.report.plots import Line, Share, accuracy_lines, as_file
from hybrid.eval.scoring.checked import task_with
from hybrid.eval.scoring.scoring import Scores, score
from hybrid.eval.tasks.sudoku import Sudoku
from hybrid.eval.tasks.table.source import records
from hybrid.inference.search import SearchConfig
from hybrid.model import HybridModel
from hybrid.problem import Problem
from hybrid.train.dataset import Dataset
from hybrid.train.evaluate import evaluate

NOISES = (0.1, 0.3)
"""Standard deviations of the noise that are tried, for states of root mean square 1."""


def band(guesses: int) -> int:
    """Return the least number of the band that a number of guesses is in.

    Example:
        >>> [band(count) for count in (0, 1, 3, 5, 64)]
        [0, 1, 2, 4, 64]
    """
    return 1 << (guesses.bit_length() - 1) if guesses > 0 else 0


def read_groups(task: Sudoku, file: str, group: str, by: str, most: int) -> dict[str, list[Problem]]:
    """Return up to `most` test problems of each source, with the band of their guesses as difficulty.

    Raises:
        InputError: the file lacks a column, or its number of guesses is no whole number.
    """
    told: dict[str, tuple[str, int]] = {}
    for record in records(file, (task.config.question_column, group, by)):
        if record.fault:
            raise InputError(f"{file} {record.place} {record.fault}")
        puzzle, source, guesses = (str(record.values[name]).strip() for name in (task.config.question_column, group, by))
        if not guesses.isdecimal():
            raise InputError(f"{file} {record.place}: {by} is {guesses!r}; give a whole number of guesses")
        told[puzzle.replace(".", "0")] = source, int(guesses)
    found: dict[str, list[Problem]] = {source: [] for source in sorted({source for source, _ in told.values()})}
    for problem in task.up_to("test", len(told)):
        puzzle = "".join(problem.prompt[start:end] for start, end in task.layout.spans(problem.prompt)[0])
        source, count = told[puzzle]
        if len(found[source]) < most:
            found[source].append(replace(problem, difficulty=band(count)))
    return {source: problems for source, problems in found.items() if problems}


def searched(model: HybridModel, problems: Sequence[Problem], num_steps: int, trajectories: int) -> dict[str, Any]:
    """Return the exact share after every step of one thought, and of several with noise of which most agree."""
    data, found = Dataset(model, problems, cache=False), {}
    for name, search in {
        "one": SearchConfig(),
        **{f"noise {noise}": SearchConfig(trajectories, noise, "majority") for noise in NOISES},
        **{f"noise {noise}, most sure": SearchConfig(trajectories, noise, "halt") for noise in NOISES},
    }.items():
        shares = evaluate(model.head, data, num_steps=num_steps, search=search).exact_by_step
        found[name] = [round(share, 4) for share in shares]
    return {"n": len(problems), "trajectories": trajectories, "exact_by_step": found}


def curves(scores: Scores) -> str:
    """Return an SVG: right answers by step, a line for each band of guesses."""
    lines = []
    for place, (guesses, shares) in enumerate(sorted(scores.by_step.items())):
        n = scores.counts[guesses]
        points = (Share(step, share, *wilson(round(share * n), n)) for step, share in enumerate(shares, 1))
        lines.append(Line(_name(guesses), tuple(points), place + 1, place))
    return as_file(accuracy_lines(tuple(lines), "step"))


def _name(guesses: int) -> str:
    return f"{guesses} to {2 * guesses - 1} guesses" if guesses > 1 else ("1 guess" if guesses else "no guess")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print tables, and write figures and curves."""
    parser = argparse.ArgumentParser(
        prog="python -m hybrid.eval.hard_sudoku", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, type=program.path, help="folder of a trained head")
    parser.add_argument("--file", required=True, help="table of puzzles")
    parser.add_argument("--group", default="source", help="column that names where a puzzle is from")
    parser.add_argument("--by", default="rating", help="column of guesses")
    parser.add_argument("--num_problems", type=program.positive, default=1000, help="of each source")
    parser.add_argument("--num_steps", type=program.positive, default=64)
    parser.add_argument("--searched", type=program.positive, default=200, help="puzzles of each source with noisy search")
    parser.add_argument("--trajectories", type=program.positive, default=8)
    parser.add_argument("--output", type=program.path, default=None, help="file for the figures as JSON; curves stand beside it")
    options = parser.parse_args(argv)
    if options.output is not None:
        program.check_apart(options.output, options.file)
    model = HybridModel.from_pretrained(options.model).to(usual_device())
    task = task_with(model, {"file": options.file})
    if not isinstance(task, Sudoku):
        raise InputError(f"{options.model} is a head for another task; give one for sudoku")
    groups = read_groups(task, options.file, options.group, options.by, options.num_problems)
    if not groups:
        raise InputError(f"{options.file} has no puzzle in its test split; give more rows")
    about: dict[str, Any] = {"model": str(options.model), "device": device_name(model.device), "groups": {}}
    for source, problems in groups.items():
        scores = score(model, problems, options.num_steps)
        print(source, *scores.lines("guesses"), sep="\n")
        noisy = searched(model, problems[: options.searched], options.num_steps, options.trajectories)
        for name, shares in noisy["exact_by_step"].items():
            print(f"{name}, {noisy['n']} puzzles: {100 * shares[-1]:.1f}% after {len(shares)} steps")
        about["groups"][source] = asdict(scores) | {"search": noisy}
        if options.output is not None:
            write_text(options.output, json.dumps(about, indent=1) + "\n")
            write_text(options.output.with_name(f"{options.output.stem}_{source}.svg".replace("/", "_")), curves(scores))


if __name__ == "__main__":
    program.run(main)
