"""What a head's answer costs: FLOPs by the length of the prompt, the workspace, the answer and the steps taken.

Counted once, on an idle clock, at a few lengths each; polynomials through them are exact at every other length, as tokens
and positions meet one another in pairs at most. An equilibrium scheme is the exception: its iterations depend on the
problem, and those of one training problem stand for all.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from hybrid.adapters import Features
from hybrid.eval.cost import ByLength, count_flops, prompt_cost
from hybrid.model import HybridModel
from hybrid.problem import Problem


@dataclass(frozen=True)
class HeadCost:
    """FLOPs of a head and the part of the language model that it reads.

    Args:
        read: of the language model to the deepest layer read, by prompt tokens.
        encode: of the encoder, by positions that it reads.
        step: of a supervision step with its halt head, by the same positions.
        answer: of the decoder for one answer position of a step.
        trajectories: how often each problem is encoded: once for each trajectory of a search.
    """

    read: ByLength
    encode: ByLength
    step: ByLength
    answer: float
    trajectories: int = 1

    def flops(self, *, tokens: int, positions: int, answers: int, steps: int) -> float:
        """Return the FLOPs of a problem asked alone; `steps` are those of all its trajectories."""
        thinking = steps * (self.step.flops(positions) + self.answer * answers)
        return self.read.flops(tokens) + self.trajectories * self.encode.flops(positions) + thinking


@torch.no_grad()
def head_cost(model: HybridModel, problem: Problem, trajectories: int = 1) -> HeadCost:
    """Count the cost of `model`; `problem` gives the longest workspace that is counted, so let it be a long one."""
    features, head, backbone = model.read([problem]), model.head, model.backbone
    longest, device = features.states.shape[1], model.device
    # A search changes the states before each cycle, and so runs them one by one.
    disturb = None if trajectories == 1 else lambda state: state

    def of_length(length: int) -> Features:
        links = None if features.links is None else features.links[:, :length]
        return Features.of(features.states[:, :length], [length], [min(features.most, length)], links)

    def encode(length: int) -> int:
        return count_flops(lambda: head.encode(of_length(length)))

    def step(length: int) -> int:
        workspace = head.encode(of_length(length))
        first = head.step(workspace, head.reasoner.start(workspace.x), disturb=disturb)
        return count_flops(lambda: head.halt(workspace, head.step(workspace, first, disturb=disturb)))

    def read(ids: torch.Tensor) -> torch.Tensor:
        return backbone.run(ids, torch.ones_like(ids, dtype=torch.bool))

    y_bad = torch.zeros(1, 1, model.config.reasoner.width, device=device)
    return HeadCost(
        read=prompt_cost(backbone, read) if backbone.runs else ByLength(0.0),
        encode=ByLength.through(encode, longest),
        step=ByLength.through(step, longest),
        answer=float(count_flops(lambda: head.decoder.read(y_bad))),
        trajectories=trajectories,
    )
