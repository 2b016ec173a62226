"""The boundary between a tuned language model and the reasoner: one way through the model for all supervision steps.

The model runs once a batch with gradient. Its features are cut off as a leaf; every supervision step back-propagates
into that leaf, and when the problems of the batch have ended, the sum goes back once through the model. Memory is one
graph of the model and one cycle of the recursion, whatever the number of supervision steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from accelerate import Accelerator

from hybrid import tuner
from hybrid.backbone import Backbone
from hybrid.train.dataset import Batch, Dataset


class Boundary:
    """A tuned backbone in training: its optimizer, and the batch that is on its way."""

    def __init__(self, backbone: Backbone, learning_rate: float, accelerator: Accelerator) -> None:
        self.backbone, self.accelerator = backbone, accelerator
        self.parameters = tuner.tuned_parameters(backbone)
        self.optimizer = torch.optim.AdamW(self.parameters, lr=learning_rate, weight_decay=0.0)
        self.learning_rate = learning_rate
        self.output = self.leaf = torch.empty(0)

    def read(self, data: Dataset, indices: Sequence[int]) -> Batch:
        """Run the model with gradient on some problems; the features of the batch (b, p, k, h) are a leaf."""
        self.backbone.model.train()  # Dropout of the tuner, and gradient checkpointing, which works in training only.
        try:
            batch = data.batch(indices).to(self.accelerator.device)
        finally:
            self.backbone.model.eval()
        self.output = batch.features.states
        self.leaf = self.output.detach().requires_grad_()
        return replace(batch, features=replace(batch.features, states=self.leaf))

    def learn(self, share: float, max_norm: float) -> None:
        """Send the gradient that the leaf has gathered back through the model and take a step.

        Args:
            share: of the learning rate that holds now, 0 to 1.
            max_norm: gradients are clipped to this norm.
        """
        if self.leaf.grad is None:
            return
        self.output.backward(self.leaf.grad)  # type: ignore[no-untyped-call]
        self.output = self.leaf = torch.empty(0)
        if self.accelerator.num_processes > 1:
            for parameter in self.parameters:
                gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                parameter.grad = self.accelerator.reduce(gradient, "mean")
        torch.nn.utils.clip_grad_norm_(self.parameters, max_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = share * self.learning_rate
        self.optimizer.step()
        self.optimizer.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs: the tuner's weights and its optimizer."""
        return {"tuner": tuner.state(self.backbone), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        tuner.restore(self.backbone, state["tuner"])
        self.optimizer.load_state_dict(state["optimizer"])
