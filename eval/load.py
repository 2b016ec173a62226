"""A server under load: answers a second, waits, statuses, and its memory while thousands of requests go by.

    hybrid serve --model examples/sudoku4 --port 8000
    python -m hybrid.eval.load [--url http://127.0.0.1:8000] [--requests 10000] [--clients 64] [--output FILE]

Asks the prompts of /v1/examples again and again by /v1/solve; memory is what /metrics tells after each tenth of the requests.
A server that is full (429) is asked again after a moment, and the refusal is counted.
"""

from __future__ import annotations

import itertools
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hybrid.checkpoint import write_text
from hybrid.errors import EngineError, InputError
from hybrid.eval import program
from hybrid.eval.engines.client import http
from hybrid.flags.parser import parse
from hybrid.kinds import A_PATH, require

PARTS = 10
"""Times that the memory is asked for."""
FULL, PATIENCE_SECONDS = 429, 0.2


@dataclass(frozen=True)
class Load:
    """What was found.

    Args:
        model: which head was asked.
        requests, clients: how many, and how many at once.
        answers_per_second: answers of all clients together.
        p50_seconds, p95_seconds: of one answer, from the question to its last byte.
        statuses: how often each status came.
        resident_mb: the server's memory before the first request and after each tenth of them; empty where it is not told.
        grew_percent: from after the first tenth, when all has been used once, to after the last; None where it is not told.
    """

    model: str
    requests: int
    clients: int
    answers_per_second: float
    p50_seconds: float
    p95_seconds: float
    statuses: dict[str, int]
    resident_mb: list[float]
    grew_percent: float | None


def measure(url: str, requests: int, clients: int) -> Load:
    """Ask a server so many times, by so many clients at once.

    Raises:
        EngineError: the server is not there, or breaks off.
        InputError: it offers no examples to ask.
    """
    limits = http.Limits(max_connections=clients, max_keepalive_connections=clients)
    try:
        with http.Client(base_url=url, timeout=120.0, limits=limits) as client:
            offered = {name: prompts for name, prompts in client.get("/v1/examples").json().items() if prompts}
            if not offered:
                raise InputError(f"{url} offers no examples; serve a head whose task makes problems")
            head, prompts = next(iter(offered.items()))
            return _ask_all(client, head, prompts, requests, clients)
    except http.HTTPError as error:
        raise EngineError(f"{url}: {type(error).__name__} {error}; see whether the server runs") from None


def _ask_all(client: Any, head: str, prompts: Sequence[str], requests: int, clients: int) -> Load:
    statuses: Counter[str] = Counter()
    waits: list[float] = []
    memory = [resident_mb(client)]
    turns = itertools.islice(itertools.cycle(prompts), requests)
    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        for part in range(PARTS):
            count = requests * (part + 1) // PARTS - requests * part // PARTS
            for wait, own in pool.map(lambda prompt: _ask(client, head, prompt), itertools.islice(turns, count)):
                waits.append(wait)
                statuses.update(own)
            memory.append(resident_mb(client))
    seconds = time.perf_counter() - began
    ordered = sorted(waits)
    p50, p95 = (round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 4) for share in (0.5, 0.95))
    told = [round(each, 1) for each in memory if each is not None]
    rate, grew = round(statuses["200"] / seconds, 2), grown(told)
    return Load(head, requests, clients, rate, p50, p95, dict(statuses), told, grew)


def grown(resident_mb: Sequence[float]) -> float | None:
    """Return by how many percent memory grew once it was in use; None of fewer than three figures.

    Example:
        >>> grown([700.0, 800.0, 810.0, 804.0]), grown([])
        (0.5, None)
    """
    return round(100 * (resident_mb[-1] / resident_mb[1] - 1), 2) if len(resident_mb) > 2 else None


def _ask(client: Any, head: str, prompt: str) -> tuple[float, list[str]]:
    """Return the seconds of the answer and the statuses on the way to it."""
    statuses: list[str] = []
    while True:
        began = time.perf_counter()
        status = client.post("/v1/solve", json={"model": head, "prompt": prompt}).status_code
        statuses.append(str(status))
        if status != FULL:
            return time.perf_counter() - began, statuses
        time.sleep(PATIENCE_SECONDS)


def resident_mb(client: Any) -> float | None:
    """Return the server's resident memory in MB; None where it does not tell."""
    found = re.search(r"^process_resident_memory_bytes (\d+)", client.get("/metrics").text, re.M)
    return int(found[1]) / 1e6 if found else None


@dataclass(frozen=True)
class LoadCommand:
    """Ask a running server many times at once, and tell how it bears it.

    Args:
        url: of the server.
        requests: in all.
        clients: at once.
        output: file for the figures.
    """

    url: str = "http://127.0.0.1:8000"
    requests: int = 10_000
    clients: int = 64
    output: str | None = field(default=None, metadata=A_PATH)

    def __post_init__(self) -> None:
        require(self.requests >= PARTS, f"requests is {self.requests}; give at least {PARTS}")
        require(self.clients >= 1, f"clients is {self.clients}; give at least 1")

    def run(self) -> None:
        """Measure and print."""
        text = json.dumps(asdict(measure(self.url, self.requests, self.clients)), indent=1)
        print(text)
        if self.output is not None:
            write_text(Path(self.output), text + "\n")


if __name__ == "__main__":
    program.run(lambda: parse(LoadCommand, sys.argv[1:], "load").run())
