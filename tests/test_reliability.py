"""How far a head's word can be trusted, on heads whose answers are known."""

import json

import pytest

from hybrid.eval.measures.calibration import calibration
from hybrid.eval.reliability import ReliabilityCommand, measure
from hybrid.eval.tasks import TASKS
from hybrid.eval.tasks.sort import Sort


def test_the_calibration_error_is_that_of_its_definition():
    error, bins = calibration([0.9, 0.9, 0.9, 0.9, 1.0, 0.1], [True, True, True, False, True, True])
    assert bins == [(0.1, 1, 0.1, 1.0), (0.9, 5, 0.92, 0.8)]
    assert error == pytest.approx((5 * 0.12 + 0.9) / 6, abs=1e-4)


def test_what_checks_catch_is_counted(new_model, tmp_path, capsys):
    task = TASKS.build(Sort.Config(length=3))
    model = new_model(layout=task.layout, symbols=task.symbols, task={"kind": "sort", "length": 3})
    found = measure(model, task, 40)
    assert found.n == 40 and found.wrong_unnoticed == 0  # Sorting is checked in full: a wrong answer breaks a rule.
    assert found.caught == round(40 * (1 - found.right)) and found.right_after_retries >= 0
    model.save_pretrained(tmp_path / "head")
    ReliabilityCommand(str(tmp_path / "head"), 20, '{"digits": 1}', str(tmp_path / "out.json")).run()
    assert json.loads((tmp_path / "out.json").read_text())["n"] == json.loads(capsys.readouterr().out)["n"] == 20
