"""An adapter that a language model wears only while it is asked to.

PEFT's layers are made once and then swapped in and out, so that several methods can share one backbone: outside the `with`
blocks its modules and weights are the very objects that they were. Holds also the embeddings that a method learns beside the
adapter (a pause token, marks around thoughts), and the files of both. Training is run.py's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hybrid.backbone import Backbone, tuner
from hybrid.backbone.tuner import TUNERS
from hybrid.checkpoint import file_digest, whole_file
from hybrid.errors import CheckpointError
from hybrid.kinds import require

EMBEDDINGS = "embeddings.safetensors"


class Adapter:
    """Fresh weights of a tuner for `backbone`, not yet worn.

    Args:
        backbone: whose model wears it.
        config: of a tuner kind.
        seed: of the initial weights.
        num_embeddings: learned embeddings beside it.

    Attributes:
        embeddings: (num_embeddings, h) float32, drawn with the spread of the model's own.
        trainable: all weights that take a gradient, the embeddings last.

    Raises:
        ConfigError: PEFT refuses the config, or it trains weights of the model itself.
    """

    def __init__(self, backbone: Backbone, config: Any, seed: int, num_embeddings: int = 0) -> None:
        from peft.tuners.tuners_utils import BaseTunerLayer

        _refuse_own_weights(config)
        plain = backbone.model
        self._tuned = backbone.reading(None)
        table = plain.get_input_embeddings().weight
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            drawn = torch.randn(num_embeddings, table.shape[1]) * table.detach().float().std().cpu()
            tuner.tune(self._tuned, config, whole=True)
        del plain.peft_config  # PEFT's note that the model wears it.
        self._places: list[tuple[nn.Module, str, Any]] = []
        for name, layer in plain.named_modules():
            if isinstance(layer, BaseTunerLayer):
                parent, _, child = name.rpartition(".")
                self._places.append((plain.get_submodule(parent), child, layer))
        weights = tuner.tuned_parameters(self._tuned)
        self.embeddings = nn.Parameter(drawn.to(table.device))
        self.trainable = nn.ParameterList([*weights, *([self.embeddings] if num_embeddings else [])])
        self._merged: list[tuple[nn.Parameter, Tensor, Tensor]] | None = None
        self._take_out()

    def num_parameters(self) -> int:
        """Return how many weights are trained."""
        return sum(p.numel() for p in self.trainable)

    def train(self, mode: bool) -> None:
        """Turn the adapter's own dropout on or off; the model's stays off."""
        for _, _, layer in self._places:
            layer.train(mode)

    def _take_out(self) -> None:
        for parent, child, layer in self._places:
            setattr(parent, child, layer.base_layer)

    @contextlib.contextmanager
    def attached(self) -> Iterator[None]:
        """Let the model wear the adapter's layers, through which gradients flow."""
        self._merged = None
        for parent, child, layer in self._places:
            setattr(parent, child, layer)
        try:
            yield
        finally:
            self._take_out()

    @contextlib.contextmanager
    def merged(self) -> Iterator[None]:
        """Give the model the weights that merging would give it: then a tuned model costs what the plain one costs.

        They are computed once and kept beside the model's own. A quantised model cannot be merged without loss and wears
        the layers instead.
        """
        bases = [layer.base_layer for _, _, layer in self._places]
        if not all(p.is_floating_point() for base in bases for p in base.parameters()):
            with self.attached():
                yield
            return
        if self._merged is None:
            self._merged = [entry for _, _, layer in self._places for entry in _merge(layer)]
        for parameter, _, new in self._merged:
            parameter.data = new
        try:
            yield
        finally:
            for parameter, old, _ in self._merged:
                parameter.data = old

    def save(self, folder: Path) -> dict[str, str]:
        """Write the adapter as PEFT does, and the embeddings; return the files' digests."""
        from safetensors.torch import save

        with self.attached():
            files = tuner.files(self._tuned)
        if self.embeddings.numel():
            files[EMBEDDINGS] = save({"embeddings": self.embeddings.detach().cpu()})
        digests = {}
        for name, content in files.items():
            with whole_file(folder / name) as work:
                work.write_bytes(content)
            digests[name] = file_digest(folder / name)
        return digests

    def load(self, folder: Path, digests: dict[str, str]) -> None:
        """Read what `save` wrote; raise CheckpointError where a file is missing or another than it wrote."""
        from safetensors.torch import load_file

        for name, digest in digests.items():
            if not (folder / name).is_file() or file_digest(folder / name) != digest:
                raise CheckpointError(f"{folder / name} is damaged; restore it, or train again in another folder")
        with self.attached():
            tuner.restore(self._tuned, tuner.read(folder))
        if self.embeddings.numel():
            self.embeddings.data.copy_(load_file(folder / EMBEDDINGS)["embeddings"])


def _refuse_own_weights(config: Any) -> None:
    """Raise ConfigError for settings with which PEFT would train, or wrap, weights of the model itself."""
    wanted = TUNERS.build(config).peft_config()
    for name, allowed in (("modules_to_save", None), ("trainable_token_indices", None), ("bias", "none")):
        value = getattr(wanted, name, allowed)
        require(value == allowed, f"tuner.{name} is {value!r}: the model itself must stay as it is here; leave it out")


@torch.no_grad()
def _merge(layer: Any) -> list[tuple[nn.Parameter, Tensor, Tensor]]:
    """Return (parameter, its own tensor, the merged one) of every parameter that merging `layer` changes."""
    own = [(parameter, parameter.data) for parameter in layer.base_layer.parameters()]
    layer.merge(safe_merge=True)  # Into copies.
    found = [(p, old, p.data) for p, old in own if p.data.data_ptr() != old.data_ptr()]
    for parameter, old in own:
        parameter.data = old
    layer.merged_adapters.clear()
    return found
