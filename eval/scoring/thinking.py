"""How a head thinks, measured and drawn: loss, exact match and latent motion by step, when it halts, and one answer forming.

Holds the measuring and the pictures (PNG, animated GIF); `hybrid inspect --plots` writes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hybrid.checkpoint import whole_file
from hybrid.eval.tasks.task import Task
from hybrid.inference.solution import Solution
from hybrid.model import HybridModel
from hybrid.problem import Problem
from hybrid.recursion.cycle import relative_motion
from hybrid.recursion.losses import Softmax
from hybrid.train.dataset import Dataset

BLUE, ORANGE, YELLOW = "#0072B2", "#D55E00", "#F0E442"


@dataclass(frozen=True)
class Course:
    """Means over problems after each step 1..n, without halting, and when each problem would halt.

    Args:
        loss: cross-entropy of the answer.
        exact: share of whole answers right.
        motion: relative latent motion ||ds|| / ||s||.
        halts: for each problem the step at which the halting rule stops it, n where it never does.
    """

    loss: list[float]
    exact: list[float]
    motion: list[float]
    halts: list[int]


@torch.no_grad()
def course(model: HybridModel, problems: Sequence[Problem], num_steps: int, *, batch_size: int = 128) -> Course:
    """Think `num_steps` steps about each problem and return the course of it."""
    data = Dataset(model, problems, cache=False)
    head, rule, loss = model.head, model.head.reasoner.halting, Softmax(Softmax.Config())
    sums = torch.zeros(num_steps, 3, dtype=torch.float64)
    halts: list[int] = []
    for start in range(0, len(data), batch_size):
        batch = data.batch(range(start, min(start + batch_size, len(data)))).to(model.device)
        goal = batch.targets.at(torch.full_like(batch.targets.num_answers, num_steps)).first(batch.features.most)
        workspace = head.encode(batch.features)
        state = head.reasoner.start(workspace.x)
        first = torch.full((len(goal.labels),), num_steps)
        for step in range(num_steps):
            before, state = state, head.step(workspace, state)
            moved = relative_motion(before, state, workspace.mask)
            figures = (*head.decoder.score(workspace.answers(state[0], batch.features.most), goal, loss), moved)
            sums[step] += torch.stack([figure.double().sum().cpu() for figure in figures])
            stops = rule.stop(head.halt(workspace, state), moved).cpu() & (first == num_steps)
            first[stops] = step + 1
        halts += first.tolist()
    loss_by_step, exact, motion = (sums / len(data)).T.tolist()
    return Course(loss_by_step, exact, motion, halts)


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Any, path: Path) -> None:
    with whole_file(path) as work:
        figure.savefig(work, format="png")


def draw_course(found: Course, path: Path) -> None:
    """Write a PNG: loss, exact match and latent motion by step, and a histogram of halting."""
    figure = _figure(9, 6)
    steps = range(1, len(found.loss) + 1)
    panels = (("answer loss", found.loss), ("exact answers", found.exact), ("relative latent motion", found.motion))
    axes = figure.subplots(2, 2).flatten()
    for axis, (name, values) in zip(axes, panels, strict=False):
        axis.plot(steps, values, "o-", color=BLUE, markersize=3)
        axis.set(xlabel="supervision step", ylabel=name)
        axis.grid(alpha=0.3)
        if name != "exact answers" and min(values) > 0:
            axis.set_yscale("log")
    axes[1].set_ylim(-0.02, 1.02)
    axes[3].hist(found.halts, bins=[step + 0.5 for step in range(len(found.loss) + 1)], color=ORANGE, rwidth=0.8)
    axes[3].set(xlabel="halts at step", ylabel="problems")
    axes[3].grid(alpha=0.3)
    _save(figure, path)


def _draw_answer(axis: Any, task: Task, prompt: str, solution: Solution, step: int) -> None:
    from matplotlib.patches import Rectangle

    before = solution.trajectory[step - 1] if step else None
    picture = task.picture(prompt, solution.trajectory[step], before)
    rows, columns = len(picture.rows), max(1, *map(len, picture.rows))
    axis.set(xlim=(0, columns), ylim=(rows, 0), aspect="equal", title=f"step {step + 1}")
    axis.axis("off")
    for r, row in enumerate(picture.rows):
        for c, cell in enumerate(row):
            axis.add_patch(Rectangle((c, r), 1, 1, facecolor=YELLOW if cell.changed else "white", edgecolor="#bbbbbb"))
            text = f"{cell.label}\n{cell.symbol}" if cell.label else cell.symbol
            size = 8 if cell.label or len(cell.symbol) > 2 else 13
            axis.text(c + 0.5, r + 0.5, text, ha="center", va="center", size=size, weight="bold" if cell.given else "normal")
    if picture.box:
        for r in range(0, rows + 1, picture.box[0]):
            axis.plot([0, columns], [r, r], color="black", linewidth=1.5, clip_on=False)
        for c in range(0, columns + 1, picture.box[1]):
            axis.plot([c, c], [0, rows], color="black", linewidth=1.5, clip_on=False)


def draw_path(task: Task, prompt: str, solution: Solution, folder: Path) -> None:
    """Write answer.png (all steps side by side) and answer.gif (one after another) of an answer forming."""
    from PIL import Image

    count = len(solution.trajectory)
    figure = _figure(max(2.2 * min(count, 8), 3), 2.5 * -(-count // 8))
    axes = figure.subplots(-(-count // 8), min(count, 8), squeeze=False).flatten()
    for axis in axes[count:]:
        axis.axis("off")
    for step, axis in zip(range(count), axes, strict=False):
        _draw_answer(axis, task, prompt, solution, step)
    _save(figure, folder / "answer.png")
    frames = []
    for step in range(count):
        figure = _figure(3, 3.3)
        _draw_answer(figure.subplots(), task, prompt, solution, step)
        figure.canvas.draw()
        frames.append(Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3]))
    with whole_file(folder / "answer.gif") as work:
        frames[0].save(work, format="GIF", save_all=True, append_images=frames[1:], duration=[700] * (count - 1) + [2500], loop=0)
