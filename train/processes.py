"""Many processes: how a run starts on as many as the launcher made, and how they stay in lock-step.

Every process runs the same program on its own share of the slots. What is decided by a clock or read from a disk is
decided by the main process and told to the others. Holds no training.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import (
    DistributedDataParallelKwargs,
    DistributedType,
    FullyShardedDataParallelPlugin,
    InitProcessGroupKwargs,
    ProjectConfiguration,
    fsdp2_prepare_model,
)
from torch import Tensor, distributed, nn

from hybrid.errors import TrainingError
from hybrid.kinds import require

T = TypeVar("T")
LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "Connection refused", "Socket closed")
"""What gloo says when a process at the other end is gone."""


@dataclass(frozen=True)
class Team:
    """The processes of a run, seen from one of them; alone unless said otherwise.

    Args:
        rank: of this process; 0 is the main one, which alone prints and writes.
        size: number of processes.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> Team:
        """Return the processes that the launcher started, once they have found each other."""
        if not (distributed.is_available() and distributed.is_initialized()):
            return cls()
        return cls(distributed.get_rank(), distributed.get_world_size())

    @property
    def main(self) -> bool:
        """Whether this is the main process."""
        return self.rank == 0

    def wait(self) -> None:
        """Return when all processes are here."""
        self.shared(None)

    def shared(self, value: T) -> T:
        """Return the main process's value in all of them."""
        if self.size == 1:
            return value
        held = [value]
        distributed.broadcast_object_list(held, src=0)
        return held[0]

    def together(self, values: Sequence[T]) -> list[T]:
        """Return the values of all processes, one after the other by rank."""
        if self.size == 1:
            return list(values)
        held: list[Any] = [None] * self.size
        distributed.all_gather_object(held, list(values))
        return [value for part in held for value in part]

    def figures(self, values: Sequence[float], device: torch.device) -> list[float]:
        """Return the main process's numbers in all of them: quicker than `shared`, for every step."""
        if self.size == 1:
            return list(values)
        held = torch.tensor(values, dtype=torch.float64, device=device)
        distributed.broadcast(held, src=0)
        return held.tolist()

    def share(self, values: Sequence[T]) -> list[T]:
        """Return every size-th value: this process's part of work that can be cut anyhow."""
        return list(values[self.rank :: self.size])


def _one_process() -> bool:
    """Say whether the launcher, if there is one, started this process alone."""
    return int(os.environ.get("WORLD_SIZE", "1")) == 1


def take_device(*, spread: bool = False) -> None:
    """Make this process's own GPU the current one, before anything is loaded: a quantised model goes where it is loaded.

    Args:
        spread: whether the language model is to be spread over all devices.

    Raises:
        ConfigError: several processes would each spread it over the same devices.
    """
    alone = _one_process()
    require(alone or not spread, "backbone.device_map spreads a model over all devices; start one process, or leave it out")
    if not alone and torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))


def new_accelerator(
    batch_size: int,
    *,
    mixed_precision: str = "no",
    max_norm: float | None = 1.0,
    trackers: Sequence[str] = (),
    folder: Path | None = None,
) -> Accelerator:
    """Return an Accelerator for the processes that the launcher made; gloo joins them where there is no accelerator.

    Args:
        batch_size: slots over all processes together.
        mixed_precision: no, bf16 or fp16.
        max_norm: gradients are clipped to this norm, None for not at all; DeepSpeed does it itself.
        trackers: names of Accelerate trackers.
        folder: of the run, for the trackers.

    Raises:
        ConfigError: the batch does not split over the processes, the launcher asks for another precision, fp16 was asked for
            without a GPU, or FSDP 1 or DeepSpeed's third stage was asked for.
    """
    alone = _one_process()
    on_cpu = not alone and not torch.accelerator.is_available()
    deepspeed = os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true"
    handlers: list[Any] = [DistributedDataParallelKwargs(static_graph=True)]  # A gradient scheme may leave weights out.
    if on_cpu and deepspeed:
        handlers.append(InitProcessGroupKwargs(backend="gloo"))
    asked = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    require(
        asked in ("no", mixed_precision),
        f"the launcher asks for mixed precision {asked}, and train.mixed_precision is {mixed_precision}; give both the same",
    )
    fits = mixed_precision != "fp16" or torch.accelerator.is_available()
    require(fits, "mixed_precision fp16 needs a GPU; give bf16 or no")
    known = AcceleratorState._shared_state
    if alone and known and known.get("_mixed_precision") != mixed_precision:
        AcceleratorState._reset_state()  # Of an earlier run in this program, which had another precision.
    accelerator = Accelerator(
        # Without this, processes on a machine without a GPU would each believe to be alone.
        cpu=on_cpu and not deepspeed,
        mixed_precision=mixed_precision,
        log_with=list(trackers) or None,
        project_config=ProjectConfiguration(project_dir=None if folder is None else str(folder)),
        kwargs_handlers=handlers,
    )
    ranks = accelerator.num_processes
    require(batch_size % ranks == 0, f"train.batch_size {batch_size} does not split over {ranks} processes")
    if accelerator.distributed_type == DistributedType.MULTI_CPU and os.environ.get("ACCELERATE_USE_FSDP") == "true":
        _shard_on_cpu(accelerator, mixed_precision)
    if accelerator.distributed_type == DistributedType.FSDP:
        version = accelerator.state.fsdp_plugin.fsdp_version
        require(version == 2, f"FSDP version {version} is not supported; set fsdp_version: 2 in the Accelerate config")
    if accelerator.distributed_type == DistributedType.DEEPSPEED:
        stage = accelerator.deepspeed_plugin.zero_stage
        require(stage <= 2, f"DeepSpeed's zero_stage {stage} is not supported; give 1 or 2, the head is small")
        sizes = {"train_micro_batch_size_per_gpu": batch_size // ranks, "gradient_clipping": max_norm or 0.0}
        accelerator.deepspeed_plugin.deepspeed_config.update(sizes)
    return accelerator


def _shard_on_cpu(accelerator: Accelerator, mixed_precision: str) -> None:
    """Let Accelerate shard over gloo: it passes over an FSDP config on a CPU without a word, torch can do it."""
    plugin = FullyShardedDataParallelPlugin()
    if mixed_precision != "no":
        plugin.set_mixed_precision(mixed_precision)
    accelerator.state.fsdp_plugin = plugin
    for state in (PartialState(), accelerator.state):
        state.distributed_type = DistributedType.FSDP


def is_sharded(accelerator: Accelerator) -> bool:
    """Say whether weights are cut over the processes (FSDP)."""
    return bool(accelerator.distributed_type == DistributedType.FSDP)


def is_partitioned(accelerator: Accelerator) -> bool:
    """Say whether the optimizer's moments are DeepSpeed's, cut over the processes as it likes."""
    return bool(accelerator.distributed_type == DistributedType.DEEPSPEED)


def make_equal(tensors: Iterable[torch.Tensor], team: Team) -> None:
    """Give all processes the main one's values."""
    if team.size > 1:
        for tensor in tensors:
            distributed.broadcast(tensor.detach(), src=0)


def to_train(module: nn.Module, accelerator: Accelerator, team: Team) -> nn.Module:
    """Return what is trained in place of `module`, with the main process's weights: a copy where it will be sharded.

    The module itself then stays whole: whole weights are put into it to evaluate and to save.
    """
    make_equal(module.state_dict().values(), team)
    return copy.deepcopy(module) if is_sharded(accelerator) else module


def shard_like(module: nn.Module, accelerator: Accelerator) -> None:
    """Cut the weights of `module` over the processes as `prepare` cuts those of the trained one, where it does."""
    if is_sharded(accelerator):
        fsdp2_prepare_model(accelerator, module)


def whole(tensor: Tensor) -> Tensor:
    """Return all of a tensor that may be cut over the processes; all of them must ask."""
    full: Callable[[], Tensor] | None = getattr(tensor, "full_tensor", None)
    return tensor if full is None else full()


def cut_like(tensor: Tensor, place: Tensor) -> Tensor:
    """Return this process's part of a whole tensor, cut and placed as `place` is."""
    tensor = tensor.to(place.device)
    if not hasattr(place, "full_tensor"):
        return tensor
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(place, DTensor)
    return distribute_tensor(tensor, place.device_mesh, place.placements)


def leave() -> None:
    """Leave the other processes, once all are here: the last thing that a program does with them."""
    team = Team.current()
    if team.size > 1:
        team.wait()
        distributed.destroy_process_group()


def lost(error: BaseException) -> TrainingError | None:
    """Return the error to raise where `error` says that another process is gone, else None."""
    text = str(error)
    if not isinstance(error, RuntimeError) or not any(words in text for words in LOST):
        return None
    return TrainingError(f"another process of the run has ended ({text.split('. ')[0]}); the same command resumes")
