"""The program that scores a head on a file of ARC tasks: figures, refusal of trained tasks, and a tiny training."""

import json
import sys

import pytest
import torch

import hybrid
from hybrid.adapters import Structured
from hybrid.backbone import BackboneConfig
from hybrid.cli import main
from hybrid.errors import InputError
from hybrid.eval import arc as program
from hybrid.eval.program import run
from hybrid.eval.tasks import TASKS
from hybrid.eval.tasks.arc import Arc
from hybrid.eval.tasks.arc.grid import COLOURS
from hybrid.eval.tasks.sort import Sort
from hybrid.recursion.grid_block import GridBlock
from hybrid.train import TrainConfig, train
from hybrid.train.dataset import Dataset
from hybrid.train.optimizer import AdamW


@pytest.fixture
def files(arc, tmp_path):
    """Two files without a common task; some tasks of the second have long sides."""
    one, two = arc.recolouring(40, 1, size=6), arc.recolouring(6, 2, size=5) | _named(arc.recolouring(3, 3, size=9), "long")
    return [str(arc.write_kaggle(tmp_path, _named(tasks, name), name)) for name, tasks in (("one", one), ("two", two))]


def _named(tasks, name):
    return {f"{name}{key}": task for key, task in tasks.items()}


def attached(task, width=16, **fields):
    reasoner = hybrid.ReasonerConfig(width=width, num_supervision_steps=2, **fields)
    encoder = Structured.Config((".", *COLOURS), max_positions=5 * task.config.side**2)
    return hybrid.attach(
        None,
        hybrid.HybridConfig(
            task.layout, task.symbols, BackboneConfig("none"), encoder, reasoner, task=TASKS.to_dict(task.config)
        ),
    )


def test_figures_count_each_input_and_those_that_do_not_fit_as_wrong(files, monkeypatch):
    own, other = (Arc(Arc.Config(file=file, size=5, shown=2)) for file in files)
    monkeypatch.setattr(program, "vote", lambda model, asked, *_, **__: [_ballots(number, p) for number, p in enumerate(asked)])
    found = program.measure(None, other, own, votes=3)
    assert (found.inputs, found.fitting, found.dropped, found.votes) == (9, len(other.tests()), 0, 3)
    assert found.fitting > 2 and found.right == (1, 2)
    assert found.of_fitting[1][0] == 2 / found.fitting and found.of_all[0][0] == 1 / 9
    low, high = found.of_all[1][1:]
    assert low < 2 / 9 < high and [each.split()[1:] for each in found.solved] == [["test", "1"]] * 2
    lines = list(found.lines())
    assert lines[0].startswith(f"9 test inputs, {found.fitting} fit the canvas") and "of all: pass@1 11.1% (" in lines[2]


def _ballots(number, problem):
    """Right at the first try, at the second, at the third, and not at all."""
    from hybrid.eval.scoring.voting import Choice

    wrong = [Choice(tuple("." * 36), 1, 0.1)] * 3
    return [*wrong[: number if number < 3 else 3], Choice(problem.answer, 1, 0.1)] if number < 3 else []


def test_a_file_with_a_trained_task_is_refused_by_name_or_its_tasks_dropped(files, arc, tmp_path, monkeypatch):
    own = Arc(Arc.Config(file=files[0], size=6, shown=2))
    tasks = arc.recolouring(5, 9, size=6)
    known = json.loads((tmp_path / "one_challenges.json").read_text())["onetask3"]
    solved = json.loads((tmp_path / "one_solutions.json").read_text())["onetask3"]
    turned = lambda grid: [[10 - c if c else 0 for c in row[::-1]] for row in grid]  # noqa: E731
    tasks["disguised"] = {
        "train": [{side: turned(grid) for side, grid in pair.items()} for pair in known["train"]],
        "test": [{"input": turned(known["test"][0]["input"]), "output": turned(solved[0])}],
    }
    mixed = Arc(Arc.Config(file=str(arc.write_kaggle(tmp_path, tasks, "mixed")), size=6, shown=2))
    with pytest.raises(InputError, match="holds 1 tasks of .*one_challenges.json, which the head was trained on: disguised"):
        program.measure(None, mixed, own)
    with pytest.raises(InputError, match=r"disguised \(there onetask3\); give a file without them, or let .* --overlap drop"):
        mixed.apart(own)
    own.apart(own)
    mixed.apart(Sort(Sort.Config(length=3)))
    monkeypatch.setattr(program, "vote", lambda model, asked, *_, **__: [[] for _ in asked])
    found = program.measure(None, mixed, own, drop=True)
    assert (found.inputs, found.fitting, found.dropped, found.right) == (5, 5, 1, (0, 0))
    with pytest.raises(InputError, match="has no task that the head was not trained on"):
        program.measure(None, own, own, drop=True)


def test_the_program_prints_and_writes_and_score_refuses_too(files, tmp_path, capsys, monkeypatch):
    task = Arc(Arc.Config(file=files[0], size=9, shown=2))
    attached(task).save_pretrained(tmp_path / "head")
    out = tmp_path / "found.json"

    def called(*flags):
        monkeypatch.setattr(sys, "argv", ["arc", "--model", str(tmp_path / "head"), *flags])
        with pytest.raises(SystemExit) as ended:
            run(program.main)
        return ended.value.code, capsys.readouterr()

    code, said = called("--file", files[1], "--votes", "2", "--output", str(out))
    kept = json.loads(out.read_text())
    assert code == 0 and "0 of 9 tasks are left out" in said.out and "of those that fit: pass@1" in said.out
    assert kept["inputs"] == 9 and kept["votes"] == 2 and len(kept["of_all"]) == 2
    code, said = called("--file", files[0])
    assert code == 2 and "holds 40 tasks of" in said.err and len(said.err.splitlines()) == 1
    code, said = called("--file", files[1], "--trained_on", files[1])
    assert code == 2 and "holds 9 tasks of" in said.err
    settings = json.dumps({"file": files[1]})
    assert main(["score", "--model", str(tmp_path / "head"), "--settings", settings, "--num_problems", "1"]) in (0, 2)
    assert "which the head was trained on" not in capsys.readouterr().err


def test_a_head_of_another_task_is_refused():
    class Other:
        config = type("Config", (), {"task": {"kind": "sort", "length": 3}})

    with pytest.raises(InputError, match="the head was trained on the task sort; give one that was trained on arc"):
        program.tasks_of(Other(), "x", None, (None, None))


@pytest.mark.slow
def test_a_tiny_training_is_better_than_step_0_on_tasks_it_has_not_seen(arc, tmp_path):
    """Whatever is not black gets the colour that the demonstrations show: another one in each task, renamed at each turn."""
    file = arc.write_kaggle(tmp_path, arc.recolouring(300, 3))
    task = Arc(Arc.Config(file=str(file), size=3, shown=2))
    problems = task.problems("train"), task.problems("dev")
    torch.manual_seed(0)
    block = GridBlock.Config(4, 4, 4, row_heads=0, column_heads=0, across_heads=2)
    model = attached(task, 32, block=block)

    def loss():
        """Mean cross-entropy of the answers' cells on dev, after the last step."""
        batch = Dataset(model, problems[1]).batch(range(len(problems[1])))
        logits = model.logits([problem.prompt for problem in problems[1]])
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch.targets.answer.flatten()).item()

    before = loss()
    optimizer = AdamW.Config(learning_rate=3e-3, warmup_steps=10, schedule="constant")
    recipe = TrainConfig(num_steps=60, batch_size=16, eval_every_steps=60, symmetries=True, ema_decay=0.0, optimizer=optimizer)
    train(model, *problems, recipe, tmp_path / "run", symmetry=task.symmetry, show=False, resumable=False)
    assert loss() < before / 2
