"""The route `/v1/chain_of_thought`: the language model's own words, streamed as they are written."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from hybrid.errors import HybridError
from hybrid.eval.checked import understood
from hybrid.problem import Problem
from hybrid.serve.chain import Chain
from hybrid.serve.events import events
from hybrid.serve.refused import Refused, fault
from hybrid.serve.requests import Aloud
from hybrid.serve.server import Server, TheServer
from hybrid.serve.writing import Writing

router = APIRouter()


@router.post("/v1/chain_of_thought", response_class=StreamingResponse)
async def chain_of_thought(asked: Aloud, server: TheServer) -> StreamingResponse:
    """Let the language model of a head work a prompt out in words, as Server-Sent Events.

    Each holds a piece of `text`, and `tokens` and `seconds` so far. The last one says how it `ended`, the `answer` that can be
    read from it, whether it follows the rules (`verified`) and whether it is the `same` as the head's.
    """
    if not server.chain_tokens:
        raise Refused(404, "this server writes no chains of thought; start it with --chain_tokens above 0")
    head = server.head(asked.model)
    server.check_length(len(asked.prompt))
    pieces: asyncio.Queue[Any] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def tell(piece: Any) -> None:
        with contextlib.suppress(RuntimeError):  # The loop has ended, and with it who reads.
            loop.call_soon_threadsafe(pieces.put_nowait, piece)

    try:
        chain = await asyncio.to_thread(_chain, server, head, asked)
        writing = Writing(chain.pieces(), tell)
        server.batcher.write(writing)
    except HybridError as error:
        raise Refused.by(error) from None
    return events(_read(writing, pieces))


def _chain(server: Server, head: str, asked: Aloud) -> Chain:
    task, most = server.batcher.tasks[head], min(asked.max_tokens or server.chain_tokens, server.chain_tokens)
    prompt = understood(task, Problem(asked.prompt, ())).prompt
    return Chain(server.batcher.heads[head].backbone, task, prompt, most, tuple(asked.answer))


async def _read(writing: Writing, pieces: asyncio.Queue[Any]) -> AsyncIterator[dict[str, Any]]:
    try:
        while (piece := await pieces.get()) is not None:
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
