"""`hybrid bench`: a trained head against the language model's own answers."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hybrid.cli.asking import Precision, task_of
from hybrid.eval.tasks import TASKS
from hybrid.eval.tasks.task import Wording
from hybrid.halting import HALTING
from hybrid.kinds import require
from hybrid.search import SearchConfig


@dataclass(frozen=True)
class BenchCommand:
    """Compare a trained head with the language model's own answers on unseen problems.

    Args:
        model: folder of a trained head.
        output: folder for results.json, attempts.jsonl and report.html.
        task: task to test on; without it, the one that the head was trained on.
        methods: what is compared: hybrid and names of prompting methods.
        num_problems: test problems for the head; none takes 500, or all where data of one's own has fewer.
        num_text_problems: the first of them, for methods that write text.
        num_latency: the first of them, one by one, for seconds.
        seed: of the problems.
        held_out_wording: put the problems in wordings that no training prompt has.
        precision: of the language model: float32, bfloat16, float16, int8 or nf4; a warning tells where the head was trained
            on another. None takes the trained one.
        num_steps: most supervision steps of the head.
        halting: halting rule of the head.
        search: noisy trajectories of the head.
    """

    model: str
    output: str = "runs/bench"
    task: Any = field(default=None, metadata={"kinds": TASKS})
    methods: tuple[str, ...] = ("hybrid", "direct", "zero_shot_cot", "few_shot_cot")
    num_problems: int | None = None
    num_text_problems: int = 32
    num_latency: int = 10
    seed: int = 0
    held_out_wording: bool = False
    precision: Precision = None
    num_steps: int | None = None
    halting: Any = field(default=None, metadata={"kinds": HALTING})
    search: SearchConfig = field(default_factory=SearchConfig)

    def __post_init__(self) -> None:
        for name in ("num_problems", "num_text_problems", "num_latency"):
            count = getattr(self, name)
            require(count is None or count >= 1, f"{name} is {count}; give at least 1")

    def run(self) -> None:
        """Measure, print the table, write the files."""
        from rich.console import Console

        from hybrid.eval.baselines import METHODS, HeadMethod, Method
        from hybrid.eval.comparison import Plan, compare
        from hybrid.eval.results import results_table
        from hybrid.model import HybridModel

        for name in self.methods:
            METHODS[name]  # Raises for an unknown name before anything is loaded.
        model = HybridModel.from_pretrained(self.model, precision=self.precision)
        task = task_of(model) if self.task is None else TASKS.build(self.task)
        seconds = _training_seconds(self.model)
        methods: list[Method] = [
            HeadMethod(HeadMethod.Config(num_steps=self.num_steps, search=self.search), model, task, self.halting, seconds)
            if METHODS[name] is HeadMethod
            else METHODS[name](METHODS[name].Config(), model.backbone, task)  # type: ignore[attr-defined, call-arg]
            for name in self.methods
        ]
        wording: Wording = "held_out" if self.held_out_wording else "train"
        plan = Plan(self.num_problems, self.num_text_problems, self.num_latency, seed=self.seed, wording=wording)
        command = shlex.join(["hybrid", *sys.argv[1:]])
        console = Console(stderr=True)
        records = compare(model, task, methods, Path(self.output), plan, command=command, say=console.print)
        table = Console()
        table.print(results_table(records, width=table.width))
        print(f"wrote {self.output}/results.json and {self.output}/report.html")


def _training_seconds(folder: str) -> float:
    from hybrid.train.run_folder import RunFolder

    finished = (RunFolder(folder).read_record() or {}).get("finished") or {}
    return float(finished.get("seconds", 0.0))
