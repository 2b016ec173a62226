"""A text that the thinking thread writes piece by piece, between the answers of heads, for one who reads along."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any


class Writing:
    """Hands pieces over as they come, until none is left or nobody reads any more.

    Args:
        pieces: to be written; only the thinking thread draws them.
        tell: takes each piece, then None at the end, or the error that ended it; called in the thinking thread.
    """

    def __init__(self, pieces: Iterator[Any], tell: Callable[[Any], None]) -> None:
        self.pieces, self.tell = pieces, tell
        self._unread = threading.Event()

    @property
    def unread(self) -> bool:
        """Whether nobody reads any more."""
        return self._unread.is_set()

    def leave(self) -> None:
        """Stop reading: nothing more is written."""
        self._unread.set()

    def go_on(self) -> bool:
        """Write one more piece; return whether others may come."""
        if self.unread:
            return False
        piece: Any
        try:
            piece = next(self.pieces, None)
        except Exception as error:  # Whatever breaks is told to who reads; the thread goes on.
            piece = error
        self.tell(piece)
        return piece is not None and not isinstance(piece, Exception)
