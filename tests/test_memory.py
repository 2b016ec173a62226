"""Peak memory by the number of cycles: cells in processes of their own, and a picture of them."""

import pytest

from hybrid.eval import memory
from hybrid.eval.memory import SCHEMES, gradient, main, measure
from hybrid.recursion.gradients import GRADIENTS


@pytest.mark.parametrize("kind", SCHEMES)
def test_every_scheme_is_measured_and_an_equilibrium_takes_as_many_iterations(kind):
    config = gradient(kind, 12)
    assert GRADIENTS.to_dict(config)["kind"] == kind
    assert getattr(config, "max_iterations", 12) == 12 and getattr(config, "tolerance", 1e-30) == 1e-30


def test_every_known_scheme_is_in_the_table():
    assert set(SCHEMES) == set(GRADIENTS)


@pytest.mark.slow
def test_full_back_propagation_grows_with_the_cycles_and_the_last_cycle_does_not():
    found = measure(["last_cycle", "full"], [3, 12], batch=16, width=64)
    short, long = found["last_cycle"]
    assert long < 1.1 * short
    short, long = found["full"]
    assert long > 2.5 * short


def test_the_table_is_printed_and_the_picture_drawn(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(memory, "measure", lambda kinds, cycles, batch, width: {kind: [10**6, 2 * 10**6] for kind in kinds})
    main(["--cycles", "3", "12", "--schemes", "full", "--plot", str(tmp_path / "memory.svg")])
    assert "+100.0%" in capsys.readouterr().out
    drawn = (tmp_path / "memory.svg").read_text()
    assert drawn.startswith("<svg") and "full" in drawn


def test_joint_training_is_a_table_of_its_own(monkeypatch, capsys):
    monkeypatch.setattr(memory, "alone", lambda work, cells: [10**6 * count for (count,) in cells])
    main(["--joint", "2", "8"])
    printed = capsys.readouterr().out
    assert "N = 8" in printed and "2.0" in printed and "8.0" in printed
