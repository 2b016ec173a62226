"""The head: all that trains outside the backbone - encoder adapter, reasoner, decoder adapter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hybrid.adapters import DECODERS, ENCODERS, Features
from hybrid.adapters.decoder import Vocabulary
from hybrid.adapters.targets import Goal
from hybrid.config import HybridConfig
from hybrid.recursion.block import Block, linear, rms_norm
from hybrid.recursion.cycle import State
from hybrid.recursion.losses import AnswerLoss
from hybrid.recursion.reasoner import Reasoner
from hybrid.recursion.workspace import Workspace


class StepOutput(NamedTuple):
    """What one supervision step gives; a tuple, in which torch's wrappers for many processes find the tensors.

    Args:
        state: tensors (b, l, d), with gradient as the gradient scheme says.
        halt: halt logits (b, k), float32.
        loss: of each row's answer (b,), and `right`, whether it is the whole final answer, (b,) bool; None without a goal.
        penalty: what the gradient scheme adds to the loss, a scalar; None for nothing.
    """

    state: State
    halt: Tensor
    loss: Tensor | None = None
    right: Tensor | None = None
    penalty: Tensor | None = None


class Head(nn.Module):
    """Features in, one supervision step at a time, answers and their scores out."""

    def __init__(self, config: HybridConfig, num_layers: int, backbone_width: int, vocabulary: Vocabulary) -> None:
        super().__init__()
        width = config.reasoner.width
        self.encoder = ENCODERS.build(config.encoder, num_layers, backbone_width, width)
        self.reasoner = Reasoner(config.reasoner)
        self.decoder = DECODERS.build(config.decoder, width, config.symbols, vocabulary)
        more = range(1, self.encoder.num_word_labels)
        self.views = nn.ModuleList(linear(width, width) for _ in more)  # From a state to what reads its further labels.
        self.reads_memory = any(module.reads_memory for module in self.modules() if isinstance(module, Block))

    def start(self, features: Features) -> State:
        """Return initial states for the workspace of these features; runs the encoder without gradient for its shape."""
        return self.reasoner.start(self.encode(features).x.detach())

    def encode(self, features: Features) -> Workspace:
        """Return the workspace, scaled as the encoder asks; a memory that no block reads is left out."""
        workspace: Workspace = replace(self.encoder(features), prompt=features.prompt)
        memory = workspace.memory if self.reads_memory else None
        if not self.encoder.normalise:
            return replace(workspace, memory=memory)
        memory = None if memory is None else replace(memory, states=rms_norm(memory.states))
        return replace(workspace, x=rms_norm(workspace.x), memory=memory)

    def forward(self, features: Features, state: State, goal: Goal | None = None, loss: AnswerLoss | None = None) -> StepOutput:
        """Run one supervision step, and score its answer by `loss` against a goal."""
        workspace = self.encode(features)
        state = self.step(workspace, self.reasoner.fit(state, workspace.x))
        scored: tuple[Tensor | None, Tensor | None] = (None, None)
        if goal is not None and loss is not None:
            labels = 1 + len(self.views)
            y_bod = workspace.answers(state[0], goal.labels.shape[1] // labels)
            goal = goal.first(y_bod.shape[1], labels)
            seen_bod = torch.cat([y_bod, *(view(y_bod) for view in self.views)], 1) if self.views else y_bod
            scored = self.decoder.score(seen_bod, goal, loss, workspace.prompt)
        return StepOutput(state, self.halt(workspace, state), *scored, self.reasoner.gradient.penalty)

    def step(self, workspace: Workspace, state: State, *, disturb: Callable[[State], State] | None = None) -> State:
        """Run one supervision step on a workspace; `disturb` changes the states before each cycle."""
        return self.reasoner.step(state, workspace, disturb=disturb)

    def halt(self, workspace: Workspace, state: State) -> Tensor:
        """Return the halt logits (b, k), float32."""
        return self.reasoner.halt_logits(workspace.summary(state[0]))

    def thoughts(self, workspace: Workspace, state: State) -> Tensor:
        """Return what the slots right behind each row's answer say, which were taught worked steps, (b, t) int64."""
        if not self.encoder.num_thoughts:
            return workspace.num_answers.new_empty(len(workspace.x), 0)
        place_bt = workspace.num_answers[:, None] + torch.arange(self.encoder.num_thoughts, device=state[0].device)
        y_bod = workspace.answers(state[0], state[0].shape[1])
        return self.decoder.read(y_bod.gather(1, place_bt[..., None].expand(-1, -1, y_bod.shape[2])))

    def word_labels(self, workspace: Workspace, state: State, first: int) -> Tensor:
        """Return what the positions behind the `first` ones say, once for each label that a word can have, (b, p, v) int64."""
        y_bpd = workspace.answers(state[0], state[0].shape[1])[:, first:]
        return torch.stack([self.decoder.read(each) for each in (y_bpd, *(view(y_bpd) for view in self.views))], -1)

    def read(self, workspace: Workspace, state: State, count: int) -> Tensor:
        """Return the answers of the first `count` positions as the decoder's places, (b, count) int64."""
        return self.decoder.read(workspace.answers(state[0], count), workspace.prompt)
