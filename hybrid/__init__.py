"""hybrid: a small recursive reasoner for the language model that you already use.

    import hybrid
    model = hybrid.attach("HuggingFaceTB/SmolLM2-135M-Instruct", hybrid.HybridConfig(...))
    model.solve(["..."])

Names are imported when they are first used, so that `import hybrid` is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hybrid.backbone import Backbone as Backbone
    from hybrid.backbone import BackboneConfig as BackboneConfig
    from hybrid.config import HybridConfig as HybridConfig
    from hybrid.errors import HybridError as HybridError
    from hybrid.inference.solution import Solution as Solution
    from hybrid.layout import LayoutConfig as LayoutConfig
    from hybrid.layout import SpanPattern as SpanPattern
    from hybrid.model import HybridModel as HybridModel
    from hybrid.model import attach as attach
    from hybrid.problem import Problem as Problem
    from hybrid.recursion.reasoner import ReasonerConfig as ReasonerConfig

__version__ = "0.1.0"

_HOMES = {
    "Backbone": "backbone",
    "BackboneConfig": "backbone",
    "HybridConfig": "config",
    "HybridError": "errors",
    "HybridModel": "model",
    "LayoutConfig": "layout",
    "Problem": "problem",
    "ReasonerConfig": "recursion.reasoner",
    "Solution": "inference.solution",
    "SpanPattern": "layout",
    "attach": "model",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'hybrid' has no attribute {name!r}")
    return getattr(importlib.import_module(f"hybrid.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
