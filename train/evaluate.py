"""Evaluation of a head on problems with known answers: accuracy after every supervision step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hybrid.head import Head
from hybrid.inference.search import SearchConfig
from hybrid.inference.search import search as noisy_search
from hybrid.inference.thinking import Thoughts
from hybrid.recursion.halting import HALTING, Halting
from hybrid.recursion.losses import IGNORE
from hybrid.train.dataset import Dataset
from hybrid.train.processes import Team


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
    team: Team | None = None,
) -> Evaluation:
    """Answer all problems of `dataset` with up to `num_steps` steps.

    Args:
        head: whole, the same in all processes.
        dataset: problems, the same in all processes.
        num_steps: most supervision steps.
        halting: a config; None for fixed.
        search: noisy trajectories; None thinks once.
        batch_size: problems answered together.
        team: processes that each answer some of the batches and then know the whole result; None for this one alone.
    """
    team = team or Team()
    rule = HALTING.build(halting or HALTING["fixed"].Config())  # type: ignore[attr-defined]
    answered: list[tuple[int, Tensor, Tensor, Tensor]] = []
    starts = team.share(range(0, len(dataset), batch_size))
    for start, labels, thoughts in answered_batches(head, dataset, rule, num_steps, starts, batch_size, search):
        kept = labels != IGNORE
        match = (thoughts.symbols == labels[:, None]) | ~kept[:, None]
        whole = match.all(-1)
        whole = torch.cat([whole, whole[:, -1:].expand(-1, num_steps - whole.shape[1])], dim=1)
        share = ((match[:, -1] & kept).sum(-1) / kept.sum(-1)).float()
        answered.append((start, whole, share, thoughts.steps.float()))
    parts = sorted(team.together(answered), key=lambda part: part[0])
    right, symbols, steps = (torch.cat(column) for column in list(zip(*parts, strict=True))[1:])
    by_step = right.double().mean(0).tolist()
    return Evaluation(by_step, by_step[-1], float(symbols.mean()), float(steps.mean()), right[:, -1])


@torch.no_grad()
def answered_batches(
    head: Head,
    dataset: Dataset,
    rule: Halting,
    num_steps: int,
    starts: Iterable[int],
    batch_size: int = 128,
    search: SearchConfig | None = None,
) -> Iterator[tuple[int, Tensor, Thoughts]]:
    """Yield the place, the labels (b, a) and the answers, all on the CPU, of the batches that begin at `starts`."""
    device = head.reasoner.initial.device
    for start in starts:
        batch = dataset.batch(range(start, min(start + batch_size, len(dataset))))
        labels, features = batch.targets.answer[:, : batch.features.most], batch.features.to(device)
        yield start, labels, noisy_search(head, features, rule, num_steps, search or SearchConfig())
