"""HybridModel: a frozen language model with a reasoner attached. The public face of the package.

    text -> ids -> hidden states of chosen layers -> workspace -> recursion -> answer text

Holds no training (train/) and no benchmark (eval/).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hybrid import checkpoint
from hybrid.adapters import DECODERS, ENCODERS
from hybrid.backbone import Backbone, tuner
from hybrid.backbone.codec import READER
from hybrid.backbone.fingerprint import weights_digest
from hybrid.backbone.quantization import NAMES, num_weights
from hybrid.backbone.tuner import tune
from hybrid.card import push, summary
from hybrid.config import HybridConfig
from hybrid.head import Head
from hybrid.inference.answering import Answering
from hybrid.kinds import require
from hybrid.matching import as_trained, beside, check_precision, find, in_precision, is_name
from hybrid.recursion.block import Network
from hybrid.recursion.halting import HALTING

MAP, CUE = "decoder.out.weight", "decoder.cue"
"""Names of the map to the language model's embeddings, and of the cue behind a draft, in a head whose decoder has them."""
SLOTS = "encoder.slots.table"
"""Name of the answer slots' weights in a head whose encoder has them."""


class HybridModel(Answering):
    """A backbone and the head attached to it. Its parameters are the head's: the backbone stays outside."""

    def __init__(self, backbone: Backbone, config: HybridConfig) -> None:
        super().__init__()
        quantized: Any = backbone.quantization if backbone.quantization in NAMES else None
        own = replace(config.backbone, name=backbone.name, layers=backbone.layers, quantization=quantized)
        self.config = replace(config, backbone=own)
        object.__setattr__(self, "backbone", backbone)  # No submodule: state_dict() and parameters() are the head's.
        self.backbone: Backbone
        self.head = Head(self.config, len(backbone.layers), backbone.width, backbone).to(backbone.device)
        backbone.prepare((), None if self.head.encoder.reads == "tokens" else ())  # Tells of a tokenizer with wrong offsets.
        object.__setattr__(self, "_heads", {"default": (backbone, self.config, self.head)})
        self._heads: dict[str, tuple[Backbone, HybridConfig, Head]]
        self.started_from: str | None = None
        self.trained_config: HybridConfig | None = None  # Before halt_by, for a run that goes on.

    def to(self, *args: Any, **kwargs: Any) -> HybridModel:
        """Move head and backbone, as torch.nn.Module.to does; the backbone keeps its precision, and its places if several."""
        super().to(*args, **kwargs)
        self.backbone.to(self.device)
        return self

    def cuda(self, device: Any = None) -> HybridModel:
        """Move head and backbone to a GPU; see `to`."""
        return self.to(torch.device("cuda", torch.cuda.current_device()) if device is None else device)

    def cpu(self) -> HybridModel:
        """Move head and backbone to the processor; see `to`."""
        return self.to("cpu")

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the head's network, as torch.nn.Module.compile does; the language model and the loops are not compiled."""
        for network in (module for module in self.head.modules() if isinstance(module, Network)):
            network.compile(*args, **kwargs)

    def __repr__(self) -> str:
        return summary(self.config, self.backbone, self.head.reasoner, self.get_nb_trainable_parameters())

    def num_trainable_parameters(self) -> int:
        """Return the number of weights that train, in head and tuner."""
        return self.get_nb_trainable_parameters()[0]

    def save_pretrained(self, folder: str | Path) -> None:
        """Write head and config to `folder` (config.json, head.safetensors), and a tuner as PEFT does; never the backbone.

        Raises:
            StorageError: the folder cannot be written; what was there stays as it was.
        """
        self.save_head(self.head, folder)

    def push_to_hub(
        self,
        repository: str,
        *,
        figures: Mapping[str, Any] | None = None,
        license: str | None = None,
        private: bool | None = None,
        token: str | None = None,
    ) -> str:
        """Upload head, config, tuner and a model card to the hub; return the address of the commit.

        Args:
            repository: hub id, made where it is not there.
            figures, license: for the card: what was measured, and the hub's short name of a licence.
            private, token: of a repository that is made now, and of the hub; None takes the one of `hf auth login`.
        """
        return push(self, repository, figures=figures, license=license, private=private, token=token)

    def save_head(self, head: Head, folder: str | Path) -> None:
        """Write `head`, which has this model's config, as `save_pretrained` writes the own one."""
        learned = {READER + name: tensor for name, tensor in self.backbone.codec.learned.items()}
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in (head.state_dict() | learned).items()}
        further = tuner.files(self.backbone, self.config.backbone.revision) if self.backbone.tuned else {}
        checkpoint.save(Path(folder), self.config.to_dict(), self.backbone.fingerprint, tensors, further)

    @classmethod
    def from_pretrained(
        cls, folder: str | Path, *, backbone: Any = None, tokenizer: Any = None, precision: str | None = None
    ) -> HybridModel:
        """Load a head and the backbone that it was made for.

        Args:
            folder: folder written by `save_pretrained`, or a hub id of one.
            backbone: loaded transformers model, Backbone, or a name to use instead of the saved one.
            tokenizer: its tokenizer, where `backbone` is a loaded model.
            precision: float32, bfloat16, float16, int8 or nf4, to use the head with its backbone in that precision, also where
                it was trained on another, of which a warning then tells; None takes the trained one alone.

        Raises:
            CheckpointError: files are missing, damaged or do not fit.
            BackboneError: the backbone is not found, or is not the one that the head was made for.
        """
        saved = checkpoint.load(folder)
        config = HybridConfig.from_dict(saved.config)
        if backbone is None:
            config = beside(config, saved.folder)
        else:  # The saved revision is the saved name's.
            config = replace(config, backbone=replace(config.backbone, revision=None))
        wanted = as_trained(config, saved.fingerprint)
        if precision is not None and is_name(backbone):
            config = wanted = in_precision(wanted, precision)
        found = find(backbone, tokenizer, wanted)
        if precision is not None:
            check_precision(found, precision)
        checkpoint.check_backbone(saved.fingerprint, found.fingerprint, found.name, moved=precision is not None)
        if config.tuner is not None:
            tuner.load(found, saved.folder)
        model = cls(found, config)
        model.restore(saved.tensors, folder)
        return model

    def restore(self, tensors: Mapping[str, Tensor], folder: str | Path) -> None:
        """Take over the tensors of a saved head, and what its codec had learned."""
        learned = {name: tensor for name, tensor in tensors.items() if name.startswith(READER)}
        self.backbone.codec.learned = {name.removeprefix(READER): tensor for name, tensor in learned.items()}
        checkpoint.restore(self.head, {name: t for name, t in tensors.items() if name not in learned}, str(folder))

    def start_from(self, folder: str | Path) -> None:
        """Take over the weights of a trained head of the same sizes: a warm start, from a frozen run for one with a tuner.

        The head may have been trained on another precision of the language model: it is trained on, and a warning tells.
        A tuner that was saved with it is taken over too. Where this head's decoder is of another kind it stays fresh, and this
        head may have more answer slots: so a head of symbols begins to write. (Of the decoder tokens the map is taken over: its
        states are then a draft in the language model's own embeddings.) So does an encoder of another kind, which may
        read another language model: so a head that was trained on symbols alone is set beside one.

        Raises:
            CheckpointError: files are missing or damaged, or the sizes differ.
            ConfigError: the head was trained with a tuner, and this model has none, or another one.
            BackboneError: the head was made for another language model.
        """
        saved = checkpoint.load(folder)
        theirs, tensors = HybridConfig.from_dict(saved.config), dict(saved.tensors)
        reads_alike = ENCODERS.name_of(theirs.encoder) == ENCODERS.name_of(self.config.encoder)
        if reads_alike:
            checkpoint.check_backbone(saved.fingerprint, self.backbone.fingerprint, self.backbone.name, moved=True)
        tuner.take_over(self.backbone, self.config.tuner, theirs.tuner, saved.folder)
        own = self.head.state_dict()
        kinds = [DECODERS[DECODERS.name_of(each)] for each in (self.config.decoder, theirs.decoder)]
        as_long = MAP in own and MAP in tensors and own[MAP].shape == tensors[MAP].shape
        writes_alike = kinds[0] is kinds[1] or (issubclass(*kinds) and as_long)
        fresh = ("encoder.",) * (not reads_alike) + ("decoder.",) * (not writes_alike)
        if fresh:
            tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith(fresh)}
            tensors |= {name: tensor for name, tensor in own.items() if name.startswith(fresh)}
            if SLOTS in own and SLOTS in tensors and len(tensors[SLOTS]) < len(own[SLOTS]):
                tensors[SLOTS] = torch.cat([tensors[SLOTS], own[SLOTS][len(tensors[SLOTS]) :].cpu()])
        if CUE in own and CUE not in tensors:
            tensors[CUE] = own[CUE]
        self.restore(tensors, folder)
        self.started_from = weights_digest(self.head)

    def halt_by(self, rule: Any) -> None:
        """Stop by the halting config `rule` from now on; `save_pretrained` keeps it."""
        self.trained_config = self.trained_config or self.config
        config = replace(self.config, reasoner=replace(self.config.reasoner, halting=rule))
        self.config, self.head.reasoner.halting = config, HALTING.build(rule)
        for name, (backbone, _, head) in list(self._heads.items()):
            if head is self.head:
                self._heads[name] = (backbone, config, head)

    def load_head(self, folder: str | Path, name: str) -> None:
        """Load another head for the same language model under `name`, to be used after `set_head(name)`.

        Raises:
            CheckpointError: files are missing, damaged or do not fit.
            BackboneError: the head was made for another language model.
            ConfigError: the head, or this model, has a tuner of its own: load the head with `from_pretrained`.
        """
        saved = checkpoint.load(folder)
        config = HybridConfig.from_dict(saved.config)
        alone = config.tuner is None
        require(alone, f"{folder} holds a tuner, which changes the language model for all heads; use from_pretrained")
        checkpoint.check_backbone(saved.fingerprint, self.backbone.fingerprint, self.backbone.name)
        other = HybridModel(find(self.backbone, None, config), config)
        other.restore(saved.tensors, folder)
        self._heads[name] = (other.backbone, other.config, other.head.to(self.device))

    def set_head(self, name: str) -> None:
        """Answer with the head `name` from now on; the first one is named "default"."""
        known = ", ".join(self._heads)
        require(name in self._heads, f'head "{name}" is unknown; choose one of: {known}, or load it with load_head')
        self.backbone, self.config, head = self._heads[name]
        self.head, self.trained_config = head.to(self.device), None

    def merge_and_unload(self) -> None:
        """Fold the tuner into the language model's own weights; the head goes on working.

        The language model is another one from then on: save it (`backbone.model.save_pretrained`) beside the head.

        Raises:
            ConfigError: there is no tuner, or the language model is quantised, which would round the updates away.
        """
        tuner.merge(self.backbone)
        self.config = replace(self.config, tuner=None)
        self._heads["default"] = (self.backbone, self.config, self.head)

    def get_nb_trainable_parameters(self) -> tuple[int, int]:
        """Return (weights that train, head and tuner; all weights, those of the language model included), as PEFT does."""
        own = [*self.head.parameters(), *tuner.tuned_parameters(self.backbone)]
        return sum(p.numel() for p in own if p.requires_grad), num_weights(self.backbone.model) + num_weights(self.head)

    def print_trainable_parameters(self) -> None:
        """Print what `get_nb_trainable_parameters` returns, in PEFT's words."""
        trained, everything = self.get_nb_trainable_parameters()
        print(f"trainable params: {trained:,d} || all params: {everything:,d} || trainable%: {100 * trained / everything:.4f}")


def attach(backbone: Any, config: HybridConfig, *, tokenizer: Any = None) -> HybridModel:
    """Attach a fresh reasoner to a language model.

    Args:
        backbone: hub id, folder, .gguf file, loaded transformers model, Backbone, or None for what `config` names.
        config: the head and the layers to read.
        tokenizer: tokenizer of a loaded model; None finds it by the model's name.

    Raises:
        BackboneError: the model cannot be found or loaded, or a loaded one is not quantised as `config` says.
    """
    found, wanted = find(backbone, tokenizer, config), config.backbone.quantization
    if wanted is not None and not is_name(backbone):
        check_precision(found, wanted)
    if config.tuner is not None:
        tune(found, config.tuner)
    return HybridModel(found, config)
