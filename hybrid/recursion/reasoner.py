"""The reasoner: a core with its initial states, its halt head, and one supervision step.

Holds no LLM, no adapter and no loop over supervision steps (model.py answers with it, train/step.py trains it).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from hybrid.kinds import family_field, require
from hybrid.recursion import equilibrium as _equilibrium  # noqa: F401 - files the implicit gradients
from hybrid.recursion import grid_block as _grid_block  # noqa: F401 - files the block of grids
from hybrid.recursion.block import BLOCKS, AttentionBlock, Block, at_least_float32
from hybrid.recursion.cores import CORES, TRM
from hybrid.recursion.cycle import State
from hybrid.recursion.gradients import GRADIENTS, LastCycle
from hybrid.recursion.halting import HALTING, Learned
from hybrid.recursion.workspace import Workspace


@dataclass(frozen=True)
class ReasonerConfig:
    """Sizes and choices of the recursion.

    Args:
        width: D, channels of workspace and states.
        num_cycles: T, cycles in a supervision step.
        num_supervision_steps: N, the most supervision steps a problem takes.
        core: what is updated from what.
        block: what the network is made of.
        gradient: how much of a supervision step is differentiated.
        halting: when a problem stops.
    """

    width: int = 128
    num_cycles: int = 2
    num_supervision_steps: int = 8
    core: Any = family_field(CORES, TRM.Config)
    block: Any = family_field(BLOCKS, AttentionBlock.Config)
    gradient: Any = family_field(GRADIENTS, LastCycle.Config)
    halting: Any = family_field(HALTING, Learned.Config)

    def __post_init__(self) -> None:
        for name in ("width", "num_cycles", "num_supervision_steps"):
            require(getattr(self, name) >= 1, f"reasoner.{name} is {getattr(self, name)}; give at least 1")


class Reasoner(nn.Module):
    """A recursion over workspaces (b, l, width)."""

    initial: Tensor

    def __init__(self, config: ReasonerConfig) -> None:
        super().__init__()
        self.config, self.extra_cycles = config, 0
        self.core = CORES.build(config.core, config.block, config.width)
        self.gradient = GRADIENTS.build(config.gradient)
        self.halting = HALTING.build(config.halting)
        self.register_buffer("initial", nn.init.trunc_normal_(torch.empty(self.core.num_states, config.width), a=-2, b=2))
        # Zero weights and a low bias: nothing halts before the head has learned what being right looks like.
        self.halt = nn.Linear(config.width, self.halting.num_logits)
        nn.init.zeros_(self.halt.weight)
        nn.init.constant_(self.halt.bias, -5.0)

    def start(self, x_bld: Tensor) -> State:
        """Return the initial states for a workspace (b, l, d)."""
        return tuple(row.to(x_bld.dtype).expand_as(x_bld) for row in self.initial)

    def fit(self, state: State, x_bld: Tensor) -> State:
        """Return the states for a workspace that has become longer or shorter; what is added or cut off is padding."""
        length = x_bld.shape[1]
        if state[0].shape[1] == length:
            return state
        fresh = self.start(x_bld.detach())
        return tuple(
            torch.cat([part[:, :length], new[:, part.shape[1] :]], dim=1) for part, new in zip(state, fresh, strict=True)
        )

    def step(self, state: State, workspace: Workspace, *, disturb: Callable[[State], State] | None = None) -> State:
        """Run one supervision step on the workspace; `disturb` changes the states before each cycle, or solve.

        It has T + `extra_cycles` cycles; training may draw these anew for each step (train.cycle_spread).
        Under autocast, workspace and states are cast to its dtype, as in the paper's code.
        """
        state = tuple(map(_in_autocast, state))
        block = next(module for module in self.core.modules() if isinstance(module, Block))  # All are of one config.
        seen = block.seen(workspace.links, workspace.mask, *workspace.x.shape[:2])
        workspace = replace(workspace, x=_in_autocast(workspace.x), links=seen)
        if disturb is None or self.gradient.whole:
            state = state if disturb is None else disturb(state)
            return self.gradient.run(self.core, state, workspace, self.config.num_cycles + self.extra_cycles)
        for _ in range(self.config.num_cycles + self.extra_cycles):
            state = self.gradient.run(self.core, disturb(state), workspace, 1)
        return state

    def halt_logits(self, read_bd: Tensor) -> Tensor:
        """Return halt logits (b, num_logits), in at least float32, from one vector a row (b, d) of the answer state."""
        logits: Tensor = self.halt(read_bd)
        return at_least_float32(logits)


def _in_autocast(x: Tensor) -> Tensor:
    kind = x.device.type
    return x.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else x
