"""The product of a linear layer, by the library that computes it fastest here.

torch computes float32 products on x86 processors by MKL, which leaves the 512-bit units of AMD's idle; oneDNN, which torch
uses for bfloat16, takes them for float32 too: 1.6 to 2.3 times the rate on an EPYC with AVX-512. Which one it is follows
from processor, dtype and size alone, so that a run that resumes computes the same bits.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FEWEST_ROWS = 256
"""Products of fewer rows stay torch's own: there is little to win."""


def onednn_is_faster() -> bool:
    """Say whether oneDNN's float32 products are faster than torch's own on this processor."""
    can: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    amd = "AMD" in can.get("cpu_name", "") and bool(can.get("avx512_f"))
    return amd and bool(torch.backends.mkldnn.enabled) and hasattr(torch.ops.mkldnn, "_linear_pointwise")


FASTER = onednn_is_faster()


def by_onednn(x: Tensor) -> bool:
    """Say whether the product of rows `x` (..., in) goes to oneDNN."""
    suits = x.device.type == "cpu" and x.dtype == torch.float32 and x.numel() >= FEWEST_ROWS * x.shape[-1]
    return suits and not torch.is_autocast_enabled("cpu") and FASTER


@torch.library.custom_op("hybrid::onednn_product", mutates_args=(), schema="(Tensor x, Tensor weight) -> Tensor")
def onednn_product(x: Tensor, weight: Tensor) -> Tensor:
    """Return x weight^T (..., out) of rows (..., in) and a weight (out, in), float32; an operator of torch's like others."""
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
    return out


@onednn_product.register_fake
def _(x: Tensor, weight: Tensor) -> Tensor:
    return x.new_empty(*x.shape[:-1], weight.shape[0])


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
    x, weight = ctx.saved_tensors
    for_x = onednn_product(gradient, weight.t()) if ctx.needs_input_grad[0] else None
    rows, sources = gradient.flatten(0, -2), x.flatten(0, -2)
    for_weight = onednn_product(rows.t(), sources.t()) if ctx.needs_input_grad[1] else None
    return for_x, for_weight


onednn_product.register_autograd(_backward, setup_context=_keep)


class Linear(nn.Linear):
    """torch's linear layer without bias; its product may be oneDNN's."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__(width_in, width_out, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., width_in) to (..., width_out)."""
        out: Tensor = onednn_product(x, self.weight) if by_onednn(x) else F.linear(x, self.weight)
        return out
