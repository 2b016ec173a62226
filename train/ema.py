"""Averaged weights: an exponential moving average that forgets its start.

Early on the decay is smaller (as in TensorFlow's ExponentialMovingAverage with num_updates), so that a short run is not
held back by its first weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def averaged(module: nn.Module, decay: float) -> AveragedModel:
    """Return an averaged copy of `module`; call `.update_parameters(module)` after every optimizer step."""

    @torch.no_grad()
    def average(means: Sequence[Tensor], values: Sequence[Tensor], count: Tensor | int) -> None:
        now = min(decay, (1 + int(count)) / (10 + int(count)))
        torch._foreach_lerp_(list(means), list(values), 1 - now)

    return AveragedModel(module, multi_avg_fn=average)
