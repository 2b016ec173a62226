"""Joules, where the machine counts them: NVIDIA's own counter of each GPU, else Intel's and AMD's of the processor.

What is counted is the whole device, with its idling and with whatever else runs on it. Both are counters of energy, not
of power, so that nothing is sampled and short work is not missed. A GPU's needs the package nvidia-ml-py; those of a
processor stand under /sys/class/powercap, on many systems for root alone.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

POWERCAP = Path("/sys/class/powercap")


@dataclass(frozen=True)
class Counter:
    """A counter of joules that starts again from zero after `range` of them; None for one that never does."""

    read: Callable[[], float]
    range: float | None = None


def processor_counters(folder: Path = POWERCAP) -> list[Counter]:
    """Return a counter for each processor package and its memory; none where there are none or they may not be read."""
    counters = []
    for zone in sorted(folder.glob("intel-rapl:*")):
        try:
            name = (zone / "name").read_text().strip()
            (zone / "energy_uj").read_text()
            most = float((zone / "max_energy_range_uj").read_text()) / 1e6
        except OSError:
            continue
        if name.startswith("package") or name == "dram":  # A package's other parts are counted in it.
            counters.append(Counter(lambda zone=zone: float((zone / "energy_uj").read_text()) / 1e6, most))  # type: ignore[misc]
    return counters


def gpu_counters() -> list[Counter]:
    """Return a counter for each GPU that torch sees; none where one does not count, or nvidia-ml-py is not there."""
    try:
        nvml: Any = importlib.import_module("pynvml")
        nvml.nvmlInit()
        counters = []
        for index in range(torch.cuda.device_count()):
            handle = nvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(index).uuid}")
            nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
            counters.append(Counter(lambda handle=handle: nvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3))  # type: ignore[misc]
        return counters
    except Exception:  # No package, no driver, a GPU from before such counters: pynvml raises kinds of its own.
        return []


class Energy:
    """Joules spent inside `with` blocks: of the GPUs where there are some, else of the processor; None where not counted.

    Blocks add up. A block should end before a counter has gone round, ten minutes or more.
    """

    joules: float | None

    def __init__(self, counters: Sequence[Counter] | None = None) -> None:
        found = (gpu_counters() if torch.cuda.is_available() else processor_counters()) if counters is None else counters
        self._counters = list(found)
        self.joules = 0.0 if self._counters else None
        self._began: list[float] = []

    def __enter__(self) -> Energy:
        self._began = [counter.read() for counter in self._counters]
        return self

    def __exit__(self, *error: object) -> None:
        for counter, began in zip(self._counters, self._began, strict=True):
            spent = counter.read() - began
            self.joules = (self.joules or 0.0) + (spent + (counter.range or 0.0) if spent < 0 else spent)
