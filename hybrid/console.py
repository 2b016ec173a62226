"""What a console can show: marks for what it cannot, and JSON that any reader takes. Holds no command."""

from __future__ import annotations

import codecs
import contextlib
import json
import math
import sys
from collections.abc import Mapping
from typing import Any

MARKS = "hybrid-marks"
LINE_ENDS = {ord(sign): f"\\u{ord(sign):04x}" for sign in "\x85\u2028\u2029"}
"""What JSON leaves as it is, and readers of lines may take for a line's end."""
_lost: list[str] = []


def prepare() -> None:
    """Let characters that the console cannot write become question marks; `lost` tells of them afterwards."""
    codecs.register_error(MARKS, _mark)
    _lost.clear()
    streams: tuple[Any, ...] = (sys.stdout, sys.stderr)
    for stream in streams:
        with contextlib.suppress(AttributeError, OSError, ValueError):  # Of a stream that is closed, or none of text.
            stream.reconfigure(errors=MARKS)


def _mark(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    _lost.append(str(error.object)[error.start : error.end])
    return "?" * (error.end - error.start), error.end


def lost() -> str | None:
    """Return what to say of characters that could not be written; None where all could."""
    return "a ? stands for what this console cannot show; set PYTHONIOENCODING=utf-8" if _lost else None


def json_line(value: Any) -> str:
    """Return valid JSON on one line: null for a number that is none, and plain ASCII where the console knows no more.

    Example:
        >>> json_line({"confidence": float("nan")})
        '{"confidence": null}'
    """
    shows_all = str(getattr(sys.stdout, "encoding", None) or "utf-8").lower().startswith("utf")
    return json.dumps(_finite(value), ensure_ascii=not shows_all, allow_nan=False).translate(LINE_ENDS)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
