"""Implicit gradients: one cycle as a map F(state), its fixed point, and the gradient there.

Deep equilibrium models (arXiv 1909.01377): s* = F(s*, x); the gradient of a loss is v (I - J)^-1 dF, with J = dF/ds at
s* and v the loss's gradient; the adjoint g = v + g J is again a fixed point. Phantom gradients (arXiv 2111.05177)
differentiate k damped steps from s* instead. Memory is that of one cycle, or of k, whatever the number of iterations.
Either can hold the Jacobian small, so that the solve stays easy (arXiv 2106.14342).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from hybrid.kinds import require
from hybrid.recursion.block import at_least_float32
from hybrid.recursion.cores import Core
from hybrid.recursion.cycle import State
from hybrid.recursion.gradients import GRADIENTS, Gradient
from hybrid.recursion.workspace import Workspace

Map = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Solution:
    """Fixed points, one a row: their value, the largest relative residual ||F(s) - s|| / ||F(s)||, and iterations taken."""

    value: Tensor
    residual: float
    iterations: int


def _size(tensor: Tensor, mask: Tensor | None) -> Tensor:
    """Return each row's norm (b,), positions outside the mask (b, l) left out."""
    inside = torch.ones_like(tensor[..., :1]) if mask is None else mask[..., None].to(tensor.dtype)
    size_b: Tensor = at_least_float32(tensor * inside).flatten(1).norm(dim=1)
    return size_b


def iterate(function: Map, start: Tensor, *, tolerance: float, max_iterations: int, mask: Tensor | None = None) -> Solution:
    """Look for s = function(s) by plain iteration from `start` (b, l, ...), row by row.

    A row stays as it is once its relative residual is under `tolerance`, so that its answer does not depend on its batch.

    Args:
        function: maps (b, l, ...) to the same shape, each row by itself.
        start: where to begin.
        tolerance: of the relative residual.
        max_iterations: most calls of `function`.
        mask: (b, l) bool, the positions that count; None for all.
    """
    value, count = start, 0
    residual_b = torch.full((len(start),), float("inf"), device=start.device)
    for count in range(1, max_iterations + 1):
        moved = function(value)
        left = residual_b >= tolerance
        apart_b = _size(moved - value, mask) / _size(moved, mask).clamp(min=1e-12)
        residual_b = torch.where(left, apart_b, residual_b)
        value = torch.where(_rows(left, value), moved, value)
        if not bool((residual_b >= tolerance).any()):
            break
    return Solution(value, float(residual_b.max()), count)


def _rows(chosen: Tensor, like: Tensor) -> Tensor:
    """Return a choice of rows (b,) with as many dimensions as `like`."""
    return chosen.view(-1, *[1] * (like.ndim - 1))


GROWTH = 2.0
"""A term of the adjoint series that is larger than this many times the first ends the series: it would not converge."""


def neumann(product: Map, first: Tensor, *, tolerance: float, max_iterations: int, mask: Tensor | None = None) -> Solution:
    """Sum first + product(first) + product(product(first)) + ..., row by row, which solves s = first + product(s).

    The series converges where the map contracts. Elsewhere, as at a point that is none of rest, its terms grow, and a
    row's sum ends before the first that is larger than GROWTH times `first`: at worst it is `first` itself, with which
    the gradient is that of one cycle ("JFB", arXiv 2103.12803).

    Args:
        product: a linear map of (b, l, ...) to the same shape, each row by itself.
        first: v (b, l, ...).
        tolerance: of a row's relative residual.
        max_iterations: most calls of `product`.
        mask: (b, l) bool, the positions that count; None for all.
    """
    total, term, count = first, first, 0
    most_b = GROWTH * _size(first, mask)
    residual_b = torch.full((len(first),), float("inf"), device=first.device)
    left = torch.ones(len(first), dtype=torch.bool, device=first.device)
    for count in range(1, max_iterations + 1):
        term = product(term)
        size_b = _size(term, mask)
        residual_b = torch.where(left, size_b / _size(total + term, mask).clamp(min=1e-12), residual_b)
        left = left & (size_b <= most_b)
        total = torch.where(_rows(left, total), total + term, total)
        left = left & (residual_b >= tolerance)
        if not bool(left.any()):
            break
    return Solution(total, float(residual_b.max()), count)


class FixedPoint(Gradient):
    """What the implicit schemes share: a cycle as a map of one tensor, solved without gradient.

    After each run `residual` holds the largest relative residual and `iterations` the cycles of the forward solve.
    """

    config: Implicit.Config | Phantom.Config
    whole = True
    residual: float = float("nan")
    iterations: int = 0

    def equilibrium(self, core: Core, state: State, workspace: Workspace) -> Tensor:
        """Return the fixed point of the core's cycle from `state`, states side by side (b, l, states * d)."""
        config = self.config
        with torch.no_grad():
            found = iterate(
                as_map(core, workspace),
                torch.cat(state, dim=-1),
                tolerance=config.tolerance,
                max_iterations=config.max_iterations,
                mask=workspace.mask,
            )
        self.residual, self.iterations = found.residual, found.iterations
        weight = config.jacobian_weight
        self.penalty = weight * jacobian_norm(core, found.value, workspace) if weight and torch.is_grad_enabled() else None
        return found.value

    @property
    def twice(self) -> bool:
        """See Gradient.twice: for the penalty of the Jacobian."""
        return self.config.jacobian_weight > 0

    def figures(self) -> dict[str, float]:
        """See Gradient.figures: the relative residual and the iterations of the last forward solve."""
        return {"residual": self.residual, "iterations": float(self.iterations)}


def as_map(core: Core, workspace: Workspace) -> Map:
    """Return one cycle of the core as a map of its states side by side, (b, l, states * d)."""

    def one_cycle(joined: Tensor) -> Tensor:
        state = tuple(joined.chunk(core.num_states, dim=-1))
        for call in core.cycle():
            state = call(state, workspace)
        return torch.cat(state, dim=-1)

    return one_cycle


def jacobian_norm(core: Core, point: Tensor, workspace: Workspace) -> Tensor:
    """Return an estimate of ||J||_F^2 / size, J the Jacobian of one cycle at `point` (b, l, states * d), as a scalar.

    Hutchinson's estimate with one normal vector a call (arXiv 2106.14342, section 4); differentiable.
    """
    leaf = point.detach().requires_grad_()
    with sdpa_kernel(SDPBackend.MATH):  # The fused kernels cannot be differentiated twice.
        image = as_map(core, workspace.mapped(Tensor.detach))(leaf)
        probe = torch.randn_like(image)
        options: dict[str, Any] = {"create_graph": True, "allow_unused": True, "materialize_grads": True}
        (product,) = torch.autograd.grad(image, leaf, probe, **options)
    return product.square().mean()


def _check(config: Implicit.Config | Phantom.Config) -> None:
    if config.solver == "anderson":
        warnings.warn("gradient.solver anderson is no longer there; plain iteration takes its place", stacklevel=4)
    require(config.jacobian_weight >= 0, f"gradient.jacobian_weight is {config.jacobian_weight}; give at least 0")
    require(config.tolerance > 0, f"gradient.tolerance is {config.tolerance}; give a positive number")
    require(config.max_iterations >= 1, f"gradient.max_iterations is {config.max_iterations}; give at least 1")


@GRADIENTS.register("implicit")
class Implicit(FixedPoint):
    """The gradient at the fixed point, by the implicit function theorem; the adjoint by fixed-point iteration."""

    @dataclass(frozen=True)
    class Config:
        """Forward and adjoint solve.

        Args:
            solver: plain; configs that say anderson load, and are solved by plain iteration too.
            tolerance: relative residual at which a solve stops.
            max_iterations: most cycles of the forward solve; takes the place of T.
            max_adjoint_iterations: most vector-Jacobian products of the adjoint solve.
            jacobian_weight: weight of the Jacobian's squared norm in the loss; 0 for none.
        """

        solver: Literal["plain", "anderson"] = "plain"
        tolerance: float = 1e-3
        max_iterations: int = 8
        max_adjoint_iterations: int = 8
        jacobian_weight: float = 0.0

        def __post_init__(self) -> None:
            _check(self)
            most = self.max_adjoint_iterations
            require(most >= 1, f"gradient.max_adjoint_iterations is {most}; give at least 1")

    config: Implicit.Config
    adjoint_residual: float = float("nan")

    def run(self, core: Core, state: State, workspace: Workspace, num_cycles: int) -> State:
        """See Gradient.run; `num_cycles` is not used, the solve ends by tolerance or cap."""
        point = self.equilibrium(core, state, workspace)
        out = as_map(core, workspace)(point)
        if out.requires_grad:
            # A second graph of the same cycle, from a leaf, serves the products g J of the adjoint.
            leaf = point.detach().requires_grad_()
            image = as_map(core, workspace.mapped(Tensor.detach))(leaf)
            out.register_hook(lambda v: self._adjoint(v, image, leaf, workspace.mask))  # type: ignore[no-untyped-call]
        return tuple(out.chunk(core.num_states, dim=-1))

    def figures(self) -> dict[str, float]:
        """See Gradient.figures; also the relative residual of the last adjoint solve."""
        return super().figures() | {"adjoint_residual": self.adjoint_residual}

    def _adjoint(self, v: Tensor, image: Tensor, leaf: Tensor, mask_bl: Tensor | None) -> Tensor:
        config = self.config

        def product(g: Tensor) -> Tensor:
            # A core without recursion never reads its state: J is zero there.
            found: Tensor
            (found,) = torch.autograd.grad(image, leaf, g, retain_graph=True, allow_unused=True, materialize_grads=True)
            return found

        found = neumann(product, v, tolerance=config.tolerance, max_iterations=config.max_adjoint_iterations, mask=mask_bl)
        self.adjoint_residual = found.residual
        return found.value


@GRADIENTS.register("phantom")
class Phantom(FixedPoint):
    """Through k damped cycles s <- (1 - damping) s + damping F(s) from the fixed point."""

    @dataclass(frozen=True)
    class Config:
        """Forward solve and the steps behind it.

        Args:
            k: cycles with gradient.
            damping: how far each of them goes, in (0, 1].
            solver: plain; configs that say anderson load, and are solved by plain iteration too.
            tolerance: relative residual at which the solve stops.
            max_iterations: most cycles of the forward solve; takes the place of T.
            jacobian_weight: weight of the Jacobian's squared norm in the loss; 0 for none.
        """

        k: int = 2
        damping: float = 0.5
        solver: Literal["plain", "anderson"] = "plain"
        tolerance: float = 1e-3
        max_iterations: int = 8
        jacobian_weight: float = 0.0

        def __post_init__(self) -> None:
            _check(self)
            require(self.k >= 1, f"gradient.k is {self.k}; give at least 1")
            require(0 < self.damping <= 1, f"gradient.damping is {self.damping}; give a number in (0, 1]")

    config: Phantom.Config

    def run(self, core: Core, state: State, workspace: Workspace, num_cycles: int) -> State:
        """See Gradient.run; `num_cycles` is not used."""
        joined = self.equilibrium(core, state, workspace)
        one_cycle = as_map(core, workspace)
        for _ in range(self.config.k):
            joined = torch.lerp(joined, one_cycle(joined), self.config.damping)
        return tuple(joined.chunk(core.num_states, dim=-1))
