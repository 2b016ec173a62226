"""Presets: whole recipes by name, for tasks whose cells have places. `hybrid train --preset grid`; a flag replaces each field.

Those of the papers (TRM, arXiv 2510.04871; HRM, arXiv 2506.21734) are the commands for Sudoku-Extreme and Maze-Hard in the
README of each paper's code, and where a command is silent its config files: structured mode, that is symbols alone and no
language model, and a puzzle prefix. They are meant for one GPU and many hours. `grid` is ours, for a CPU and minutes.

With the same weights and batch their losses are those of the papers' code, step by step (tests/test_reference_losses.py).
These things differ: we classify over the answer's symbols, they over the prompt's and one for padding; the first weights of
their layers are 1.14 times as large; disguises are drawn at each turn, there a thousand (mazes: eight) are drawn once; our
average of the weights follows faster in its first thousands of steps; a halted slot takes the next problem, there the one in its
place of the next batch; at inference a head may halt, there all 16 steps are taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from hybrid.adapters import Structured
from hybrid.backbone import BackboneConfig
from hybrid.recursion.block import AttentionBlock, MLPBlock
from hybrid.recursion.cores import HRM, TRM
from hybrid.recursion.gradients import LastCycle, OneStep
from hybrid.recursion.grid_block import GridBlock
from hybrid.recursion.halting import Learned, QLearning
from hybrid.recursion.losses import Stablemax
from hybrid.recursion.reasoner import ReasonerConfig
from hybrid.train.config import TrainConfig
from hybrid.train.optimizer import AdamAtan2

PREFIX = 16
"""Positions of TRM's puzzle embedding, one row for all problems of a grid: puzzle_emb_len in its config; HRM has 1."""


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

_SLOW = AdamAtan2.Config(
    learning_rate=1e-4,
    weight_decay=1.0,
    beta1=0.9,
    beta2=0.95,
    warmup_steps=2000,
    schedule="constant",
    max_norm=None,
)
"""Rate and decay are the commands', the same for the puzzle embedding; betas, warm-up and a rate that stays, the configs'."""

_PAPER = TrainConfig(
    num_steps=65_100,
    batch_size=768,
    optimizer=_SLOW,
    loss=Stablemax.Config(),
    halt_weight=0.5,
    ema_decay=0.999,
    eval_every_steps=6_510,
    symmetries=True,
    mixed_precision="bf16",
)
"""50,000 rounds of a thousand puzzles (the commands) in batches of 768 (the config), an evaluation every 5,000 rounds."""

_WIDE = AttentionBlock.Config(num_heads=8, expansion=4.0, multiple_of=256)
"""Heads and expansion of both configs; inner widths as their layers round them."""

TRM_MAZE = Preset(
    Structured.Config(num_prefix=PREFIX, num_puzzles=1),
    ReasonerConfig(
        width=512,
        num_cycles=3,
        num_supervision_steps=16,
        core=TRM.Config(num_layers=2, num_latent_steps=4),
        block=_WIDE,
        gradient=LastCycle.Config(),
        halting=Learned.Config(exploration=0.1),
    ),
    _PAPER,
)
"""`arch=trm arch.L_layers=2 arch.H_cycles=3 arch.L_cycles=4 ema=True`; width, 16 steps and exploration are the config's."""

TRM_SUDOKU = TRM_MAZE._replace(
    reasoner=replace(
        TRM_MAZE.reasoner,
        core=TRM.Config(num_layers=2, num_latent_steps=6),
        block=MLPBlock.Config(81 + PREFIX, expansion=4.0, multiple_of=256),
    )
)
"""As for mazes but `arch.mlp_t=True arch.pos_encodings=none arch.L_cycles=6`."""

HRM_SUDOKU = Preset(
    Structured.Config(num_prefix=1, num_puzzles=1),
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
        num_steps=52_080,
        batch_size=384,
        optimizer=replace(_SLOW, learning_rate=7e-5),
        ema_decay=0.0,
        eval_every_steps=5_208,
    ),
)
"""HRM's command for one GPU: 20,000 rounds in batches of 384, rate 7e-5, an evaluation every 2,000 rounds, no averaging."""

PRESETS: Mapping[str, Preset] = {"grid": GRID, "trm_sudoku": TRM_SUDOKU, "trm_maze": TRM_MAZE, "hrm_sudoku": HRM_SUDOKU}
