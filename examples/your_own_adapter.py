"""Write an encoder adapter of your own: one projection a layer instead of one weighed mix.

    python examples/your_own_adapter.py [--small]

A kind is a class with a frozen Config, registered under a name; from then on it works everywhere, `encoder=` and saved
heads included (import the file that registers it before you load one).
"""

import argparse
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

import hybrid
from hybrid.adapters import ENCODERS, Encoder, Features
from hybrid.eval.tasks import TASKS
from hybrid.eval.tasks.sudoku import Sudoku
from hybrid.recursion.block import linear
from hybrid.recursion.workspace import Workspace
from hybrid.train import TrainConfig, train


@ENCODERS.register("per_layer")
class PerLayer(Encoder):
    """x = sum over layers of W_k LayerNorm(h_k), plus a learned vector a position."""

    reads: ClassVar = "spans"

    @dataclass(frozen=True)
    class Config:
        max_positions: int = 128

    def __init__(self, config: Config, num_layers: int, backbone_width: int, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(backbone_width, elementwise_affine=False)
        self.projections = nn.ModuleList(linear(backbone_width, width) for _ in range(num_layers))
        self.positions = nn.Parameter(torch.randn(config.max_positions, width) * width**-0.5)

    def forward(self, features: Features) -> Workspace:
        layers = self.norm(features.states.float()).unbind(dim=2)
        x = sum(project(layer) for project, layer in zip(self.projections, layers, strict=True))
        return Workspace(x + self.positions[: x.shape[1]], features.num_answers, features.mask)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", default="runs/per_layer")
    parser.add_argument("--backbone", default=None)
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()

    task = TASKS.build(Sudoku.Config(size=4))
    config = hybrid.HybridConfig(layout=task.layout, symbols=task.symbols, encoder=PerLayer.Config())
    model = hybrid.attach(options.backbone, config)
    problems = task.problems("train", 100 if options.small else 2000), task.problems("dev", 50 if options.small else 300)
    schedule = TrainConfig(num_steps=10 if options.small else 1000, eval_every_steps=200, patience=2)
    print(train(model, *problems, schedule, options.output))

    # Saved and loaded again, the head finds its own kind by name.
    again = hybrid.HybridModel.from_pretrained(options.output, backbone=model.backbone)
    puzzle = task.problems("test", 1)[0]
    print(f"{puzzle.prompt}\n{again.solve([puzzle.prompt])[0].text}")


if __name__ == "__main__":
    main()
