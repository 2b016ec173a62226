"""Tuners: PEFT methods that train inside the language model together with the head.

Holds their configs, and how one is put into a backbone, saved and loaded with PEFT's own files, so that PEFT alone can
read them. Holds no training: the gradient's way through the language model is train/boundary.py's.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hybrid.backbone.default import hub_id
from hybrid.backbone.language_model import Backbone
from hybrid.errors import ConfigError
from hybrid.kinds import Kinds, require

if TYPE_CHECKING:
    from peft import PeftConfig

WEIGHTS, SETTINGS = "adapter_model.safetensors", "adapter_config.json"
"""PEFT's own file names."""
REWRITES = ("pissa", "olora", "loftq", "corda")
"""Ways of LoRA to begin that change the weights beside the update, some by random numbers."""


class Tuner:
    """Base of the family: gives PEFT's config."""

    def __init__(self, config: Any) -> None:
        self.config = config

    def peft_config(self) -> PeftConfig:
        """Return the config that PEFT takes."""
        raise NotImplementedError


TUNERS: Kinds[Tuner] = Kinds("tuner")


@TUNERS.register("lora")
class Lora(Tuner):
    """Low-rank updates of linear layers (arXiv 2106.09685)."""

    @dataclass(frozen=True)
    class Config:
        """Sizes of the updates; further settings of LoRA through the kind `peft`.

        Args:
            r: rank.
            alpha: updates are scaled by alpha / r.
            dropout: share of an update's input that is dropped in training.
            target_modules: names of the linear layers; all-linear for all but the output matrix.
        """

        r: int = 8
        alpha: int = 16
        dropout: float = 0.0
        target_modules: tuple[str, ...] | str = "all-linear"

        def __post_init__(self) -> None:
            require(self.r >= 1, f"tuner.r is {self.r}; give at least 1")
            require(0 <= self.dropout < 1, f"tuner.dropout is {self.dropout}; give a share in [0, 1)")

    def peft_config(self) -> PeftConfig:
        """See Tuner.peft_config."""
        from peft import LoraConfig

        config = self.config
        targets = config.target_modules if isinstance(config.target_modules, str) else list(config.target_modules)
        return LoraConfig(r=config.r, lora_alpha=config.alpha, lora_dropout=config.dropout, target_modules=targets)


@TUNERS.register("peft")
class AnyTuner(Tuner):
    """Any method of PEFT that changes layers of the model: DoRA, IA3, LoHa, OFT, ..."""

    @dataclass(frozen=True)
    class Config:
        """Args: settings: what PEFT writes into adapter_config.json; `peft_type` names the method."""

        settings: Any = field(default_factory=dict)

        def __post_init__(self) -> None:
            plain = isinstance(self.settings, Mapping) and "peft_type" in self.settings
            require(plain, f"tuner.settings is {self.settings!r}; give a mapping with PEFT's settings and peft_type")

    def peft_config(self) -> PeftConfig:
        """See Tuner.peft_config; raises ConfigError for settings that PEFT refuses."""
        from peft import PeftConfig

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", UserWarning)  # PEFT only warns of settings that it does not know.
                config: PeftConfig = PeftConfig.from_peft_type(**self.config.settings)  # type: ignore[no-untyped-call]
            return config
        except (TypeError, ValueError, KeyError, UserWarning, ImportError) as error:
            raise ConfigError(f"PEFT refuses tuner.settings: {error}") from None


def as_config(tuner: Any) -> Any:
    """Return a tuner config as it is, and one of PEFT's own configs as the kind `peft`."""
    if tuner is None or not hasattr(tuner, "peft_type"):
        return tuner
    return AnyTuner.Config({name: _plain(value) for name, value in tuner.to_dict().items() if value is not None})


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return getattr(value, "value", value)


def tune(backbone: Backbone, config: Any, *, whole: bool = False) -> None:
    """Put fresh weights of the tuner into the backbone's model, in place; they alone take gradients.

    Args:
        backbone: whose model it is.
        config: of a tuner kind.
        whole: train behind the deepest layer that is read too, for a model that writes text.

    Raises:
        ConfigError: PEFT refuses the config, or the method adds no weights to the model's layers, changes the model's own, cannot
            be saved, or cannot be called with tokens alone.
    """
    from peft import get_peft_model

    _check_free(backbone)
    wanted = TUNERS.build(config).peft_config()
    kind = getattr(wanted.peft_type, "value", wanted.peft_type)
    require(not wanted.is_prompt_learning, f"{kind} adds tokens, not weights; choose LoRA or another that tunes layers")

    start = str(getattr(wanted, "init_lora_weights", ""))
    require(
        not start.startswith(REWRITES),
        f"init_lora_weights {start} rewrites the language model's own weights, which are not saved with a head; give true, "
        "gaussian or orthogonal",
    )

    require(
        not getattr(wanted, "layer_replication", None),
        "layer_replication changes how many layers the language model has, and a saved head would not fit it; leave it out",
    )

    def wrapped(model: Any) -> Any:
        try:
            return get_peft_model(model, wanted)
        except (ValueError, TypeError, NotImplementedError) as error:
            raise ConfigError(f"PEFT cannot tune {backbone.name}: {error}") from None

    _put_in(backbone, wrapped, whole=whole)
    require(
        bool(tuned_parameters(backbone)),
        f"{kind} gives {backbone.name} nothing to train up to layer {max(backbone.layers)}, the deepest read; "
        "read a deeper one (backbone.layers), or choose another tuner",
    )
    _try_out(backbone)


def _try_out(backbone: Backbone) -> None:
    """Raise ConfigError where the tuned model cannot read a token, or its settings cannot be read back once they are saved."""
    config = backbone.model.peft_config[backbone.model.active_adapter]
    one = torch.ones(1, 1, dtype=torch.int64, device=backbone.device)
    try:
        type(config).from_peft_type(**{name: value for name, value in config.to_dict().items() if name != "auto_mapping"})
        with torch.no_grad():
            backbone.run(one, one.bool())
    except (TypeError, ValueError, KeyError, RuntimeError) as error:
        said = f"{config.peft_type.value} with these settings cannot tune {backbone.name}: {str(error).rstrip('.')}"
        raise ConfigError(f"{said}; change tuner.settings") from None


def load(backbone: Backbone, folder: Path) -> None:
    """Put the tuner that was saved in `folder` into the backbone's model, in place.

    Raises:
        ConfigError: the model holds a tuner already.
    """
    from peft import PeftModel

    _check_free(backbone)
    _put_in(backbone, lambda model: PeftModel.from_pretrained(model, str(folder), is_trainable=True))


def _check_free(backbone: Backbone) -> None:
    there = hasattr(backbone.model, "peft_config")
    require(
        not there, f"{backbone.name} holds an adapter of PEFT already; merge it first, load the model anew, or leave tuner out"
    )


def _put_in(backbone: Backbone, wrapped: Callable[[Any], Any], *, whole: bool = False) -> None:
    """Put PEFT's model in place of the backbone's own, and leave out of training what no gradient can reach."""
    _ = backbone.fingerprint  # Of the model as it came: what is put in must not count.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # What PEFT and transformers warn each other of.
        backbone.model = wrapped(backbone.model)
    backbone.tuned = True
    backbone.model.eval()
    for layer in () if whole else backbone.unread_layers:
        layer.requires_grad_(False)


def files(backbone: Backbone, revision: str | None = None) -> dict[str, bytes]:
    """Return the tuner's files, named and written as PEFT does; the base model is called as others find it.

    That is by its hub id and, where it was asked for or its folder tells, its `revision`, which PEFT loads then.
    """
    with tempfile.TemporaryDirectory() as folder:
        backbone.model.save_pretrained(folder)
        written = json.loads(Path(folder, SETTINGS).read_text(encoding="utf-8"))
        name, commit = hub_id(backbone.name)
        written |= {"base_model_name_or_path": name, "revision": revision or commit}
        return {WEIGHTS: Path(folder, WEIGHTS).read_bytes(), SETTINGS: json.dumps(written, indent=2).encode()}


def tuned_parameters(backbone: Backbone) -> list[torch.nn.Parameter]:
    """Return the tuner's weights, in the order of the model."""
    return [p for p in backbone.model.parameters() if p.requires_grad] if backbone.tuned else []


def read(folder: Path) -> dict[str, Tensor]:
    """Return the tuner's weights that were saved in `folder`, by PEFT's names."""
    from safetensors.torch import load_file

    return load_file(folder / WEIGHTS)


def restore(backbone: Backbone, weights: Mapping[str, Tensor]) -> None:
    """Put weights from `read` into the tuner."""
    from peft import set_peft_model_state_dict

    set_peft_model_state_dict(backbone.model, dict(weights))


def take_over(backbone: Backbone, own: Any, saved: Any, folder: Path) -> None:
    """Put the weights of the tuner `saved` in `folder`, if there is one, into the equal one that the backbone has.

    Raises:
        ConfigError: the backbone's own tuner is none or another.
    """
    if saved is not None:
        require(own == saved, f"{folder} was trained with the tuner {saved}; give the same one, or start from a head without")
        restore(backbone, read(folder))


@contextlib.contextmanager
def set_aside(backbone: Backbone) -> Iterator[None]:
    """Let the language model be as it came inside the block, without the tuner that it may hold.

    Raises:
        ConfigError: the tuner trains biases of the model's own, which PEFT does not put back.
    """
    if not backbone.tuned:
        yield
        return
    bias = getattr(backbone.model.peft_config[backbone.model.active_adapter], "bias", "none")
    require(
        bias == "none",
        f"the tuner trains biases of {backbone.name} itself (bias {bias}), and PEFT does not put them back; load it anew, "
        "or train with bias none",
    )
    tuned, gradients = backbone.model, [(weight, weight.requires_grad) for weight in backbone.model.parameters()]
    try:
        with tuned.disable_adapter():
            backbone.model, backbone.tuned = tuned.get_base_model(), False
            yield
    finally:
        backbone.model, backbone.tuned = tuned, True
        for weight, wanted in gradients:
            weight.requires_grad_(wanted)


def merge(backbone: Backbone) -> None:
    """Fold the tuner into the model's own weights and take it out; the model is another one from then on.

    Raises:
        ConfigError: there is no tuner, or the model is quantised, whose steps are wider than most updates.
    """
    require(backbone.tuned, f"{backbone.name} holds no tuner; there is nothing to merge")
    quantized = backbone.quantization
    require(
        quantized is None,
        f"{backbone.name} is in {quantized}, which would round the tuner away; save the model, load it with "
        'precision="float32" and merge it there, or go on with the tuner beside the language model',
    )
    backbone.model = backbone.model.merge_and_unload().eval().requires_grad_(False)
    backbone.tuned = False
    backbone.__dict__.pop("_digests", None)
