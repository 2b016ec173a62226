"""What a chat server answered, read without trust: the text, its tokens, or what is wrong with it.

Whatever the bytes, the outcome is a Generated: an answer that cannot be used has a `fault`, an empty text and is scored
as wrong. Nothing raises.
"""

from __future__ import annotations

import json
from typing import Any

from hybrid.eval.generation import Generated

MOST_TOKENS = 10**8
"""A count above this is no count."""


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
