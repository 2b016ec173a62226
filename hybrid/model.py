"""HybridModel: a frozen language model with a reasoner attached. The public face of the package.

    text -> ids -> hidden states of chosen layers -> workspace -> recursion -> answer text

Holds no training (train/) and no benchmark (eval/).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hybrid import checkpoint, tuner
from hybrid.adapters import Features
from hybrid.backbone import Backbone
from hybrid.block import Network
from hybrid.card import push, summary
from hybrid.codec import FITTED_TO, READER
from hybrid.config import HybridConfig
from hybrid.fingerprint import weights_digest
from hybrid.halting import HALTING
from hybrid.head import Head
from hybrid.inference import Thoughts
from hybrid.kinds import require
from hybrid.matching import as_trained, check_precision, find, in_precision, is_name
from hybrid.problem import Problem, asked
from hybrid.quantization import NAMES, num_weights
from hybrid.search import SearchConfig
from hybrid.search import search as noisy_search
from hybrid.solution import Solution
from hybrid.tuner import tune


class HybridModel(nn.Module):
    """A backbone and the head attached to it. Its parameters are the head's: the backbone stays outside."""

    head: Head

    def __init__(self, backbone: Backbone, config: HybridConfig) -> None:
        super().__init__()
        quantized: Any = backbone.quantization if backbone.quantization in NAMES else None
        own = replace(config.backbone, name=backbone.name, layers=backbone.layers, quantization=quantized)
        self.config = replace(config, backbone=own)
        object.__setattr__(self, "backbone", backbone)  # No submodule: state_dict() and parameters() are the head's.
        self.backbone: Backbone
        self.head = Head(self.config, len(backbone.layers), backbone.width, backbone).to(backbone.device)
        object.__setattr__(self, "_heads", {"default": (backbone, self.config, self.head)})
        self._heads: dict[str, tuple[Backbone, HybridConfig, Head]]
        self.started_from: str | None = None
        self.trained_config: HybridConfig | None = None  # Before halt_by, for a run that goes on.

    @property
    def device(self) -> torch.device:
        """Where the head is."""
        return self.head.reasoner.initial.device

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

    def forward(self, prompts: str | Problem | Sequence[str | Problem], **options: Any) -> list[dict[str, Any]]:
        """Answer as a pipeline of transformers does: `model("text")`, or `model(["a", "b"], batch_size=2)`.

        Args:
            prompts: one prompt or several, as `solve` takes them.
            options: of `solve`.

        Returns:
            One dict a prompt: `answer`, its `score` (the probability of being right) and the `steps` taken.
        """
        asked = [prompts] if isinstance(prompts, str | Problem) else prompts
        # Under torch.compile(model): text and loops that depend on data are not for a compiler.
        solve = torch.compiler.disable(self.solve) if torch.compiler.is_compiling() else self.solve  # type: ignore[no-untyped-call]
        return [{"answer": s.text, "score": s.confidence, "steps": s.steps} for s in solve(asked, **options)]

    def read(self, prompts: Sequence[str | Problem]) -> Features:
        """Run the backbone on prompts and return what the encoder reads, on the head's device.

        Raises:
            InputError: a prompt is empty, longer than the context, or does not fit the layout.
        """
        ready = self.prepare([prompt if isinstance(prompt, Problem) else Problem(prompt, ()) for prompt in prompts])
        rows = self.backbone.read([prepared for prepared, _ in ready])
        links = [each.links for each, _ in ready] if self.head.encoder.gives_links else None
        return Features.pad(rows, [count for _, count in ready], links=links).to(self.device)

    def prepare(self, problems: Sequence[Problem]) -> list[tuple[Any, int]]:
        """Return each prompt ready for the backbone's `read`, with its number of answer positions; raises as `read`."""
        spans = [self.config.layout.spans(problem.prompt, problem.spans) for problem in problems]
        reads = self.head.encoder.reads
        places = [own + context for own, context in spans] if reads == "spans" else None if reads == "tokens" else reads
        prepared = self.backbone.prepare([problem.prompt for problem in problems], places)
        return [(each, self.config.layout.length(answer)) for each, (answer, _) in zip(prepared, spans, strict=True)]

    def fit_reader(self, problems: Sequence[Problem]) -> None:
        """Fit what the codec of the hidden states learns to the first prompts, once; `train` does it by itself."""
        if not self.backbone.codec.fitted:
            self.backbone.fit([prepared for prepared, _ in self.prepare(problems[:FITTED_TO])])

    def think(
        self, features: Features, *, halting: Any = None, num_steps: int | None = None, search: SearchConfig | None = None
    ) -> Thoughts:
        """Answer a batch of features; `halting` is a halting config, `num_steps` replaces the trained N."""
        rule = HALTING.build(halting or self.config.reasoner.halting)
        steps = self.config.reasoner.num_supervision_steps if num_steps is None else num_steps
        require(steps >= 1, f"num_steps is {steps}; give at least 1")
        return noisy_search(self.head, features, rule, steps, search or SearchConfig())

    def solve(
        self,
        prompts: Sequence[str | Problem] | None = None,
        *,
        context: str | None = None,
        questions: Sequence[str] | None = None,
        halting: Any = None,
        num_steps: int | None = None,
        search: SearchConfig | None = None,
        batch_size: int = 32,
    ) -> list[Solution]:
        """Answer prompts.

        Args:
            prompts: texts, in any wording whose answer positions the layout finds; or problems, whose own spans are
                read where they have some. Their answers are not looked at.
            context, questions: in place of prompts, one text and what is asked of it, each question put behind it; what
                prompts share at their beginning is read once by a language model that reads from left to right.
            halting: halting config for this call; None takes the trained one.
            num_steps: most supervision steps; None takes the trained N.
            search: think several times with noise and choose; None thinks once.
            batch_size: prompts thought about together.

        Raises:
            InputError: a prompt is empty, longer than the context, or does not fit the layout.
        """
        prompts = asked(prompts, context, questions)
        require(batch_size >= 1, f"batch_size is {batch_size}; give at least 1")
        batches = (self.read(prompts[start : start + batch_size]) for start in range(0, len(prompts), batch_size))
        options: dict[str, Any] = {"halting": halting, "num_steps": num_steps, "search": search}
        return [solution for batch in batches for solution in self.write(self.think(batch, **options), batch)]

    def write(self, thoughts: Thoughts, features: Features) -> list[Solution]:
        """Return the thoughts of a batch as one Solution a row."""
        confidence, trails = thoughts.halt[:, -1, 0].sigmoid().tolist(), thoughts.symbols.tolist()
        solutions = []
        for row, (steps, length) in enumerate(zip(thoughts.steps.tolist(), features.num_answers.tolist(), strict=True)):
            trail = tuple(self.head.decoder.answer(step[:length]) for step in trails[row][:steps])
            motion = tuple(thoughts.motion[row, :steps].tolist())
            text, total, inner = self.config.layout.write(trail[-1]), int(thoughts.total_steps[row]), thoughts.inner[row, :steps]
            said = tuple(self.head.decoder.answer(step) for step in inner.tolist()) if inner.shape[1] else ()
            kept = (steps, bool(thoughts.halted[row]), confidence[row], trail, motion, total, said)
            solutions.append(Solution(text, trail[-1], *kept))
        return solutions

    def logits(self, prompts: Sequence[str], *, num_steps: int | None = None) -> Tensor:
        """Return the symbol logits (b, a, v) after `num_steps` supervision steps, without halting."""
        thoughts = self.think(self.read(prompts), halting=HALTING["fixed"].Config(), num_steps=num_steps)  # type: ignore[attr-defined]
        logits: Tensor = self.head.decoder(thoughts.answers.to(self.device))
        return logits

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
        further = tuner.files(self.backbone) if self.backbone.tuned else {}
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
        if backbone is not None:  # The saved revision is the saved name's.
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
        A tuner that was saved with it is taken over too.

        Raises:
            CheckpointError: files are missing or damaged, or the sizes differ.
            ConfigError: the head was trained with a tuner, and this model has none, or another one.
            BackboneError: the head was made for another language model.
        """
        saved = checkpoint.load(folder)
        checkpoint.check_backbone(saved.fingerprint, self.backbone.fingerprint, self.backbone.name, moved=True)
        tuner.take_over(self.backbone, self.config.tuner, HybridConfig.from_dict(saved.config).tuner, saved.folder)
        self.restore(saved.tensors, folder)
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
