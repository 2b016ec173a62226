"""Quantisation: linear layers in eight or four bits, and what must be known of them.

Holds how bitsandbytes is asked for, how a model's quantisation is found out of its config, and what bitsandbytes gets
wrong or says too often. Loads nothing (loading.py does) and compares nothing (checkpoint.py does).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hybrid.errors import BackboneError

WIDEST_ERROR = 0.15
"""Of four-bit weights drawn from a normal distribution, relative; rounding makes it 0.09."""
NAMES = ("int8", "nf4")
"""What can be asked for; a model that was quantised elsewhere may have others."""
DTYPES = ("float32", "bfloat16", "float16")
"""Precisions of weights that are not quantised."""


def bitsandbytes_config(name: str, dtype: Any) -> Any:
    """Return transformers' config for one of NAMES; products are in `dtype` (nf4), or in eight bits (int8)."""
    from transformers import BitsAndBytesConfig

    if name == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)  # type: ignore[no-untyped-call]
    settings = {"load_in_4bit": True, "bnb_4bit_quant_type": name, "bnb_4bit_compute_dtype": dtype}
    return BitsAndBytesConfig(**settings)  # type: ignore[no-untyped-call]


def name_of(config: Any) -> str | None:
    """Return the quantisation that a model's config names, such as int8, nf4 or gptq-4bit; None for none."""
    settings = _settings(config)
    if not settings:
        return None
    method = str(getattr(settings["quant_method"], "value", settings["quant_method"]))
    if method == "bitsandbytes":
        return "int8" if settings.get("load_in_8bit") else str(settings.get("bnb_4bit_quant_type", "fp4"))
    return f"{method}-{settings['bits']}bit" if "bits" in settings else method


def details(config: Any, dtype: str) -> str:
    """Return the quantisation by name with those of its settings that decide the hidden states; empty for none.

    Args:
        config: of the model.
        dtype: of what is not quantised; products in the same precision are not mentioned.
    """
    settings, name = _settings(config), name_of(config)
    if name is None:
        return ""
    usual: dict[str, Any] = {"bnb_4bit_compute_dtype": dtype} if name != "int8" else {}
    if name in (*NAMES, "fp4"):
        usual |= {"bnb_4bit_use_double_quant": False} if name != "int8" else {"llm_int8_threshold": 6.0}
        said = {field: settings[field] for field in usual if settings.get(field, usual[field]) != usual[field]}
    else:
        said = {
            field: value for field, value in settings.items() if field not in ("quant_method", "bits", "dataset", "tokenizer")
        }
    return f"{name} ({', '.join(f'{field}: {said[field]}' for field in sorted(said))})" if said else name


def _settings(config: Any) -> dict[str, Any]:
    """Return the quantisation part of a model's config as plain data; empty where its weights are plain."""
    found = getattr(config, "quantization_config", None)
    found = found if isinstance(found, dict) or found is None else found.to_dict()
    return {} if not found or found.get("dequantize") else {name: _plain(value) for name, value in found.items()}


def _plain(value: Any) -> Any:
    return str(value).removeprefix("torch.") if isinstance(value, torch.dtype) else value


NOISE = {
    "bitsandbytes.autograd._functions": "inputs will be cast from",
    "bitsandbytes.backends.cpu.ops": "Failed to load CPU gemm_4bit_forward",
}
"""What bitsandbytes says that tells its user nothing, by logger: that int8 reads its inputs in half precision, at every call,
and, when it is imported on some processors, that a kernel of the hub is not there, without which it works too."""


@dataclass(frozen=True)
class Without(logging.Filter):
    """Drops the messages that hold a phrase."""

    phrase: str

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep any other."""
        return self.phrase not in record.getMessage()


def silence() -> None:
    """Drop bitsandbytes' NOISE; best before anything imports it."""
    for name, phrase in NOISE.items():
        logger = logging.getLogger(name)
        if Without(phrase) not in logger.filters:
            logger.addFilter(Without(phrase))


def keep_layout(model: nn.Module) -> None:
    """Keep four-bit layers from the layout that bitsandbytes gives them on some processors at a call without gradient.

    In that layout a layer's weights are no longer those that were loaded, it gives its input no gradient ever after, and some
    sizes make it fail. Layers that are in it already leave it in `state_dict`.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False  # type: ignore[assignment]
    model.state_dict()


def num_bytes(model: nn.Module) -> int:
    """Return the bytes of a model's weights, with the scales of quantised ones; shared weights count once."""
    return sum({tensor.data_ptr() or id(tensor): tensor.nbytes for tensor in model.state_dict().values()}.values())


def check(model: nn.Module, name: str) -> None:
    """Raise BackboneError where bitsandbytes cannot read the model's four-bit layers on the processor.

    Its CPU kernel takes wrong scales for some widths that are no multiple of 64 (0.50 does, at 32, 48, 80, 96, ...).
    """
    layers: list[Any] = [m for m in model.modules() if type(getattr(m, "weight", None)).__name__ == "Params4bit"]
    widths = {layer.in_features for layer in layers if layer.weight.device.type == "cpu"}
    wrong = sorted(width for width in widths if width % 64 and _error(width) > WIDEST_ERROR)
    if wrong:
        raise BackboneError(
            f"bitsandbytes reads four-bit layers of {', '.join(map(str, wrong))} inputs wrongly on a CPU, and {name} has such; "
            "give quantization int8, or a model whose widths are multiples of 64"
        )


def _error(width: int) -> float:
    """Return the relative error of weights of this width that went through four bits."""
    from bitsandbytes import functional

    plain = torch.randn(64, width, generator=torch.Generator().manual_seed(0))
    packed = functional.quantize_4bit(plain, quant_type="nf4")
    return float((functional.dequantize_4bit(*packed) - plain).norm() / plain.norm())


def num_weights(model: nn.Module) -> int:
    """Return the number of weights of a model; two of four bits stand in a byte."""
    packed = [p for p in model.parameters() if type(p).__name__ == "Params4bit"]
    return sum(p.numel() for p in model.parameters()) + sum(p.numel() * (2 * p.element_size() - 1) for p in packed)


@torch.no_grad()
def plain_weight(layer: Any) -> Tensor:
    """Return the weight (out, in) of a linear layer in floating point, unpacked where it is quantised."""
    from accelerate.utils.modeling import align_module_device

    with align_module_device(layer):  # Weights that wait on a disk are fetched.
        weight: Tensor = layer.weight.detach()
        if weight.is_floating_point():
            return weight
        bias: Any = getattr(layer, "bias", None)
        rows: Tensor = layer(torch.eye(layer.in_features, device=weight.device))
        return (rows if bias is None else rows - bias).T
