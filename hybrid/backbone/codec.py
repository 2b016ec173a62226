"""Codecs: how the states of a language model are kept. A head is trained on what its codec gives back, live or from a cache.

LayerNorm comes first, as in every encoder's layer mix, so that a scale for each token and layer is enough for eight bits.
The embedding layer, where it is a look-up, is kept as token ids (language_model.py). PCA: of each layer's normalised states.

Shapes: p positions, k layers, h channels of the model, c channels kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from hybrid.backbone.fingerprint import tensors_digest
from hybrid.errors import ConfigError
from hybrid.kinds import Kinds, require

READER = "reader."
"""Before the names of what a codec learned, in the file of a head."""
FITTED_TO = 256
"""Prompts that a codec is fitted to."""
Layers = slice | list[int]
"""Places of states among the layers that were fitted."""

Packed = dict[str, Tensor]
"""What is kept of a prompt: tensors whose first dimension is its positions."""


class Codec:
    """Base of the family, built as cls(config).

    Args:
        learned: what was fitted to the first prompts, by name; kept with the head.
    """

    lossless = False

    def __init__(self, config: object) -> None:
        self.config = config
        self.learned: dict[str, Tensor] = {}

    @property
    def fitted(self) -> bool:
        """Whether there is nothing left to fit."""
        return True

    @property
    def identity(self) -> list[Any]:
        """What tells its output from another codec's: kind, settings, and a digest of what was fitted."""
        return [CODECS.to_dict(self.config), tensors_digest(sorted(self.learned.items())) if self.learned else ""]

    def channels(self, hidden_size: int) -> int:
        """Return c for a model of so many channels."""
        return hidden_size

    def bytes_a_state(self, hidden_size: int, itemsize: int) -> int:
        """Return the bytes of one layer's state of one token; `itemsize` is that of the model's numbers."""
        return self.channels(hidden_size) + 2

    def fit(self, states: Sequence[Tensor]) -> None:
        """Learn from the states (p, k, h) of some prompts."""

    def reduced(self, states_pkh: Tensor, layers: Layers) -> Tensor:
        """Return normalised states of the chosen `layers`, (p, k, c) float32."""
        return F.layer_norm(states_pkh.float(), states_pkh.shape[-1:])

    def pack(self, states_pkh: Tensor, layers: Layers = slice(None)) -> Packed:
        """Return what is kept of the states; `layers` are theirs among those that were fitted."""
        kept_pkc = self.reduced(states_pkh, layers)
        scale_pk = (kept_pkc.abs().amax(-1) / 127).clamp(min=1e-6).half()
        return {"codes": (kept_pkc / scale_pk[..., None].float()).round().clamp(-127, 127).to(torch.int8), "scales": scale_pk}

    def unpack(self, packed: Packed, dtype: torch.dtype) -> Tensor:
        """Return the states (p, k, c) that were kept."""
        return (packed["codes"].float() * packed["scales"][..., None].float()).to(dtype)


CODECS: Kinds[Codec] = Kinds("codec")


@CODECS.register("raw")
class Raw(Codec):
    """The states as they come."""

    lossless = True

    @dataclass(frozen=True)
    class Config:
        """No fields."""

    def bytes_a_state(self, hidden_size: int, itemsize: int) -> int:
        """See Codec.bytes_a_state."""
        return hidden_size * itemsize

    def pack(self, states_pkh: Tensor, layers: Layers = slice(None)) -> Packed:
        """See Codec.pack."""
        return {"states": states_pkh}

    def unpack(self, packed: Packed, dtype: torch.dtype) -> Tensor:
        """See Codec.unpack."""
        return packed["states"]


@CODECS.register("int8")
class Int8(Codec):
    """Normalised states in eight bits, a scale for each token and layer."""

    @dataclass(frozen=True)
    class Config:
        """No fields."""


@CODECS.register("projected")
class Projected(Codec):
    """The first principal components of each layer, fitted to the first prompts, in eight bits."""

    @dataclass(frozen=True)
    class Config:
        """Args: num_channels: c, components kept of each layer; of a model with fewer channels, all."""

        num_channels: int = 128

        def __post_init__(self) -> None:
            require(self.num_channels >= 1, f"codec.num_channels is {self.num_channels}; give at least 1")

    config: Config

    @property
    def fitted(self) -> bool:
        """See Codec.fitted."""
        return bool(self.learned)

    def channels(self, hidden_size: int) -> int:
        """See Codec.channels."""
        return min(self.config.num_channels, hidden_size)

    def fit(self, states: Sequence[Tensor]) -> None:
        """See Codec.fit: the mean and the components of largest variance of each layer."""
        normal_pkh = super().reduced(torch.cat([row.cpu() for row in states]), slice(None)).double()
        mean_kh = normal_pkh.mean(0)
        centred_kph = (normal_pkh - mean_kh).transpose(0, 1)
        _, vectors_khh = torch.linalg.eigh(centred_kph.mT @ centred_kph)  # In ascending order.
        components_khc = vectors_khh[..., -self.config.num_channels :].flip(-1)
        self.learned = {"mean": mean_kh.float(), "components": components_khc.float().contiguous()}

    def reduced(self, states_pkh: Tensor, layers: Layers) -> Tensor:
        """See Codec.reduced; raises ConfigError before the fit."""
        if not self.learned:
            raise ConfigError("the projection is not fitted yet; train the head, or call model.fit_reader(problems)")
        mean_kh, components_khc = (self.learned[name][layers].to(states_pkh.device) for name in ("mean", "components"))
        centred_pkh = super().reduced(states_pkh, layers) - mean_kh
        return torch.einsum("pkh,khc->pkc", centred_pkh, components_khc)
