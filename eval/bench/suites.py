"""The suites that can be asked for by name: which methods run on which tasks, and with which recipe the hybrid trains.

Holds choices only; running is suite.py's. A recipe was chosen on dev splits, never on test.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hybrid.adapters import Tokens
from hybrid.backbone.tuner import Lora
from hybrid.errors import InputError
from hybrid.eval.baselines import METHODS, LatentThoughts, Solver, Trained
from hybrid.eval.bench.controls import CHANGED, DISTURBED, controls, thoughts_controls
from hybrid.eval.bench.suite import Cell, Suite
from hybrid.eval.tasks import TASKS
from hybrid.eval.tasks.arithmetic import Arithmetic
from hybrid.eval.tasks.logic import Logic
from hybrid.eval.tasks.maze import Maze
from hybrid.eval.tasks.reachability import Reachability
from hybrid.eval.tasks.sort import Sort
from hybrid.eval.tasks.state_tracking import StateTracking
from hybrid.eval.tasks.sudoku import Sudoku
from hybrid.eval.tasks.table import Table
from hybrid.eval.tasks.task import Split, Task
from hybrid.recursion.block import AttentionBlock, MLPBlock
from hybrid.recursion.cores import TRM
from hybrid.recursion.halting import Learned
from hybrid.recursion.reasoner import ReasonerConfig
from hybrid.train import TrainConfig
from hybrid.train.recipe import plain_language

TUNED = ("lora_direct", "lora_cot", "pause", "coconut")
"""Methods that train the language model to write text."""

BRIEF = {"chat_template": False, "num_dev": 32, "num_evaluations": 2}
"""Their settings: no chat template, which would be half of what they read, and a choice on dev that takes little time."""

STEPWISE = {"num_dev": 16}
"""Settings of prompted chain of thought, whose prompts take minutes to compare on more dev problems."""

VOTED = STEPWISE | {"samples": 3}
"""Settings of self-consistency, whose cells are the longest: it also answers half as many problems, and one for the seconds."""

RATES = {"lora_cot": {"learning_rates": [3e-3]}}
"""Learning rates other than the methods' own 1e-3, chosen on dev as the hybrid's recipe was.

On dev of sort, in the suite's seconds: lora_direct 81% at 1e-3, 72% at 3e-3, 41% at 3e-4; lora_cot 31% at 3e-3, 3% at 1e-3.
"""

QUICK = ("hybrid", "few shot cot", "lora cot", "solver", "no recursion", "no LLM", "shuffled workspaces")
"""Methods of the suite that takes minutes."""

VOICED = ("hybrid", "latent thoughts", "direct", "few shot cot", "lora direct", "lora cot", "pause", "coconut", "solver")
"""Methods of the suite `thoughts`, beside the controls of latent thoughts."""

REPEATED = ("hybrid + LoRA", "no recursion", "lora direct", "lora cot")
"""Methods that have several seeds where the hybrid has."""

MOST_ROWS = 25_000
"""Training rows of a file of one's own: all, up to so many."""

SIZES = (250, 1000)
"""Training problems of further hybrids, for the curve of accuracy by training set size."""


@dataclass(frozen=True)
class Entry:
    """A task of a suite with the recipe of its hybrid.

    Args:
        task: config of the task.
        hybrid: the hybrid; the controls are made of it.
        num_train: training problems of every method that trains.
        num_text: test problems of methods that write text.
        seeds: of the hybrid and of the methods in REPEATED; all others have the first one.
        thoughts: latent thoughts in the language model's own voice, and their controls; none leaves them out.
    """

    task: Any
    hybrid: Trained.Config
    num_train: int = 4000
    num_text: int = 32
    seeds: Sequence[int] = (0,)
    thoughts: LatentThoughts.Config | None = None


def _recipe(reasoner: ReasonerConfig, *, layers: tuple[int, ...] | None = None, **train: Any) -> Trained.Config:
    schedule = TrainConfig(num_steps=1_000_000, eval_every_steps=100, save_every_seconds=60.0, patience=3, **train)
    return Trained.Config(layers=layers, reasoner=reasoner, train=schedule)


def _grid() -> Trained.Config:
    """One update of the latent state a cycle, with which most is learned in a few minutes, beside early layers.

    On dev, after three minutes on one core, the reading included: from layers 0 and 4, 99% of 6x6 Sudoku and of sort are right;
    from the default 0, 10 and 20, whose reading takes three to five times as long, 94% and 86%.
    """
    return _recipe(ReasonerConfig(num_supervision_steps=4, core=TRM.Config(num_latent_steps=1)), layers=(0, 4))


def _cells(count: int) -> Trained.Config:
    """As a grid, with an MLP over its cells in place of attention.

    On dev, 6x6 Sudoku after two minutes on one core: 97% right, 92% with attention; 5x5 mazes after three: 68% and 49%.
    """
    recipe = replace(_grid(), reasoner=replace(_grid().reasoner, block=MLPBlock.Config(num_positions=count)))
    return replace(recipe, encoder=replace(recipe.encoder, max_positions=max(count, recipe.encoder.max_positions)))


def _story() -> Trained.Config:
    """Heads that look up by content from the start, short stories first, the cheapest cycle, and many small steps.

    On dev, on one core: state tracking of up to 6 swaps all right after 86 s, reachability after 92 s, arithmetic 98% after
    two minutes. With width 128, four steps and batches of 64: 96%, 88% and 63% after two minutes.
    """
    block, halting = AttentionBlock.Config(matched_heads=4), Learned.Config(exploration=0.3)
    core = TRM.Config(num_latent_steps=1)
    reasoner = ReasonerConfig(width=96, num_supervision_steps=3, num_cycles=1, core=core, block=block, halting=halting)
    return _recipe(reasoner, layers=(0, 4), curriculum=True, batch_size=32)


def _usual(task: Task) -> Trained.Config:
    """The default recipe, or where answers have no places that of plain language, with a decoder that suits the task."""
    recipe = _recipe(ReasonerConfig(num_supervision_steps=4))
    if not task.layout.aligned:
        found = plain_language(task.up_to("train", 1000), task.layout.num_answers or 1)
        schedule = replace(
            found.train, num_steps=recipe.train.num_steps, eval_every_steps=100, save_every_seconds=60.0, patience=3
        )
        recipe = replace(recipe, encoder=found.encoder, reasoner=found.reasoner, train=schedule)
    return recipe if task.symbols else replace(recipe, decoder=Tokens.Config(whole=True))


def _thoughts(task: Task | None = None) -> LatentThoughts.Config:
    """The recipe of plain language, in smaller batches, as every step runs the language model."""
    rows = [] if task is None or task.layout.context else task.up_to("train", 1000)
    found = plain_language(rows, 1)
    train = replace(found.train, num_steps=1_000_000, batch_size=8, eval_every_steps=100, save_every_seconds=60.0)
    return LatentThoughts.Config(encoder=found.encoder, reasoner=found.reasoner, train=train)


def thoughts_entries() -> list[Entry]:
    """Return the tasks of the suite `thoughts`: short stories and maps, whose answers the language model writes."""
    story = Entry(StateTracking.Config(objects=5, swaps=3, min_swaps=1), _story(), num_train=8000, num_text=200)
    land = Entry(Reachability.Config(towns=6, roads=7, max_hops=3), _story(), num_train=8000, num_text=200)
    return [replace(entry, thoughts=_thoughts()) for entry in (story, land)]


def quickstart_entries() -> list[Entry]:
    """Return the one task of the suite `quickstart`."""
    return [Entry(Sudoku.Config(size=4, min_blanks=10, max_blanks=11), _grid(), num_train=2000)]


def state_tracking() -> Entry:
    """Five people, up to 6 swaps; with three people the stories are so few that they are learned by heart."""
    return Entry(StateTracking.Config(objects=5, swaps=6, min_swaps=1), _story(), num_train=16000, seeds=(0, 1, 2))


def sudoku() -> Entry:
    """6x6 Sudoku with 8 to 14 blanks."""
    return Entry(Sudoku.Config(size=6, min_blanks=8, max_blanks=14), _cells(36), seeds=(0, 1, 2))


def sort() -> Entry:
    """Twelve digits in order."""
    return Entry(Sort.Config(length=12), _grid())


def standard_entries() -> list[Entry]:
    """Return the tasks of the suite `standard`, which a machine without a GPU does in hours."""
    return [
        state_tracking(),
        sudoku(),
        Entry(Maze.Config(size=5), _cells(25)),
        Entry(Reachability.Config(towns=6, roads=7, max_hops=3), _story(), num_train=8000),
        Entry(Arithmetic.Config(steps=6, min_steps=1, largest=3), _story(), num_train=8000),
        sort(),
        *quickstart_entries(),
    ]


def full_entries() -> list[Entry]:
    """Return the tasks of the suite `full`, which wants a GPU: harder ones, three seeds each."""
    entries = [
        Entry(Sudoku.Config(size=9, min_blanks=40, max_blanks=54), _cells(81), num_train=50000),
        Entry(StateTracking.Config(objects=5, swaps=24, min_swaps=1), _story(), num_train=50000),
        Entry(Reachability.Config(towns=12, roads=16, max_hops=6), _story(), num_train=50000),
        Entry(Logic.Config(), _story(), num_train=16000),
        Entry(Maze.Config(size=12), _cells(144), num_train=50000),
        Entry(Sort.Config(length=24), _grid(), num_train=50000),
        Entry(Arithmetic.Config(steps=16, min_steps=1), _story(), num_train=50000),
    ]
    return [replace(entry, seeds=(0, 1, 2), num_text=200) for entry in entries]


def cells_of(entry: Entry, *, sizes: Sequence[int] = ()) -> list[Cell]:
    """Return the cells of one task: hybrid, text methods, trained or not, solver, hybrid + LoRA, controls; further seeds."""
    task = TASKS.build(entry.task)
    base = Cell(entry.task, entry.hybrid.name, entry.hybrid, num_train=entry.num_train, seed=entry.seeds[0])
    text = replace(base, num_test=entry.num_text, num_latency=4)
    tuned = replace(base, name="hybrid + LoRA", method=replace(entry.hybrid, name="hybrid + LoRA", tuner=Lora.Config()))
    stepwise = {"zero_shot_cot": STEPWISE, "few_shot_cot": STEPWISE, "self_consistency": VOTED}
    tunings = {kind: BRIEF | RATES.get(kind, {}) for kind in TUNED}
    plain: dict[str, dict[str, Any]] = {"direct": {}} | stepwise | tunings
    few: dict[str, dict[str, Any]] = {"self_consistency": {"num_test": max(entry.num_text // 2, 1), "num_latency": 1}}
    written = [
        replace(text, name=kind.replace("_", " "), method=METHODS.from_dict({"kind": kind} | fields), **few.get(kind, {}))
        for kind, fields in plain.items()
    ]
    solver = replace(base, name="solver", method=Solver.Config())
    control = [
        replace(base, name=name, method=config, fitted_as=entry.hybrid.name if name in DISTURBED else None)
        for name, config in controls(entry.hybrid, _positions(task, entry.num_train)).items()
    ]
    voiced = [] if entry.thoughts is None else [replace(text, name=entry.thoughts.name, method=entry.thoughts)]
    voiced += [
        replace(cell, name=name, method=config, fitted_as=cell.name if name in CHANGED else None)
        for cell in voiced
        for name, config in thoughts_controls(cell.method).items()
    ]
    cells = [base, *written, solver, tuned, *control, *voiced]
    repeated = {entry.hybrid.name, *REPEATED}
    further = [replace(cell, seed=seed) for seed in entry.seeds[1:] for cell in cells if cell.name in repeated]
    smaller = [replace(base, num_train=size) for size in sizes if size < entry.num_train]
    return [*cells, *further, *smaller]


def _positions(task: Task, num_train: int) -> int:
    """Return the symbols of the longest answer; all problems are made only where the first ones differ in length."""
    if task.layout.num_answers is not None:
        return task.layout.num_answers
    lengths = {len(problem.answer) for problem in task.problems("train", min(8, num_train))}
    return max(lengths) if len(lengths) == 1 else max(len(problem.answer) for problem in task.problems("train", num_train))


def _entry(task: Any, thoughts: LatentThoughts.Config | None = None) -> Entry:
    count = MOST_ROWS if isinstance(task, Table.Config) else Entry.num_train
    return Entry(task, _usual(TASKS.build(task)), count, Entry.num_text if thoughts is None else 200, thoughts=thoughts)


def suite(name: str, task: Any = None, *, seconds: float | None = None, seeds: Sequence[int] | None = None) -> Suite:
    """Return a suite by its name.

    Args:
        name: one of SUITES, or "task" for all methods on one task.
        task: config of that task, or of one for the suite thoughts; the default recipe trains the hybrid.
        seconds: of training for every cell, in place of the suite's own.
        seeds: of the hybrid and of the methods in REPEATED on every task, in place of the suite's own; others have the first.

    Raises:
        InputError: the name is unknown, the task is missing or too much, or the seeds are none, negative or twice the same.
    """
    own = (
        {}
        if task is None
        else {"thoughts": replace(SUITES["thoughts"], entries=lambda: [_entry(task, _thoughts(TASKS.build(task)))])}
    )
    known = {**SUITES, "task": Plan(lambda: [_entry(task)]), **own}
    if name not in known:
        raise InputError(f'suite "{name}" is unknown; choose one of: {", ".join(known)}')
    if (name == "task" and task is None) or (task is not None and name not in ("task", "thoughts")):
        raise InputError("the suite task needs --task, thoughts may have one; the other suites bring their own")
    if seeds is not None and (not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds)):
        raise InputError(f"seeds is {list(seeds)}; give different whole numbers from 0 on, such as [0, 1, 2]")
    plan = known[name]
    every: list[Cell] = []
    for entry in plan.entries():
        asked = entry if seeds is None else replace(entry, seeds=tuple(seeds))
        every += cells_of(asked, sizes=plan.sizes if len(entry.seeds) > 1 else ())
    if task is not None:
        every = _afforded(every)
    cells = [cell for cell in every if not plan.methods or cell.name in plan.methods]
    return Suite(name, cells, plan.seconds if seconds is None else seconds, plan.notes)


def _afforded(cells: Sequence[Cell]) -> list[Cell]:
    """Return the cells of one task with no more problems than its splits give."""
    first, task = cells[0], TASKS.build(cells[0].task)
    wanted: dict[Split, int] = {"train": first.num_train, "dev": first.num_dev, "test": first.num_test}
    train, dev, test = (len(task.up_to(split, count)) for split, count in wanted.items())
    for split, count in zip(wanted, (train, dev, test), strict=True):
        if not count:
            raise InputError(f"{task.title} has no {split} problems; widen its config, or give more rows")
    return [replace(cell, num_train=train, num_dev=dev, num_test=min(cell.num_test, test)) for cell in cells]


@dataclass(frozen=True)
class Plan:
    """What stands behind a suite's name.

    Args:
        entries: gives its tasks.
        seconds: of training for every method that trains.
        sizes: smaller training sets on which the hybrid is trained too, for tasks with several seeds.
        methods: names of those that run; empty for all.
        notes: sentences for the report.
    """

    entries: Callable[[], Sequence[Entry]]
    seconds: float = 180.0
    sizes: Sequence[int] = ()
    methods: Sequence[str] = ()
    notes: Sequence[str] = ()


SUITES: dict[str, Plan] = {
    "quickstart": Plan(quickstart_entries, 90.0, methods=QUICK),
    "standard": Plan(standard_entries, sizes=SIZES),
    "thoughts": Plan(thoughts_entries, 1200.0, methods=(*VOICED, *thoughts_controls(_thoughts()))),
    "full": Plan(full_entries, 1200.0, (1000, 4000, 16000)),
}
