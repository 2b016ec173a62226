"""Noisy search: think about a problem several times with noise on the latent state, and choose an answer.

Follows PTRM (arXiv 2605.19943): Gaussian noise on the latent state at each recursion, the answer chosen by the halt
logit; or by majority. The first trajectory is always the one without noise. Its cost is counted: every trajectory's steps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from hybrid.adapters import Features
from hybrid.head import Head
from hybrid.inference.thinking import Thoughts, think
from hybrid.kinds import require
from hybrid.recursion.cycle import State
from hybrid.recursion.halting import Halting


@dataclass(frozen=True)
class SearchConfig:
    """How often to think, and how to choose.

    Args:
        num_trajectories: K, trajectories a problem; 1 is no search.
        noise: standard deviation of the noise, for states of root mean square 1.
        choose: the answer with the highest halt logit, or the answer that most trajectories give.
        seed: of the noise.
    """

    num_trajectories: int = 1
    noise: float = 0.1
    choose: Literal["halt", "majority"] = "halt"
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.num_trajectories >= 1, f"search.num_trajectories is {self.num_trajectories}; give at least 1")
        require(self.noise >= 0, f"search.noise is {self.noise}; give at least 0")


def noisy(config: SearchConfig) -> Callable[[State, Tensor], State]:
    """Return a disturbance: noise on the latent states, given the rows still alive, K trajectories a problem side by side.

    A trajectory's noise is the same for every problem, so that neither the batch nor its other rows change an answer; the
    first trajectory has none.
    """
    count = config.num_trajectories
    generators = [torch.Generator().manual_seed(1_000_003 * config.seed + k) for k in range(1, count)]

    def disturb(state: State, rows: Tensor) -> State:
        y, *latents = state
        moved = []
        for z in latents or [y]:
            drawn = [torch.zeros(z.shape[1:]), *(torch.randn(z.shape[1:], generator=each) for each in generators)]
            moved.append(z + config.noise * torch.stack(drawn).to(z)[rows % count])
        return (y, *moved) if latents else tuple(moved)

    return disturb


def search(head: Head, features: Features, halting: Halting, num_steps: int, config: SearchConfig) -> Thoughts:
    """Think `num_trajectories` times about each row of `features` and keep the chosen trajectory of each.

    `total_steps` of the result counts the steps of all trajectories.
    """
    count, rows = config.num_trajectories, len(features.num_answers)
    if count == 1:
        return think(head, features, halting, num_steps)
    repeated = features.select(torch.arange(rows, device=features.num_answers.device).repeat_interleave(count))
    thoughts = think(head, repeated, halting, num_steps, disturb=noisy(config))
    chosen = torch.tensor(
        [row * count + pick for row, pick in enumerate(_choices(thoughts, features, config, head.decoder.answer))]
    )
    total = thoughts.steps.view(rows, count).sum(1)
    picked = {name: value[chosen] for name, value in vars(thoughts).items()}
    return replace(thoughts, **(picked | {"total_steps": total}))


def _choices(
    thoughts: Thoughts, features: Features, config: SearchConfig, write: Callable[[list[int]], tuple[str, ...]]
) -> list[int]:
    count = config.num_trajectories
    halt = thoughts.halt[:, -1, 0].view(-1, count).tolist()
    answers = thoughts.symbols[:, -1].view(len(halt), count, -1).tolist()
    choices = []
    for row, length in enumerate(features.num_answers.tolist()):
        given = [write(answer[:length]) for answer in answers[row]]
        votes = Counter(given) if config.choose == "majority" else Counter()
        choices.append(max(range(count), key=lambda k, v=votes, g=given, h=halt[row]: (v[g[k]], h[k])))  # type: ignore[misc]
    return choices
