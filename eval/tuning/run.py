"""The training loop of the tuned text baselines: one process, one adapter, as long as the budget says.

A checkpoint holds all that decides the next step, so that a killed run goes on with the same bits; its length in seconds
counts the steps alone, not evaluation and saving. How a problem becomes logits and labels is the baseline's own.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from hybrid.backbone.tuner import TUNERS, Lora
from hybrid.errors import TrainingError
from hybrid.eval.tuning.adapter import Adapter
from hybrid.eval.tuning.reading import IGNORED
from hybrid.kinds import family_field, require
from hybrid.problem import Problem
from hybrid.train.optimizer import AdamW, OptimizerConfig, clip
from hybrid.train.run import state as run_state
from hybrid.train.run.folder import RunFolder

LOG_EVERY_STEPS = 10
WINDOW = 16
"""Batches sorted by length together: more waste less padding, and mix less."""


@dataclass(frozen=True)
class TuningConfig:
    """How a language model is tuned to write answers.

    The best weights are those with the most dev targets right in every token, each predicted after the right ones before
    it, then those with the least loss: one forward pass instead of writing. Greedy writing gives such a target too, so its
    exact match is at least this. Where only the answer is written the two are nearly equal; where steps are, writing may be
    right more often, because a right answer can follow a wrong step. Learning rates are chosen alike.

    Args:
        tuner: what PEFT puts into the model.
        optimizer: AdamW's settings, with warm-up and cosine over the whole run.
        learning_rates: tried one after another with `trial_share` of the budget, the rest of which goes to the best, from
            the start; none takes the optimizer's own.
        trial_share: share of the budget for all trials together.
        batch_size: problems a step.
        max_steps: end after these, if the budget's seconds have not ended before.
        num_dev: dev problems that choose, the first ones.
        num_evaluations: of the dev problems in a run, evenly spread, the last at the end.
        save_every_seconds: seconds between checkpoints.
        chat_template: put the prompt into the model's chat template, as for prompted methods; else it stands alone in its
            line, which is shorter.
    """

    tuner: Any = family_field(TUNERS, Lora.Config)
    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(learning_rate=1e-3, weight_decay=0.0, warmup_steps=10)
    )
    learning_rates: tuple[float, ...] = ()
    trial_share: float = 0.2
    batch_size: int = 4
    max_steps: int | None = None
    num_dev: int = 64
    num_evaluations: int = 4
    save_every_seconds: float = 30.0
    chat_template: bool = True

    def __post_init__(self) -> None:
        for rate in self.learning_rates:
            require(rate > 0, f"method.learning_rates has {rate}; give positive numbers")
        require(0 < self.trial_share < 1, f"method.trial_share is {self.trial_share}; give a share in (0, 1)")
        for name in ("batch_size", "num_dev", "num_evaluations"):
            require(getattr(self, name) >= 1, f"method.{name} is {getattr(self, name)}; give at least 1")
        require(self.max_steps is None or self.max_steps >= 1, f"method.max_steps is {self.max_steps}; give at least 1, or none")
        require(self.save_every_seconds >= 0, f"method.save_every_seconds is {self.save_every_seconds}; give at least 0")


@dataclass(frozen=True)
class Plan:
    """Length, rate and seed of one run.

    Args:
        seconds: of training steps.
        max_steps: end after these, None for no such end.
        learning_rate: peak rate.
        seed: of weights and order.
    """

    seconds: float
    max_steps: int | None
    learning_rate: float
    seed: int


@dataclass(frozen=True)
class Predicted:
    """Logits (b, t, v) for labels (b, t) int64, IGNORED at padding, and how many positions were read for them."""

    logits: Tensor
    labels: Tensor
    positions: int


Predict = Callable[[Sequence[Problem], float], Predicted]
"""Reads problems as they are at this progress, 0..1, of the training; 1 is how they are answered."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Args:
        steps, seconds, positions: of training, and positions read in it (padding left out).
        exact: share of the dev answers right, token by token, with the weights kept.
        loss: of these weights on dev.
        best_step: when they were kept.
    """

    steps: int
    seconds: float
    positions: int
    exact: float
    loss: float
    best_step: int


class Run:
    """One training from fresh weights; `train` resumes what the folder holds.

    Args:
        config: batch, optimizer, choice.
        folder: of its metrics and checkpoints.
        adapter: worn while `train` runs.
        predict: the baseline's own reading.
    """

    def __init__(self, config: TuningConfig, folder: RunFolder, adapter: Adapter, predict: Predict) -> None:
        self.config, self.folder, self.adapter, self.predict = config, folder, adapter, predict
        self.step, self.seconds, self.positions = 0, 0.0, 0
        self.evaluated, self.best_step, self.exact, self.loss = 0, 0, -1.0, float("inf")
        self._best: run_state.State = {}

    def train(self, training: Sequence[Problem], dev: Sequence[Problem], order: Order, plan: Plan) -> Outcome:
        """Train to the end of the plan and leave the best weights in the adapter.

        Raises:
            TrainingError: the loss became NaN or infinite.
        """
        self._dev, config = list(dev[: self.config.num_dev]), self.config
        settings = replace(config.optimizer, learning_rate=plan.learning_rate)
        (optimizer,) = AdamW(settings).build(self.adapter.trainable)
        self._resume(optimizer)
        saved = time.monotonic()
        with self.adapter.attached():
            while (progress := self._progress(plan)) < 1:
                problems = [training[i] for i in order.batch(self.step)]
                for group in optimizer.param_groups:
                    group["lr"] = settings.rate(self.step, progress)
                self._one_step(problems, optimizer, progress, plan)
                self._evaluate_if_due(self._progress(plan))
                if time.monotonic() - saved >= config.save_every_seconds:
                    self._save(optimizer)
                    saved = time.monotonic()
            self._evaluate_if_due(1.0)
        run_state.load_module_state(self.adapter.trainable, self._best)
        return Outcome(self.step, round(self.seconds, 3), self.positions, self.exact, self.loss, self.best_step)

    def _progress(self, plan: Plan) -> float:
        by_time = self.seconds / plan.seconds if plan.seconds > 0 else 1.0
        return min(max(by_time, self.step / plan.max_steps if plan.max_steps else 0.0), 1.0)

    def _one_step(self, problems: Sequence[Problem], optimizer: Any, progress: float, plan: Plan) -> None:
        began = time.perf_counter()
        self.adapter.train(True)
        with torch.random.fork_rng():
            torch.manual_seed(hash((plan.seed, self.step)))  # Of dropout: a step's draw depends on nothing before it.
            predicted = self.predict(problems, progress)
        loss = _cross_entropy(predicted).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        clip(self.adapter.trainable.parameters(), self.config.optimizer.max_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError(
                f"the loss became {value} at step {self.step}; the last good checkpoint is kept in {self.folder.path}: lower "
                "optimizer.learning_rate and give another folder, or run again to resume"
            )
        self.step += 1
        self.positions += predicted.positions
        self.seconds += time.perf_counter() - began
        if self.step % LOG_EVERY_STEPS == 0:
            self._log(loss=round(value, 4))

    def _evaluate_if_due(self, progress: float) -> None:
        due = int(progress * self.config.num_evaluations)
        if due <= self.evaluated:
            return
        self.evaluated = due
        exact, loss = self._evaluate()
        self._log(dev_exact=exact, dev_loss=round(loss, 4))
        if (exact, -loss) > (self.exact, -self.loss):
            self.exact, self.loss, self.best_step = exact, loss, self.step
            self._best = {name: tensor.clone() for name, tensor in run_state.module_state(self.adapter.trainable).items()}

    @torch.no_grad()
    def _evaluate(self) -> tuple[float, float]:
        self.adapter.train(False)
        right, loss, count = 0, 0.0, 0
        for start in range(0, len(self._dev), self.config.batch_size):
            predicted = self.predict(self._dev[start : start + self.config.batch_size], 1.0)
            answers = predicted.labels != IGNORED
            right += int(((predicted.logits.argmax(-1) == predicted.labels) | ~answers).all(1).sum())
            loss, count = loss + float(_cross_entropy(predicted).sum()), count + int(answers.sum())
        return right / len(self._dev), loss / count

    def _log(self, **figures: float) -> None:
        self.folder.write_metrics({"step": self.step, "seconds": round(self.seconds, 2), "positions": self.positions, **figures})

    def _save(self, optimizer: Any) -> None:
        figures = [self.step, self.seconds, self.positions, self.evaluated, self.best_step, self.exact, self.loss]
        with self.folder.new_checkpoint(self.step) as place:
            parts = {
                "model": run_state.module_state(self.adapter.trainable),
                "optimizer": run_state.optimizer_state(optimizer, self.adapter.trainable),
                "best": self._best,
                "run": {"figures": torch.tensor(figures, dtype=torch.float64)},
            }
            run_state.write(place, parts)

    def _resume(self, optimizer: Any) -> None:
        place = self.folder.newest_checkpoint()
        if place is not None:
            parts = run_state.read(place)
            run_state.load_module_state(self.adapter.trainable, parts["model"])
            run_state.load_optimizer_state(optimizer, self.adapter.trainable, parts["optimizer"])
            step, self.seconds, positions, evaluated, best, self.exact, self.loss = parts["run"]["figures"].tolist()
            self.step, self.positions = int(step), int(positions)
            self.evaluated, self.best_step, self._best = int(evaluated), int(best), parts["best"]
        self.folder.rewind_metrics(self.step)


def _cross_entropy(predicted: Predicted) -> Tensor:
    """Return the loss of every answer token, (count,) float32."""
    answers = predicted.labels != IGNORED
    return F.cross_entropy(predicted.logits[answers].float(), predicted.labels[answers], reduction="none")


class Order:
    """Batches of like length of an endless run, every epoch all problems; the batch of a step follows from the seed alone.

    Args:
        lengths: of each problem, in the order of sorting: (prompt tokens, answer tokens).
        batch_size: problems a step.
        seed: of the shuffling.

    Example:
        >>> order = Order([(3, 1)] * 5, 2, seed=0)
        >>> sorted(i for step in range(3) for i in order.batch(step))
        [0, 1, 2, 3, 4]
    """

    def __init__(self, lengths: Sequence[tuple[int, int]], batch_size: int, seed: int) -> None:
        self.lengths, self.batch_size, self.seed = lengths, batch_size, seed
        self._epoch, self._batches = -1, self._shuffled(0)

    def batch(self, step: int) -> list[int]:
        """Return the problems of step `step`, counted from 0."""
        epoch, place = divmod(step, len(self._batches))
        if epoch != self._epoch:
            self._epoch, self._batches = epoch, self._shuffled(epoch)
        return self._batches[place]

    def _shuffled(self, epoch: int) -> list[list[int]]:
        rng = random.Random(f"{self.seed} {epoch}")
        order = list(range(len(self.lengths)))
        rng.shuffle(order)
        window, batches = WINDOW * self.batch_size, []
        for start in range(0, len(order), window):
            part = sorted(order[start : start + window], key=lambda i: self.lengths[i])
            batches += [part[i : i + self.batch_size] for i in range(0, len(part), self.batch_size)]
        rng.shuffle(batches)
        return batches
