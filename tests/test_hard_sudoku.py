"""A Sudoku head on a file of hard puzzles: whose puzzles are asked, and what is written down."""

import csv
import json

import pytest

from hybrid.errors import InputError
from hybrid.eval import hard_sudoku
from hybrid.eval.tasks import TASKS
from hybrid.eval.tasks.sudoku import Sudoku


def cells(task, problem):
    return "".join(problem.prompt[start:end] for start, end in task.layout.spans(problem.prompt)[0])


def written(path, guesses="{}"):
    task = TASKS.build(Sudoku.Config(size=4))
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["source", "question", "answer", "rating"])
        for number, problem in enumerate([*task.problems("train", 30), *task.problems("test", 20)]):
            puzzle = cells(task, problem).replace("0", ".")
            rows.writerow(["ab"[number % 2], puzzle, "".join(problem.answer), guesses.format(number % 5)])
    return str(path)


def test_puzzles_of_the_test_split_are_told_apart_by_source_and_guesses(tmp_path):
    file = written(tmp_path / "hard.csv")
    task = TASKS.build(Sudoku.Config(size=4, file=file))
    groups = hard_sudoku.read_groups(task, file, "source", "rating", 100)
    assert list(groups) == ["a", "b"]
    asked = {cells(task, problem).replace("0", "."): (source, problem) for source, own in groups.items() for problem in own}
    tests = {cells(task, problem).replace("0", ".") for problem in task.up_to("test", 100)}
    assert set(asked) == tests and len(tests) == 20
    with open(file, newline="") as lines:
        rows = {row["question"]: row for row in csv.DictReader(lines)}
    for puzzle, (source, problem) in asked.items():
        assert source == rows[puzzle]["source"]
        assert problem.difficulty == {"0": 0, "1": 1, "2": 2, "3": 2, "4": 4}[rows[puzzle]["rating"]]
    fewer = hard_sudoku.read_groups(task, file, "source", "rating", 1)
    assert {source: own[:1] for source, own in groups.items()} == fewer
    with pytest.raises(InputError, match="rating is '1.5'; give a whole number of guesses"):
        hard_sudoku.read_groups(task, written(tmp_path / "odd.csv", "1.5"), "source", "rating", 1)


def test_figures_and_curves_are_written_for_each_source(new_model, tmp_path, capsys):
    file = written(tmp_path / "hard.csv")
    task = TASKS.build(Sudoku.Config(size=4, file=file))
    model = new_model(layout=task.layout, symbols=task.symbols, task=TASKS.to_dict(task.config))
    model.save_pretrained(tmp_path / "head")
    out = tmp_path / "out.json"
    flags = ["--num_steps", "3", "--searched", "2", "--trajectories", "2", "--output", str(out)]
    hard_sudoku.main(["--model", str(tmp_path / "head"), "--file", file, *flags])
    found = json.loads(out.read_text())["groups"]
    assert list(found) == ["a", "b"] and all(len(shares) == 3 for shares in found["a"]["by_step"].values())
    assert sum(found["a"]["counts"].values()) == found["a"]["n"] and found["a"]["search"]["n"] == 2
    assert len(found["a"]["search"]["exact_by_step"]) == 1 + 2 * len(hard_sudoku.NOISES)
    assert "guess" in (tmp_path / "out_a.svg").read_text() and "noise 0.3, 2 puzzles" in capsys.readouterr().out
    with pytest.raises(InputError, match="out.json is what is read"):
        hard_sudoku.main(["--model", str(tmp_path / "head"), "--file", str(out), "--output", str(out)])
