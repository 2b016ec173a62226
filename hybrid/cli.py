"""The command line: hybrid train | solve | bench | inspect | tasks.

Every config field is a flag, and `--config FILE` takes the same as YAML. A user's mistake is one line on standard
error and exit code 2. Holds no logic of its own beyond reading arguments and printing.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hybrid.adapters import DECODERS, ENCODERS, Aligned, Classes
from hybrid.backbone import BackboneConfig
from hybrid.errors import ConfigError, HybridError, InputError
from hybrid.eval.tasks import TASKS
from hybrid.eval.tasks.task import Wording
from hybrid.flags import parse, read_text
from hybrid.halting import HALTING
from hybrid.kinds import family_field, require
from hybrid.reasoner import ReasonerConfig
from hybrid.train.config import TrainConfig


@dataclass(frozen=True)
class TrainCommand:
    """Attach a reasoner to a language model and train it on a task.

    Args:
        task: what is learned.
        output: folder of the run and of the head; the same command again resumes.
        num_train: training problems.
        num_dev: problems that select the best head.
        overwrite: start anew where the folder holds another run.
        quiet: no progress bar.
        backbone: the language model.
        encoder: encoder adapter.
        reasoner: the recursion.
        decoder: decoder adapter.
        train: length, batch, optimizer, loss.
    """

    output: str
    task: Any = field(metadata={"kinds": TASKS})
    num_train: int = 2000
    num_dev: int = 300
    overwrite: bool = False
    quiet: bool = False
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    encoder: Any = family_field(ENCODERS, Aligned.Config)
    reasoner: ReasonerConfig = field(default_factory=ReasonerConfig)
    decoder: Any = family_field(DECODERS, Classes.Config)
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        require(self.num_train >= 1, f"num_train is {self.num_train}; give at least 1")
        require(self.num_dev >= 1, f"num_dev is {self.num_dev}; give at least 1")

    def run(self) -> None:
        """Train and print the outcome."""
        import torch

        import hybrid
        from hybrid.config import HybridConfig
        from hybrid.train import train

        task = TASKS.build(self.task)
        named = TASKS.to_dict(self.task)
        config = HybridConfig(task.layout, task.symbols, self.backbone, self.encoder, self.reasoner, self.decoder, named)
        problems = task.problems("train", self.num_train), task.problems("dev", self.num_dev)
        torch.manual_seed(self.train.seed)
        model = hybrid.attach(None, config)
        outcome = train(model, *problems, self.train, self.output, overwrite=self.overwrite, show=not self.quiet)
        print(
            f"{self.output}: dev exact match {100 * outcome.best_exact:.1f}% at step {outcome.best_step}, "
            f"{outcome.step} steps in {outcome.seconds:.0f} s of training"
        )


@dataclass(frozen=True)
class Asking:
    """What solve and inspect share: a head, a prompt, and how long to think."""

    prompt: str | None = field(default=None, metadata={"positional": True})
    model: str = "examples/sudoku4"
    file: str | None = None
    num_steps: int | None = None
    halting: Any = field(default=None, metadata={"kinds": HALTING})

    def prompts(self) -> list[str]:
        """Return the prompts: the argument; a file (.jsonl: one `prompt` a line); or standard input."""
        if self.prompt is not None:
            require(self.file is None, "give a prompt or --file, not both")
            found = [self.prompt.replace("\\n", "\n")]
        elif self.file is not None and self.file.endswith(".jsonl"):
            found = _prompts_of_lines(self.file, read_text(self.file))
        else:
            found = [read_text(self.file)]
        if not any(prompt.strip() for prompt in found):
            raise InputError("the prompt is empty; give the text of a problem")
        return found

    def load(self) -> Any:
        """Return the model."""
        from hybrid.model import HybridModel

        return HybridModel.from_pretrained(self.model)


@dataclass(frozen=True)
class SolveCommand(Asking):
    """Answer a prompt with a trained head.

    Args:
        prompt: the problem; \\n stands for a new line. Without it, --file or standard input is read.
        model: folder of a trained head.
        file: text file with one prompt, or .jsonl with a `prompt` in each line.
        num_steps: most supervision steps.
        halting: halting rule for this call.
        batch_size: prompts thought about together.
        json: print one JSON object a prompt.
    """

    batch_size: int = 32
    json: bool = False

    def run(self) -> None:
        """Print the answers."""
        model, prompts = self.load(), self.prompts()
        for solution in model.solve(prompts, halting=self.halting, num_steps=self.num_steps, batch_size=self.batch_size):
            print(json.dumps(vars(solution), ensure_ascii=False) if self.json else solution.text)


@dataclass(frozen=True)
class InspectCommand(Asking):
    """Show the answer to a prompt forming step by step.

    Args:
        prompt: the problem; \\n stands for a new line. Without it, --file or standard input is read.
        model: folder of a trained head.
        file: text file with one prompt, or .jsonl with a `prompt` in each line.
        num_steps: most supervision steps.
        halting: halting rule for this call.
    """

    def run(self) -> None:
        """Draw every step in the terminal."""
        from rich.columns import Columns
        from rich.console import Console
        from rich.panel import Panel

        model = self.load()
        task = _task_of(model)
        console = Console()
        for prompt in self.prompts():
            solution = model.solve([prompt], halting=self.halting, num_steps=self.num_steps)[0]
            before: Sequence[tuple[str, ...] | None] = (None, *solution.trajectory)
            panels = [
                Panel(task.show(prompt, symbols, last), title=f"step {number}", subtitle=f"moved {moved:.2f}", expand=False)
                for number, (symbols, last, moved) in enumerate(
                    zip(solution.trajectory, before, solution.motion, strict=False), 1
                )
            ]
            console.print(prompt.strip(), highlight=False, markup=False)
            console.print(Columns(panels))
            stop = "halted by itself" if solution.halted else "took every step allowed"
            console.print(
                f"{solution.steps} steps, {stop}; probability of being right {solution.confidence:.3f}", highlight=False
            )


@dataclass(frozen=True)
class BenchCommand:
    """Compare a trained head with the language model's own answers on unseen problems.

    Args:
        model: folder of a trained head.
        output: folder for results.json, attempts.jsonl and report.html.
        task: task to test on; without it, the one that the head was trained on.
        methods: what is compared: hybrid and names of prompting methods.
        num_problems: test problems for the head.
        num_text_problems: the first of them, for methods that write text.
        num_latency: the first of them, one by one, for seconds.
        seed: of the problems.
        held_out_wording: put the problems in wordings that no training prompt has.
        num_steps: most supervision steps of the head.
        halting: halting rule of the head.
    """

    model: str
    output: str = "runs/bench"
    task: Any = field(default=None, metadata={"kinds": TASKS})
    methods: tuple[str, ...] = ("hybrid", "direct", "zero_shot_cot", "few_shot_cot")
    num_problems: int = 500
    num_text_problems: int = 48
    num_latency: int = 10
    seed: int = 0
    held_out_wording: bool = False
    num_steps: int | None = None
    halting: Any = field(default=None, metadata={"kinds": HALTING})

    def __post_init__(self) -> None:
        for name in ("num_problems", "num_text_problems", "num_latency"):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}; give at least 1")

    def run(self) -> None:
        """Measure, print the table, write the files."""
        from rich.console import Console

        from hybrid.eval.baselines import METHODS, HeadMethod, Method
        from hybrid.eval.comparison import Plan, compare
        from hybrid.eval.results import results_table
        from hybrid.model import HybridModel

        for name in self.methods:
            METHODS[name]  # Raises for an unknown name before anything is loaded.
        model = HybridModel.from_pretrained(self.model)
        task = _task_of(model) if self.task is None else TASKS.build(self.task)
        seconds = _training_seconds(self.model)
        methods: list[Method] = [
            HeadMethod(HeadMethod.Config(num_steps=self.num_steps), model, task, self.halting, seconds)
            if METHODS[name] is HeadMethod
            else METHODS[name](METHODS[name].Config(), model.backbone, task)  # type: ignore[attr-defined, call-arg]
            for name in self.methods
        ]
        wording: Wording = "held_out" if self.held_out_wording else "train"
        plan = Plan(self.num_problems, self.num_text_problems, self.num_latency, seed=self.seed, wording=wording)
        command = shlex.join(["hybrid", *sys.argv[1:]])
        console = Console(stderr=True)
        records = compare(model, task, methods, Path(self.output), plan, command=command, say=console.print)
        Console().print(results_table(records))
        print(f"wrote {self.output}/results.json and {self.output}/report.html")


@dataclass(frozen=True)
class TasksCommand:
    """List the tasks, or show problems of one.

    Args:
        name: a task; without it, all are listed.
        task: the same with settings, as --task NAME --task.FIELD VALUE.
        num_problems: problems to show.
        split: train, dev or test.
        json: print one JSON object a problem.
    """

    name: str | None = field(default=None, metadata={"positional": True})
    task: Any = field(default=None, metadata={"kinds": TASKS})
    num_problems: int = 1
    split: str = "train"
    json: bool = False

    def run(self) -> None:
        """Print the list, or the problems."""
        chosen = self.task if self.task is not None else (TASKS.from_dict(self.name) if self.name else None)
        if chosen is None:
            for name in TASKS:
                print(f"{name:<16}{(TASKS[name].__doc__ or '').strip().splitlines()[0]}")
            return
        for problem in TASKS.build(chosen).problems(self.split, self.num_problems):  # type: ignore[arg-type]
            if self.json:
                print(json.dumps({name: getattr(problem, name) for name in problem.__slots__}, ensure_ascii=False))
            else:
                print(f"{problem.prompt.rstrip()}\n\n{problem.trace}\n")


COMMANDS: dict[str, Any] = {
    "train": TrainCommand,
    "solve": SolveCommand,
    "bench": BenchCommand,
    "inspect": InspectCommand,
    "tasks": TasksCommand,
}


def _task_of(model: Any) -> Any:
    if model.config.task is None:
        raise InputError("this head does not name its task; give --task")
    return TASKS.build(TASKS.from_dict(model.config.task))


def _training_seconds(folder: str) -> float:
    from hybrid.train.run_folder import RunFolder

    finished = (RunFolder(folder).read_record() or {}).get("finished") or {}
    return float(finished.get("seconds", 0.0))


def _prompts_of_lines(name: str, text: str) -> list[str]:
    prompts = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            prompt = json.loads(line)["prompt"] if line.strip() else None
        except (ValueError, KeyError, TypeError):
            raise InputError(f'line {number} of {name} is no JSON object with a "prompt"; mend the line') from None
        if prompt is not None:
            if not isinstance(prompt, str):
                raise InputError(f'"prompt" in line {number} of {name} is {prompt!r}; it must be text')
            prompts.append(prompt)
    return prompts


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return 0, or 2 after one line on standard error for a user's mistake."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        if not words or words[0] in ("-h", "--help"):
            print(f"usage: hybrid {{{','.join(COMMANDS)}}} ...\n")
            for name, command in COMMANDS.items():
                print(f"  {name:<10}{command.__doc__.splitlines()[0]}")
            print("\n`hybrid COMMAND --help` lists the flags of a command.")
            return 0 if words else 2
        if words[0] not in COMMANDS:
            raise ConfigError(f'command "{words[0]}" is unknown; choose one of: {", ".join(COMMANDS)}')
        parse(COMMANDS[words[0]], words[1:], f"hybrid {words[0]}").run()
    except HybridError as error:
        print(f"hybrid: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        print("hybrid: interrupted; the same command resumes", file=sys.stderr)
        return 130
    return 0


def entry() -> None:
    """Run the console command and exit with its code."""
    sys.exit(main())
