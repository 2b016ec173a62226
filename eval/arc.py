"""A head scored on a file of ARC tasks: two tries for each test input, chosen by votes over disguises.

    python -m hybrid.eval.arc --model DIR --file CHALLENGES [--votes K] [--output FILE]

Prints the share of test inputs whose output, its size included, is the first answer (pass@1) or one of the first two (pass@2):
of those that fit the head's canvas, and of all in the file, where one that does not fit counts as wrong. A file that holds a
task of the one that the head was trained on is refused; `--overlap drop` leaves these tasks out and counts them.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from hybrid.checkpoint import write_text
from hybrid.device import usual_device
from hybrid.errors import InputError
from hybrid.eval import program
from hybrid.eval.bench.benchmark import device_name
from hybrid.eval.measures.intervals import wilson
from hybrid.eval.scoring.checked import task_of
from hybrid.eval.scoring.voting import TRIES, vote
from hybrid.eval.tasks.arc import Arc
from hybrid.eval.tasks.arc.files import same_tasks
from hybrid.eval.tasks.arc.grid import off_canvas
from hybrid.problem import Problem

if TYPE_CHECKING:
    from hybrid.model import HybridModel


@dataclass(frozen=True)
class Figures:
    """What was found.

    Args:
        inputs: test inputs of the file, less those of dropped tasks.
        fitting: those of them that fit the canvas and were asked.
        dropped: tasks left out because the head was trained on them.
        votes: disguises of each input.
        seconds: of reading and thinking.
        right: test inputs answered right at the first try, and at one of two.
        of_fitting: pass@1 and pass@2 of those that fit, each with Wilson's 95% interval.
        of_all: the same of all inputs.
        solved: "TASK test NUMBER" of inputs right at one of two tries.
    """

    inputs: int
    fitting: int
    dropped: int
    votes: int
    seconds: float
    right: tuple[int, int]
    of_fitting: list[tuple[float, float, float]]
    of_all: list[tuple[float, float, float]]
    solved: list[str]

    def lines(self) -> Iterator[str]:
        """Yield what to print."""
        dropped = f", {self.dropped:,} tasks dropped" if self.dropped else ""
        yield (
            f"{self.inputs:,} test inputs, {self.fitting:,} fit the canvas and were asked{dropped}; {self.votes} votes, "
            f"{self.seconds:.0f} s"
        )
        for name, shares in (("of those that fit", self.of_fitting), ("of all", self.of_all)):
            told = (
                f"pass@{tries} {100 * share:.1f}% ({100 * low:.1f} to {100 * high:.1f})"
                for tries, (share, low, high) in enumerate(shares, 1)
            )
            yield f"{name}: {', '.join(told)}"


def measure(
    model: HybridModel,
    task: Arc,
    trained: Arc,
    *,
    votes: int = 8,
    drop: bool = False,
    seed: int = 0,
    num_steps: int | None = None,
    batch_size: int = 32,
) -> Figures:
    """Ask a head every test input of a file.

    Args:
        model: trained head.
        task: with the file to be scored on, and the head's own canvas.
        trained: with the file that the head was trained on.
        votes: disguises of each input, itself among them.
        drop: leave out tasks that the head was trained on, instead of refusing the file.
        seed: of the disguises.
        num_steps: most supervision steps; None takes the trained number.
        batch_size: prompts thought about together.

    Raises:
        InputError: a file cannot be read, they have a task in common, or no task fits.
    """
    began = time.perf_counter()
    if not drop:
        task.refuse_twins(trained)
    twins = {name for name, _ in same_tasks(task.every, trained.every)}
    inputs = sum(len(each.tests) for each in task.every if each.name not in twins)
    asked = [problem for name, problem in task.tests() if name not in twins]
    if not asked:
        raise InputError(
            f"{task.config.file} has no task that the head was not trained on and whose grids fit {task.config.size}"
        )
    side = task.config.side
    found = vote(
        model,
        asked,
        task.symmetry,
        votes,
        same=lambda symbols: off_canvas(symbols, side),
        seed=seed,
        num_steps=num_steps,
        batch_size=batch_size,
    )
    rights = [[task.right(each.symbols, problem) for each in own[:TRIES]] for own, problem in zip(found, asked, strict=True)]
    counts = sum(own[:1] == [True] for own in rights), sum(map(any, rights))
    solved = [_name(problem) for problem, own in zip(asked, rights, strict=True) if any(own)]
    of_fitting, of_all = ([(count / n, *wilson(count, n)) for count in counts] for n in (len(asked), inputs))
    seconds = round(time.perf_counter() - began, 1)
    return Figures(inputs, len(asked), len(twins), votes, seconds, counts, of_fitting, of_all, solved)


def _name(problem: Problem) -> str:
    return problem.where.rpartition(" task ")[2]


def tasks_of(model: HybridModel, file: str, solutions: str | None, trained_on: Sequence[str | None]) -> tuple[Arc, Arc]:
    """Return the task with the file to be scored on, and the one with the file that the head was trained on.

    Args:
        model: trained head.
        file, solutions: to be scored on.
        trained_on: where the head's own challenges and solutions are now; None for where they were.

    Raises:
        InputError: the head was trained on another task.
    """
    own = task_of(model)
    if not isinstance(own, Arc):
        raise InputError(f"the head was trained on the task {own.kind}; give one that was trained on arc")
    known = own.config
    if trained_on[0] is not None:
        known = replace(known, file=trained_on[0], solutions=trained_on[1])
    return Arc(replace(known, file=file, solutions=solutions)), Arc(known)


def main() -> None:
    """Print and write the figures."""
    parser = argparse.ArgumentParser(description="Score a head on a file of ARC tasks.")
    parser.add_argument("--model", required=True, type=program.path, help="folder of a trained head")
    parser.add_argument("--file", required=True, help="Kaggle's file of challenges, or a folder of tasks")
    parser.add_argument("--solutions", help="Kaggle's file of solutions; without, the one beside the challenges")
    parser.add_argument("--trained_on", help="the file that the head was trained on, where it lies elsewhere now")
    parser.add_argument("--trained_solutions", help="its solutions, where they are not beside it")
    parser.add_argument("--overlap", choices=("refuse", "drop"), default="refuse", help="tasks that the head was trained on")
    parser.add_argument("--votes", type=program.positive, default=8, help="disguises of each input; 1 asks it as it is")
    parser.add_argument("--num_steps", type=program.positive, help="most supervision steps; without, the trained number")
    parser.add_argument("--batch_size", type=program.positive, default=32, help="prompts thought about together")
    parser.add_argument("--seed", type=int, default=0, help="of the disguises")
    parser.add_argument("--output", type=program.path, help="file for the figures, as JSON")
    given = parser.parse_args()
    from hybrid.model import HybridModel

    for source in (given.file, given.solutions):
        if given.output is not None and source is not None:
            program.check_apart(given.output, source)
    model = HybridModel.from_pretrained(str(given.model)).to(usual_device())
    task, trained = tasks_of(model, given.file, given.solutions, (given.trained_on, given.trained_solutions))
    found = measure(
        model,
        task,
        trained,
        votes=given.votes,
        drop=given.overlap == "drop",
        seed=given.seed,
        num_steps=given.num_steps,
        batch_size=given.batch_size,
    )
    print(task.left_out)
    for line in found.lines():
        print(line)
    if given.output is not None:
        asked = {"model": str(given.model), "file": given.file, "device": device_name(model.device)}
        write_text(given.output, json.dumps(asked | asdict(found), indent=1) + "\n")


if __name__ == "__main__":
    program.run(main)
