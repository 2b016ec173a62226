"""The routes that any OpenAI client knows: chat and text completions, whole or streamed."""

from __future__ import annotations

import time
import uuid
from typing import Any

from fastapi import APIRouter

from hybrid.serve.batcher import Answer
from hybrid.serve.events import events
from hybrid.serve.refused import Refused
from hybrid.serve.requests import Chat, Completion
from hybrid.serve.server import TheServer
from hybrid.serve.solving import told

router = APIRouter()


@router.post("/v1/chat/completions")
async def chat(asked: Chat, server: TheServer) -> Any:
    """Answer the last message of the user."""
    texts = [message.words for message in asked.messages if message.role == "user" and message.words.strip()]
    if not texts:
        raise Refused(400, "messages hold no text of a user; give one with role user")
    head = server.head(asked.model)
    answer = (await server.answers(head, texts[-1:], asked.num_steps))[0]
    own = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": head, "hybrid": told(answer)}
    if asked.stream:
        return events(own | {"object": "chat.completion.chunk", "choices": [choice]} for choice in _chat_pieces(answer))
    message = {"role": "assistant", "content": answer.text}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    return own | {"object": "chat.completion", "choices": [choice], "usage": _usage([answer])}


@router.post("/v1/completions")
async def complete(asked: Completion, server: TheServer) -> Any:
    """Answer one prompt or several."""
    head = server.head(asked.model)
    prompts = [asked.prompt] if isinstance(asked.prompt, str) else asked.prompt
    answers = await server.answers(head, prompts, asked.num_steps)
    own = {"id": f"cmpl-{uuid.uuid4().hex}", "object": "text_completion", "created": int(time.time()), "model": head}
    if asked.stream:
        return events(own | {"choices": [choice]} for choice in _text_pieces(answers))
    choices = [
        {"index": i, "text": answer.text, "finish_reason": "stop", "logprobs": None, "hybrid": told(answer)}
        for i, answer in enumerate(answers)
    ]
    return own | {"choices": choices, "usage": _usage(answers)}


def _pieces(text: str) -> list[str]:
    """Cut a text into lines, for a client that shows it as it comes."""
    return text.splitlines(keepends=True) or [""]


def _chat_pieces(answer: Answer) -> list[dict[str, Any]]:
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": piece} for piece in _pieces(answer.text)]
    open_ends = [{"index": 0, "finish_reason": None, "delta": delta} for delta in deltas]
    return [*open_ends, {"index": 0, "finish_reason": "stop", "delta": {}}]


def _text_pieces(answers: list[Answer]) -> list[dict[str, Any]]:
    pieces = [(i, piece) for i, answer in enumerate(answers) for piece in _pieces(answer.text)]
    open_ends = [{"index": i, "text": piece, "finish_reason": None, "logprobs": None} for i, piece in pieces]
    return [*open_ends, *({"index": i, "text": "", "finish_reason": "stop", "logprobs": None} for i in range(len(answers)))]


def _usage(answers: list[Answer]) -> dict[str, int]:
    counts = [(answer.read_tokens, answer.written_tokens) for answer in answers]
    read, wrote = (sum(max(0, count) for count in column) for column in zip(*counts, strict=True))
    return {"prompt_tokens": read, "completion_tokens": wrote, "total_tokens": read + wrote}
