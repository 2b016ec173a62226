"""`hybrid score`: how many unseen problems a trained head gets right, by step and by difficulty."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hybrid.cli.asking import SHIPPED, Precision
from hybrid.console import json_line
from hybrid.errors import Faults, InputError
from hybrid.eval.tasks import TASKS
from hybrid.eval.tasks.table.row import TableConfig
from hybrid.eval.tasks.table.survey import good_rows
from hybrid.kinds import A_PATH, require
from hybrid.problem import Problem

if TYPE_CHECKING:
    from hybrid.model import HybridModel


@dataclass(frozen=True)
class ScoreCommand:
    """Score a trained head on problems with answers: right answers by step and by difficulty.

    Args:
        model: folder of a trained head.
        file: table with a prompt and an answer in each row, in the columns that the head was trained on; all rows are asked.
            Without it, problems of the head's own task.
        settings: other settings of that task, as JSON, such as {"max_blanks": 12}.
        split: which of its problems: dev or test; none takes test.
        wording: the wordings that training prompts have, or those that none has; none takes those of training.
        num_problems: of the task, none takes 300 of dev and 500 of test; of a file the first ones, none takes all.
        by: column of whole numbers that the file's rows are grouped by; none takes the words of the prompt.
        num_steps: most supervision steps; none takes the trained number.
        precision: of the language model, where it is to be another than the trained one.
        batch_size: problems thought about together.
        output: file for the figures, as JSON.
    """

    model: str = field(default=SHIPPED, metadata=A_PATH)
    file: str | None = field(default=None, metadata=A_PATH)
    settings: str | None = None
    split: Literal["dev", "test"] | None = None
    wording: Literal["train", "held_out"] | None = None
    num_problems: int | None = None
    by: str | None = None
    num_steps: int | None = None
    precision: Precision = None
    batch_size: int = 64
    output: str | None = field(default=None, metadata=A_PATH)

    def __post_init__(self) -> None:
        require(self.by is None or self.file is not None, "--by names a column of --file; give a file too")
        for name in ("settings", "split", "wording"):
            clear = self.file is None or getattr(self, name) is None
            require(clear, f"--{name} says which problems of the head's own task, and --file gives others; give one of the two")
        for name in ("num_problems", "num_steps", "batch_size"):
            value = getattr(self, name)
            require(value is None or value >= 1, f"{name} is {value}; give at least 1")

    def run(self) -> None:
        """Print a table."""
        from hybrid.checkpoint import write_text
        from hybrid.device import usual_device
        from hybrid.eval.bench.benchmark import device_name
        from hybrid.eval.program import check_apart
        from hybrid.eval.scoring.checked import read_settings, task_with
        from hybrid.eval.scoring.scoring import score
        from hybrid.model import HybridModel

        if self.output is not None and self.file is not None:
            check_apart(Path(self.output), self.file)
        settings, split = read_settings(self.settings or "{}"), self.split or "test"
        model = HybridModel.from_pretrained(self.model, precision=self.precision).to(usual_device())
        if self.file is not None:
            problems = _answered_rows(self.file, model, self.by)[: self.num_problems]
        else:
            task = task_with(model, settings)
            problems = task.problems(split, self.num_problems, wording=self.wording or "train")
        found = score(model, problems, self.num_steps, batch_size=self.batch_size)
        if self.output is not None:
            asked = {"model": self.model, "problems": self.file or split, "device": device_name(model.device)}
            write_text(Path(self.output), json_line(asked | asdict(found)) + "\n")
        for line in found.lines(self.by or ("words" if self.file else "difficulty")):
            print(line)


def _answered_rows(file: str, model: HybridModel, by: str | None) -> list[Problem]:
    """Return the rows of a table in the form that a head's own table had; without one, as its task writes prompts and answers."""
    from hybrid.eval.scoring.checked import known_task, understood

    task = model.config.task or {}
    if task.get("kind") == "table":
        none = dict.fromkeys(("dev", "test", "trace_column", "labels_column", "num_answers"))
        own = replace(TASKS.from_dict(task), train=file, teach_trace=False, symbols=(), **none)
    else:
        own = TableConfig(train=file, unit="word" if model.config.layout.separator else "character")
    faults, rules = Faults(), known_task(model)
    rows = []
    for problem in good_rows(replace(own, difficulty_column=by), file, faults):
        if problem is not None:
            try:
                rows.append(understood(rules, problem))
            except InputError as error:
                faults.add(f"{problem.where}: {error}")
    faults.check()
    known = set(model.config.symbols)
    return [_without_line_ends(problem, known) for problem in rows] if own.unit == "character" and known else rows


def _without_line_ends(problem: Problem, known: Set[str]) -> Problem:
    """Return a problem without the blanks and line ends between the symbols of its answer, where the head has no such symbols."""
    return replace(problem, answer=tuple(symbol for symbol in problem.answer if symbol in known or not symbol.isspace()))
