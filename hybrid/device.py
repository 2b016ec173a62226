"""What is to be known of devices: where a model runs when nobody says so, how exactly numbers add up there,
and what a process has held."""

from __future__ import annotations

import sys
from typing import Any

import torch


def usual_device() -> torch.device:
    """Return the machine's accelerator, or the processor where there is none: what Accelerate trains on."""
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return torch.device("cpu") if found is None else found


class HostCopy:
    """A tensor on its way to the processor: a GPU goes on with what comes behind it, and `tolist` waits for this alone."""

    def __init__(self, x: torch.Tensor) -> None:
        self.there, self.copied = x, None
        if x.is_cuda:
            self.there = torch.empty(x.shape, dtype=x.dtype, pin_memory=True)
            self.there.copy_(x, non_blocking=True)
            self.copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self.copied.record()

    def tolist(self) -> list[Any]:
        """Return its numbers."""
        if self.copied is not None:
            self.copied.synchronize()
        values: list[Any] = self.there.tolist()
        return values


def widest(device: torch.device) -> torch.dtype:
    """Return the most exact floating-point type of a device: float64, but float32 on Apple's GPUs, which have no other."""
    return torch.float32 if device.type == "mps" else torch.float64


def resident_peak() -> int:
    """Return the most bytes of memory that this process has held since it began."""
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
