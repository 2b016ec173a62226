"""`hybrid doctor`: one screen for a bug report."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import sys
from dataclasses import dataclass

SHOWN = ("torch", "transformers", "accelerate", "peft", "bitsandbytes", "datasets", "safetensors", "fastapi", "reasoning-gym")


@dataclass(frozen=True)
class DoctorCommand:
    """Print versions, device, cache, free disk and where the default language model is: one screen for a bug report.

    Args:
        backbone: language model to look for.
    """

    backbone: str | None = None

    def run(self) -> None:
        """Print what is here; nothing is fetched."""
        for name, value in report(self.backbone):
            print(f"{name:<15}{value}")


def version() -> str:
    """Return this package's version."""
    try:
        return importlib.metadata.version("hybrid-reasoner")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def report(backbone: str | None = None) -> list[tuple[str, str]]:
    """Return names and values of what a bug report needs."""
    import torch

    from hybrid.backbone.default import DEFAULT_BACKBONE, cache_folder
    from hybrid.device import usual_device

    device, cache = usual_device(), cache_folder().absolute()
    where = next(folder for folder in (cache, *cache.parents) if folder.exists())
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    parts = [("hybrid", version()), ("python", f"{sys.version.split()[0]} on {platform.platform()}")]
    for package in SHOWN:
        try:
            parts.append((package, importlib.metadata.version(package)))
        except importlib.metadata.PackageNotFoundError:
            parts.append((package, "not installed"))
    parts += [
        ("device", f"{device} ({name})"),
        ("cache", f"{cache} ({'there' if cache.exists() else 'not made yet'}; $HYBRID_CACHE moves it)"),
        ("free disk", f"{shutil.disk_usage(where).free / 1e9:.1f} GB"),
        ("language model", _found(backbone or DEFAULT_BACKBONE)),
    ]
    return parts


def _found(name: str) -> str:
    """Say where a language model is, or how to get it; asks no network."""
    import os

    from hybrid.backbone.default import find_backbone
    from hybrid.errors import HybridError

    before = os.environ.get("HF_HUB_OFFLINE")
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        found, folder = find_backbone(name)
        return f"{found} in {folder}"
    except (HybridError, OSError) as error:
        return f"{name} is not here: {error}"
    finally:
        if before is None:
            del os.environ["HF_HUB_OFFLINE"]
        else:
            os.environ["HF_HUB_OFFLINE"] = before
