"""The ladder at small size: it stops at its time, goes on to the same bits, and leaves results."""

import json
import subprocess
import sys
import time

import pytest
from safetensors.torch import load_file

from hybrid.eval import ladder
from hybrid.eval.tasks import TASKS
from hybrid.eval.tasks.sudoku import Sudoku


@pytest.fixture(scope="module")
def puzzles(tmp_path_factory):
    task, rows = TASKS.build(Sudoku.Config(size=9, min_blanks=20, max_blanks=30)), ["question,answer"]
    for split, count in (("train", 14), ("dev", 4), ("test", 6)):
        for problem in task.problems(split, count):
            cells = "".join(problem.prompt[a:b] for a, b in task.layout.spans(problem.prompt)[0])
            rows.append(f"{cells},{''.join(problem.answer)}")
    path = tmp_path_factory.mktemp("rows") / "puzzles.csv"
    path.write_text("\n".join(rows))
    return str(path)


def test_a_ladder_that_is_cut_off_goes_on_to_the_same_bits(puzzles, tmp_path, monkeypatch, capsys):
    def climb(folder, until):
        return ladder.main(["--until", str(until), "--output", str(folder), "--sudoku", puzzles, "--rungs", "sudoku", "--small"])

    whole, _step = tmp_path / "whole", ladder.run
    assert climb(whole, 600) == 0
    from hybrid.train.trainer import Trainer

    one_step = Trainer._one_step

    def cut(self):
        one_step(self)
        if self.step == 6:
            ladder._interrupt(0, None)

    monkeypatch.setattr(Trainer, "_one_step", cut)
    cut_off = tmp_path / "cut"
    assert climb(cut_off, 600) == 3 and "goes on" in capsys.readouterr().out
    monkeypatch.undo()
    assert climb(cut_off, 600) == 0
    heads = [next(folder.glob("*/head.safetensors")) for folder in (whole, cut_off)]
    assert all((a == load_file(heads[1])[name]).all() for name, a in load_file(heads[0]).items())
    result = json.loads((cut_off / "results.json").read_text())[0]
    assert result["n"] == 4 and len(result["exact_by_step"]) == 16


def test_a_ladder_ends_when_its_time_is_over(puzzles, tmp_path):
    # In a process of its own: an interrupt may leave a module half imported, or gradients off.
    argv = ["--until", "0.01", "--output", str(tmp_path), "--sudoku", puzzles, "--rungs", "preset", "--small"]
    done = subprocess.run([sys.executable, "-m", "hybrid.eval.ladder", *argv], capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr


def test_a_ladder_ends_though_its_first_interrupt_is_lost(puzzles, tmp_path, monkeypatch):
    """An exception that rises inside a callback of the garbage collector goes nowhere."""
    interrupt, calls = ladder._interrupt, []

    def lost_once(number, frame):
        calls.append(number)
        if len(calls) > 1:
            interrupt(number, frame)

    monkeypatch.setattr(ladder, "_interrupt", lost_once)
    monkeypatch.setattr(ladder, "_climb", lambda options, rungs: time.sleep(30))
    assert ladder.main(["--until", "0.01", "--output", str(tmp_path)]) == 3
    assert len(calls) == 2
