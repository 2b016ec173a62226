"""What a run stores and goes on from: its figures, weights, moments, slots and carry, over all processes together.

Holds no loop (trainer.py), no format of whole tensors (run/state.py), no folders (run/folder.py).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from hybrid.errors import TrainingError
from hybrid.model import HybridModel
from hybrid.recursion.carry import Carry
from hybrid.train import processes
from hybrid.train.boundary import Boundary
from hybrid.train.config import TrainConfig
from hybrid.train.processes import Team
from hybrid.train.run import state as run_state
from hybrid.train.run.folder import RunFolder
from hybrid.train.run.progress import ProgressBar
from hybrid.train.slots import Slots

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch.optim.swa_utils import AveragedModel


class Resumable:
    """State of one run.

    Args:
        config: length, batch, optimizer, loss.
        step: supervision steps done.
        seconds: of training, as the main process's clock counts them.
        best_exact: dev exact match of the head that was kept, -1 before the first evaluation.
        best_step: when it was kept.
        perfect: evaluations in a row with every answer right.
        trained: the head that is trained, maybe cut over processes.
        average: its averaged weights, cut alike.
        boundary: to a tuned language model, None to a frozen one.
        resumable: whether the last state is kept after the end.
        sums: steps that learned, answer loss, halt loss, problems ended, right, and their steps, of this process since the
            last line of metrics, (6,) float64.
    """

    config: TrainConfig
    accelerator: Accelerator
    team: Team
    model: HybridModel
    folder: RunFolder
    bar: ProgressBar
    slots: Slots
    carry: Carry
    trained: nn.Module
    average: AveragedModel | None
    boundary: Boundary | None = None
    optimizers: list[Any]
    sums: Tensor
    step: int = 0
    seconds: float = 0.0
    best_exact: float = -1.0
    best_step: int = 0
    perfect: int = 0
    resumable: bool = True

    def _limits(self) -> list[str]:
        """Return the fields of the config that end the run now."""
        config = self.config
        reached = {
            "num_steps": self.step >= config.num_steps,
            "max_seconds": config.max_seconds is not None and self.seconds >= config.max_seconds,
            "patience": config.patience is not None and self.perfect >= config.patience,
        }
        return [name for name, ended in reached.items() if ended]

    def _done(self) -> bool:
        return bool(self._limits())

    def _progress(self, config: TrainConfig | None = None) -> float:
        """Return the share of the run that is done, by the limit that is nearer; of a run of another config, if one is given."""
        config = config or self.config
        share = self.step / config.num_steps
        return max(share, self.seconds / config.max_seconds) if config.max_seconds else share

    def _finite_sums(self) -> torch.Tensor:
        """Return the sums over all processes; raise TrainingError where a loss became NaN or infinite."""
        sums: torch.Tensor = self.accelerator.reduce(self.sums, "sum") if self.accelerator.num_processes > 1 else self.sums
        if not bool(torch.isfinite(sums).all()):
            raise TrainingError(self._broken("loss", float(sums[1:3].sum())))
        return sums

    def _check_finite(self, weights: Iterable[Tensor]) -> None:
        """Raise TrainingError where weights became NaN or infinite: the newest checkpoint must be one to go on from."""
        if not all(bool(torch.isfinite(tensor).all()) for tensor in weights if tensor.is_floating_point()):
            raise TrainingError(self._broken("weights", "NaN or infinite"))

    def _broken(self, what: str, value: object) -> str:
        return (
            f"the {what} became {value} at step {self.step}; the last good checkpoint is kept in {self.folder.path}: lower "
            "optimizer.learning_rate and give another --output, or run again to resume"
        )

    def _keep_best(self) -> None:
        """Load the selected head from disk into the model."""
        from hybrid import checkpoint
        from hybrid.backbone import tuner

        tensors = self.team.shared(checkpoint.load(self.folder.path).tensors if self.team.main else {})
        self.model.restore(tensors, self.folder.path)
        if self.model.backbone.tuned:
            weights = self.team.shared(tuner.read(self.folder.path) if self.team.main else {})
            tuner.restore(self.model.backbone, weights)

    def _save(self) -> None:
        parts = self._state()
        self._check_finite(parts["model"].values())
        if self.team.main:
            with self.folder.new_checkpoint(self.step) as place:
                run_state.write(place, parts)

    def _state(self) -> dict[str, run_state.State]:
        """Return what decides the next step, over all processes; every process must ask."""
        carry, team, device = self.carry, self.team, self.accelerator.device
        held = {f"state{i}": part for i, part in enumerate(carry.state)} | {"steps": carry.steps, "halted": carry.halted}
        if team.size > 1:
            held = {name: self.accelerator.gather(part) for name, part in held.items()}
        figures = [self.step, self.seconds, self.best_exact, self.best_step, self.perfect]
        run = {"figures": torch.tensor(figures, dtype=torch.float64), "sums": self._finite_sums().cpu() / self._counts()}
        modules = {"model": self.trained} | ({} if self.average is None else {"average": self.average})
        return {
            **{name: run_state.module_state(module) for name, module in modules.items()},
            **{f"optimizer{i}": self._moments(optimizer.optimizer) for i, optimizer in enumerate(self.optimizers)},
            "carry": {name: part.cpu().contiguous() for name, part in held.items()},
            "slots": self.slots.state_dict(),
            "run": run,
            "random": run_state.random_state(device, team),
            **({} if self.boundary is None else {"tuner": self.boundary.state_dict()}),
            "scaler": run_state.scaler_state(self.accelerator.scaler),
        }

    def _moments(self, optimizer: Any) -> run_state.State:
        if processes.is_partitioned(self.accelerator):
            return run_state.partition_state(optimizer, self.team)
        return run_state.optimizer_state(optimizer, self.trained)

    def _counts(self) -> torch.Tensor:
        """Return by what the sums over all processes grow with their number: steps and losses are of each, the rest counts."""
        ranks = self.team.size
        return torch.tensor([ranks, ranks, ranks, 1, 1, 1], dtype=torch.float64)

    def _stored(self) -> dict[str, run_state.State] | None:
        """Return what the newest checkpoint holds, in all processes; None where there is none."""
        place = self.folder.newest_checkpoint() if self.team.main else None
        return self.team.shared(None if place is None else run_state.read(place))

    def _resume(self, parts: dict[str, run_state.State] | None) -> None:
        """Go on from what `_stored` returned, or from the start."""
        if parts is not None:
            self._load_state(parts)
            self.bar.say(f"resumed at step {self.step}")
            self._tell_growth()
        if self.team.main:
            self.folder.rewind_metrics(self.step)

    def _tell_growth(self) -> None:
        """Say what becomes of a learning rate that follows the length of a run, or why the run does not go on."""
        grown, config = self.folder.grown, self.config
        if not (grown and self.step and self.team.main):
            return
        if self._done():
            ends = ", ".join(f"train.{name} {getattr(config, name)}" for name in self._limits())
            warnings.warn(f"the run had ended by {ends} already; give more of that, or none, to go on", stacklevel=2)
        elif config.optimizer.schedule == "cosine":
            before = replace(config, **{name.removeprefix("train."): was for name, (was, _) in grown.items()})
            was, now = (config.optimizer.rate(self.step, self._progress(each)) for each in (before, config))
            warnings.warn(
                f"the cosine schedule now spans the longer run: at step {self.step} the learning rate is {now:.2g}, where it was "
                f"{was:.2g}, so this is not the run that was as long from its start",
                stacklevel=2,
            )

    def _load_state(self, parts: dict[str, run_state.State]) -> None:
        device, own = self.accelerator.device, self.slots.own
        run_state.load_module_state(self.trained, parts["model"])
        if self.average is not None:
            run_state.load_module_state(self.average, parts["average"])
        for i, optimizer in enumerate(self.optimizers):
            if processes.is_partitioned(self.accelerator):
                run_state.load_partition_state(optimizer.optimizer, self.team, parts[f"optimizer{i}"])
            else:
                run_state.load_optimizer_state(optimizer.optimizer, self.trained, parts[f"optimizer{i}"])
        held = {name: own(part).to(device) for name, part in parts["carry"].items()}
        states = tuple(held[f"state{i}"] for i in range(len(self.carry.state)))
        self.carry = Carry(states, held["steps"], held["halted"])
        self.slots.load_state_dict(parts["slots"])
        if self.boundary is not None:
            self.boundary.load_state_dict(parts["tuner"])
        sums = parts["run"]["sums"] * self._counts()
        self.sums = (sums if self.team.main else torch.zeros_like(sums)).to(self.sums)
        step, self.seconds, self.best_exact, best_step, perfect = parts["run"]["figures"].tolist()
        self.step, self.best_step, self.perfect = int(step), int(best_step), int(perfect)
        run_state.load_random_state(parts["random"], device, self.team)
        run_state.load_scaler_state(self.accelerator.scaler, parts["scaler"])
