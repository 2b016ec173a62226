"""Trained heads of a suite in other words."""

import pytest

from hybrid.eval import wordings
from hybrid.eval.baselines import Trained
from hybrid.eval.bench.suite import Cell, Suite, run_suite
from hybrid.eval.results import read_results
from hybrid.eval.tasks.sort import Sort
from hybrid.recursion.reasoner import ReasonerConfig
from hybrid.train import TrainConfig

HEAD = Trained.Config(
    reasoner=ReasonerConfig(width=16, num_cycles=1, num_supervision_steps=2),
    train=TrainConfig(num_steps=2, eval_every_steps=2, batch_size=4),
)
CELLS = [
    Cell(Sort.Config(length=4), name, HEAD, num_train=count, num_dev=4, num_test=6, num_latency=1)
    for name, count in (("hybrid", 12), ("hybrid", 8), ("no LLM", 12), ("1 step", 12))
]


@pytest.fixture
def ran(backbone, tmp_path):
    suite = Suite("mine", [CELLS[0], CELLS[1], CELLS[3]], 30.0)
    run_suite(suite, backbone, tmp_path / "out", command="x", say=lambda text: None)
    return tmp_path / "out"


def test_heads_that_are_there_answer_the_same_problems_in_both_words(ran, backbone, monkeypatch, capsys, tmp_path):
    assert wordings.trained(CELLS, ran) == [CELLS[0]]
    monkeypatch.setattr(wordings, "suite", lambda name, **asked: Suite(name, CELLS, 30.0))
    monkeypatch.setattr(wordings.Backbone, "load", classmethod(lambda cls, config: backbone))
    before = (ran / "cells" / CELLS[0].slug / "record.json").read_bytes()
    wordings.main([str(ran)])
    found = read_results(ran / "wordings.json")
    assert [(r.method, r.split, r.n) for r in found] == [("hybrid", split, 6) for split in wordings.SPLITS.values()]
    assert (ran / "cells" / CELLS[0].slug / "record.json").read_bytes() == before
    printed = capsys.readouterr().out
    wordings.main([str(ran / "wordings.json")])
    assert capsys.readouterr().out == printed and len(printed.splitlines()) == 3
    with pytest.raises(SystemExit):
        wordings.main([str(tmp_path / "none")])
    assert "holds no trained heads of the suite" in capsys.readouterr().err


def test_seeds_and_seconds_are_those_of_the_folder(ran, backbone, monkeypatch):
    asked = []
    monkeypatch.setattr(wordings, "suite", lambda name, **given: asked.append(given) or Suite(name, CELLS, 30.0))
    monkeypatch.setattr(wordings.Backbone, "load", classmethod(lambda cls, config: backbone))
    wordings.main([str(ran)])
    assert asked == [{"seconds": 30.0, "seeds": [0]}]
