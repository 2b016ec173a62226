"""Evaluation of a head on problems with known answers: accuracy after every supervision step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hybrid.halting import HALTING
from hybrid.head import Head
from hybrid.losses import IGNORE
from hybrid.search import SearchConfig
from hybrid.search import search as noisy_search
from hybrid.train.dataset import Dataset


@dataclass(frozen=True)
class Evaluation:
    """How a head did.

    Args:
        exact_by_step: share of problems whose whole answer is right after 1..n steps.
        exact: share right at each problem's own last step, as halting decided.
        symbols: share of single symbols right at the last step.
        steps: mean steps taken.
        right: which problems were right at their last step, (problems,) bool.
    """

    exact_by_step: list[float]
    exact: float
    symbols: float
    steps: float
    right: Tensor


@torch.no_grad()
def evaluate(
    head: Head,
    dataset: Dataset,
    *,
    num_steps: int,
    halting: Any = None,
    search: SearchConfig | None = None,
    batch_size: int = 128,
) -> Evaluation:
    """Answer all problems of `dataset` with up to `num_steps` steps; `halting` is a config, None for fixed."""
    rule = HALTING.build(halting or HALTING["fixed"].Config())  # type: ignore[attr-defined]
    device = head.reasoner.initial.device
    right_steps, symbols, steps = [], [], []
    for start in range(0, len(dataset), batch_size):
        batch = dataset.batch(range(start, min(start + batch_size, len(dataset)))).to(device)
        labels = batch.answer_labels()[:, : int(batch.features.num_answers.max())].cpu()
        thoughts = noisy_search(head, batch.features, rule, num_steps, labels.shape[1], search or SearchConfig())
        kept = labels != IGNORE
        match = (thoughts.symbols == labels[:, None]) | ~kept[:, None]
        whole = match.all(-1)
        right_steps.append(torch.cat([whole, whole[:, -1:].expand(-1, num_steps - whole.shape[1])], dim=1))
        symbols.append(((match[:, -1] & kept).sum(-1) / kept.sum(-1)).float())
        steps.append(thoughts.steps.float())
    right = torch.cat(right_steps)
    by_step = right.float().mean(0).tolist()
    return Evaluation(by_step, by_step[-1], float(torch.cat(symbols).mean()), float(torch.cat(steps).mean()), right[:, -1])
