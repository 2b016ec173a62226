"""Speed of a training step, as a table: seconds, share of the machine's own matrix-product rate, peak memory.

    python -m hybrid.eval.speed [--width 128 512] [--batch 64 32] [--dtype float32 bfloat16] [--how eager compiled] [--cache]

One step is a whole optimizer step on random workspaces: T cycles forward, the last backward, AdamW. Useful FLOPs are
the matrix products and attention of the T (n + 1) network calls forward and of the last n + 1 backward (twice the
forward); the share is useful FLOPs over seconds times the rate of a 2048 x 2048 product in the same run, taken before and
after the steps. Each setting is timed as it is and with its network compiled (as train.compile does). With --cache,
a training step from cached features is timed against one with the language model in the loop.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from hybrid.device import usual_device
from hybrid.eval import program
from hybrid.eval.measures.cost import PeakMemory, seconds_of
from hybrid.recursion.block import AttentionBlock, SwiGLU
from hybrid.recursion.cores import TRM
from hybrid.recursion.gradients import LastCycle
from hybrid.recursion.reasoner import Reasoner, ReasonerConfig
from hybrid.recursion.workspace import Workspace


@dataclass(frozen=True)
class Setting:
    """Sizes of the timed step; the defaults are those of the TRM paper's Sudoku model with its prefix of 16."""

    width: int
    batch: int
    dtype: torch.dtype
    positions: int = 97
    vocabulary: int = 11
    num_cycles: int = 3
    num_latent_steps: int = 6
    num_layers: int = 2
    compiled: bool = False
    gradient: Any = field(default_factory=LastCycle.Config)


def matrix_rate(dtype: torch.dtype, size: int = 2048) -> float:
    """Return the FLOPs a second of a size x size matrix product."""
    a, b = (torch.randn(size, size, device=usual_device()).to(dtype) for _ in range(2))
    return 2 * size**3 / seconds_of(lambda: a @ b)


def useful_flops(setting: Setting, inner: int) -> float:
    """Return the useful FLOPs of one step; `inner` is the inner width of SwiGLU."""
    rows, d, length = setting.batch * setting.positions, setting.width, setting.positions
    block = 2 * rows * (4 * d * d + 3 * d * inner) + 4 * rows * length * d
    calls, last = setting.num_cycles * (setting.num_latent_steps + 1), setting.num_latent_steps + 1
    return setting.num_layers * block * (calls + 2 * last)


class OneStep:
    """A training step on random workspaces: recursion, readout, loss, backward, AdamW."""

    def __init__(self, setting: Setting) -> None:
        torch.manual_seed(0)
        heads = max(1, setting.width // 64) if setting.width > 256 else 4
        block = AttentionBlock.Config(num_heads=heads, multiple_of=256)
        core = TRM.Config(setting.num_layers, setting.num_latent_steps)
        sizes = {"width": setting.width, "num_cycles": setting.num_cycles}
        config = ReasonerConfig(**sizes, core=core, block=block, gradient=setting.gradient)
        self.setting, place = setting, usual_device()
        self.reasoner = Reasoner(config).to(place)
        self.readout = nn.Linear(setting.width, setting.vocabulary, bias=False).to(place)
        parameters = [*self.reasoner.parameters(), *self.readout.parameters()]
        self.optimizer = torch.optim.AdamW(parameters, lr=1e-4, fused=True)
        x_bld = torch.randn(setting.batch, setting.positions, setting.width, device=place)
        self.workspace = Workspace(x_bld, torch.full((setting.batch,), setting.positions, device=place))
        self.labels = torch.randint(setting.vocabulary, (setting.batch, setting.positions), device=place)
        self.state = self.reasoner.start(x_bld)
        layer: Any = next(m for m in self.reasoner.modules() if isinstance(m, SwiGLU))
        self.flops = useful_flops(setting, layer.down.in_features)
        if setting.compiled:
            self.reasoner.core.network.compile()  # type: ignore[union-attr]

    def __call__(self) -> None:
        """Take one step from the carry of the last."""
        kind = self.labels.device.type
        with torch.autocast(kind, self.setting.dtype, enabled=self.setting.dtype != torch.float32):
            state = self.reasoner.step(self.state, self.workspace)
            logits = self.readout(state[0])
        loss = nn.functional.cross_entropy(logits.float().flatten(0, 1), self.labels.flatten())
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.state = tuple(part.detach() for part in state)


def measure(setting: Setting) -> tuple[float, float, int]:
    """Return (seconds a step, share of the matrix rate, peak bytes) of one setting."""
    torch.compiler.reset()
    step = OneStep(setting)
    step()  # Compiled for the initial states, then again for those of a step.
    before = matrix_rate(setting.dtype)
    with PeakMemory() as memory:
        seconds = seconds_of(step, least_seconds=5.0)
    rate = (before + matrix_rate(setting.dtype)) / 2
    return seconds, step.flops / seconds / rate, memory.bytes


def cache_ratio(name: str | None, batch: int, dtype: str = "auto") -> tuple[float, float]:
    """Return seconds of a training step from cached features, and with the language model in the loop."""
    import hybrid
    from hybrid.eval.tasks import TASKS
    from hybrid.eval.tasks.sudoku import Sudoku
    from hybrid.recursion.carry import Carry
    from hybrid.recursion.losses import Softmax
    from hybrid.train import step as one_step
    from hybrid.train.dataset import Dataset

    task = TASKS.build(Sudoku.Config(size=4))
    backbone = hybrid.BackboneConfig(dtype=dtype)  # type: ignore[arg-type]
    model = hybrid.attach(name, hybrid.HybridConfig(layout=task.layout, symbols=task.symbols, backbone=backbone))
    problems = task.problems("train", 4 * batch)
    optimizer = torch.optim.AdamW(model.head.parameters(), lr=1e-4, fused=True)
    objective = one_step.Objective(Softmax(Softmax.Config()), model.head.reasoner.halting)

    def step(data: Dataset) -> None:
        rows = data.batch(range(batch)).to(model.device)
        out = one_step.forward(model.head, rows, carry, objective)
        one_step.losses(out, objective, None, torch.ones(batch)).total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()

    cached, live = (Dataset(model, problems, cache=cache) for cache in (True, False))
    carry = Carry.start(model.head.start(cached.batch(range(batch)).to(model.device).features))
    return seconds_of(lambda: step(cached)), seconds_of(lambda: step(live))


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    from rich.console import Console
    from rich.table import Table

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=program.positive, nargs="+", default=[128, 512])
    parser.add_argument("--batch", type=program.positive, nargs="+", default=[64, 32])
    parser.add_argument("--dtype", nargs="+", choices=["float32", "bfloat16", "float16"], default=["float32", "bfloat16"])
    parser.add_argument("--how", nargs="+", choices=["eager", "compiled"], default=["eager", "compiled"])
    parser.add_argument("--cache", action="store_true", help="time cached features against the model in the loop")
    parser.add_argument("--backbone", default=None)
    options = parser.parse_args(argv)
    if len(options.width) != len(options.batch):
        parser.error(f"--width has {len(options.width)} entries, --batch {len(options.batch)}; give one batch for each width")
    console = Console()
    if options.cache:
        for dtype in options.dtype:
            cached, live = cache_ratio(options.backbone, options.batch[0], dtype)
            figures = f"a step from the cache {cached:.3f} s, with the model in the loop {live:.3f} s"
            console.print(f"model in {dtype}: {figures}: {live / cached:.1f} times")
        return
    table = Table(
        "width", "batch", "dtype", "network", "seconds a step", "share of matrix rate", "peak memory", title="one training step"
    )
    for width, batch in zip(options.width, options.batch, strict=True):
        for dtype, how in itertools.product(options.dtype, options.how):
            setting = Setting(width, batch, getattr(torch, dtype), compiled=how == "compiled")
            seconds, share, peak = measure(setting)
            table.add_row(str(width), str(batch), dtype, how, f"{seconds:.3f}", f"{100 * share:.0f}%", f"{peak / 1e6:,.0f} MB")
    console.print(table)


if __name__ == "__main__":
    program.run(main)
