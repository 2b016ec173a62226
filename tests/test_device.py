"""Where a model runs by itself, and how exactly numbers add up there."""

import torch

from hybrid.device import usual_device, widest


def test_the_accelerator_is_taken_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("mps"))
    assert usual_device() == torch.device("mps")
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    assert usual_device() == torch.device("cpu")


def test_only_the_gpus_of_apple_add_up_in_single_precision():
    assert [widest(torch.device(kind)) for kind in ("cpu", "cuda", "mps")] == [torch.float64, torch.float64, torch.float32]
