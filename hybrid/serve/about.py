"""Routes that tell about the server: health, figures for Prometheus, models, examples."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from hybrid.serve.server import Server, TheServer

router = APIRouter()
MEMORY = Path("/proc/self/statm")
"""Pages of this process, where the system tells them (Linux)."""


@router.get("/health")
async def health(server: TheServer) -> dict[str, Any]:
    """Say that the server is there, and how many wait."""
    return {"status": "ok", "waiting": server.batcher.waiting, "models": list(server.batcher.heads)}


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(server: TheServer) -> str:
    """Return the figures in Prometheus' text format."""
    return figures(server)


@router.get("/v1/models")
async def models(server: TheServer) -> dict[str, Any]:
    """List the heads as OpenAI lists models."""
    return {"object": "list", "data": [_model(server, name) for name in server.batcher.heads]}


@router.get("/v1/models/{name}")
async def model(name: str, server: TheServer) -> dict[str, Any]:
    """Tell about one head as OpenAI tells about a model."""
    return _model(server, server.head(name))


@router.get("/v1/examples")
async def examples(server: TheServer) -> dict[str, list[str]]:
    """Return prompts to try, by the names of heads."""
    return server.examples


def _model(server: Server, name: str) -> dict[str, Any]:
    chain = server.chain_tokens if server.batcher.heads[name].backbone.runs else 0
    return {"id": name, "object": "model", "created": server.began, "owned_by": "hybrid", "chain_tokens": chain}


def figures(server: Server) -> str:
    """Return the figures of a server in Prometheus' text format."""
    batcher = server.batcher
    lines = ["# TYPE hybrid_requests_total counter"]
    lines += [
        f'hybrid_requests_total{{path="{path}",status="{status}"}} {count}' for (path, status), count in server.requests.items()
    ]
    lines += ["# TYPE hybrid_answers_total counter"]
    lines += [f'hybrid_answers_total{{by="{by}"}} {count}' for by, count in batcher.counts.items()]
    others = {
        "hybrid_waiting": ("gauge", batcher.waiting),
        "hybrid_thinking_seconds_total": ("counter", batcher.busy_seconds),
        "hybrid_request_seconds_sum": ("counter", server.seconds[0]),
        "hybrid_request_seconds_count": ("counter", int(server.seconds[1])),
    }
    if MEMORY.exists():
        pages = int(MEMORY.read_text().split()[1])
        others["process_resident_memory_bytes"] = ("gauge", pages * os.sysconf("SC_PAGE_SIZE"))
    for name, (kind, value) in others.items():
        lines += [f"# TYPE {name} {kind}", f"{name} {value}"]
    return "\n".join(lines) + "\n"
