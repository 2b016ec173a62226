"""The recursion, in one breath: calls of a tiny network, the last of them with gradient.

A core (cores.py) lists the calls of one cycle; a gradient scheme (gradients.py) says how many calls at the end carry
gradient. Follows TRM ("Less is More", arXiv 2510.04871, figure 3): n times z <- f(z + y + x), then y <- f(y + z); T
such cycles are one supervision step.

State: a tuple of tensors (b, l, d); the first is always the answer state y.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from hybrid.recursion.workspace import Workspace

State = tuple[Tensor, ...]
Call = Callable[[State, Workspace], State]
"""call(state, workspace) -> state with one member replaced."""

SLICE = 800
"""About how many positions a slice has, over all its rows; of a wide state three times its width."""


def recur(calls: Sequence[Call], state: State, workspace: Workspace, *, num_gradient_calls: int) -> State:
    """Run `calls` in turn on `state`; only the last `num_gradient_calls` of them are differentiated."""
    first = max(len(calls) - num_gradient_calls, 0)
    with torch.no_grad():
        for call in calls[:first]:
            state = call(state, workspace)
    for call in calls[first:]:
        state = call(state, workspace)
    return state


def in_slices(step: Call, state: State, workspace: Workspace) -> State:
    """Run `step`, several calls in turn, on one slice of the batch after another; rows are independent, so only rounding differs.

    On a CPU the latent states of a slice then stay in the cache from call to call. On a GPU there is one slice.
    """
    rows, length, width = workspace.x.shape
    count = round(rows * length / max(SLICE, 3 * width)) if workspace.x.device.type == "cpu" else 1
    if count <= 1:
        return step(state, workspace)
    size = -(-rows // count)
    states = zip(*(torch.split(member, size) for member in state), strict=True)
    done = [step(*each) for each in zip(states, workspace.split(size), strict=True)]
    return tuple(torch.cat(members) for members in zip(*done, strict=True))


def relative_motion(before: State, after: State, mask_bl: Tensor | None = None) -> Tensor:
    """Return ||after - before|| / ||after|| over all states and positions, one float32 figure a row (b,)."""
    keep = 1.0 if mask_bl is None else mask_bl[..., None].float()
    moved = sum(((b - a).float() * keep).square().sum((1, 2)) for a, b in zip(before, after, strict=True))
    size = sum((b.float() * keep).square().sum((1, 2)) for b in after)
    return (moved / (size + 1e-12)).sqrt() if isinstance(moved, Tensor) and isinstance(size, Tensor) else torch.zeros(0)
