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
    return _load(body)[1] == ""


def read_reply(body: bytes, cut: bool) -> Generated:
    """Return the message of a chat completion; tokens are -1 where the server does not count them.

    Example:
        >>> read_reply(b'{"choices": [{"message": {"content": "1 2"}}], "usage": {"prompt_tokens": 9}}', cut=False)
        Generated(text='1 2', tokens=-1, prompt_tokens=9, fault='')
        >>> read_reply(b'{"choices": []}', cut=False).fault
        'empty'
    """
    if cut:
        return Generated("", -1, -1, "too long")
    data, fault = _load(body)
    usage = data.get("usage") if isinstance(data, dict) else None
    text = ""
    if not fault:
        text, fault = _message(data)
    return Generated(text, _count(usage, "completion_tokens"), _count(usage, "prompt_tokens"), fault)


def _load(body: bytes) -> tuple[Any, str]:
    try:
        return json.loads(body.decode("utf-8")), ""
    except UnicodeDecodeError:
        return None, "not UTF-8"
    except (ValueError, RecursionError):
        return None, "malformed"


def _message(data: Any) -> tuple[str, str]:
    """Return the text of the first choice and no fault, or no text and the fault."""
    choices = data.get("choices") if isinstance(data, dict) else None
    if choices == []:
        return "", "empty"
    choice = choices[0] if isinstance(choices, list) else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        return "", "malformed"
    if message.get("refusal") or choice.get("finish_reason") == "content_filter":
        return "", "refused"
    content = message.get("content")
    if isinstance(content, list):  # Some servers send parts.
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        content = "".join(part for part in parts if isinstance(part, str))
    if content is None or (isinstance(content, str) and not content.strip()):
        return "", "empty"
    if not isinstance(content, str):
        return "", "malformed"
    return content.encode("utf-8", "replace").decode("utf-8"), ""  # JSON can spell half a character, a file cannot.


def _count(usage: Any, name: str) -> int:
    count = usage.get(name) if isinstance(usage, dict) else None
    return count if type(count) is int and 0 <= count <= MOST_TOKENS else -1
