"""Rows: dataclasses of tensors that share their first dimension, one entry for each problem of a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

R = TypeVar("R", bound="Rows")


class Rows:
    """Mixin for a frozen dataclass; its tensors, and those of tuples and Rows in it, are changed together."""

    def mapped(self: R, change: Callable[[Tensor], Tensor]) -> R:
        """Return the same with `change` applied to every tensor; other fields stay."""
        own: Any = self
        changed: R = replace(own, **{each.name: _mapped(getattr(own, each.name), change) for each in fields(own)})
        return changed

    def to(self: R, device: torch.device | str) -> R:
        """Return the same on `device`."""
        return self.mapped(lambda tensor: tensor.to(device))

    def select(self: R, rows: Tensor) -> R:
        """Keep only some rows (index tensor)."""
        return self.mapped(lambda tensor: tensor[rows])


def _mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Rows):
        return value.mapped(change)
    return tuple(_mapped(each, change) for each in value) if isinstance(value, tuple) else value
