"""Taps: hidden states read off a transformers model while it runs.

State 0 is the embedding layer's output, state k that of layer k, the last one the model's output behind its final norm:
transformers' own `hidden_states`. What differs between families comes from transformers' interfaces: which part reads
text, which modules are layers, which inputs they take.

Shapes: b batch, s tokens, h width.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from hybrid.errors import BackboneError


class _Enough(Exception):
    """Raised inside the forward pass once the deepest wanted layer is there."""


def text_body(model: Any) -> Any:
    """Return the part of a transformers model that reads text: its decoder, or the encoder of an encoder-decoder.

    Raises:
        BackboneError: the model reads no token ids.
    """
    model = getattr(model, "get_base_model", lambda: model)()  # PEFT's wrapper: its layers are inside the model.
    for part in (model.get_encoder() if model.config.is_encoder_decoder else _innermost_decoder(model), model.base_model):
        if "input_ids" in inspect.signature(part.forward).parameters:
            return part
    raise BackboneError(f"{type(model).__name__} reads no token ids; give a language model or a text encoder")


def _innermost_decoder(model: Any) -> Any:
    inner = model.get_decoder() if hasattr(model, "get_decoder") else model
    if inner is model and hasattr(model, "get_output_embeddings") and model.get_output_embeddings() is not None:
        # A head whose body transformers does not name: the child that is a model itself.
        inner = next((child for child in model.children() if hasattr(child, "get_decoder")), model)
    return model if inner is model else _innermost_decoder(inner)


def layer_modules(body: Any) -> list[nn.Module]:
    """Return the layers of a body in their order; none where transformers does not mark them as layers."""
    from transformers.modeling_layers import GradientCheckpointingLayer

    declared = getattr(body, "can_record_outputs", {}).get("hidden_states", [])
    kinds = [getattr(spec, "target_class", spec) for spec in (declared if isinstance(declared, list) else [declared])]
    marked = (GradientCheckpointingLayer, *(kind for kind in kinds if isinstance(kind, type)))
    lists = [m for m in body.modules() if isinstance(m, nn.ModuleList)]
    inside = {id(each) for modules in lists for part in modules for each in part.modules()}
    # A list inside a list is one layer's own: experts, or the layers of a group that is run several times.
    outer = [list(m) for m in lists if id(m) not in inside and all(isinstance(each, marked) for each in m)]
    expected = getattr(getattr(body, "config", None), "num_hidden_layers", None)
    return max(outer, key=lambda found: (len(found) == expected, len(found)), default=[])


def whole_rows(model: Any) -> None:
    """Let the output matrix of a model get its states in one piece.

    It is asked about the last few positions, a slice of the states, for which torch copies the matrix once for each row of a
    batch: 5 s in place of 9 ms for 25 rows of SmolLM2 in bfloat16 on one core.
    """
    output = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    if isinstance(output, nn.Module) and _in_one_piece not in output._forward_pre_hooks.values():
        output.register_forward_pre_hook(_in_one_piece)


def _in_one_piece(module: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(each.contiguous() if isinstance(each, Tensor) else each for each in given)


def read_states(
    body: Any, modules: Sequence[nn.Module], layers: Sequence[int], input_ids: Tensor, mask: Tensor, past: Any = None
) -> list[Tensor]:
    """Run a body and return the chosen states, each (b, s, h).

    The pass ends at the deepest chosen layer. A model without marked layers runs whole.

    Args:
        body: from `text_body`.
        modules: its layers, from `layer_modules`.
        layers: chosen layers, 0 the embedding layer.
        input_ids: (b, s) int64, padded on the right.
        mask: (b, s) bool.
        past: transformers' cache of tokens before, which it is filled with; the mask is then (b, before + s).

    Raises:
        BackboneError: the model's states are not one vector a token, or not finite in its precision.
    """
    inputs: dict[str, Any] = {"input_ids": input_ids, "attention_mask": mask.long(), "use_cache": past is not None}
    inputs |= {} if past is None else {"past_key_values": past}
    accepted = inspect.signature(body.forward).parameters
    inputs = {name: value for name, value in inputs.items() if name in accepted}
    states = _tapped(lambda: body(**inputs).last_hidden_state, modules, layers)
    if not states.keys() >= set(layers):  # Layers unmarked, or run out of our sight: transformers' own collection, whole.
        states = dict(enumerate(body(**inputs, output_hidden_states=True).hidden_states or ()))
    chosen = [states[layer][:, : input_ids.shape[1]] if layer in states else None for layer in layers]
    widths = {state.shape[-1] for state in chosen if state is not None}
    if any(state is None or state.ndim != 3 or state.shape[:2] != input_ids.shape for state in chosen) or len(widths) > 1:
        found = {layer: tuple(states[layer].shape) for layer in layers if layer in states}
        raise BackboneError(f"{type(body).__name__} gives states of the shapes {found}; choose layers with one vector a token")
    kept = [state.to(input_ids.device) for state in chosen if state is not None]
    if not torch.is_grad_enabled():  # A tuner that is being trained is judged by its loss.
        _check_finite(body, layers, kept, mask[:, -input_ids.shape[1] :])
    return kept


def _check_finite(body: Any, layers: Sequence[int], states: Sequence[Tensor], mask: Tensor) -> None:
    for layer, state in zip(layers, states, strict=True):
        if not bool(state.isfinite().all(-1)[mask].all()):
            dtype = str(state.dtype).removeprefix("torch.")
            half = "load the language model in bfloat16 or float32 (--backbone.dtype, or --precision of a trained head)"
            raise BackboneError(
                f"the states of layer {layer} of {type(body).__name__} are not finite in {dtype}: "
                f"{'its weights may be damaged, get the model anew' if dtype == 'float32' else half}, or read layers before it "
                "(--backbone.layers)"
            )


def _tapped(run: Callable[[], Tensor], modules: Sequence[nn.Module], layers: Sequence[int]) -> dict[int, Tensor]:
    if not modules:
        return {}
    deepest = max(layers)
    with _taps(modules, layers, deepest if deepest < len(modules) else None) as seen:
        try:
            seen[len(modules)] = run()
        except _Enough:
            pass
    return seen


@contextmanager
def _taps(modules: Sequence[nn.Module], layers: Sequence[int], last: int | None) -> Iterator[dict[int, Tensor]]:
    """Collect the input of each chosen layer; end the forward pass at layer `last`."""
    seen: dict[int, Tensor] = {}

    def tap(index: int) -> Any:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            seen.setdefault(index, args[0] if args else kwargs["hidden_states"])  # Looped layers: the first time.
            if index == last:
                raise _Enough

        return hook

    handles = [modules[i].register_forward_pre_hook(tap(i), with_kwargs=True) for i in set(layers) if i < len(modules)]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
