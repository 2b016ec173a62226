"""What is to be known of devices: where a model runs when nobody says so, and how exactly numbers add up there."""

from __future__ import annotations

import torch


def usual_device() -> torch.device:
    """Return the machine's accelerator, or the processor where there is none: what Accelerate trains on."""
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return torch.device("cpu") if found is None else found


def widest(device: torch.device) -> torch.dtype:
    """Return the most exact floating-point type of a device: float64, but float32 on Apple's GPUs, which have no other."""
    return torch.float32 if device.type == "mps" else torch.float64
