"""The head: all that trains outside the backbone - encoder adapter, reasoner, decoder adapter."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn

from hybrid.adapters import DECODERS, ENCODERS, Features
from hybrid.adapters.decoder import Vocabulary
from hybrid.adapters.encoder import Workspace
from hybrid.block import rms_norm
from hybrid.config import HybridConfig
from hybrid.reasoner import Reasoner
from hybrid.recursion import State


class StepOutput(NamedTuple):
    """What one supervision step gives; a tuple, in which torch's wrappers for many processes find the tensors.

    Args:
        state: tensors (b, l, d), with gradient as the gradient scheme says.
        logits: symbol logits of the first workspace positions (b, positions, v); answers come first.
        halt: halt logits (b, k), float32.
        penalty: what the gradient scheme adds to the loss, a scalar; None for nothing.
    """

    state: State
    logits: Tensor
    halt: Tensor
    penalty: Tensor | None = None


class Head(nn.Module):
    """Features in, one supervision step at a time, symbol logits out."""

    def __init__(self, config: HybridConfig, num_layers: int, backbone_width: int, vocabulary: Vocabulary) -> None:
        super().__init__()
        width = config.reasoner.width
        self.encoder = ENCODERS.build(config.encoder, num_layers, backbone_width, width)
        self.reasoner = Reasoner(config.reasoner)
        self.decoder = DECODERS.build(config.decoder, width, config.symbols, vocabulary)

    def start(self, features: Features) -> State:
        """Return initial states for the workspace of these features; runs the encoder without gradient for its shape."""
        return self.reasoner.start(self.encode(features)[0].detach())

    def encode(self, features: Features) -> Workspace:
        """Return the workspace (b, l, d), scaled as the encoder asks, and its mask."""
        x_bld, mask_bl = self.encoder(features)
        return (rms_norm(x_bld) if self.encoder.normalise else x_bld), mask_bl

    def forward(self, features: Features, state: State, num_outputs: int) -> StepOutput:
        """Run one supervision step and decode the first `num_outputs` workspace positions."""
        x_bld, mask_bl = self.encode(features)
        return self.step(x_bld, mask_bl, state, features, num_outputs)

    def step(
        self,
        x_bld: Tensor,
        mask_bl: Tensor | None,
        state: State,
        features: Features,
        num_outputs: int,
        *,
        disturb: Callable[[State], State] | None = None,
    ) -> StepOutput:
        """The same on a workspace that is already encoded; `disturb` changes the states before each cycle."""
        state = self.reasoner.step(state, x_bld, mask_bl, disturb=disturb)
        y_bld = state[0][:, self.encoder.num_prefix :]
        read_bd = state[0][:, 0] if self.encoder.num_prefix else answer_mean(y_bld, features)
        logits, halt = self.decoder(y_bld[:, :num_outputs]), self.reasoner.halt_logits(read_bd)
        return StepOutput(state, logits, halt, self.reasoner.gradient.penalty)


def answer_mean(y_bld: Tensor, features: Features) -> Tensor:
    """Return the mean of the answer state over each row's answer positions, (b, d)."""
    keep_bl1 = features.answer_mask(y_bld.shape[1])[..., None].to(y_bld.dtype)
    return (y_bld * keep_bl1).sum(1) / keep_bl1.sum(1)
