"""A head that the benchmark itself trains: the hybrid, or a control that differs from it in one thing.

Holds training within a budget and what is disturbed at the test. What distinguishes the controls is controls.py's,
answering is head.py's.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

import hybrid
from hybrid.adapters import DECODERS, ENCODERS, Aligned, Classes
from hybrid.backbone import Backbone, BackboneConfig
from hybrid.backbone.tuner import TUNERS
from hybrid.checkpoint import write_text
from hybrid.eval.baselines.head import HeadMethod
from hybrid.eval.baselines.method import METHODS, Attempt, Budget, Method
from hybrid.eval.measures.cost import seconds_each
from hybrid.eval.tasks.task import TASKS, Task
from hybrid.inference.thinking import think
from hybrid.kinds import family_field
from hybrid.problem import Problem
from hybrid.recursion.cycle import State
from hybrid.recursion.halting import HALTING
from hybrid.recursion.reasoner import ReasonerConfig
from hybrid.symmetry import Symmetry
from hybrid.train import TrainConfig, calibrate, train
from hybrid.train.dataset import Dataset
from hybrid.train.run.folder import RunFolder

Disturbance = Literal["none", "other_problem", "latent_zero", "latent_noise"]
"""What happens to a trained head at the test: nothing; it gets the workspace of another problem; its latent states are
set to zero, or to noise, before every cycle."""

NUM_PACE = 64
"""Problems whose reading is timed."""

FROZEN_SHARE = 0.75
"""Of the training seconds where a language model is tuned too: first the head learns alone, beside cached states."""

READING_SHARE = 1 / 3
"""Of the seconds that the language model may spend on reading the training problems; those that it cannot read in them
are left out. It reads each once, the hidden states are kept."""

JOINT_RATE = 1e-4
"""Learning rate of a trained head while the language model is tuned with it; at the rate of a fresh head it may collapse."""


@METHODS.register("trained")
class Trained(Method):
    """A head trained on the frozen language model with the benchmark's budget."""

    batch_sizes = HeadMethod.batch_sizes
    head: HeadMethod

    @dataclass(frozen=True)
    class Config:
        """The parts of a hybrid, and how it is trained and tested.

        Args:
            name: in tables.
            layers: hidden layers of the language model that are read.
            encoder, reasoner, decoder: of the head.
            train: recipe; seconds and seed are the budget's.
            weights: of the language model: its own, or random ones.
            disturbance: at the test.
        """

        name: str = "hybrid"
        layers: tuple[int, ...] | None = None
        encoder: Any = family_field(ENCODERS, Aligned.Config)
        reasoner: ReasonerConfig = field(default_factory=ReasonerConfig)
        decoder: Any = family_field(DECODERS, Classes.Config)
        train: TrainConfig = field(default_factory=lambda: TrainConfig(num_steps=1_000_000, eval_every_steps=100))
        weights: Literal["trained", "random"] = "trained"
        disturbance: Disturbance = "none"
        tuner: Any = field(default=None, metadata={"kinds": TUNERS})

    def __init__(self, config: Config, backbone: Backbone, task: Task) -> None:
        self.config, self.task, self.name = config, task, config.name
        self.backbone = with_random_weights(backbone) if config.weights == "random" else backbone

    def fit(self, training: Sequence[Problem], dev: Sequence[Problem], folder: Path, budget: Budget) -> None:
        """See Method.fit; `folder` is a run folder of `hybrid train`."""
        own, symmetry = self.config, self.symmetry
        training, dev = self.taught(training), self.taught(dev)
        model, outcomes = self._attached(budget.seed, self.backbone, None), []
        pace = reading_pace(model, training, folder)
        training = readable(training, int(READING_SHARE * budget.seconds / pace))
        reading = pace * len(training)
        left = budget.seconds - reading
        recipe = replace(own.train, max_seconds=left * (FROZEN_SHARE if own.tuner else 1), seed=budget.seed)
        if own.tuner is None:
            outcomes.append(train(model, training, dev, recipe, folder, symmetry=symmetry, show=False, resumable=False))
        else:
            outcomes.append(train(model, training, dev, recipe, folder / "frozen", show=False, resumable=False))
            model = self._attached(budget.seed, copied(self.backbone), own.tuner)
            model.start_from(folder / "frozen")
            slow = replace(recipe.optimizer, learning_rate=JOINT_RATE)
            joint = replace(recipe, max_seconds=left * (1 - FROZEN_SHARE), curriculum=False, optimizer=slow)
            outcomes.append(train(model, training, dev, joint, folder, show=False, resumable=False))
        calibrate(model, dev)
        seconds = reading + sum(outcome.seconds for outcome in outcomes)
        self.head = self._tested(model, dev, seconds, budget.seed)
        self.train_seconds, self.trainable_parameters = seconds, self.head.trainable_parameters
        self.train_problems = len(training)
        if own.disturbance != "none":  # Its training was the hybrid's, undisturbed.
            return
        parts = [(reading, folder)]
        if own.tuner is not None:
            parts = [(reading, folder / "frozen"), (reading + outcomes[0].seconds, folder)]
        self.course = [[began + spent, exact] for began, each in parts for spent, exact in _course(each)]

    def taught(self, problems: Sequence[Problem]) -> Sequence[Problem]:
        """Return problems as the head learns them, training problems first. Here: as they are."""
        return problems

    def _tested(self, model: hybrid.HybridModel, dev: Sequence[Problem], seconds: float, seed: int) -> HeadMethod:
        """Return the trained head as it is tested."""
        disturbed = self.config.disturbance != "none"
        head = (_Disturbed if disturbed else HeadMethod)(HeadMethod.Config(self.name), model, self.task, train_seconds=seconds)
        if isinstance(head, _Disturbed):
            head.disturb(self.config.disturbance, dev, seed)
        return head

    def _attached(self, seed: int, backbone: Backbone, tuner: Any) -> hybrid.HybridModel:
        own, task = self.config, self.task
        reads = BackboneConfig(name=backbone.name, layers=own.layers)
        named = TASKS.to_dict(task.config) if hasattr(task, "config") else {"kind": task.kind}
        parts = (reads, own.encoder, own.reasoner, own.decoder, named, tuner)
        torch.manual_seed(seed)
        return hybrid.attach(backbone, self._config(hybrid.HybridConfig(task.layout, task.symbols, *parts)))

    def _config(self, config: hybrid.HybridConfig) -> hybrid.HybridConfig:
        """Return the config of the head, from the one that the task's layout and symbols give. Here: that one."""
        return config

    @property
    def symmetry(self) -> Symmetry | None:
        """What turns a problem into another of the task while training. Here: what the task knows."""
        return self.task.symmetry

    @property
    def recursive(self) -> bool:
        """Whether the head takes several steps and is left in peace at the test."""
        return self.config.reasoner.num_supervision_steps > 1 and self.config.disturbance == "none"

    def depth_curve(self, problems: Sequence[Problem], depth: int) -> list[float] | None:
        """See Method.depth_curve; None where the head is not recursive."""
        return self.head.depth_curve(problems, depth) if self.recursive else None

    def attempt(self, problems: Sequence[Problem]) -> list[Attempt]:
        """See Method.attempt; only after `fit`."""
        return self.head.attempt(problems)


def reading_pace(model: hybrid.HybridModel, training: Sequence[Problem], folder: Path) -> float:
    """Return the seconds that the language model takes to read a problem, as `folder` keeps them once they were measured."""
    file = folder / "reading.json"
    if not file.exists():
        sample = training[: 2 * NUM_PACE]
        read = Dataset(model, sample, cache=False).features.rows
        middle = len(sample) // 2
        rest = range(middle, len(sample))
        # The first one warms up; of the others the quickest counts, or what else runs would decide how much is read.
        spent = min(seconds_each(read, [range(max(middle, 1)), rest, rest, rest], warmup=0)[1:])
        write_text(file, json.dumps({"seconds_a_problem": spent / len(rest)}) + "\n")
    return float(json.loads(file.read_text())["seconds_a_problem"])


def readable(training: Sequence[Problem], count: int) -> Sequence[Problem]:
    """Return all problems, or as many of them drawn at random; every `count` draws in the same order, for the cache."""
    return training if count >= len(training) else random.Random(0).sample(list(training), len(training))[: max(count, 1)]


def _course(folder: Path) -> list[list[float]]:
    lines = RunFolder(folder).read_metrics()
    return [[line["seconds"], line["dev_exact"]] for line in lines if "dev_exact" in line]


class _Disturbed(HeadMethod):
    """A trained head that is kept from using its workspace, or its latent states."""

    def disturb(self, disturbance: Disturbance, donors: Sequence[Problem], seed: int) -> None:
        """Say what is done, whose workspaces are taken, and the seed of the noise."""
        self.disturbance, self.donors, self.generator = disturbance, donors, torch.Generator().manual_seed(seed)

    def solutions(self, problems: Sequence[Problem]) -> list[hybrid.Solution]:
        """See HeadMethod.solutions."""
        if self.disturbance == "other_problem":
            places = torch.randint(len(self.donors), (len(problems),), generator=self.generator).tolist()
            return super().solutions([self.donors[place] for place in places])
        features, recursion = self.model.read(problems), self.model.config.reasoner
        rule = HALTING.build(recursion.halting)
        thoughts = think(self.model.head, features, rule, recursion.num_supervision_steps, disturb=self._changed)
        return self.model.write(thoughts, features)

    def _changed(self, state: State, rows: Tensor) -> State:
        y, *latents = state
        if self.disturbance == "latent_zero":
            changed = [torch.zeros_like(z) for z in latents or [y]]
        else:
            changed = [torch.randn(z.shape, generator=self.generator).to(z) for z in latents or [y]]
        return (y, *changed) if latents else tuple(changed)


def copied(backbone: Backbone) -> Backbone:
    """Return a language model of one's own, which may be changed."""
    return Backbone(copy.deepcopy(backbone.model), backbone.tokenizer, backbone.name, backbone.layers)


def with_random_weights(backbone: Backbone) -> Backbone:
    """Return a language model of the same build whose weights are drawn anew, always the same ones."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(1)
        model = type(backbone.model)(backbone.model.config)
    model.to(device=backbone.device, dtype=backbone.dtype)
    return Backbone(model, backbone.tokenizer, f"{backbone.name} with random weights", backbone.layers)
