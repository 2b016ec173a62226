"""Our tasks for lm-evaluation-harness: the same problems, prompts and scorers, as a YAML file that lm-eval reads.

    python -m hybrid.eval.harness_tasks --task sudoku --task.size 4 --output runs/lm_eval
    lm_eval --model hf --model_args pretrained=MODEL --tasks hybrid_sudoku --include_path runs/lm_eval

Holds the command that writes the file and the functions that it names; the model `hybrid` is harness.py's. The file
holds the task's settings, not its problems: they are made again, the same ones, where it is read.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from hybrid import checkpoint
from hybrid.console import ending
from hybrid.errors import InputError
from hybrid.eval.tasks import TASKS, Task, Wording
from hybrid.flags.parser import parse
from hybrid.kinds import A_PATH, require
from hybrid.problem import Problem

OURS = "hybrid"
"""The field of a document that holds our own problem and its task."""
Style = Literal["direct", "cot", "bare"]


@dataclass(frozen=True)
class TaskFileCommand:
    """Write one of our tasks as a YAML file for lm-evaluation-harness.

    Args:
        task: the task with its settings; without it, the one that `model` was trained on.
        model: folder of a trained head.
        output: folder for NAME.yaml, for lm-eval's --include_path.
        name: the task's name in lm-eval; none takes hybrid_KIND.
        num_problems: test problems; none takes 500.
        num_shots_from: training problems from which lm-eval draws examples for --num_fewshot.
        seed: of the problems, as in `hybrid bench`.
        held_out_wording: put the problems in wordings that no training prompt has.
        style: what is asked of a language model: the answer alone (direct), reasoning that ends with "Answer:" (cot), or
            nothing beside the prompt (bare). A head reads the bare prompt in any case.
        max_new_tokens: most tokens that a language model may write; none takes the longest answer's characters and 16 for
            direct and bare, 512 for cot.
    """

    task: Any = field(default=None, metadata={"kinds": TASKS})
    model: str | None = field(default=None, metadata=A_PATH)
    output: str = field(default="runs/lm_eval", metadata=A_PATH)
    name: str | None = None
    num_problems: int | None = None
    num_shots_from: int = 100
    seed: int = 0
    held_out_wording: bool = False
    style: Style = "direct"
    max_new_tokens: int | None = None

    def __post_init__(self) -> None:
        require((self.task is None) != (self.model is None), "give either --task or --model, whose task is taken")
        for name in ("num_problems", "num_shots_from", "max_new_tokens"):
            count = getattr(self, name)
            require(count is None or count >= 1, f"{name} is {count}; give at least 1")

    def run(self) -> None:
        """Write the file and say how to use it."""
        path = self.write()
        print(f"wrote {path}; run: python -m hybrid.eval.harness --model MODEL --tasks {path}")

    def write(self) -> Path:
        """Write the file and return where it is."""
        import yaml

        settings = _task_of(str(self.model)) if self.task is None else TASKS.to_dict(self.task)
        name = self.name or f"hybrid_{settings['kind']}"
        problems = {
            "task": settings,
            "num_problems": self.num_problems,
            "num_shots_from": self.num_shots_from,
            "seed": self.seed,
            "wording": "held_out" if self.held_out_wording else "train",
            "style": self.style,
        }
        test = documents({OURS: problems})["test"]
        longest = 512 if self.style == "cot" else max(len(doc["target"]) for doc in test) + 16
        plain = {
            "task": name,
            "dataset_kwargs": {"settings": {OURS: problems}},
            "test_split": "test",
            "training_split": "train",
            "fewshot_split": "train",
            "output_type": "generate_until",
            "target_delimiter": "\n",
            "generation_kwargs": {
                "until": [] if self.style == "cot" else ["\n\n"],
                "do_sample": False,
                "max_gen_toks": self.max_new_tokens or longest,
            },
            "metric_list": [{"metric": "exact", "aggregation": "mean", "higher_is_better": True}],
            "metadata": {"version": 1.0},
        }
        ours = {
            "custom_dataset": documents,
            "doc_to_text": question,
            "doc_to_target": target,
            "process_results": score,
        }
        # Named in full: run as a program, this module's own name is __main__.
        lines = [f"{key}: !function hybrid.eval.harness_tasks.{function.__name__}" for key, function in ours.items()]
        text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True) + "\n".join(lines) + "\n"
        path = Path(self.output) / f"{name}.yaml"
        checkpoint.write_text(path, text)
        return path


def _task_of(folder: str) -> dict[str, Any]:
    named = checkpoint.load(folder).config.get("task")
    if named is None:
        raise InputError("this head does not name its task; give --task")
    return dict(named)


@lru_cache(maxsize=8)
def _built(settings: str) -> Task:
    return TASKS.build(TASKS.from_dict(json.loads(settings)))


def documents(settings: Mapping[str, Any], **metadata: Any) -> dict[str, Any]:
    """Return a task's problems as data sets of lm-eval's documents, by split; lm-eval calls it with what the file holds.

    Args:
        settings: the file's own settings, under the name `hybrid`.
        metadata: what lm-eval adds (the model's arguments); not looked at.
    """
    from datasets import Dataset

    own = settings[OURS]
    named = json.dumps(own["task"], sort_keys=True)
    task = _built(named)
    wording: Wording = own["wording"]
    training = task.problems("train", own["num_shots_from"], seed=1)
    test = task.problems("test", own["num_problems"], seed=own["seed"], wording=wording)
    parts = {"train": training, "test": test}
    return {
        split: Dataset.from_list([_document(task, problem, named, own["style"]) for problem in part])
        for split, part in parts.items()
    }


def _document(task: Task, problem: Problem, named: str, style: Style) -> dict[str, Any]:
    asked = problem.prompt if style == "bare" else f"{problem.prompt.rstrip()}\n{task.instructions(style)}"
    reply = task.worked(problem) if style == "cot" else task.write(problem)
    # As JSON: a data set's columns would give empty lists and mixed ones types of their own.
    return {"question": asked, "target": reply, OURS: {"task": named, "problem": json.dumps(asdict(problem))}}


def question(doc: Mapping[str, Any]) -> str:
    """Return what a language model is asked."""
    return str(doc["question"])


def target(doc: Mapping[str, Any]) -> str:
    """Return what a worked example answers."""
    return str(doc["target"])


def score(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Return whether the task's own scorer takes what the model wrote, as 1 or 0."""
    problem = problem_of(doc)
    assert problem is not None
    return {"exact": float(_built(doc[OURS]["task"]).score(results[0], problem))}


def problem_of(doc: Any) -> Problem | None:
    """Return the problem in a document of ours; None for a document of another's."""
    if not isinstance(doc, Mapping) or OURS not in doc:
        return None
    fields = json.loads(doc[OURS]["problem"])
    plain: dict[str, Any] = {name: _frozen(value) for name, value in fields.items()}
    return Problem(**plain)


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def main() -> int:
    """Run the command; return 0, or 2 after one line on standard error for a user's mistake."""
    return ending(lambda: parse(TaskFileCommand, sys.argv[1:], "hybrid.eval.harness_tasks").run())


if __name__ == "__main__":
    sys.exit(main())
