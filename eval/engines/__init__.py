"""Engines: where the text of the prompted methods comes from, the frozen model itself or a server."""

from hybrid.eval.engines.engine import ENGINES as ENGINES
from hybrid.eval.engines.engine import Engine as Engine
from hybrid.eval.engines.local import TransformersEngine as TransformersEngine
from hybrid.eval.engines.server import ServerEngine as ServerEngine
