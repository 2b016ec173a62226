"""The trainer: supervision steps over a persistent carry, on as many processes as Accelerate has.

Selection is by exact match on the dev split, with averaged weights. Everything that decides the next step is in a
checkpoint, so a killed run goes on with the same bits. The backbone is outside `prepare`: it is frozen. What many
processes need is in processes.py, what a checkpoint holds in resumable.py.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from hybrid.device import HostCopy, widest
from hybrid.head import Head, StepOutput
from hybrid.kinds import require, to_dict
from hybrid.model import HybridModel
from hybrid.problem import Problem, digest
from hybrid.recursion.block import Network
from hybrid.recursion.carry import Carry
from hybrid.symmetry import Symmetry
from hybrid.train import processes, trial
from hybrid.train import step as one_step
from hybrid.train.boundary import Boundary
from hybrid.train.config import TrainConfig
from hybrid.train.dataset import Batch, Dataset
from hybrid.train.disguise import Disguises
from hybrid.train.evaluate import Evaluation, evaluate
from hybrid.train.floor import floor
from hybrid.train.optimizer import OPTIMIZERS, averaged
from hybrid.train.processes import Team
from hybrid.train.resumable import Resumable
from hybrid.train.run import state as run_state
from hybrid.train.run.folder import RunFolder, claimed
from hybrid.train.run.interrupt import Interrupt
from hybrid.train.run.progress import ProgressBar
from hybrid.train.slots import Slots

LOG_EVERY_STEPS = 10


@dataclass(frozen=True)
class Outcome:
    """How a run ended: steps and training seconds, and the dev exact match of the head that was kept."""

    step: int
    seconds: float
    best_exact: float
    best_step: int


def train(
    model: HybridModel,
    train_problems: Sequence[Problem],
    dev_problems: Sequence[Problem],
    config: TrainConfig,
    output: str | Path,
    *,
    symmetry: Symmetry | None = None,
    overwrite: bool = False,
    show: bool = True,
    resumable: bool = True,
) -> Outcome:
    """Train the head of `model` and leave the best one, averaged weights, in `model` and in the folder `output`.

    The same call again after a crash resumes; after the end it only loads the result. With a greater num_steps, max_seconds or
    patience it goes on, also after the end; a cosine schedule then spans the longer run, of which a warning tells.

    Args:
        model: from `attach`; its backbone is not changed.
        train_problems: what is learned from.
        dev_problems: what selects; never the test split.
        config: length, batch, optimizer, loss.
        output: folder of the run: config.json and head.safetensors (the head), run.json, metrics.jsonl, checkpoints/.
        symmetry: of the task, for train.symmetries.
        overwrite: start anew where `output` holds another run.
        show: draw a progress bar on standard error.
        resumable: keep the last state after the end, so that the run can go on.

    Raises:
        ConfigError: `output` holds another run, or the batch does not split over the processes.
        StorageError: a folder cannot be written or the disk is too small.
        TrainingError: the loss became NaN or infinite, or another process of the run ended.
    """
    trainer = Trainer(model, config, RunFolder(output), show, symmetry)
    trainer.resumable = resumable
    return trainer.run(train_problems, dev_problems, overwrite)


class Trainer(Resumable):
    """One run: its loop. What it stores and goes on from is Resumable's."""

    def __init__(
        self, model: HybridModel, config: TrainConfig, folder: RunFolder, show: bool, symmetry: Symmetry | None = None
    ) -> None:
        self.accelerator = processes.new_accelerator(
            config.batch_size,
            mixed_precision=config.mixed_precision,
            max_norm=config.optimizer.max_norm,
            trackers=config.trackers,
            folder=folder.path,
        )
        self.team = Team.current()
        self.model, self.config, self.folder = model, config, folder
        twice = config.compile and model.head.reasoner.gradient.twice
        require(not twice, "train.compile cannot differentiate twice, as gradient.jacobian_weight does; leave one of them out")
        cycles, spread = model.config.reasoner.num_cycles, config.cycle_spread
        require(spread < cycles, f"train.cycle_spread is {spread} of {cycles} cycles; give less")
        self.disguises = Disguises(symmetry, model, config.seed) if config.symmetries else None
        self.show = show and self.team.main

    def run(self, train_problems: Sequence[Problem], dev_problems: Sequence[Problem], overwrite: bool) -> Outcome:
        """See `train`."""
        if not self.team.main:
            return self._joined(train_problems, dev_problems, overwrite)
        with claimed(self.folder.path) as mine:
            require(mine, f"another process trains in {self.folder.path}; wait for it, or give another --output")
            return self._joined(train_problems, dev_problems, overwrite)

    def _joined(self, train_problems: Sequence[Problem], dev_problems: Sequence[Problem], overwrite: bool) -> Outcome:
        try:
            return self._run(train_problems, dev_problems, overwrite)
        except RuntimeError as error:
            raise processes.lost(error) or error from None

    def _run(self, train_problems: Sequence[Problem], dev_problems: Sequence[Problem], overwrite: bool) -> Outcome:
        finished = None
        if self.team.main:
            if overwrite:
                self.folder.clear()
            self.folder.open(self._record(train_problems, dev_problems))
            finished = (self.folder.read_record() or {}).get("finished")
        finished = self.team.shared(finished)
        if finished is not None:
            self._keep_best()
            return Outcome(**finished)
        self.model.to(self.accelerator.device)
        with ProgressBar(self.config.num_steps, show=self.show, max_seconds=self.config.max_seconds) as self.bar:
            self.model.fit_reader(train_problems)
            cache = self.config.cache and not self.model.backbone.tuned
            options: Any = {"cache": cache, "say": self.bar.say, "team": self.team}
            self.data = Dataset(self.model, train_problems, worked_steps=self.config.worked_steps, **options)
            self.dev = Dataset(self.model, dev_problems, **options)
            stored = self._stored()
            if stored is None and cache:
                self._tell_floor()
            if self.config.auto_batch_size:
                self._choose_batch_size(stored)
            self._prepare()
            self._resume(stored)
            # Several processes are interrupted at different places, and none can wait for another: they stop at once.
            interrupt = Interrupt()
            with interrupt if self.team.size == 1 else nullcontext():
                self._loop(interrupt)
        outcome = Outcome(self.step, round(self.seconds, 3), self.best_exact, self.best_step)
        self._keep_best()
        if self.team.main:
            self.folder.finish(vars(outcome), resumable=self.resumable)
        for tracker in self.accelerator.trackers:
            tracker.finish()
        if interrupt.asked:
            raise KeyboardInterrupt
        return outcome

    def _tell_floor(self) -> None:
        """Say what the simplest readers score where prompts are read without patterns and their states are kept."""
        if self.team.main and self.show and self.model.head.encoder.reads != "spans":
            self.bar.say(str(floor(self.data, self.dev)))

    def _record(self, train_problems: Sequence[Problem], dev_problems: Sequence[Problem]) -> dict[str, Any]:
        taught = set() if self.config.worked_steps else {"steps"}
        started = {} if self.model.started_from is None else {"init": self.model.started_from}
        return started | {
            "model": partial(to_dict, self.model.trained_config or self.model.config),
            "train": partial(to_dict, self.config),
            "backbone": self.model.backbone.fingerprint,
            "data": digest([*train_problems, *dev_problems], without=taught),
            "problems": {
                split: [len(problems), digest(problems, without=taught)[:16]]
                for split, problems in (("train", train_problems), ("dev", dev_problems))
            },
        }

    def _choose_batch_size(self, stored: dict[str, run_state.State] | None) -> None:
        """Take the largest batch that fits, or the one that the run to be resumed has."""
        wanted = self.config.batch_size
        if stored is not None:
            found, size = len(stored["carry"]["steps"]), self.team.size
            require(found % size == 0, f"the run goes on with {found} slots, which {size} processes cannot share; start fewer")
        else:
            found = trial.fitting_batch_size(
                wanted, self.team, lambda rows: trial.try_out(self.model, self.data, self.config, rows)
            )
        if found != wanted:
            self.bar.say(f"train.batch_size {wanted} does not fit into memory: the batch has {found} slots")
        self.config = replace(self.config, batch_size=found)

    def _prepare(self) -> None:
        head = self.model.head
        self.trained = processes.to_train(head, self.accelerator, self.team)
        optimizers = OPTIMIZERS.build(self.config.optimizer).build(self.trained)
        tuned = self.model.backbone.tuned
        self.objective = one_step.Objective.of(self.config, head, tuned=tuned)
        self.boundary = Boundary(self.model.backbone, self.config, self.accelerator) if tuned else None
        if self.boundary is not None:
            processes.make_equal(self.boundary.parameters, self.team)
        self.average = averaged(head, self.config.ema_decay) if self.config.ema_decay else None
        if self.config.compile:
            for network in (module for module in self.trained.modules() if isinstance(module, Network)):
                network.compile()
        self.prepared, *self.optimizers = self.accelerator.prepare(self.trained, *optimizers)
        if self.average is not None:
            processes.shard_like(self.average.module, self.accelerator)
        if self.disguises is not None:
            self.disguises.learn(self.data)
        self.slots = Slots(
            self.data,
            self.config.batch_size,
            self.config.seed,
            self.accelerator,
            curriculum=self.config.curriculum,
            group_by_length=self.config.group_by_length,
            disguises=self.disguises,
        )
        self.carry = Carry.start(head.start(self.slots.batch.features))
        self.halted: HostCopy | None = None
        device = self.accelerator.device
        self.sums = torch.zeros(6, dtype=widest(device), device=device)
        if self.config.trackers:
            flat = {k: str(v) for k, v in to_dict(self.config).items()}
            self.accelerator.init_trackers("hybrid", flat)

    def _loop(self, interrupt: Interrupt) -> None:
        config, saved_at = self.config, time.monotonic()
        while not self._done():
            began = time.perf_counter()
            self._one_step()
            if (self.step + 1) % LOG_EVERY_STEPS == 0 and torch.accelerator.is_available():
                torch.accelerator.synchronize()  # Or a GPU's work would be timed where _log waits for it, outside.
            taken, waited = time.perf_counter() - began, time.monotonic() - saved_at
            taken, due = self.team.figures([taken, waited > config.save_every_seconds], self.accelerator.device)
            self.seconds += taken
            self.step += 1
            if self.step % LOG_EVERY_STEPS == 0:
                self._log()
            if self.step % config.eval_every_steps == 0 or self._done():
                self._evaluate()
            # The graph of a tuned language model cannot be stored: then only between two batches.
            between = self.boundary is None or bool(self.carry.halted.all())
            done = self._done()
            if between and (self.resumable if done else due or interrupt.asked):
                self._save()
                saved_at = time.monotonic()
                if interrupt.asked and not done:
                    raise KeyboardInterrupt

    def _one_step(self) -> None:
        config, head, objective = self.config, self.model.head, self.objective
        if self.step:
            self.slots.refill(self.halted or self.slots.everyone(self.carry.halted), read=self.boundary is None)
        if self.boundary is not None and bool(self.carry.halted.all()):
            self.slots.batch = self.boundary.read(self.data, self.slots.indices, self.slots.num_positions)
        batch = self.slots.batch
        carry = self.carry.refill(head.reasoner.start(self.carry.state[0]))
        rate = config.optimizer.rate(self.step, self._progress())
        for group in (group for optimizer in self.optimizers for group in optimizer.param_groups):
            group["lr"] = rate * group.get("rate", 1.0)
        # Without deep supervision all slots go in step: either every row takes a loss or none does.
        learning = config.deep_supervision or bool(objective.supervises(carry.steps + 1).all())
        head.reasoner.extra_cycles = self.slots.draw_number(config.cycle_spread)
        with torch.set_grad_enabled(learning):
            out = one_step.forward(self.prepared, batch, carry, objective)
        head.reasoner.extra_cycles = 0
        self.carry = one_step.advance(carry, out, objective, self.slots.draw())
        self.halted = self.slots.everyone(self.carry.halted)
        if learning:
            self._learn(batch, out)

    def _learn(self, batch: Batch, out: StepOutput) -> None:
        """Take an optimizer step from the output of a supervision step, and count what the metrics tell."""
        carry = self.carry
        ahead = one_step.look_ahead(self.trained, batch, out, self.objective.halting)
        result = one_step.losses(out, self.objective, ahead, carry.steps)
        self.accelerator.backward(result.total)
        self.model.head.reasoner.gradient.penalty = None  # Its graph is gone.
        if (most := self.config.optimizer.max_norm) is not None:
            self.accelerator.clip_grad_norm_(self.prepared.parameters(), most)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        if self.average is not None:
            self.average.update_parameters(self.trained)
        if self.boundary is not None and bool(carry.halted.all()):
            rates = self.config.optimizer
            self.boundary.learn(rates.rate(self.step, self._progress()) / rates.learning_rate, rates.max_norm)
        ended = (carry.halted.sum(), (result.right & carry.halted).sum(), (carry.steps * carry.halted).sum())
        self.sums += torch.stack([torch.ones_like(result.answer), result.answer, result.halt, *ended]).to(self.sums.dtype)

    def _log(self) -> None:
        count, answer, halt, ended, right, steps = self._finite_sums().tolist()
        self.sums.zero_()
        line = {
            "loss": answer / max(count, 1),
            "halt_loss": halt / max(count, 1),
            "exact": right / max(ended, 1),
            "steps_used": steps / max(ended, 1),
        }
        line |= self.model.head.reasoner.gradient.figures()
        until = self.config.curriculum_until
        self.slots.promote(line["exact"], self._progress() / until if until else 0.0)
        shown = {"loss": f"{line['loss']:.3f}", "exact": f"{line['exact']:.2f}", "steps": f"{line['steps_used']:.1f}"}
        if self.slots.share < 1:
            shown["level"] = f"{self.slots.share:.2f}"
        if self.best_exact >= 0:
            shown["dev"] = f"{self.best_exact:.3f}"
        self.bar.show(self.step, self.seconds, shown)
        self._write(line)

    def _write(self, line: dict[str, Any]) -> None:
        if self.team.main:
            self.folder.write_metrics({"step": self.step, "seconds": round(self.seconds, 3)} | line)
        if self.config.trackers:
            self.accelerator.log({k: v for k, v in line.items() if isinstance(v, float)}, step=self.step)

    def _averaged_head(self) -> Head:
        """Return the head to evaluate and to save, whole in every process."""
        averaged = self.trained if self.average is None else self.average.module
        if not processes.is_sharded(self.accelerator):
            return averaged  # type: ignore[return-value]
        run_state.load_module_state(self.model.head, run_state.module_state(averaged))
        return self.model.head

    def _evaluate(self) -> Evaluation:
        self._finite_sums()
        head = self._averaged_head()
        found = evaluate(head, self.dev, num_steps=head.reasoner.config.num_supervision_steps, team=self.team)
        self._write({"dev_exact": found.exact, "dev_symbols": found.symbols, "dev_exact_by_step": found.exact_by_step})
        self.perfect = self.perfect + 1 if found.exact >= self.config.target else 0
        if found.exact >= self.best_exact:
            if self.team.main:
                self.model.save_head(head, self.folder.path)
            self.best_exact, self.best_step = found.exact, self.step
        return found
