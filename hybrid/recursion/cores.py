"""Cores: what is updated from what. A core owns its networks and lists the calls of one cycle; it never loops itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from torch import nn

from hybrid.kinds import Kinds, require
from hybrid.recursion.block import Network
from hybrid.recursion.cycle import Call, State
from hybrid.recursion.workspace import Workspace


class Core(nn.Module):
    """Base of the family.

    `num_states` is the number of tensors in its state, `num_latent_steps` n of a recursion; `cycle()` the calls of one cycle.
    """

    num_states: ClassVar[int] = 2
    num_latent_steps: int = 0

    def cycle(self) -> Sequence[Call]:
        """Return the calls of one cycle."""
        raise NotImplementedError

    def calls(self, num_cycles: int) -> Sequence[Call]:
        """Return the calls of one supervision step of `num_cycles` cycles (T)."""
        return list(self.cycle()) * num_cycles


CORES: Kinds[Core] = Kinds("core")


def _check(config: Any) -> None:
    for name in ("num_layers", "num_high_layers", "num_low_layers", "num_latent_steps"):
        if hasattr(config, name):
            require(getattr(config, name) >= 1, f"core.{name} is {getattr(config, name)}; give at least 1")


class TwoStates(Core):
    """n times z <- low(z + y + x), then y <- high(y + z): what TRM and HRM share."""

    low: Network
    high: Network

    def cycle(self) -> Sequence[Call]:
        """See Core.cycle."""
        return [self.think] * self.num_latent_steps + [self.answer]

    def think(self, state: State, workspace: Workspace) -> State:
        """z <- low(z + y + x)."""
        y_bld, z_bld = state
        return y_bld, self.low(z_bld + (y_bld + workspace.x), workspace)

    def answer(self, state: State, workspace: Workspace) -> State:
        """y <- high(y + z)."""
        y_bld, z_bld = state
        return self.high(y_bld + z_bld, workspace), z_bld


@CORES.register("trm")
class TRM(TwoStates):
    """One network f for both: n times z <- f(z + y + x), then y <- f(y + z) (arXiv 2510.04871)."""

    @dataclass(frozen=True)
    class Config:
        """Args: num_layers: blocks of the one network. num_latent_steps: n, updates of z in a cycle."""

        num_layers: int = 2
        num_latent_steps: int = 2

        def __post_init__(self) -> None:
            _check(self)

    def __init__(self, config: Config, block: object, width: int) -> None:
        super().__init__()
        self.num_latent_steps = config.num_latent_steps
        self.network = Network(block, width, config.num_layers)

    @property
    def low(self) -> Network:  # type: ignore[override]
        """The one network."""
        return self.network

    @property
    def high(self) -> Network:  # type: ignore[override]
        """The one network."""
        return self.network


@CORES.register("feed_forward")
class FeedForward(Core):
    """No recursion: the same network with the same weights, applied once to x. A control."""

    num_states: ClassVar[int] = 1

    @dataclass(frozen=True)
    class Config:
        """Args: num_layers: blocks of the network."""

        num_layers: int = 2

        def __post_init__(self) -> None:
            _check(self)

    def __init__(self, config: Config, block: object, width: int) -> None:
        super().__init__()
        self.network = Network(block, width, config.num_layers)

    def cycle(self) -> Sequence[Call]:
        """See Core.cycle."""
        return [self.answer]

    def calls(self, num_cycles: int) -> Sequence[Call]:
        """One call, whatever `num_cycles`."""
        return self.cycle()

    def answer(self, state: State, workspace: Workspace) -> State:
        """y <- f(x)."""
        return (self.network(workspace.x, workspace),)


@CORES.register("single_state")
class SingleState(Core):
    """One network, one state: z <- f(z + x), n + 1 times a cycle; the answer is read from z itself (TRM's ablation)."""

    num_states: ClassVar[int] = 1

    @dataclass(frozen=True)
    class Config:
        """Args: num_layers: blocks of the network. num_latent_steps: n; a cycle has n + 1 calls, as TRM's."""

        num_layers: int = 2
        num_latent_steps: int = 2

        def __post_init__(self) -> None:
            _check(self)

    def __init__(self, config: Config, block: object, width: int) -> None:
        super().__init__()
        self.num_latent_steps = config.num_latent_steps
        self.network = Network(block, width, config.num_layers)

    def cycle(self) -> Sequence[Call]:
        """See Core.cycle."""
        return [self.think] * (self.num_latent_steps + 1)

    def think(self, state: State, workspace: Workspace) -> State:
        """z <- f(z + x)."""
        return (self.network(state[0] + workspace.x, workspace),)


@CORES.register("hrm")
class HRM(TwoStates):
    """Two networks at two rates: n times z_L <- f_L(z_L + z_H + x), then z_H <- f_H(z_H + z_L) (arXiv 2506.21734)."""

    @dataclass(frozen=True)
    class Config:
        """Args: num_high_layers: blocks of f_H. num_low_layers: blocks of f_L. num_latent_steps: n, low steps a cycle."""

        num_high_layers: int = 2
        num_low_layers: int = 2
        num_latent_steps: int = 2

        def __post_init__(self) -> None:
            _check(self)

    def __init__(self, config: Config, block: object, width: int) -> None:
        super().__init__()
        self.num_latent_steps = config.num_latent_steps
        self.high = Network(block, width, config.num_high_layers)
        self.low = Network(block, width, config.num_low_layers)


@CORES.register("deep")
class Deep(Core):
    """An untied stack as deep as a recursion, each network with weights of its own. A control."""

    num_states: ClassVar[int] = 1

    @dataclass(frozen=True)
    class Config:
        """Args: num_layers: blocks of each network. num_networks: T (n + 1) of the recursion to be compared with."""

        num_layers: int = 2
        num_networks: int = 6

        def __post_init__(self) -> None:
            _check(self)
            require(self.num_networks >= 1, f"core.num_networks is {self.num_networks}; give at least 1")

    def __init__(self, config: Config, block: object, width: int) -> None:
        super().__init__()
        self.networks = nn.ModuleList(Network(block, width, config.num_layers) for _ in range(config.num_networks))

    def cycle(self) -> Sequence[Call]:
        """See Core.cycle."""
        return [self.enter, *(partial(self.deepen, index) for index in range(1, len(self.networks)))]

    def calls(self, num_cycles: int) -> Sequence[Call]:
        """One pass through the stack, whatever `num_cycles`."""
        return self.cycle()

    def enter(self, state: State, workspace: Workspace) -> State:
        """y <- f_1(x)."""
        return (self.networks[0](workspace.x, workspace),)

    def deepen(self, index: int, state: State, workspace: Workspace) -> State:
        """y <- f_i(y)."""
        return (self.networks[index](state[0], workspace),)
