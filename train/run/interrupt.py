"""Ctrl-C between two steps: what is under way ends first, so that what is saved is whole."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

_SAID = b"\nThis step is ended, then the run is saved; Ctrl-C again stops at once, without saving.\n"


class Interrupt:
    """While entered, the first Ctrl-C is only noted, in `asked`; a second one raises KeyboardInterrupt at once.

    Where Ctrl-C is not Python's own to handle (another thread, another handler), nothing changes.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: Any = None

    def __enter__(self) -> Interrupt:
        own = threading.current_thread() is threading.main_thread()
        if own and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        os.write(2, _SAID)
