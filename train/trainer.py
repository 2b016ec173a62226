"""The trainer: supervision steps over a persistent carry, on as many processes as Accelerate has.

Selection is by exact match on the dev split, with averaged weights. Everything that decides the next step is in a
checkpoint, so a killed run goes on with the same bits. The backbone is outside `prepare`: it is frozen.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import ProjectConfiguration
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from hybrid.carry import Carry
from hybrid.errors import TrainingError
from hybrid.head import Head
from hybrid.kinds import require, to_dict
from hybrid.losses import LOSSES
from hybrid.model import HybridModel
from hybrid.problem import Problem
from hybrid.train import step as one_step
from hybrid.train.config import TrainConfig
from hybrid.train.dataset import Dataset
from hybrid.train.ema import averaged
from hybrid.train.evaluate import Evaluation, evaluate
from hybrid.train.optimizer import OPTIMIZERS
from hybrid.train.progress import ProgressBar
from hybrid.train.run_folder import RunFolder
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
    overwrite: bool = False,
    show: bool = True,
) -> Outcome:
    """Train the head of `model` and leave the best one, averaged weights, in `model` and in the folder `output`.

    The same call again after a crash resumes; after the end it only loads the result.

    Args:
        model: from `attach`; its backbone is not changed.
        train_problems: what is learned from.
        dev_problems: what selects; never the test split.
        config: length, batch, optimizer, loss.
        output: folder of the run: config.json and head.safetensors (the head), run.json, metrics.jsonl, checkpoints/.
        overwrite: start anew where `output` holds another run.
        show: draw a progress bar on standard error.

    Raises:
        ConfigError: `output` holds another run, or the batch does not split over the processes.
        StorageError: a folder cannot be written or the disk is too small.
        TrainingError: the loss became NaN or infinite.
    """
    return Trainer(model, config, RunFolder(output), show).run(train_problems, dev_problems, overwrite)


class Trainer:
    """State of one run."""

    def __init__(self, model: HybridModel, config: TrainConfig, folder: RunFolder, show: bool) -> None:
        project = ProjectConfiguration(project_dir=str(folder.path))
        trackers = list(config.trackers) or None
        self.accelerator = Accelerator(mixed_precision=config.mixed_precision, log_with=trackers, project_config=project)
        ranks = self.accelerator.num_processes
        require(config.batch_size % ranks == 0, f"train.batch_size {config.batch_size} does not split over {ranks} processes")
        self.model, self.config, self.folder = model, config, folder
        self.show = show and self.accelerator.is_main_process
        self.step, self.seconds = 0, 0.0
        self.best_exact, self.best_step, self.perfect = -1.0, 0, 0

    def run(self, train_problems: Sequence[Problem], dev_problems: Sequence[Problem], overwrite: bool) -> Outcome:
        """See `train`."""
        main = self.accelerator.is_main_process
        if main:
            if overwrite:
                self.folder.clear()
            self.folder.open(self._record(train_problems, dev_problems))
        self.accelerator.wait_for_everyone()
        finished = (self.folder.read_record() or {}).get("finished")
        if finished is not None:
            self._keep_best()
            return Outcome(**finished)
        self.model.to(self.accelerator.device)
        with ProgressBar(self.config.num_steps, show=self.show, max_seconds=self.config.max_seconds) as self.bar:
            cache = self.config.cache
            self.data = Dataset(self.model, train_problems, cache=cache, say=self.bar.say)
            self.dev = Dataset(self.model, dev_problems, cache=cache, say=self.bar.say)
            self._prepare()
            self._resume()
            try:
                self._loop()
            except KeyboardInterrupt:
                self._save()
                raise
        outcome = Outcome(self.step, round(self.seconds, 3), self.best_exact, self.best_step)
        if main:
            self.folder.finish(vars(outcome))
        self.accelerator.wait_for_everyone()
        self._keep_best()
        self.accelerator.end_training()
        return outcome

    def _record(self, train_problems: Sequence[Problem], dev_problems: Sequence[Problem]) -> dict[str, Any]:
        import hashlib

        texts = repr([(p.prompt, p.answer, p.path, *p.spans) for p in (*train_problems, *dev_problems)])
        return {
            "model": self.model.config.to_dict(),
            "train": to_dict(self.config),
            "backbone": self.model.backbone.fingerprint,
            "data": hashlib.sha256(texts.encode()).hexdigest(),
        }

    def _prepare(self) -> None:
        head = self.model.head
        optimizers = OPTIMIZERS.build(self.config.optimizer).build(head)
        self.objective = one_step.Objective(
            LOSSES.build(self.config.loss),
            head.reasoner.halting,
            self.config.halt_weight,
            self.config.path_weight,
            head.reasoner.config.num_supervision_steps,
        )
        self.average = averaged(head, self.config.ema_decay) if self.config.ema_decay else None
        self.prepared, *self.optimizers = self.accelerator.prepare(head, *optimizers)
        if self.average is not None:
            self.accelerator.register_for_checkpointing(self.average)
        self.slots = Slots(
            self.data, self.config.batch_size, self.config.seed, self.accelerator, curriculum=self.config.curriculum
        )
        self.carry = Carry.start(head.start(self.slots.batch.features))
        self.sums = torch.zeros(5, dtype=torch.float64, device=self.accelerator.device)
        if self.config.trackers:
            flat = {k: str(v) for k, v in to_dict(self.config).items()}
            self.accelerator.init_trackers("hybrid", flat)

    def _loop(self) -> None:
        config, saved_at = self.config, time.monotonic()
        while not self._done():
            began = time.perf_counter()
            self._one_step()
            self.seconds += time.perf_counter() - began
            self.step += 1
            if self.step % LOG_EVERY_STEPS == 0:
                self._log()
            if self.step % config.eval_every_steps == 0 or self._done():
                self._evaluate()
            due = torch.tensor(time.monotonic() - saved_at > config.save_every_seconds, device=self.accelerator.device)
            if self.accelerator.num_processes > 1:
                due = self.accelerator.gather(due[None])[0]
            if bool(due) and not self._done():
                self._save()
                saved_at = time.monotonic()

    def _done(self) -> bool:
        config = self.config
        late = config.max_seconds is not None and self.seconds >= config.max_seconds
        return self.step >= config.num_steps or late or (config.patience is not None and self.perfect >= config.patience)

    def _progress(self) -> float:
        share = self.step / self.config.num_steps
        return max(share, self.seconds / self.config.max_seconds) if self.config.max_seconds else share

    def _one_step(self) -> None:
        config, head, objective = self.config, self.model.head, self.objective
        if self.step:
            self.slots.refill(self.carry.halted)
        if not config.cache:
            self.slots.reread()
        batch = self.slots.batch
        carry = self.carry.refill(head.reasoner.start(self.carry.state[0]))
        rate = config.optimizer.rate(self.step, self._progress())
        for group in (group for optimizer in self.optimizers for group in optimizer.param_groups):
            group["lr"] = rate * group.get("rate", 1.0)
        out = one_step.forward(self.prepared, batch, carry)
        ahead = one_step.look_ahead(head, batch, out, objective.halting)
        result = one_step.losses(out, batch, objective, ahead, carry.steps + 1)
        self.accelerator.backward(result.total)
        self.accelerator.clip_grad_norm_(self.prepared.parameters(), config.optimizer.max_norm)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        if self.average is not None:
            self.average.update_parameters(head)
        self.carry = one_step.advance(carry, out, objective, self.slots.draw())
        halted = self.carry.halted
        ended = (halted.sum(), (result.right & halted).sum(), (self.carry.steps * halted).sum())
        self.sums += torch.stack([result.answer, result.halt, *ended]).double()

    def _finite_sums(self) -> torch.Tensor:
        """Return the sums over all processes; raise TrainingError where a loss became NaN or infinite."""
        sums: torch.Tensor = self.accelerator.reduce(self.sums, "sum") if self.accelerator.num_processes > 1 else self.sums
        if not bool(torch.isfinite(sums).all()):
            raise TrainingError(
                f"the loss became {float(sums[:2].sum())} at step {self.step}; the last good checkpoint is kept in "
                f"{self.folder.path}: lower optimizer.learning_rate and give another --output, or run again to resume"
            )
        return sums

    def _log(self) -> None:
        answer, halt, ended, right, steps = self._finite_sums().tolist()
        self.sums.zero_()
        count = LOG_EVERY_STEPS * self.accelerator.num_processes
        line = {
            "loss": answer / count,
            "halt_loss": halt / count,
            "exact": right / max(ended, 1),
            "steps_used": steps / max(ended, 1),
        }
        self.slots.promote(line["exact"])
        shown = {"loss": f"{line['loss']:.3f}", "exact": f"{line['exact']:.2f}", "steps": f"{line['steps_used']:.1f}"}
        if self.slots.share < 1:
            shown["level"] = f"{self.slots.share:.2f}"
        if self.best_exact >= 0:
            shown["dev"] = f"{self.best_exact:.3f}"
        self.bar.show(self.step, self.seconds, shown)
        self._write(line)

    def _write(self, line: dict[str, Any]) -> None:
        if self.accelerator.is_main_process:
            self.folder.write_metrics({"step": self.step, "seconds": round(self.seconds, 3)} | line)
        if self.config.trackers:
            self.accelerator.log({k: v for k, v in line.items() if isinstance(v, float)}, step=self.step)

    def _averaged_head(self) -> Head:
        return self.model.head if self.average is None else self.average.module  # type: ignore[return-value]

    def _evaluate(self) -> Evaluation:
        self._finite_sums()
        head = self._averaged_head()
        found = evaluate(head, self.dev, num_steps=head.reasoner.config.num_supervision_steps)
        self._write({"dev_exact": found.exact, "dev_symbols": found.symbols, "dev_exact_by_step": found.exact_by_step})
        self.perfect = self.perfect + 1 if found.exact == 1.0 else 0
        if found.exact >= self.best_exact:
            self.best_exact, self.best_step = found.exact, self.step
            if self.accelerator.is_main_process:
                self.model.save_head(head, self.folder.path)
        return found

    def _keep_best(self) -> None:
        """Load the selected head from disk into the model."""
        from hybrid import checkpoint

        saved = checkpoint.load(self.folder.path)
        checkpoint.restore(self.model.head, saved.tensors, str(self.folder.path))

    def _save(self) -> None:
        main, wait = self.accelerator.is_main_process, self.accelerator.wait_for_everyone
        self._finite_sums()
        with self.folder.new_checkpoint(self.step, main=main, wait=wait) as place, _as_os_error():
            self.accelerator.save_state(str(place), safe_serialization=True)
            figures = torch.tensor([self.step, self.seconds, self.best_exact, self.best_step, self.perfect], dtype=torch.float64)
            state = {f"state{i}": part.cpu().contiguous() for i, part in enumerate(self.carry.state)}
            own = {
                "steps": self.carry.steps.cpu(),
                "halted": self.carry.halted.cpu(),
                "figures": figures,
                "sums": self.sums.cpu(),
            }
            save_file(state | own | self.slots.state_dict(), place / f"rank-{self.accelerator.process_index}.safetensors")

    def _resume(self) -> None:
        place = self.folder.newest_checkpoint()
        if place is None:
            if self.accelerator.is_main_process:
                self.folder.rewind_metrics(0)
            return
        self.accelerator.load_state(str(place))
        own = load_file(place / f"rank-{self.accelerator.process_index}.safetensors")
        device = self.accelerator.device
        states = tuple(own[f"state{i}"].to(device) for i in range(len(self.carry.state)))
        self.carry = Carry(states, own["steps"].to(device), own["halted"].to(device))
        self.slots.load_state_dict(own)
        self.sums = own["sums"].to(device)
        step, self.seconds, self.best_exact, best_step, perfect = own["figures"].tolist()
        self.step, self.best_step, self.perfect = int(step), int(best_step), int(perfect)
        if self.accelerator.is_main_process:
            self.folder.rewind_metrics(self.step)
        self.bar.say(f"resumed at step {self.step}")


@contextlib.contextmanager
def _as_os_error() -> Iterator[None]:
    """Turn what safetensors and torch.save raise on a full disk into the OSError that it is."""
    try:
        yield
    except (SafetensorError, RuntimeError) as error:
        raise OSError((str(error).strip() or type(error).__name__).splitlines()[0]) from None
