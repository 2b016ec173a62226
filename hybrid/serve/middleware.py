"""What stands around every request: a bound on its bytes, and the count of how it ended."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from hybrid.serve.refused import Refused
from hybrid.serve.server import Server

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class Bounded:
    """Reads no more of a request than its prompts may have: the rest is answered with 413, unread."""

    def __init__(self, app: Any, most: int) -> None:
        self.app, self.most = app, most

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
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


class Counted:
    """Counts the requests of a server by route and status, and the seconds until an answer began."""

    def __init__(self, app: Any, server: Server) -> None:
        self.app, self.server = app, server

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Pass a request on and note its status."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, ended, status = time.perf_counter(), 0.0, 500

        async def noted(message: Any) -> None:
            nonlocal ended, status
            if message["type"] == "http.response.start":
                ended, status = time.perf_counter(), message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noted)
        finally:
            key = (getattr(scope.get("route"), "path", "other"), status)
            self.server.requests[key] = self.server.requests.get(key, 0) + 1
            self.server.seconds[0] += (ended or time.perf_counter()) - began
            self.server.seconds[1] += 1
