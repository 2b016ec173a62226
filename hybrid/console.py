"""What a console shows: marks for what it cannot, JSON that any reader takes, and one line for a user's mistake.

Holds no command: those of hybrid/cli and the programs of eval/ end as `ending` says.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import json
import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from hybrid.errors import DataError, HybridError

MARKS = "hybrid-marks"
LINE_ENDS = {ord(sign): f"\\u{ord(sign):04x}" for sign in "\x85\u2028\u2029"}
"""What JSON leaves as it is, and readers of lines may take for a line's end."""
PATIENCE_SECONDS = 3.0
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What a disk says that takes no more."""
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


def ending(work: Callable[[], Any]) -> int:
    """Do the work of a command; return its code, 0 for none, or 2 after one line on standard error for a user's mistake."""
    prepare()
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _tell
            code = int(work() or 0)
            if sys.stdout is not None:
                sys.stdout.flush()  # Here, where it may fail in words.
            return code
    except HybridError as error:
        # Faults of data stand one a line; any other message is one line.
        lines = str(error).splitlines() if isinstance(error, DataError) else [str(error)]
        _complain(*(" ".join(line.split()) for line in lines))
        return 2
    except BrokenPipeError:
        _to_nowhere()
    except OSError as error:
        if error.errno not in FULL:
            raise
        _to_nowhere()
        _complain(f"cannot write: {error.strerror}; free some space, or write elsewhere")
        return 2
    except KeyboardInterrupt:
        _complain("interrupted; the same command resumes")
        return 130
    finally:
        if said := lost():
            _complain(said)
    return 0


def _to_nowhere() -> None:
    """Let what is still to be printed vanish, so that no further error comes of it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _tell(message: Warning | str, category: type[Warning], *place: Any, **rest: Any) -> None:
    """Print a warning as one line, without the line of code that gave it."""
    print(f"hybrid: {' '.join(str(message).split())}", file=sys.stderr)


def _complain(*lines: str) -> None:
    """Print lines on standard error; of many processes, the main one alone where all make the same mistake.

    The others wait: a launcher ends them as soon as the main one has ended, and only a mistake of their own is then told.
    """
    rank = int(os.environ.get("RANK", "0"))
    if rank:
        time.sleep(PATIENCE_SECONDS)
    for line in lines:
        print(f"hybrid: {f'process {rank}: ' if rank else ''}{line}", file=sys.stderr)
