"""A study: many heads trained under one budget, each tested the same way, so that choices can be compared.

Holds the cell, what is measured of it, the runner that goes on at the first cell without a result, and Markdown tables of
results, whose shares are means over seeds. Which cells there are is studies.py's. Results are a JSON list with one entry a
cell, written anew after each.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

import hybrid
from hybrid.adapters import ENCODERS, Aligned
from hybrid.checkpoint import write_text
from hybrid.errors import InputError
from hybrid.eval.baselines.trained import with_random_weights
from hybrid.eval.bench.benchmark import device_name
from hybrid.eval.bench.comparison import task_name
from hybrid.eval.measures.intervals import clear_gain, mean_interval
from hybrid.eval.results import as_markdown, exact_text, percent
from hybrid.eval.tasks import TASKS
from hybrid.inference.search import SearchConfig
from hybrid.kinds import ADDED, digests, family_field
from hybrid.matching import find
from hybrid.recursion.halting import Converged, Learned
from hybrid.recursion.reasoner import ReasonerConfig
from hybrid.train import TrainConfig, train
from hybrid.train.calibration import calibrated
from hybrid.train.dataset import Dataset
from hybrid.train.evaluate import evaluate

GOAL = 0.95
"""Share of right dev answers whose time the recipes are compared by."""


@dataclass(frozen=True)
class Cell:
    """One head to train and to test.

    Args:
        variant: what distinguishes it from the other cells of its task, in words.
        task: config of the task.
        reasoner: the recursion.
        train: budget and recipe; its seed is the cell's.
        backbone: the language model.
        encoder: encoder adapter.
        num_train, num_dev, num_test: problems of each split.
        num_steps: most supervision steps of the test.
        halting: halting rules tested besides the fixed one, by name, each with the threshold that dev chooses.
        search: noisy searches tested, by name.
        single_cycles: test in steps of one cycle in place of T, so that `num_steps` counts cycles, and tell each difficulty.
        difficulty_column: of a table, by which results are told apart; training does not see it. None for the task's own.
        random_weights: whether the language model's weights are drawn anew.
    """

    variant: str
    task: Any
    reasoner: ReasonerConfig
    train: TrainConfig
    backbone: hybrid.BackboneConfig = field(default_factory=hybrid.BackboneConfig)
    num_train: int = 2000
    num_dev: int = 200
    num_test: int = 500
    num_steps: int = 16
    halting: dict[str, Any] = field(default_factory=dict)
    search: dict[str, SearchConfig] = field(default_factory=dict)
    encoder: Any = family_field(ENCODERS, Aligned.Config, **ADDED)
    single_cycles: bool = field(default=False, metadata=ADDED)
    difficulty_column: str | None = field(default=None, metadata=ADDED)
    random_weights: bool = field(default=False, metadata=ADDED)

    @property
    def name(self) -> str:
        """Task, variant and seed."""
        return f"{task_name(TASKS.build(self.task))}, {self.variant}, seed {self.train.seed}"

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that change with any setting."""
        return digests(self)[0]


@dataclass(frozen=True)
class Result:
    """What a cell gave.

    Args:
        cell, task, variant, seed: which one.
        n: test problems.
        exact_by_step: share of them right after 1, 2, ... supervision steps, without halting.
        num_supervision_steps: N of the training.
        steps, seconds: optimizer steps and seconds of training.
        dev_exact: of the head that was kept.
        course: (training seconds, exact share on dev) at every evaluation.
        halting: for each rule, the exact share and the mean steps taken.
        search: for each noisy search, the exact share after every step.
        device: in words.
        settings: digest of the cell.
        by_difficulty: the same shares as `exact_by_step` for the test problems of each difficulty, number of problems last.
    """

    cell: str
    task: str
    variant: str
    seed: int
    n: int
    exact_by_step: list[float]
    num_supervision_steps: int
    steps: int
    seconds: float
    dev_exact: float
    course: list[list[float]]
    halting: dict[str, list[float]]
    search: dict[str, list[float]]
    device: str
    settings: str = ""
    by_difficulty: dict[str, list[float]] = field(default_factory=dict)

    @property
    def exact(self) -> float:
        """Share right at the N of the training."""
        return self.exact_by_step[self.num_supervision_steps - 1]


def run_cell(cell: Cell, output: Path, *, show: bool = True) -> Result:
    """Train the head of `cell` in the folder `output` (a run that resumes) and test it on the test split."""
    task = TASKS.build(cell.task)
    config = hybrid.HybridConfig(task.layout, task.symbols, cell.backbone, cell.encoder, cell.reasoner)
    torch.manual_seed(cell.train.seed)
    model = hybrid.attach(with_random_weights(find(None, None, config)) if cell.random_weights else None, config)
    splits = task.problems("train", cell.num_train), task.problems("dev", cell.num_dev)
    outcome = train(model, *splits, cell.train, output, symmetry=task.symmetry, show=show, resumable=False)
    graded = task if cell.difficulty_column is None else TASKS.build(replace(cell.task, difficulty_column=cell.difficulty_column))
    problems = graded.problems("test", cell.num_test)
    test, dev = Dataset(model, problems), Dataset(model, splits[1])
    trained = cell.reasoner.num_supervision_steps
    levels: dict[str, list[float]] = {}
    if cell.single_cycles:
        trained *= cell.reasoner.num_cycles
        model.head.reasoner.config = replace(cell.reasoner, num_cycles=1)
        for level in sorted({problem.difficulty for problem in problems}):
            own = [problem for problem in problems if problem.difficulty == level]
            shares = evaluate(model.head, Dataset(model, own), num_steps=cell.num_steps).exact_by_step
            levels[str(level)] = [*(round(share, 4) for share in shares), len(own)]
    most = max(cell.num_steps, trained)
    chosen = {name: calibrated(model.head, dev, rule, trained) for name, rule in cell.halting.items()}
    halted = {name: evaluate(model.head, test, num_steps=trained, halting=rule) for name, rule in chosen.items()}
    searched = {name: evaluate(model.head, test, num_steps=most, search=search) for name, search in cell.search.items()}
    lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    return Result(
        cell=cell.name,
        task=task_name(task),
        variant=cell.variant,
        seed=cell.train.seed,
        n=cell.num_test,
        exact_by_step=[round(share, 4) for share in evaluate(model.head, test, num_steps=most).exact_by_step],
        num_supervision_steps=trained,
        steps=outcome.step,
        seconds=round(outcome.seconds, 1),
        dev_exact=round(outcome.best_exact, 4),
        course=[[line["seconds"], round(line["dev_exact"], 4)] for line in lines if "dev_exact" in line],
        halting={name: [round(found.exact, 4), round(found.steps, 3)] for name, found in halted.items()},
        search={name: [round(share, 4) for share in found.exact_by_step] for name, found in searched.items()},
        device=device_name(model.device),
        settings=cell.digest,
        by_difficulty=levels,
    )


def read(file: Path) -> list[Result]:
    """Return the results of a file that `run` wrote, none where there is no file.

    Raises:
        InputError: the file is damaged.
    """
    if not file.exists():
        return []
    try:
        return [Result(**entry) for entry in json.loads(file.read_text(encoding="utf-8"))]
    except (ValueError, TypeError) as error:
        raise InputError(f"{file} holds no results of a study ({error}); restore it or give another --output") from None


def run(cells: Sequence[Cell], output: Path, *, say: Callable[[str], None] = print, show: bool = True) -> list[Result]:
    """Run the cells that have no result in `output`/results.json yet, one after another, and return all results.

    Raises:
        InputError: the file is damaged, or holds a cell that was run with other settings.
    """
    done = {result.cell: result for result in read(output / "results.json")}
    for cell in cells:
        if cell.name in done and done[cell.name].settings not in digests(cell):
            raise InputError(f'"{cell.name}" in {output / "results.json"} was run with other settings; give another --output')
    for number, cell in enumerate(cells, 1):
        if cell.name in done:
            continue
        say(f"{number} of {len(cells)}: {cell.name}")
        folder = output / "".join(c if c.isalnum() else "_" for c in cell.name)
        done[cell.name] = run_cell(cell, folder, show=show)
        say(f"  {percent(done[cell.name].exact)}% after {done[cell.name].steps} steps")
        text = json.dumps([asdict(result) for result in done.values()], indent=1)
        write_text(output / "results.json", text + "\n")
    return [done[cell.name] for cell in cells]


def rules() -> dict[str, Any]:
    """Return the halting rules that a cell is tested with besides the fixed one."""
    return {"learned": Learned.Config(), "converged": Converged.Config()}


def table(results: Sequence[Result]) -> str:
    """Return the results as a Markdown table: a row a variant, exact share at N by task, mean over seeds.

    Intervals are those of `mean_interval`: over seeds and problems where there are several seeds, else Wilson's over problems.
    """
    tasks = list(dict.fromkeys(result.task for result in results))
    lines = [["variant", *(f"{task}: exact % (95%)" for task in tasks), "seeds", "optimizer steps"]]
    for variant in dict.fromkeys(result.variant for result in results):
        rows = {task: [r for r in results if (r.task, r.variant) == (task, variant)] for task in tasks}
        counts, steps = (", ".join(str(figure(rows[task])) for task in tasks) for figure in (len, _mean_steps))
        lines.append([variant, *(_share(rows[task]) for task in tasks), counts, steps])
    return as_markdown(lines[0], lines[1:])


def gain_table(results: Sequence[Result]) -> str:
    """Return what the first variant is above each other one on the seeds of both, and whether that counts at p < 0.01."""
    first = results[0]
    own = {result.seed: result.exact for result in results if (result.task, result.variant) == (first.task, first.variant)}
    lines = [[f"{first.variant} against", "seeds", "mean gain, points", "p < 0.01"]]
    for variant in list(dict.fromkeys(result.variant for result in results))[1:]:
        other = {result.seed: result.exact for result in results if result.variant == variant and result.seed in own}
        more, less = ([shares[seed] for seed in other] for shares in (own, other))
        gain = 100 * (fmean(more) - fmean(less)) if other else 0.0
        clear = bool(other) and clear_gain(more, less, first.n, 0.99)
        lines.append([variant, str(len(other)), f"{gain:+.1f}", "yes" if clear and gain > 0 else "no"])
    return as_markdown(lines[0], lines[1:])


def _share(results: Sequence[Result]) -> str:
    if not results:
        return "not run"
    return exact_text(*mean_interval([result.exact for result in results], results[0].n))


def _mean_steps(results: Sequence[Result]) -> str:
    return f"{fmean(result.steps for result in results):,.0f}" if results else "-"


def depth_table(results: Sequence[Result]) -> str:
    """Return exact match after 1, 2, 4, ... steps: a row a task, one more for each noisy search; N is the trained depth."""
    steps = [2**power for power in range(min(len(result.exact_by_step) for result in results).bit_length())]
    lines = [["task", "search", "N", "seeds", *(f"after {step}" for step in steps)]]
    for task, rows in _by_task(results):
        ways = {"none": [row.exact_by_step for row in rows]}
        ways |= {name: [row.search[name] for row in rows] for name in rows[0].search}
        for name, curves in ways.items():
            shares = [percent(fmean(curve[step - 1] for curve in curves)) for step in steps]
            lines.append([task, name, str(rows[0].num_supervision_steps), str(len(rows)), *shares])
    return as_markdown(lines[0], lines[1:])


def halting_table(results: Sequence[Result]) -> str:
    """Return exact match and mean steps of every halting rule, a row a task, beside those of all N steps."""
    names = list(results[0].halting)
    lines = [["task", "seeds", "all N steps: exact %", *(f"{name}: exact %, steps" for name in names)]]
    for task, rows in _by_task(results):
        whole = f"{percent(fmean(row.exact for row in rows))}, {rows[0].num_supervision_steps}"
        pairs = [[fmean(row.halting[name][k] for row in rows) for k in (0, 1)] for name in names]
        lines.append([task, str(len(rows)), whole, *(f"{percent(exact)}, {steps:.2f}" for exact, steps in pairs)])
    return as_markdown(lines[0], lines[1:])


def recipe_table(results: Sequence[Result]) -> str:
    """Return the training seconds after which GOAL of the dev split was first right, a row a cell."""
    lines = [["recipe", "seed", f"seconds to {percent(GOAL)}% of dev", "seconds in all", "optimizer steps", "test exact %"]]
    for result in results:
        reached = next((seconds for seconds, exact in result.course if exact >= GOAL), None)
        found = "not reached" if reached is None else f"{reached:.0f}"
        figures = [f"{result.seconds:.0f}", f"{result.steps:,}", percent(result.exact)]
        lines.append([result.variant, str(result.seed), found, *figures])
    return as_markdown(lines[0], lines[1:])


def difficulty_table(results: Sequence[Result]) -> str:
    """Return exact match after 1, 2, 4, ... cycles by the test problems' difficulty, a row a variant and count."""
    levels = list(dict.fromkeys(level for result in results for level in result.by_difficulty))
    lines = [["variant", "seeds", "cycles", *(f"difficulty {level}: exact %" for level in levels)]]
    for variant in dict.fromkeys(result.variant for result in results):
        own = [result for result in results if result.variant == variant]
        deepest = len(own[0].exact_by_step)
        for step in sorted({2**power for power in range(deepest.bit_length())} | {deepest}):
            shares = [percent(fmean(row.by_difficulty[level][step - 1] for row in own)) for level in levels]
            lines.append([variant, str(len(own)), str(step), *shares])
    return as_markdown(lines[0], lines[1:])


def _by_task(results: Sequence[Result]) -> Iterator[tuple[str, list[Result]]]:
    for task in dict.fromkeys(result.task for result in results):
        yield task, [result for result in results if result.task == task]
