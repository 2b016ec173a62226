"""Server-Sent Events, as OpenAI's clients read them: a line of JSON each, `[DONE]` at the end."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Any

from fastapi.responses import StreamingResponse


def events(chunks: Iterable[dict[str, Any]] | AsyncIterable[dict[str, Any]]) -> StreamingResponse:
    """Return an answer that is sent in chunks, each as soon as it is there."""
    return StreamingResponse(_lines(chunks), media_type="text/event-stream", headers={"Cache-Control": "no-cache"})


async def _lines(chunks: Iterable[dict[str, Any]] | AsyncIterable[dict[str, Any]]) -> AsyncIterator[str]:
    if isinstance(chunks, AsyncIterable):
        async for chunk in chunks:
            yield _line(chunk)
    else:
        for chunk in chunks:
            yield _line(chunk)
    yield "data: [DONE]\n\n"


def _line(chunk: dict[str, Any]) -> str:
    return f"data: {json.dumps(chunk)}\n\n"
