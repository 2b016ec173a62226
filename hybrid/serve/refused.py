"""What a client is told when a request fails: a status, and OpenAI's error object in words that say what to do."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from hybrid.errors import HybridError, InputError
from hybrid.serve.batcher import QueueFull, Stopping

STATUS = {InputError: 400, QueueFull: 429, Stopping: 503, HybridError: 502}
KINDS = {400: "invalid_request_error", 404: "not_found_error", 413: "invalid_request_error", 429: "rate_limit_error"}


class Refused(Exception):
    """A request that is answered with a status and a message."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.headers = status, headers or {}

    @classmethod
    def by(cls, error: HybridError) -> Refused:
        """Return the refusal that tells an error of ours."""
        status = next(code for kind, code in STATUS.items() if isinstance(error, kind))
        return cls(status, str(error), {"Retry-After": "1"} if status in (429, 503) else None)


class Fault(BaseModel):
    """What went wrong, as OpenAI's clients read it."""

    message: str
    type: str
    param: str | None = None
    code: int


class Faulty(BaseModel):
    """The body of every answer with a status of 400 or more."""

    error: Fault


DOCUMENTED: dict[int | str, dict[str, Any]] = {
    status: {"model": Faulty, "description": f"The {whose} fault; the message says what to do"}
    for status, whose in (("4XX", "request's"), ("5XX", "server's"))
}
"""How the faults stand in the OpenAPI document."""


def fault(status: int, message: str) -> dict[str, Any]:
    """Return the body that tells a fault."""
    return Faulty(error=Fault(message=message, type=KINDS.get(status, "server_error"), code=status)).model_dump()


def told(status: int, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return the answer that tells a fault."""
    return JSONResponse(fault(status, message), status, headers)


async def _refused(request: Request, error: Refused) -> JSONResponse:
    return told(error.status, str(error), error.headers)


async def _malformed(request: Request, error: RequestValidationError) -> JSONResponse:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part != "body")
    return told(400, f"{place or 'the body'}: {first['msg']}; see /docs for what a request holds")


async def _unknown(request: Request, error: HTTPException) -> JSONResponse:
    long = request.scope.get("too_long")  # FastAPI takes a body that cannot be read for one that is malformed.
    return told(413, long) if long else told(error.status_code, str(error.detail), dict(error.headers or {}))


async def _broken(request: Request, error: Exception) -> JSONResponse:
    return told(500, f"{type(error).__name__} in the server; its log has more")


def tell_faults(app: FastAPI) -> None:
    """Let an application answer every fault so."""
    handlers: dict[Any, Any] = {
        Refused: _refused,
        RequestValidationError: _malformed,
        HTTPException: _unknown,
        Exception: _broken,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
