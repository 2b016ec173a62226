"""Rows: tensors of a dataclass change together."""

from dataclasses import dataclass

import torch

from hybrid.recursion.rows import Rows


@dataclass(frozen=True)
class Inner(Rows):
    part: torch.Tensor


@dataclass(frozen=True)
class Outer(Rows):
    states: tuple
    inner: Inner
    missing: torch.Tensor | None
    count: int


def test_every_tensor_is_cut_and_what_is_none_stays():
    whole = Outer((torch.arange(4), torch.arange(4) * 10), Inner(torch.arange(4) * 100), None, 7)
    kept = whole.select(torch.tensor([3, 1]))
    assert [part.tolist() for part in kept.states] == [[3, 1], [30, 10]] and kept.inner.part.tolist() == [300, 100]
    assert kept.missing is None and kept.count == 7
    assert kept.to("meta").inner.part.device.type == kept.to("meta").states[1].device.type == "meta"
