"""Training a language model to write answers, for the text baselines: a PEFT adapter, one loop, passes with a cache.

Holds nothing that tells one baseline from another; baselines/tuned.py, pause.py and coconut.py do.
"""

from hybrid.eval.tuning.adapter import Adapter as Adapter
from hybrid.eval.tuning.reading import Reading as Reading
from hybrid.eval.tuning.run import Plan as Plan
from hybrid.eval.tuning.run import Run as Run
from hybrid.eval.tuning.run import TuningConfig as TuningConfig
