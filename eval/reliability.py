"""How far a head's word can be trusted: its probability of being right against how often it is, and what checks catch.

    python -m hybrid.eval.reliability --model FOLDER [--num_problems 1000] [--settings '{"max_blanks": 12}'] [--output FILE]

Problems are of the test split. The expected calibration error is that of ten bins of equal width (Guo et al. 2017). Answers
are then held against the rules of the task, and those that break one are thought about again.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hybrid.checkpoint import write_text
from hybrid.eval import program
from hybrid.eval.bench.benchmark import device_name
from hybrid.eval.measures.calibration import calibration
from hybrid.eval.scoring.checked import answered, every_understood, read_settings, task_with, think_again
from hybrid.eval.text.sentences import judge
from hybrid.flags.parser import parse
from hybrid.kinds import A_PATH, require


@dataclass(frozen=True)
class Reliability:
    """What was found.

    Args:
        model, task, device: which.
        n: problems.
        right: share of answers that are right.
        calibration_error: expected, 0 to 1.
        bins: (lower end, answers, mean probability of being right, share right) of each bin that holds some.
        wrong_unnoticed: wrong answers that no check caught.
        caught: answers that break a rule.
        right_after_retries: share right when these were thought about again.
    """

    model: str
    task: str
    device: str
    n: int
    right: float
    calibration_error: float
    bins: list[tuple[float, int, float, float]]
    wrong_unnoticed: int
    caught: int
    right_after_retries: float


def measure(model: Any, task: Any, count: int, *, retries: int = 3) -> Reliability:
    """Ask a head the first `count` test problems of a task."""
    problems = task.problems("test", count)
    asked = every_understood(task, problems)
    found = answered(model, asked, task=task)
    right = judge(model.config.symbols, task)
    rights = [right(s.symbols, p) for s, p in zip(found, problems, strict=True)]
    again = think_again(model, asked, found, retries, task=task)
    error, bins = calibration([s.confidence for s in found], rights)
    return Reliability(
        "",
        task.title,
        device_name(model.device),
        count,
        sum(rights) / count,
        error,
        bins,
        sum(not fine and s.verified is not False for fine, s in zip(rights, found, strict=True)),
        sum(s.verified is False for s in found),
        sum(right(s.symbols, p) for s, p in zip(again, problems, strict=True)) / count,
    )


@dataclass(frozen=True)
class ReliabilityCommand:
    """Ask a head many problems, and tell how far its word can be trusted.

    Args:
        model: folder of a trained head.
        num_problems: of the test split.
        settings: further settings of its task, as JSON.
        output: file for the figures.
    """

    model: str = field(metadata=A_PATH)
    num_problems: int = 1000
    settings: str = "{}"
    output: str | None = field(default=None, metadata=A_PATH)

    def run(self) -> None:
        """Measure and print."""
        from hybrid.device import usual_device
        from hybrid.model import HybridModel

        require(self.num_problems >= 1, f"num_problems is {self.num_problems}; give at least 1")
        settings = read_settings(self.settings)
        model = HybridModel.from_pretrained(self.model).to(usual_device())
        figures = asdict(measure(model, task_with(model, settings), self.num_problems)) | {"model": self.model}
        text = json.dumps(figures, indent=1)
        print(text)
        if self.output is not None:
            write_text(Path(self.output), text + "\n")


if __name__ == "__main__":
    program.run(lambda: parse(ReliabilityCommand, sys.argv[1:], "reliability").run())
