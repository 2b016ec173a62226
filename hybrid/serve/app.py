"""The HTTP side: OpenAI's completions, `/v1/solve` with every step, health, metrics, and the page.

A mistake of the client is a 4xx with OpenAI's error object, in words that say what to do. Holds no thinking (batcher.py).
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException

from hybrid.errors import HybridError, InputError
from hybrid.problem import asked as put_together
from hybrid.serve.batcher import Answer, Batcher, QueueFull, Stopping
from hybrid.serve.requests import MOST_PROMPTS, Chat, Completion, Solve

PAGE = Path(__file__).with_name("page.html")
STATUS = {InputError: 400, QueueFull: 429, Stopping: 503, HybridError: 502}
KINDS = {400: "invalid_request_error", 404: "not_found_error", 413: "invalid_request_error", 429: "rate_limit_error"}


class Refused(Exception):
    """A request that is answered with a status and a message."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.headers = status, headers or {}


def error_body(status: int, message: str) -> dict[str, Any]:
    """Return an error as OpenAI's clients read it."""
    return {"error": {"message": message, "type": KINDS.get(status, "server_error"), "param": None, "code": status}}


class Server:
    """Answers requests by a batcher, within bounds.

    Args:
        batcher: thinks.
        most_characters: of a prompt.
        timeout_seconds: most that a request waits.
        examples: prompts to click on the page, by the names of heads.
    """

    def __init__(self, batcher: Batcher, *, most_characters: int, timeout_seconds: float, examples: dict[str, list[str]]) -> None:
        self.batcher, self.most_characters, self.timeout_seconds = batcher, most_characters, timeout_seconds
        self.examples = examples
        self.requests: dict[tuple[str, int], int] = {}
        self.seconds: list[float] = [0.0, 0.0]
        self.began = int(time.time())

    def head(self, name: str | None) -> str:
        """Return the name of a head; None takes the first."""
        heads = list(self.batcher.heads)
        if name is None:
            return heads[0]
        if name not in heads:
            raise Refused(404, f"model {name[:99]!a} is unknown; choose one of: {', '.join(heads)}")
        return name

    async def answers(self, head: str, prompts: list[str], num_steps: int | None) -> list[Answer]:
        """Ask for the answers of some prompts and wait for all.

        Raises:
            Refused: a prompt is too long or cannot be read, too many wait, or the time is over.
        """
        self.check_length(max(map(len, prompts)))
        futures: list[Any] = []
        try:
            futures = [asyncio.wrap_future(each) for each in self.batcher.ask(head, *prompts, num_steps=num_steps)]
            return await asyncio.wait_for(asyncio.gather(*futures), self.timeout_seconds)
        except asyncio.TimeoutError:
            raise Refused(504, f"no answer within {self.timeout_seconds:g} s; try again when fewer ask") from None
        except HybridError as error:
            status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 400)
            raise Refused(status, str(error), {"Retry-After": "1"} if status in (429, 503) else None) from None
        finally:
            for future in futures:
                future.cancel()

    def check_length(self, characters: int) -> None:
        """Raise Refused for a prompt that is too long."""
        if characters > self.most_characters:
            raise Refused(413, f"the prompt has {characters} characters, the server takes {self.most_characters}; shorten it")

    def metrics(self) -> str:
        """Return the figures in Prometheus' text format."""
        batcher = self.batcher
        lines = ["# TYPE hybrid_requests_total counter"]
        lines += [
            f'hybrid_requests_total{{path="{path}",status="{status}"}} {count}' for (path, status), count in self.requests.items()
        ]
        lines += ["# TYPE hybrid_answers_total counter"]
        lines += [f'hybrid_answers_total{{by="{by}"}} {count}' for by, count in batcher.counts.items()]
        figures = {
            "hybrid_waiting": ("gauge", batcher.waiting),
            "hybrid_thinking_seconds_total": ("counter", batcher.busy_seconds),
            "hybrid_request_seconds_sum": ("counter", self.seconds[0]),
            "hybrid_request_seconds_count": ("counter", int(self.seconds[1])),
        }
        for name, (kind, value) in figures.items():
            lines += [f"# TYPE {name} {kind}", f"{name} {value}"]
        return "\n".join(lines) + "\n"


def told(answer: Answer) -> dict[str, Any]:
    """Return an answer with what is known of how it came, as plain data."""
    data: dict[str, Any] = {"text": answer.text, "answered_by": answer.by, "why": answer.why, "understood": answer.understood}
    solution = answer.solution
    if solution is not None:
        data |= {
            "confidence": solution.confidence,
            "verified": solution.verified,
            "steps": solution.steps,
            "halted": solution.halted,
            "symbols": list(solution.symbols),
            "trajectory": [list(step) for step in solution.trajectory],
            "motion": list(solution.motion),
            "thoughts": [list(step) for step in solution.thoughts],
        }
    return data


def _events(chunks: list[dict[str, Any]]) -> StreamingResponse:
    async def stream() -> AsyncIterator[str]:
        for chunk in chunks:
            yield f"data: {json.dumps(chunk)}\n\n"
        yield "data: [DONE]\n\n"

    return StreamingResponse(stream(), media_type="text/event-stream", headers={"Cache-Control": "no-cache"})


def _tokens(answer: Answer) -> tuple[int, int]:
    return answer.read_tokens, answer.written_tokens


def _pieces(text: str) -> list[str]:
    """Cut a text into lines, for a client that shows it as it comes."""
    return text.splitlines(keepends=True) or [""]


def build(server: Server, *, stop: Callable[[], None] = lambda: None) -> FastAPI:
    """Return the application of a server; `stop` is called when it ends."""

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(server.batcher.stop, seconds=server.timeout_seconds)
        stop()

    app = FastAPI(title="hybrid", version="1", lifespan=life, docs_url="/docs", redoc_url=None)

    @app.middleware("http")
    async def count(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        began = time.perf_counter()
        status = 500
        try:
            response = await call(request)
            status = response.status_code
            return response
        finally:
            key = (getattr(request.scope.get("route"), "path", "other"), status)
            server.requests[key] = server.requests.get(key, 0) + 1
            server.seconds[0] += time.perf_counter() - began
            server.seconds[1] += 1

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> JSONResponse:
        return JSONResponse(error_body(error.status, str(error)), error.status, error.headers)

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"] if part != "body")
        return JSONResponse(error_body(400, f"{place or 'the body'}: {first['msg']}; see /docs for what a request holds"), 400)

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> JSONResponse:
        long = request.scope.get("too_long")  # FastAPI takes a body that cannot be read for one that is malformed.
        status, message = (413, long) if long else (error.status_code, str(error.detail))
        return JSONResponse(error_body(status, message), status)

    @app.exception_handler(Exception)
    async def broken(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse(error_body(500, f"{type(error).__name__} in the server; its log has more"), 500)

    @app.get("/health")
    async def health() -> dict[str, Any]:
        return {"status": "ok", "waiting": server.batcher.waiting, "models": list(server.batcher.heads)}

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> str:
        return server.metrics()

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        own = {"object": "model", "created": server.began, "owned_by": "hybrid"}
        return {"object": "list", "data": [{"id": name, **own} for name in server.batcher.heads]}

    @app.get("/v1/examples")
    async def examples() -> dict[str, list[str]]:
        return server.examples

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def page() -> str:
        return PAGE.read_text(encoding="utf-8")

    @app.post("/v1/solve")
    async def solve(asked: Solve) -> dict[str, Any]:
        parts = (asked.context is not None, asked.questions is not None)
        if not (all(parts) if asked.prompt is None else not any(parts)):
            raise Refused(400, "give a prompt, or a context with questions")
        head = server.head(asked.model)
        server.check_length(len(asked.context or "") + 1 + max(map(len, asked.questions or [""])))
        alone = None if asked.prompt is None else [asked.prompt]
        prompts = [str(prompt) for prompt in put_together(alone, asked.context, asked.questions)]
        began = time.perf_counter()
        found = [told(answer) for answer in await server.answers(head, prompts, asked.num_steps)]
        row = server.batcher.heads[head].config.layout.row_length
        own = {"model": head, "seconds": round(time.perf_counter() - began, 4), "row_length": row}
        return own | (found[0] if asked.prompt is not None else {"answers": found})

    @app.post("/v1/chat/completions")
    async def chat(asked: Chat) -> Any:
        texts = [message.words for message in asked.messages if message.role == "user" and message.words.strip()]
        if not texts:
            raise Refused(400, "messages hold no text of a user; give one with role user")
        head = server.head(asked.model)
        answer = (await server.answers(head, texts[-1:], asked.num_steps))[0]
        own = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": head, "hybrid": told(answer)}
        if asked.stream:
            first = {"index": 0, "finish_reason": None}
            deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
            deltas += [{"content": piece} for piece in _pieces(answer.text)]
            chunks = [own | {"object": "chat.completion.chunk", "choices": [first | {"delta": delta}]} for delta in deltas]
            last = {"index": 0, "finish_reason": "stop", "delta": {}}
            return _events([*chunks, own | {"object": "chat.completion.chunk", "choices": [last]}])
        message = {"role": "assistant", "content": answer.text}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        return own | {"object": "chat.completion", "choices": [choice], "usage": _usage([answer])}

    @app.post("/v1/completions")
    async def complete(asked: Completion) -> Any:
        head = server.head(asked.model)
        prompts = [asked.prompt] if isinstance(asked.prompt, str) else asked.prompt
        answers = await server.answers(head, prompts, asked.num_steps)
        own = {"id": f"cmpl-{uuid.uuid4().hex}", "object": "text_completion", "created": int(time.time()), "model": head}
        if asked.stream:
            pieces = [(i, piece) for i, answer in enumerate(answers) for piece in _pieces(answer.text)]
            open_ends = [{"index": i, "text": piece, "finish_reason": None, "logprobs": None} for i, piece in pieces]
            ends = [{"index": i, "text": "", "finish_reason": "stop", "logprobs": None} for i in range(len(answers))]
            return _events([own | {"choices": [choice]} for choice in [*open_ends, *ends]])
        choices = [
            {"index": i, "text": answer.text, "finish_reason": "stop", "logprobs": None, "hybrid": told(answer)}
            for i, answer in enumerate(answers)
        ]
        return own | {"choices": choices, "usage": _usage(answers)}

    def _usage(answers: list[Answer]) -> dict[str, int]:
        read, wrote = (sum(max(0, count) for count in counts) for counts in zip(*map(_tokens, answers), strict=True))
        return {"prompt_tokens": read, "completion_tokens": wrote, "total_tokens": read + wrote}

    app.add_middleware(Bounded, most=(MOST_PROMPTS + 1) * (6 * server.most_characters + 100))
    return app


class Bounded:
    """Reads no more of a request than its prompts may have: the rest is answered with 413, unread."""

    def __init__(self, app: Any, most: int) -> None:
        self.app, self.most = app, most

    async def __call__(self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
        """Pass a request on, its body counted."""
        read = 0

        async def counted() -> Any:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self.most:
                scope["too_long"] = f"the request has more than {self.most} bytes; send less"
                raise Refused(413, scope["too_long"])
            return message

        await self.app(scope, counted, send)
