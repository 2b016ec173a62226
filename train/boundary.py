"""The boundary between a tuned language model and the reasoner: one way through the model for all supervision steps.

The model runs once a batch with gradient. Its features are cut off as a leaf; every supervision step back-propagates
into that leaf, and when the problems of the batch have ended, the sum goes back once through the model. Memory is one
graph of the model and one cycle of the recursion, whatever the number of supervision steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from accelerate import Accelerator
from torch import Tensor

from hybrid.backbone import Backbone, tuner
from hybrid.kinds import require
from hybrid.recursion.block import at_least_float32
from hybrid.train.config import TrainConfig
from hybrid.train.dataset import Batch, Dataset
from hybrid.train.optimizer import clip


class Boundary:
    """A tuned backbone in training: its optimizer, and the batch that is on its way."""

    def __init__(self, backbone: Backbone, config: TrainConfig, accelerator: Accelerator) -> None:
        scaled = getattr(accelerator, "mixed_precision", "no") == "fp16"
        require(not scaled, "mixed_precision fp16 scales the loss, which a tuned language model cannot take; give bf16 or no")
        self.backbone, self.accelerator = backbone, accelerator
        self.parameters = tuner.tuned_parameters(backbone)
        self.learning_rate = config.backbone_learning_rate
        self.optimizer = torch.optim.AdamW(self.parameters, lr=self.learning_rate, weight_decay=0.0)
        if config.gradient_checkpointing:
            model = backbone.model
            enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
            enable({"use_reentrant": False})
        self.output = self.leaf = torch.empty(0)

    @contextmanager
    def training(self) -> Iterator[None]:
        """Let dropout and gradient checkpointing work, which do in training only; recomputing asks for the same mode."""
        self.backbone.model.train()
        try:
            yield
        finally:
            self.backbone.model.eval()

    def read(self, data: Dataset, indices: Sequence[int], num_positions: int | None = None) -> Batch:
        """Run the model with gradient on some problems; the features of the batch, as `data.batch` pads them, are a leaf."""
        with self.training():
            batch = data.batch(indices, num_positions).to(self.accelerator.device)
        self.output = batch.features.states
        self.leaf = at_least_float32(self.output.detach()).clone().requires_grad_()  # Gradients of many steps add up in it.
        return replace(batch, features=replace(batch.features, states=self.leaf))

    def go_back(self) -> None:
        """Send the gradient that the leaf has gathered back through the model, and drop its graph."""
        assert self.leaf.grad is not None
        with self.training():
            self.output.backward(self.leaf.grad.to(self.output.dtype))  # type: ignore[no-untyped-call]
        self.output = self.leaf = torch.empty(0)

    def learn(self, share: float, max_norm: float | None) -> None:
        """Go back with what the leaf has gathered and take a step.

        Args:
            share: of the learning rate that holds now, 0 to 1.
            max_norm: gradients are clipped to this norm; None for not at all.
        """
        if self.leaf.grad is None:
            return
        self.go_back()
        if self.accelerator.num_processes > 1:
            for parameter in self.parameters:
                gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                parameter.grad = self.accelerator.reduce(gradient, "mean")
        clip(self.parameters, max_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = share * self.learning_rate
        self.optimizer.step()
        self.optimizer.zero_grad()

    def state_dict(self) -> dict[str, Tensor]:
        """Return what a resumed run needs, as tensors on the CPU: the tuner's weights and its moments."""
        state = {f"weight|{i}": parameter.detach() for i, parameter in enumerate(self.parameters)}
        for i, parameter in enumerate(self.parameters):
            state |= {f"moment|{i}|{kind}": moment for kind, moment in self.optimizer.state.get(parameter, {}).items()}
        return {name: tensor.cpu().contiguous().clone() for name, tensor in state.items()}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on where `state_dict` was taken."""
        self.optimizer.state.clear()
        for name, tensor in state.items():
            part, index, *kind = name.split("|")
            parameter = self.parameters[int(index)]
            if part == "weight":
                parameter.copy_(tensor)
            else:
                self.optimizer.state[parameter][kind[0]] = tensor.clone() if tensor.ndim == 0 else tensor.to(parameter.device)
