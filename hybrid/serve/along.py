"""Reading along: what the thinking thread writes comes to whoever asked, piece by piece. Holds no routes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from hybrid.errors import HybridError
from hybrid.serve.batcher import Batcher
from hybrid.serve.refused import Refused, fault
from hybrid.serve.writing import Writing


def read_along(batcher: Batcher, pieces: Callable[[Writing], Iterator[Any]]) -> AsyncIterator[dict[str, Any]]:
    """Let a text be written, and return its pieces as they come; what breaks it comes as a fault, the last one.

    Args:
        batcher: writes.
        pieces: of the text, given the writing that knows whether somebody still reads.

    Raises:
        QueueFull: too many texts wait.
        Stopping: the server ends.
    """
    told: asyncio.Queue[Any] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def tell(piece: Any) -> None:
        with contextlib.suppress(RuntimeError):  # The loop has ended, and with it who reads.
            loop.call_soon_threadsafe(told.put_nowait, piece)

    writing = Writing(iter(()), tell)
    writing.pieces = pieces(writing)
    batcher.write(writing)
    return _read(writing, told)


async def _read(writing: Writing, told: asyncio.Queue[Any]) -> AsyncIterator[dict[str, Any]]:
    try:
        while (piece := await told.get()) is not None:
            if isinstance(piece, HybridError):
                refused = Refused.by(piece)
                yield fault(refused.status, str(refused))
                break
            if isinstance(piece, Exception):
                yield fault(500, f"{type(piece).__name__} in the server; its log has more")
                break
            yield piece
    finally:
        writing.leave()
