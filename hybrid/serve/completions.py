"""The routes that any OpenAI client knows: chat and text completions, whole or streamed."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

from fastapi import APIRouter

from hybrid.serve.batcher import Answer
from hybrid.serve.events import events
from hybrid.serve.refused import Refused
from hybrid.serve.requests import Chat, Completion, Message
from hybrid.serve.server import TheServer
from hybrid.serve.solving import told

router = APIRouter()


@router.post("/v1/chat/completions")
async def chat(asked: Chat, server: TheServer) -> Any:
    """Answer the last message of the user."""
    text = _asked(asked.messages)
    head, manner = server.head(asked.model), asked.manner(server.text_tokens)
    own = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": head}
    chunk = own | {"object": "chat.completion.chunk"}
    if asked.stream and server.batcher.writes(head):
        opening = chunk | {"choices": [_chat_choice(role="assistant", content="")]}
        pieces = await server.words(head, text, asked.num_steps, manner)
        usage = asked.tells_usage
        return events(_as_they_come([opening], chunk, pieces, lambda text: _chat_choice(content=text), _chat_choice, usage))
    answer = (await server.answers(head, [text], asked.num_steps, manner))[0]
    hybrid = {"hybrid": told(answer)}
    if asked.stream:
        chunks = [chunk | hybrid | {"choices": [choice]} for choice in _chat_pieces(answer)]
        return events(chunks + [_used(chunk, _usage([answer]))] * asked.tells_usage)
    message = {"role": "assistant", "content": answer.text}
    choice = {"index": 0, "message": message, "finish_reason": _reason(answer), "logprobs": None}
    return own | hybrid | {"object": "chat.completion", "choices": [choice], "usage": _usage([answer])}


def _asked(messages: list[Message]) -> str:
    """Return the text of a user's last message, and never that of an earlier one: its answer would be taken for this one's."""
    last = next((message for message in reversed(messages) if message.role == "user"), None)
    if last is None:
        raise Refused(400, "messages hold no text of a user; give one with role user")
    if last.unread:
        raise Refused(400, f"the last message of the user has a part of type {last.unread[:40]!a}; a head reads text alone")
    if not last.words.strip():
        raise Refused(400, "the last message of the user holds no text; give it some")
    return last.words


@router.post("/v1/completions")
async def complete(asked: Completion, server: TheServer) -> Any:
    """Answer one prompt or several."""
    head, manner = server.head(asked.model), asked.manner(server.text_tokens)
    prompts = [asked.prompt] if isinstance(asked.prompt, str) else asked.prompt
    own = {"id": f"cmpl-{uuid.uuid4().hex}", "object": "text_completion", "created": int(time.time()), "model": head}
    if asked.stream and len(prompts) == 1 and server.batcher.writes(head):
        pieces = await server.words(head, prompts[0], asked.num_steps, manner)
        return events(_as_they_come([], own, pieces, _text_choice, _text_choice, asked.tells_usage))
    answers = await server.answers(head, prompts, asked.num_steps, manner)
    if asked.stream:
        chunks = [own | {"choices": [choice]} for choice in _text_pieces(answers)]
        return events(chunks + [_used(own, _usage(answers))] * asked.tells_usage)
    choices = [
        {"index": i, "text": answer.text, "finish_reason": _reason(answer), "logprobs": None, "hybrid": told(answer)}
        for i, answer in enumerate(answers)
    ]
    return own | {"choices": choices, "usage": _usage(answers)}


def _pieces(text: str) -> list[str]:
    """Cut a text into lines, for a client that shows it as it comes."""
    return text.splitlines(keepends=True) or [""]


def _reason(answer: Answer) -> str:
    return "stop" if answer.ended else "length"


def _chat_choice(reason: str | None = None, **delta: str) -> dict[str, Any]:
    return {"index": 0, "finish_reason": reason, "delta": delta}


def _text_choice(text: str = "", reason: str | None = None, index: int = 0) -> dict[str, Any]:
    return {"index": index, "text": text, "finish_reason": reason, "logprobs": None}


def _chat_pieces(answer: Answer) -> list[dict[str, Any]]:
    said = [_chat_choice(content=piece) for piece in _pieces(answer.text)]
    return [_chat_choice(role="assistant", content=""), *said, _chat_choice(_reason(answer))]


def _text_pieces(answers: list[Answer]) -> list[dict[str, Any]]:
    said = [_text_choice(piece, index=i) for i, answer in enumerate(answers) for piece in _pieces(answer.text)]
    return [*said, *(_text_choice(reason=_reason(answer), index=i) for i, answer in enumerate(answers))]


async def _as_they_come(
    opening: list[dict[str, Any]],
    own: dict[str, Any],
    pieces: AsyncIterator[dict[str, Any]],
    said: Callable[[str], dict[str, Any]],
    end: Callable[..., dict[str, Any]],
    tells_usage: bool,
) -> AsyncIterator[dict[str, Any]]:
    """Yield the chunks of a text that is still being written; a last one tells its tokens where that was asked for."""
    for chunk in opening:
        yield chunk
    async for piece in pieces:
        if "text" not in piece:  # A fault.
            yield piece
            return
        yield own | {"choices": [said(piece["text"])]}
        if "ended" in piece:
            yield own | {"choices": [end(reason=piece["ended"])]}
            if tells_usage:
                yield _used(own, _total(piece["read"], piece["written"]))


def _used(own: dict[str, Any], usage: dict[str, int]) -> dict[str, Any]:
    return own | {"choices": [], "usage": usage}


def _usage(answers: list[Answer]) -> dict[str, int]:
    counts = [(answer.read_tokens, answer.written_tokens) for answer in answers]
    read, wrote = (sum(max(0, count) for count in column) for column in zip(*counts, strict=True))
    return _total(read, wrote)


def _total(read: int, wrote: int) -> dict[str, int]:
    return {"prompt_tokens": read, "completion_tokens": wrote, "total_tokens": read + wrote}
