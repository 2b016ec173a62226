"""`python -m hybrid.train` is the command `hybrid train`, for launchers that start a module in many processes."""

import runpy
import sys

sys.argv.insert(1, "train")
runpy.run_module("hybrid", run_name="__main__", alter_sys=True)
