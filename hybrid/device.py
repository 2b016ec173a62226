"""What is to be known of devices: where a model runs when nobody says so, how exactly numbers add up there,
and what a process has held."""

from __future__ import annotations

import sys

import torch


def usual_device() -> torch.device:
    """Return the machine's accelerator, or the processor where there is none: what Accelerate trains on."""
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return torch.device("cpu") if found is None else found


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
