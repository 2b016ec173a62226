"""The layer mix: hidden states of several layers, normalised one by one, weighed, projected to the reasoner's width.

Hidden states of an LLM have a few channels that are a hundred times larger than the rest, and the same in every token;
after a LayerNorm of each layer no one layer drowns the others. The weights of the mix are learned (as in ELMo,
arXiv 1802.05365).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hybrid.recursion.block import at_least_float32, linear


class LayerMix(nn.Module):
    """Map hidden states (..., num_layers, backbone_width) to (..., width)."""

    def __init__(self, num_layers: int, backbone_width: int, width: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(num_layers))
        self.project = linear(backbone_width, width)

    def forward(self, states_kh: Tensor) -> Tensor:
        """Normalise each layer, mix with softmax weights, project."""
        # In half precision the large channels could overflow before they are normalised.
        normal_kh = F.layer_norm(at_least_float32(states_kh), states_kh.shape[-1:]).to(self.project.weight.dtype)
        mixed_h = (normal_kh * self.weights.softmax(0)[:, None]).sum(-2)
        projected: Tensor = self.project(mixed_h)
        return projected
