"""Trial steps: what a run will need, and which batch fits, found out before it begins. Nothing is written or kept."""

from __future__ import annotations

import copy
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import find_executable_batch_size
from accelerate.utils.memory import should_reduce_batch_size

from hybrid.backbone import tuner
from hybrid.backbone.default import cache_folder
from hybrid.backbone.reading import Reading
from hybrid.device import resident_peak
from hybrid.errors import TrainingError
from hybrid.inference.thinking import think
from hybrid.recursion.carry import Carry
from hybrid.recursion.halting import Fixed
from hybrid.train import step as one_step
from hybrid.train.boundary import Boundary
from hybrid.train.config import TrainConfig
from hybrid.train.dataset import Dataset
from hybrid.train.feature_cache import LiveFeatures, missing_readings
from hybrid.train.optimizer import OPTIMIZERS, clip, trainable
from hybrid.train.processes import Team, new_accelerator
from hybrid.train.run.folder import KEEP

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hybrid.model import HybridModel
    from hybrid.problem import Problem

TIMED_STEPS = 3
EVALUATED_TOGETHER = 128
T = TypeVar("T")


class TrialStep:
    """Supervision steps on a copy of the head, with the first rows of a dataset in the slots of one process.

    A tuned language model runs once, with gradient, and its graph is kept until `go_back`, as in a run.
    """

    def __init__(self, model: HybridModel, data: Dataset, config: TrainConfig, rows: int) -> None:
        self.head, self.config, tuned = copy.deepcopy(model.head), config, model.backbone.tuned
        self.optimizers = OPTIMIZERS.build(config.optimizer).build(self.head)
        self.objective = one_step.Objective.of(config, self.head, tuned=tuned)
        indices = [row % len(data) for row in range(rows)]
        place: Any = PartialState()  # Knows the device, which is all that is asked of it here.
        self.boundary = Boundary(model.backbone, config, place) if tuned else None
        self.batch = self.boundary.read(data, indices) if self.boundary else data.batch(indices).to(model.device)
        self.carry = Carry.start(self.head.start(self.batch.features))

    def __call__(self) -> None:
        """Take one step."""
        precision, device = self.config.mixed_precision, self.batch.targets.labels.device.type
        half = torch.float16 if precision == "fp16" else torch.bfloat16
        with torch.autocast(device, half, enabled=precision != "no"):
            out = one_step.forward(self.head, self.batch, self.carry, self.objective)
            ahead = one_step.look_ahead(self.head, self.batch, out, self.objective.halting)
        result = one_step.losses(out, self.objective, ahead, self.carry.steps + 1)
        result.total.backward()  # type: ignore[no-untyped-call]
        clip(self.head.parameters(), self.config.optimizer.max_norm)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()

    def go_back(self) -> None:
        """Send what the steps have gathered back through a tuned language model, and drop it there."""
        if self.boundary is not None and self.boundary.leaf.grad is not None:
            self.boundary.go_back()
            for parameter in self.boundary.parameters:
                parameter.grad = None


def try_out(model: HybridModel, data: Dataset, config: TrainConfig, rows: int) -> None:
    """Take a step with so many rows, through a tuned language model as well; fails where memory does not hold it."""
    step = TrialStep(model, data, config, rows)
    step()
    step.go_back()


def fitting_batch_size(wanted: int, team: Team, attempt: Callable[[int], None]) -> int:
    """Return `wanted` or the first half, quarter, ... of it that fits into the memory of every process.

    Args:
        wanted: slots over all processes together.
        team: processes that all ask.
        attempt: takes a step with so many slots in this process, or fails for want of memory.

    Raises:
        TrainingError: not even one slot a process fits.
    """
    rows = wanted // team.size

    def halved() -> int:
        nonlocal rows
        rows //= 2
        if rows == 0:
            raise TrainingError("not even one slot a process fits into memory; choose a smaller reasoner.width or model")
        return rows

    def tried(batch_size: int) -> int:
        full = False
        try:
            attempt(batch_size)
        except RuntimeError as error:
            full = should_reduce_batch_size(error)
            if not full:
                raise
        if any(team.together([full])):
            raise RuntimeError("a process is out of memory.")  # In the words that Accelerate looks for.
        return batch_size

    found: int = find_executable_batch_size(tried, starting_batch_size=rows, reduce_batch_size_fn=halved)()
    return found * team.size


@dataclass(frozen=True)
class Needs:
    """What a run will need.

    Args:
        weights: trained ones.
        feature_bytes: of all features on disk; 0 without a cache.
        missing_bytes: of those that are not there yet.
        checkpoint_bytes: of the checkpoints that are kept, and the one that is written.
        peak_bytes: memory of one process in a step, with the language model, and where it is tuned, with its graph.
        slots: of one process.
        feature_seconds: to compute the missing features.
        step_seconds: of one supervision step.
        num_steps: supervision steps, at most.
        train_seconds: of all steps.
        evaluation_seconds: of all evaluations.
    """

    weights: int
    feature_bytes: int
    missing_bytes: int
    checkpoint_bytes: int
    peak_bytes: int
    slots: int
    feature_seconds: float
    step_seconds: float
    num_steps: int
    train_seconds: float
    evaluation_seconds: float

    def text(self, output: str | Path) -> str:
        """Return the lines that `hybrid train --dry-run` prints for a run in the folder `output`."""
        features, runs = cache_folder() / "features", Path(output).absolute()
        total = self.feature_seconds + self.train_seconds + self.evaluation_seconds
        lines = {
            "trained weights": f"{self.weights:,}",
            "features": f"{_size(self.feature_bytes)}, {_size(self.missing_bytes)} of it still to be computed; "
            f"{_room(features, self.missing_bytes)}",
            "checkpoints": f"up to {_size(self.checkpoint_bytes)}; {_room(runs, self.checkpoint_bytes)}",
            "memory": f"{_size(self.peak_bytes)} a process at the peak of a step with {self.slots} slots",
            "time": f"about {_time(total)}: features {_time(self.feature_seconds)}, at most {self.num_steps} steps of "
            f"{self.step_seconds:.3g} s {_time(self.train_seconds)}, evaluations {_time(self.evaluation_seconds)}",
        }
        return "\n".join(f"{name:<16} {line}" for name, line in lines.items())


def survey(model: HybridModel, train_problems: Sequence[Problem], dev_problems: Sequence[Problem], config: TrainConfig) -> Needs:
    """Measure a few steps at the real batch size and return what the whole run will need; see `hybrid.train.train`."""
    accelerator, team = new_accelerator(config.batch_size, mixed_precision=config.mixed_precision), Team.current()
    model.to(accelerator.device)
    model.fit_reader(train_problems)
    rows = config.batch_size // team.size
    sets = [Dataset(model, problems, cache=False) for problems in (train_problems, dev_problems)]
    readings = [list(each.features.prepared) for each in sets if isinstance(each.features, LiveFeatures)]
    read_seconds, step = _seconds(lambda: TrialStep(model, sets[0], config, rows))
    step()
    step_seconds = sum(_seconds(step)[0] for _ in range(TIMED_STEPS)) / TIMED_STEPS
    back_seconds, _ = _seconds(step.go_back)
    peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else resident_peak()
    head, dev = step.head, sets[1].batch(range(min(EVALUATED_TOGETHER, len(sets[1])))).to(model.device)
    think_seconds, _ = _seconds(
        lambda: think(head, dev.features, Fixed(Fixed.Config()), head.reasoner.config.num_supervision_steps)
    )
    own, runs = tuner.tuned_parameters(model.backbone), model.backbone.runs
    cached = config.cache and not own
    token_seconds = read_seconds / sum(_tokens(readings[0][row % len(readings[0])]) for row in range(rows)) if runs else 0.0
    missing = [reading for each in readings for reading in missing_readings(model.backbone, each)] if cached else []
    if runs and not cached:  # Each problem is read once, and a tuned language model goes back once, for all its steps.
        step_seconds += (read_seconds + back_seconds) / head.reasoner.config.num_supervision_steps
        think_seconds += token_seconds * sum(map(_tokens, readings[1][:EVALUATED_TOGETHER]))
    train_seconds = min(config.num_steps * step_seconds, config.max_seconds or math.inf)
    evaluations = max(1, round(train_seconds / step_seconds / config.eval_every_steps))
    moments = sum(m.nbytes for o in step.optimizers for state in o.state.values() for m in state.values())
    copies = sum(tensor.nbytes for tensor in head.state_dict().values()) * (2 if config.ema_decay else 1)
    tuned = sum(weight.nbytes for weight in own)
    return Needs(
        weights=sum(weight.numel() for weight in (*trainable(head), *own)),
        feature_bytes=sum(model.backbone.bytes_of(each) for each in readings) if cached else 0,
        missing_bytes=model.backbone.bytes_of(missing) if missing else 0,
        checkpoint_bytes=(KEEP + 1) * (moments + copies + 3 * tuned),  # Weights and two moments.
        peak_bytes=peak + 2 * tuned,
        slots=rows,
        feature_seconds=token_seconds * sum(map(_tokens, missing)) / team.size,
        step_seconds=step_seconds,
        num_steps=config.num_steps,
        train_seconds=train_seconds,
        evaluation_seconds=evaluations * think_seconds * math.ceil(len(sets[1]) / EVALUATED_TOGETHER / team.size),
    )


def _tokens(reading: Reading) -> int:
    return len(reading.ids)


def _seconds(work: Callable[[], T]) -> tuple[float, T]:
    """Return how long `work` takes, and what it returns."""
    began = time.perf_counter()
    made = work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began, made


def _size(count: int) -> str:
    return f"{count / 1e9:,.2f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"


def _time(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"


def _room(folder: Path, needed: int) -> str:
    """Say how much is free where `folder` is or will be."""
    there = next(place for place in (folder, *folder.parents) if place.is_dir())
    free = shutil.disk_usage(there).free
    return f"{_size(free)} free in {there}" + ("" if free > needed else ": not enough")
