"""Posts JSON to a server that may be slow, busy, broken or gone, and returns the bytes that it answers.

Tries again, with growing and uneven waits, what another try may mend: a connection that fails or breaks off, a server
that is busy (429) or has failed (5xx). Everything is bounded: seconds, tries and bytes. Holds no meaning of what is
answered (reply.py).
"""

from __future__ import annotations

import email.utils
import importlib.util
import json
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hybrid.errors import EngineError, InputError

MOST_WAIT_SECONDS = 60.0
"""Longest wait before a try, whatever the server asks for."""
_BUSY = {408, 409, 425, 429}
_MEND = {
    401: "name the environment variable that holds the key with engine.key_variable",
    403: "name the environment variable that holds the key with engine.key_variable",
    404: "check engine.url, which mostly ends with /v1, and engine.model",
}


@dataclass(frozen=True)
class Answer:
    """What a server sent: the body, at most as many bytes as were allowed, and whether there was more."""

    body: bytes
    cut: bool = False


class _Again(Exception):
    """This try failed and another may not."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class Client:
    """Posts to one URL; threads may share it.

    Args:
        url: to post to.
        headers: of every request.
        timeout_seconds: most seconds of one try, from the first byte to the last.
        retries: further tries.
        backoff_seconds: wait before the first of them; it doubles from one to the next.
        most_bytes: of an answer; the rest is not read.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        timeout_seconds: float,
        retries: int,
        backoff_seconds: float,
        most_bytes: int,
    ) -> None:
        self.url, self.retries, self.backoff_seconds = url, retries, backoff_seconds
        self.timeout_seconds, self.most_bytes = timeout_seconds, most_bytes
        self.stopped = threading.Event()
        self._http = _http_library()
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", **headers}
        limits = self._http.Limits(max_connections=None)
        self._client = self._http.Client(headers=headers, timeout=timeout_seconds, limits=limits, follow_redirects=False)

    def post(self, data: Mapping[str, Any], *, valid: Callable[[bytes], bool]) -> Answer:
        """Send `data` until it is answered.

        Args:
            data: becomes JSON.
            valid: whether a body is whole, asked only where HTTP itself does not tell a whole body from a broken one.

        Raises:
            InputError: the server refuses this request.
            EngineError: there is no answer after the last try, or none can come.
        """
        content = json.dumps(data).encode()
        reason = ""
        for number in range(self.retries + 1):
            try:
                return self._try(content, valid, last=number == self.retries)
            except _Again as fault:
                reason = str(fault)
                wait = self.backoff_seconds * 2**number * random.uniform(0.5, 1.0) if fault.wait is None else fault.wait
            if self.stopped.is_set() or (number < self.retries and self.stopped.wait(min(wait, MOST_WAIT_SECONDS))):
                break
        tries = f"{number + 1} {'try' if number == 0 else 'tries'}"
        raise EngineError(
            f"no answer from {self.url} after {tries} ({reason}); see whether the server runs and engine.url is right, "
            "then give the same command again: it goes on where it stopped"
        )

    def _try(self, content: bytes, valid: Callable[[bytes], bool], last: bool) -> Answer:
        began = time.monotonic()
        try:
            with self._client.stream("POST", self.url, content=content) as response:
                answer = self._read(response, began)
        except self._http.TimeoutException:
            raise _Again(f"no whole answer in {self.timeout_seconds:g} seconds; engine.timeout_seconds sets them") from None
        except self._http.HTTPError as error:
            raise _Again(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__) from None
        except self._http.InvalidURL as error:
            raise EngineError(f"engine.url {self.url} is no URL: {error}; give one like http://127.0.0.1:8000/v1") from None
        if response.status_code != 200:
            raise self._refused(response, answer)
        framed = "content-length" in response.headers or "transfer-encoding" in response.headers
        if not (framed or last or answer.cut or valid(answer.body)):
            raise _Again("the connection broke off")
        return answer

    def _read(self, response: Any, began: float) -> Answer:
        body = bytearray()
        for part in response.iter_bytes():
            body += part
            if len(body) > self.most_bytes:
                return Answer(bytes(body[: self.most_bytes]), cut=True)
            if time.monotonic() - began > self.timeout_seconds:
                raise self._http.ReadTimeout("")
        return Answer(bytes(body))

    def _refused(self, response: Any, answer: Answer) -> Exception:
        status = int(response.status_code)
        said = " ".join(answer.body[:400].decode("utf-8", "replace").split())
        if status in _BUSY or status >= 500:
            return _Again(f"status {status}{f': {said}' if said else ''}", _retry_after(response.headers.get("retry-after")))
        if status in (400, 413, 422):
            return InputError(
                f"{self.url} refuses a request with status {status}: {said}; use fewer shots, or mend what it names"
            )
        mend = _MEND.get(status, "see the server's own log")
        return EngineError(f"{self.url} answers with status {status}: {said}; {mend}")


def _retry_after(header: str | None) -> float | None:
    """Return the seconds that a Retry-After header asks for, a number or a date; None where it is neither."""
    if header is None:
        return None
    try:
        return max(0.0, float(header)) if header.strip().isdecimal() else _seconds_until(header)
    except (TypeError, ValueError, OverflowError):
        return None


def _seconds_until(date: str) -> float:
    return max(0.0, email.utils.parsedate_to_datetime(date).timestamp() - time.time())


def _http_library() -> Any:
    """Return httpx, which huggingface_hub brings; since its version 2 under the name httpx2."""
    for name in ("httpx2", "httpx"):
        if importlib.util.find_spec(name) is not None:
            return importlib.import_module(name)
    raise EngineError("neither httpx nor httpx2 is installed; run `pip install httpx`")
