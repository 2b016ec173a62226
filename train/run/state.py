"""The state of a run: everything that decides its next step, as whole tensors, the same for any number of processes.

Weights and optimizer moments that are cut over processes are put together before they are written, and cut again as the
resuming run needs them; so a run goes on with more or fewer processes, and with another way of sharing the work. Only
DeepSpeed's moments cannot be put together: they go on with as many processes as they had. Holds no choice of folders:
folder.py makes checkpoints whole or not there.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from hybrid.errors import TrainingError
from hybrid.train.processes import Team, cut_like, whole

State = dict[str, Tensor]
NOT_KEPT = ("loss_scaler", "param_slice_mappings", "zero_stage")
"""Objects in a DeepSpeed optimizer's state that it makes anew."""


def module_state(module: nn.Module) -> State:
    """Return weights and buffers of a module, whole, on the CPU; every process must ask."""
    return {name: whole(tensor).cpu().contiguous() for name, tensor in module.state_dict().items()}


@torch.no_grad()
def load_module_state(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Put whole weights and buffers into a module, which may be cut over processes."""
    for name, place in module.state_dict().items():
        place.copy_(cut_like(state[name], place))


def optimizer_state(optimizer: torch.optim.Optimizer, module: nn.Module) -> State:
    """Return the moments of an optimizer over weights of `module` as `weight|moment`, whole, on the CPU."""
    return {
        f"{name}|{kind}": whole(moment).cpu().contiguous()
        for name, weight in module.named_parameters()
        for kind, moment in sorted(optimizer.state.get(weight, {}).items())
    }


def load_optimizer_state(optimizer: torch.optim.Optimizer, module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Put back what `optimizer_state` returned; rates and decays are the config's."""
    if "partition-0" in state:
        raise TrainingError("the checkpoint is DeepSpeed's; resume as it was begun, or give another --output")
    weights = dict(module.named_parameters())
    optimizer.state.clear()
    for name, moment in state.items():
        weight, kind = name.rsplit("|", 1)
        place = weights[weight]
        cut = cut_like(moment, place) if moment.shape == place.shape else moment.to(place.device)
        optimizer.state[place][kind] = cut.clone()


def partition_state(optimizer: Any, team: Team) -> State:
    """Return DeepSpeed's partitions, one a process, each in torch's own format as bytes; every process must ask."""
    file = io.BytesIO()
    torch.save({name: value for name, value in optimizer.state_dict().items() if name not in NOT_KEPT}, file)
    own = torch.frombuffer(bytearray(file.getvalue()), dtype=torch.uint8)
    return {f"partition-{rank}": part for rank, part in enumerate(team.together([own]))}


def load_partition_state(optimizer: Any, team: Team, state: Mapping[str, Tensor]) -> None:
    """Put back what `partition_state` returned; raise TrainingError for another number of processes."""
    if len(state) != team.size or "partition-0" not in state:
        raise TrainingError(
            f"the checkpoint is not of {team.size} DeepSpeed processes; resume as it was begun, or give another --output"
        )
    parts = [torch.load(io.BytesIO(state[f"partition-{rank}"].numpy().tobytes())) for rank in range(team.size)]
    optimizer.load_state_dict(parts, load_from_fp32_weights=True)


def random_state(device: torch.device, team: Team) -> State:
    """Return the state of torch's own generators in all processes."""
    own = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        own["cuda"] = torch.cuda.get_rng_state(device)
    return {f"{kind}-{rank}": state for rank, each in enumerate(team.together([own])) for kind, state in each.items()}


def load_random_state(state: Mapping[str, Tensor], device: torch.device, team: Team) -> None:
    """Put this process's generators back; a process that was not there before keeps its own."""
    if f"cpu-{team.rank}" in state:
        torch.set_rng_state(state[f"cpu-{team.rank}"])
    if device.type == "cuda" and f"cuda-{team.rank}" in state:
        torch.cuda.set_rng_state(state[f"cuda-{team.rank}"], device)


def scaler_state(scaler: Any) -> State:
    """Return the scale of a gradient scaler (fp16), nothing where there is none."""
    found = {} if scaler is None else scaler.state_dict()
    return {name: torch.tensor(value, dtype=torch.float64) for name, value in found.items()}


def load_scaler_state(scaler: Any, state: Mapping[str, Tensor]) -> None:
    """Put back what `scaler_state` returned."""
    if scaler is not None and state:
        known = scaler.state_dict()
        scaler.load_state_dict({name: type(value)(state[name].item()) for name, value in known.items()})


def write(place: Path, parts: Mapping[str, State]) -> None:
    """Write one safetensors file a part; raise OSError where the disk is full."""
    try:
        for name, state in parts.items():
            save_file(state, place / f"{name}.safetensors")
    except (SafetensorError, RuntimeError) as error:  # What safetensors raises on a full disk.
        raise OSError((str(error).strip() or type(error).__name__).splitlines()[0]) from None


def read(place: Path) -> dict[str, State]:
    """Return what `write` wrote."""
    return {file.stem: load_file(file) for file in sorted(place.glob("*.safetensors"))}
