"""The head: all that trains outside the backbone - encoder adapter, reasoner, decoder adapter."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from hybrid.adapters import DECODERS, ENCODERS, Features
from hybrid.adapters.decoder import Vocabulary
from hybrid.config import HybridConfig
from hybrid.reasoner import Reasoner
from hybrid.recursion import State


@dataclass(frozen=True)
class StepOutput:
    """What one supervision step gives.

    Args:
        state: tensors (b, l, d), with gradient as the gradient scheme says.
        logits: symbol logits of the first workspace positions (b, positions, v); answers come first.
        halt: halt logits (b, k), float32.
    """

    state: State
    logits: Tensor
    halt: Tensor


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
        return self.reasoner.start(self.encoder(features)[0].detach())

    def forward(self, features: Features, state: State, num_outputs: int) -> StepOutput:
        """Run one supervision step and decode the first `num_outputs` workspace positions."""
        x_bld, mask_bl = self.encoder(features)
        return self.step(x_bld, mask_bl, state, features, num_outputs)

    def step(self, x_bld: Tensor, mask_bl: Tensor | None, state: State, features: Features, num_outputs: int) -> StepOutput:
        """The same on a workspace that is already encoded."""
        state = self.reasoner.step(state, x_bld, mask_bl)
        y_bld = state[0]
        halt = self.reasoner.halt_logits(y_bld, features.answer_mask(y_bld.shape[1]))
        return StepOutput(state, self.decoder(y_bld[:, :num_outputs]), halt)
