"""`hybrid bench`: a trained head against the language model's own answers."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybrid.backbone import BackboneConfig
from hybrid.cli.asking import Precision
from hybrid.eval.engines import ENGINES, Engine, TransformersEngine
from hybrid.eval.tasks import TASKS
from hybrid.eval.tasks.task import Task, Wording
from hybrid.flags.parser import default_of
from hybrid.inference.search import SearchConfig
from hybrid.kinds import A_PATH, family_field, require
from hybrid.recursion.halting import HALTING

if TYPE_CHECKING:
    from hybrid.eval.baselines import Method
    from hybrid.model import HybridModel

_OF_MODELS = (
    "methods",
    "num_problems",
    "num_text_problems",
    "num_latency",
    "seed",
    "held_out_wording",
    "precision",
    "num_steps",
    "halting",
    "search",
)
_OF_SUITES = ("backbone", "seconds", "seeds", "only")
"""Settings that only one of the two ways to bench looks at."""


@dataclass(frozen=True)
class BenchCommand:
    """Compare latent recursion with the language model's own answers: a trained head, or a whole suite of methods.

    Args:
        model: folder of a trained head; none with `suite`.
        suite: quickstart, standard, full or thoughts: trains and tests many methods on many tasks, with controls; or task: the
            same on `task` alone, on which thoughts runs too. The same command again goes on at the first cell without a result.
        output: folder for results, the answers, and the report.
        task: task to test on; without it, the one that the head was trained on.
        methods: what is compared: hybrid and names of prompting methods; none takes hybrid, direct, zero_shot_cot and, where
            training problems come with worked steps, few_shot_cot.
        engine: what writes the prompting methods' text: transformers here, or server by its URL.
        num_problems: test problems for the head; none takes 500, or all where data of one's own has fewer.
        num_text_problems: the first of them, for methods that write text.
        num_latency: evenly spread ones of them, one by one, for seconds; two at most for methods that write text.
        seed: of the problems.
        held_out_wording: put the problems in wordings that no training prompt has.
        precision: of the language model: float32, bfloat16, float16, int8 or nf4; a warning tells where the head was trained
            on another. None takes the trained one.
        num_steps: most supervision steps of the head.
        halting: halting rule of the head.
        search: noisy trajectories of the head.
        backbone: the language model of a suite.
        seconds: training seconds of every method of a suite; none takes the suite's own.
        seeds: of the trainings of a suite's hybrid and its rivals (hybrid + LoRA, no recursion, LoRA on answers and on steps), on
            every task, such as [0, 1, 2]; none takes the suite's own.
        only: run the cells of a suite that have this in their name.
    """

    model: str | None = field(default=None, metadata=A_PATH)
    suite: str | None = None
    output: str = field(default="runs/bench", metadata=A_PATH)
    task: Any = field(default=None, metadata={"kinds": TASKS})
    methods: tuple[str, ...] | None = None
    engine: Any = family_field(ENGINES, TransformersEngine.Config)
    num_problems: int | None = None
    num_text_problems: int = 32
    num_latency: int = 10
    seed: int = 0
    held_out_wording: bool = False
    precision: Precision = None
    num_steps: int | None = None
    halting: Any = field(default=None, metadata={"kinds": HALTING})
    search: SearchConfig = field(default_factory=SearchConfig)
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    seconds: float | None = None
    seeds: tuple[int, ...] | None = None
    only: str = ""

    def __post_init__(self) -> None:
        one = (self.model is None) != (self.suite is None)
        require(one, "give either --model, the folder of a trained head, or --suite, the name of a suite")
        require(self.seconds is None or self.seconds > 0, f"seconds is {self.seconds}; give a positive number")
        for name in ("num_problems", "num_text_problems", "num_latency"):
            count = getattr(self, name)
            require(count is None or count >= 1, f"{name} is {count}; give at least 1")
        mode, other = ("--model", _OF_SUITES) if self.suite is None else ("--suite", _OF_MODELS)
        for each in fields(self):
            idle = each.name in other and getattr(self, each.name) != default_of(each)
            require(not idle, f"--{each.name} does nothing with {mode}; leave it out")

    def run(self) -> None:
        """Measure, print the table, write the files."""
        if self.suite is not None:
            self._run_suite(self.suite)
        else:
            self._run_model(str(self.model))

    def _run_suite(self, name: str) -> None:
        from rich.console import Console

        from hybrid.backbone import Backbone
        from hybrid.eval.bench.suite import run_suite
        from hybrid.eval.bench.suites import suite
        from hybrid.eval.report import write_suite_report
        from hybrid.eval.results import results_table

        chosen = suite(name, self.task, seconds=self.seconds, seeds=self.seeds)
        console, table = Console(stderr=True, markup=False, emoji=False), Console()
        backbone = Backbone.load(self.backbone)
        records = run_suite(
            chosen,
            backbone,
            Path(self.output),
            command=shlex.join(["hybrid", *sys.argv[1:]]),
            engine=ENGINES.build(self.engine, backbone, Path(self.output)),
            only=self.only,
            say=console.print,
            report=write_suite_report,
        )
        table.print(results_table(records, width=table.width))
        print(f"wrote {self.output}/report.html, {self.output}/report.md and {self.output}/results.csv")

    def _run_model(self, folder: str) -> None:
        from rich.console import Console

        from hybrid.device import usual_device
        from hybrid.eval.baselines import METHODS, HeadMethod, Prompting, Solver
        from hybrid.eval.bench.comparison import Plan, compare
        from hybrid.eval.results import results_table
        from hybrid.eval.scoring.checked import task_of
        from hybrid.model import HybridModel

        for name in self.methods or ():
            ready = issubclass(METHODS[name], HeadMethod | Prompting | Solver)
            require(ready, f"the method {name} must be trained first; leave it out here, --suite task --task ... trains it")
        model = HybridModel.from_pretrained(folder, precision=self.precision).to(usual_device())
        task = task_of(model) if self.task is None else TASKS.build(self.task)
        names = self.methods or _usual_methods(task)
        texts = any(issubclass(METHODS[name], Prompting) for name in names)
        engine = ENGINES.build(self.engine, model.backbone, Path(self.output)) if texts else None
        methods = [self._method(METHODS[name], model, task, engine) for name in names]
        wording: Wording = "held_out" if self.held_out_wording else "train"
        plan = Plan(self.num_problems, self.num_text_problems, self.num_latency, seed=self.seed, wording=wording)
        command = shlex.join(["hybrid", *sys.argv[1:]])
        console = Console(stderr=True, markup=False, emoji=False)
        records = compare(model, task, methods, Path(self.output), plan, command=command, say=console.print)
        table = Console()
        table.print(results_table(records, width=table.width))
        print(f"wrote {self.output}/results.json, report.html, report.md and results.csv")

    def _method(self, kind: Any, model: HybridModel, task: Task, engine: Engine | None) -> Method:
        from hybrid.eval.baselines import HeadMethod, Prompting

        if kind is HeadMethod:
            config = HeadMethod.Config(num_steps=self.num_steps, search=self.search)
            return HeadMethod(config, model, task, self.halting, _training_seconds(str(self.model)))
        further = {"engine": engine} if issubclass(kind, Prompting) else {}
        method: Method = kind(kind.Config(), model.backbone, task, **further)
        return method


def _usual_methods(task: Task) -> tuple[str, ...]:
    worked = any(problem.trace for problem in task.up_to("train", 1))
    return ("hybrid", "direct", "zero_shot_cot", *(["few_shot_cot"] if worked else []))


def _training_seconds(folder: str) -> float:
    from hybrid.train.run.folder import RunFolder

    finished = (RunFolder(folder).read_record() or {}).get("finished") or {}
    return float(finished.get("seconds", 0.0))
