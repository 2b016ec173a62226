"""Gradient schemes: how much of a supervision step is differentiated.

The truncated schemes run the same calls and return the same state; only what autograd remembers differs. The implicit
ones (equilibrium.py) look for the fixed point of a cycle instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from hybrid.kinds import Kinds, require
from hybrid.recursion.cores import Core
from hybrid.recursion.cycle import State, in_slices, recur
from hybrid.recursion.workspace import Workspace


class Gradient:
    """Base of the family: run one supervision step of `num_cycles` cycles and keep the graph that the scheme asks for.

    After a run `penalty` is what the scheme adds to the loss, a scalar with gradient, or None.
    """

    penalty: Tensor | None = None
    whole: bool = False
    """Whether a run is one solve, which cannot be cut into cycles."""

    def __init__(self, config: Any) -> None:
        self.config = config

    @property
    def twice(self) -> bool:
        """Whether the networks are differentiated twice, which a compiled one cannot be."""
        return False

    def figures(self) -> dict[str, float]:
        """Return what the scheme tells about its last run, for the metrics."""
        return {}

    def run(self, core: Core, state: State, workspace: Workspace, num_cycles: int) -> State:
        """Return the state after the step; gradient flows to the core and to the workspace."""
        calls = core.calls(num_cycles)
        last = self.num_calls(core, len(calls))
        return in_slices(lambda *rows: recur(calls, *rows, num_gradient_calls=last), state, workspace)

    def num_calls(self, core: Core, total: int) -> int:
        """Return how many calls at the end of the step carry gradient."""
        raise NotImplementedError


GRADIENTS: Kinds[Gradient] = Kinds("gradient")


@GRADIENTS.register("last_cycle")
class LastCycle(Gradient):
    """Through all calls of the last cycle: TRM's choice."""

    @dataclass(frozen=True)
    class Config:
        """No fields."""

    def num_calls(self, core: Core, total: int) -> int:
        """See Gradient.num_calls."""
        return len(core.cycle())


@GRADIENTS.register("one_step")
class OneStep(Gradient):
    """Through the last call of each state only: HRM's choice (arXiv 2506.21734, section 2)."""

    @dataclass(frozen=True)
    class Config:
        """No fields."""

    def num_calls(self, core: Core, total: int) -> int:
        """See Gradient.num_calls."""
        return core.num_states


@GRADIENTS.register("last_k")
class LastK(Gradient):
    """Through the last k calls: truncated back-propagation through time."""

    @dataclass(frozen=True)
    class Config:
        """Args: k: calls of a network, counted from the end of the supervision step."""

        k: int = 1

        def __post_init__(self) -> None:
            require(self.k >= 1, f"gradient.k is {self.k}; give at least 1")

    config: LastK.Config

    def num_calls(self, core: Core, total: int) -> int:
        """See Gradient.num_calls."""
        return min(self.config.k, total)


@GRADIENTS.register("full")
class Full(Gradient):
    """Through all T cycles of the supervision step: back-propagation through time."""

    @dataclass(frozen=True)
    class Config:
        """No fields."""

    def num_calls(self, core: Core, total: int) -> int:
        """See Gradient.num_calls."""
        return total
