"""Presets: whole recipes by name, for tasks whose cells have places. `hybrid train --preset grid`; a flag replaces each field.

Those of the papers have the sizes and settings of the TRM paper (arXiv 2510.04871, section 5 and its code's commands) and the
HRM paper (arXiv 2506.21734), structured mode included: symbols alone, no language model, the zero puzzle prefix of 16
positions. They are meant for one GPU and many hours. `grid` is ours, for a CPU and minutes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from hybrid.adapters import Structured
from hybrid.backbone import BackboneConfig
from hybrid.block import AttentionBlock, MLPBlock
from hybrid.cores import HRM, TRM
from hybrid.gradients import OneStep
from hybrid.grid_block import GridBlock
from hybrid.halting import Learned, QLearning
from hybrid.losses import Stablemax
from hybrid.reasoner import ReasonerConfig
from hybrid.train.config import TrainConfig
from hybrid.train.optimizer import AdamAtan2

PREFIX = 16
"""Positions of the papers' puzzle embedding."""


class Preset(NamedTuple):
    """Language model, encoder, recursion and training of a recipe; the lines and symbols of a grid are found in the task."""

    encoder: Structured.Config
    reasoner: ReasonerConfig
    train: TrainConfig
    backbone: BackboneConfig = BackboneConfig("none")


GRID = Preset(
    Structured.Config(),
    ReasonerConfig(num_supervision_steps=16, core=TRM.Config(num_latent_steps=1), block=GridBlock.Config()),
    TrainConfig(num_steps=1_000_000, max_seconds=3600.0, batch_size=64, ema_decay=0.999, symmetries=True, mixed_precision="bf16"),
)
"""Heads that look along the lines of the grid, one update of the latent state a cycle, disguises, bf16."""

_SLOW = AdamAtan2.Config(learning_rate=1e-4, weight_decay=1.0, beta1=0.9, beta2=0.95, warmup_steps=2000, schedule="constant")

_PAPER = TrainConfig(
    num_steps=65_000,
    batch_size=768,
    optimizer=_SLOW,
    loss=Stablemax.Config(),
    ema_decay=0.999,
    eval_every_steps=5000,
    symmetries=True,
)
"""50,000 rounds of a thousand puzzles in batches of 768."""

_WIDE = AttentionBlock.Config(num_heads=8, multiple_of=256)

TRM_MAZE = Preset(
    Structured.Config(num_prefix=PREFIX),
    ReasonerConfig(
        width=512,
        num_cycles=3,
        num_supervision_steps=16,
        core=TRM.Config(num_latent_steps=4),
        block=_WIDE,
        halting=Learned.Config(exploration=0.1),
    ),
    _PAPER,
)

TRM_SUDOKU = TRM_MAZE._replace(
    reasoner=replace(TRM_MAZE.reasoner, core=TRM.Config(num_latent_steps=6), block=MLPBlock.Config(81 + PREFIX, multiple_of=256))
)

HRM_SUDOKU = Preset(
    Structured.Config(num_prefix=1),
    ReasonerConfig(
        width=512,
        num_cycles=2,
        num_supervision_steps=16,
        core=HRM.Config(num_high_layers=4, num_low_layers=4, num_latent_steps=2),
        block=_WIDE,
        gradient=OneStep.Config(),
        halting=QLearning.Config(exploration=0.1),
    ),
    replace(
        _PAPER,
        num_steps=52_000,
        batch_size=384,
        optimizer=replace(_SLOW, learning_rate=7e-5),
        ema_decay=0.0,
        eval_every_steps=2000,
    ),
)

PRESETS: Mapping[str, Preset] = {"grid": GRID, "trm_sudoku": TRM_SUDOKU, "trm_maze": TRM_MAZE, "hrm_sudoku": HRM_SUDOKU}
