"""`python -m hybrid.train.ladder` is `python -m hybrid.eval.ladder`: the ladder trains and tests, so it stands above both."""

import runpy

if __name__ == "__main__":
    runpy.run_module("hybrid.eval.ladder", run_name="__main__", alter_sys=True)
