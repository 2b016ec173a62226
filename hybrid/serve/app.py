"""The application: routes, faults, bounds and the page put together. Holds no thinking (batcher.py)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

from hybrid.serve import about, chain_route, completions, solving
from hybrid.serve.middleware import Bounded, Counted
from hybrid.serve.refused import DOCUMENTED, tell_faults
from hybrid.serve.requests import MOST_PROMPTS
from hybrid.serve.server import Server

PAGE = Path(__file__).with_name("page")
OWN_ONLY = {"Content-Security-Policy": "default-src 'self'; img-src 'self' data:"}
"""What the page may load: nothing from another host."""


def build(server: Server, *, stop: Callable[[], None] = lambda: None) -> FastAPI:
    """Return the application of a server; `stop` is called when it ends."""

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(server.batcher.stop, seconds=server.timeout_seconds)
        stop()

    app = FastAPI(title="hybrid", version="1", lifespan=life, docs_url="/docs", redoc_url=None, responses=DOCUMENTED)
    app.state.server = server
    tell_faults(app)
    for part in (about, solving, completions, chain_route):
        app.include_router(part.router)
    app.get("/", include_in_schema=False)(page)
    app.mount("/page", StaticFiles(directory=PAGE))
    app.add_middleware(Counted, server=server)
    app.add_middleware(Bounded, most=(MOST_PROMPTS + 1) * (6 * server.most_characters + 100))
    return app


async def page() -> FileResponse:
    """Return the page to play with."""
    return FileResponse(PAGE / "index.html", headers=OWN_ONLY)
