"""Loading: a transformers model and its tokenizer out of a folder, in the precision that was asked for.

Where the folder comes from is default.py's; what is read of the model is language_model.py's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from hybrid.backbone import quantization
from hybrid.errors import BackboneError


def load_tokenizer(folder: Path) -> Any:
    """Return the tokenizer in a folder; raise BackboneError where transformers cannot load it."""
    return _load("AutoTokenizer", folder)


def load_model(folder: Path, dtype: str, quantized: str | None, device_map: str | None) -> Any:
    """Return the model in a folder.

    Args:
        folder: as transformers saves it.
        dtype: precision of the weights that are not quantised; see BackboneConfig.
        quantized: one of quantization.NAMES, or None for the weights as they are in the folder.
        device_map: "auto" spreads the model over the devices and the memory that there are; None leaves it whole.

    Raises:
        BackboneError: transformers cannot load it, or the folder holds weights in another quantisation.
    """
    config = _load("AutoConfig", folder)
    there = quantization.name_of(config)
    if quantized is not None and there not in (None, quantized):
        raise BackboneError(
            f"{folder} holds weights in {there}, which cannot be made {quantized}; give the model that it was made from"
        )
    wanted: Any = dtype if dtype == "auto" else getattr(torch, dtype)
    options: dict[str, Any] = {} if device_map is None else {"device_map": device_map}
    quantization.silence()
    if quantized is not None or there in quantization.NAMES:  # Cannot be cast afterwards.
        wanted = torch.float32 if wanted == "auto" and _is_emulated(config.dtype) else wanted
    if quantized is not None and there is None:
        wanted = config.dtype or torch.float32 if wanted == "auto" else wanted
        options["quantization_config"] = quantization.bitsandbytes_config(quantized, wanted)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # What the files lack (a pooler, say) must be the same at every load.
        model = _load(_model_class(config), folder, dtype=wanted, **options)
    if dtype == "auto" and not getattr(model, "is_quantized", False) and _is_emulated(model.dtype):
        model.float()
    return model


def _is_emulated(dtype: torch.dtype | None) -> bool:
    """Say whether a model of this half precision stays on an x86 processor that has no units for it."""
    can: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    name = {torch.bfloat16: "bf16", torch.float16: "fp16"}.get(dtype)  # type: ignore[arg-type]
    if name is None or torch.accelerator.is_available():
        return False
    return can.get("architecture") == "x86_64" and not (can.get(f"avx512_{name}") or can.get(f"amx_{name}"))


def _model_class(config: Any) -> str:
    """Return the name of the transformers class to load a model with: the one that it was saved from, where known."""
    import transformers
    from transformers.models.auto import modeling_auto

    for name in config.architectures or ():
        kind = getattr(transformers, str(name), None)
        if isinstance(kind, type) and issubclass(kind, transformers.PreTrainedModel):
            return str(name)
    for mapping, name in (
        (modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING, "AutoModelForSeq2SeqLM"),
        (modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING, "AutoModelForCausalLM"),
    ):
        if type(config) in mapping:
            return name
    return "AutoModel"


def _load(loader: str, folder: Path, **options: Any) -> Any:
    import transformers

    bars = transformers.logging.is_progress_bar_enabled()
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        return getattr(transformers, loader).from_pretrained(str(folder), local_files_only=True, **options)
    except Exception as error:  # transformers, safetensors and json raise many kinds for damaged or foreign files.
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BackboneError(f"transformers cannot load {folder}: {reason}") from error
    finally:
        if bars:
            transformers.logging.enable_progress_bar()  # type: ignore[no-untyped-call]
