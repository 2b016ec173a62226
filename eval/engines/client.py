"""Posts JSON to a server that may be slow, busy, broken or gone, and reads what a chat server answers without trust.

Tries again, with growing and uneven waits, what another try may mend: a connection that fails or breaks off, a server
that is busy (429) or has failed (5xx). Everything is bounded: seconds, tries and bytes. Whatever the bytes, an answer is read
as a Generated: one that cannot be used has a `fault`, an empty text and is scored as wrong. HTTP is httpx's, which
huggingface_hub brings; since its version 2 under the name httpx2.
"""

from __future__ import annotations

import email.utils
import importlib
import importlib.util
import json
import random
import threading
import time
from collections.abc import Mapping
from typing import Any

from hybrid.errors import EngineError, HybridError, InputError
from hybrid.eval.text.generation import Generated

MOST_WAIT_SECONDS = 60.0
"""Longest wait before a try, whatever the server asks for."""
MOST_TOKENS = 10**8
"""A count of tokens above this is no count."""
_BUSY = {408, 409, 425, 429}
_KEY = "name the environment variable that holds the key with engine.key_variable"
_MEND = {401: _KEY, 403: _KEY, 404: "check engine.url, which mostly ends with /v1, and engine.model"}

http: Any = importlib.import_module("httpx2" if importlib.util.find_spec("httpx2") else "httpx")


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
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", **headers}
        limits = http.Limits(max_connections=None)
        self._client = http.Client(headers=headers, timeout=timeout_seconds, limits=limits, follow_redirects=False)

    def post(self, data: Mapping[str, Any]) -> bytes | None:
        """Send `data` as JSON until it is answered; return the body, or None for one of more than `most_bytes`.

        Raises:
            InputError: the server refuses this request.
            EngineError: there is no answer after the last try, or none can come.
        """
        content, reason = json.dumps(data).encode(), ""
        for number in range(self.retries + 1):
            try:
                return self._try(content, last=number == self.retries)
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

    def _try(self, content: bytes, last: bool) -> bytes | None:
        began, body = time.monotonic(), bytearray()
        try:
            with self._client.stream("POST", self.url, content=content) as response:
                for part in response.iter_bytes():
                    body += part
                    if len(body) > self.most_bytes:
                        break
                    if time.monotonic() - began > self.timeout_seconds:
                        raise http.ReadTimeout("")
        except http.TimeoutException:
            raise _Again(f"no whole answer in {self.timeout_seconds:g} seconds; engine.timeout_seconds sets them") from None
        except http.HTTPError as error:
            raise _Again(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__) from None
        except http.InvalidURL as error:
            raise EngineError(f"engine.url {self.url} is no URL: {error}; give one like http://127.0.0.1:8000/v1") from None
        if response.status_code != 200:
            raise self._refused(response.status_code, bytes(body), response.headers.get("retry-after"))
        if len(body) > self.most_bytes:
            return None
        # Without a length HTTP does not tell a whole body from a broken one.
        if not (last or response.headers.keys() & {"content-length", "transfer-encoding"} or is_json(bytes(body))):
            raise _Again("the connection broke off")
        return bytes(body)

    def _refused(self, status: int, body: bytes, retry_after: str | None) -> _Again | HybridError:
        said = " ".join(body[:400].decode("utf-8", "replace").split())
        if status in _BUSY or status >= 500:
            return _Again(f"status {status}{f': {said}' if said else ''}", _retry_after(retry_after))
        if status in (400, 413, 422):
            return InputError(
                f"{self.url} refuses a request with status {status}: {said}; use fewer shots, or mend what it names"
            )
        mend = _MEND.get(status, "see the server's own log")
        return EngineError(f"{self.url} answers with status {status}: {said}; {mend}")


def _retry_after(header: str | None) -> float | None:
    """Return the seconds that a Retry-After header asks for, a number or a date; None where it is neither."""
    text = (header or "").strip()
    if text.isascii() and text.isdecimal():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None


def is_json(body: bytes) -> bool:
    """Say whether a body is one whole JSON value."""
    try:
        json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        return False
    return True


def read_reply(body: bytes | None) -> Generated:
    """Return the message of a chat completion, None for one that was too long; tokens are -1 where nobody counts them.

    Example:
        >>> read_reply(b'{"choices": [{"message": {"content": "1 2"}}], "usage": {"prompt_tokens": 9}}')
        Generated(text='1 2', tokens=-1, prompt_tokens=9, fault='')
        >>> read_reply(b'{"choices": []}').fault
        'empty'
    """
    if body is None:
        return Generated("", -1, -1, "too long")
    data: Any = None
    try:
        data = json.loads(body.decode("utf-8"))
        text, fault = ("", "empty") if data["choices"] == [] else _message(data["choices"][0])
    except UnicodeDecodeError:
        text, fault = "", "not UTF-8"
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        text, fault = "", "malformed"
    usage = data.get("usage") if isinstance(data, dict) else None
    return Generated(text, _count(usage, "completion_tokens"), _count(usage, "prompt_tokens"), fault)


def _message(choice: Any) -> tuple[str, str]:
    """Return the text of a choice and no fault, or no text and the fault; raise where it is no choice."""
    message = choice["message"]
    if message.get("refusal") or choice.get("finish_reason") == "content_filter":
        return "", "refused"
    content = message.get("content")
    if isinstance(content, list):  # Some servers send parts.
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        content = "".join(part for part in parts if isinstance(part, str))
    if content is None or not content.strip():
        return "", "empty"
    return content.encode("utf-8", "replace").decode("utf-8"), ""  # JSON can spell half a character, a file cannot.


def _count(usage: Any, name: str) -> int:
    count = usage.get(name) if isinstance(usage, dict) else None
    return count if type(count) is int and 0 <= count <= MOST_TOKENS else -1
