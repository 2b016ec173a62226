"""Tasks, baselines and benchmarks: what a reasoner is asked, what it is compared with, and at what cost.

Holds nothing itself; it is imported as `hybrid.eval`.
"""

if __name__ != "hybrid.eval":
    raise ImportError("import hybrid.eval, not " + __name__)
