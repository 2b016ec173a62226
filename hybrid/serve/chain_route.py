"""The route `/v1/chain_of_thought`: the language model's own words, streamed as they are written."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from hybrid.errors import HybridError
from hybrid.eval.scoring.checked import understood
from hybrid.problem import Problem
from hybrid.serve.along import read_along
from hybrid.serve.chain import Chain
from hybrid.serve.events import events
from hybrid.serve.refused import Refused
from hybrid.serve.requests import Aloud
from hybrid.serve.server import Server, TheServer

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
    try:
        chain = await asyncio.to_thread(_chain, server, head, asked)
        return events(read_along(server.batcher, lambda writing: chain.pieces()))
    except HybridError as error:
        raise Refused.by(error) from None


def _chain(server: Server, head: str, asked: Aloud) -> Chain:
    task, most = server.batcher.tasks[head], min(asked.max_tokens or server.chain_tokens, server.chain_tokens)
    prompt = understood(task, Problem(asked.prompt, ())).prompt
    return Chain(server.batcher.heads[head].backbone, task, prompt, most, tuple(asked.answer))
