"""Which process works in a folder: one run has one, and the processes of a suite share its cells."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from hybrid.errors import StorageError


@contextmanager
def claimed(folder: Path) -> Iterator[bool]:
    """Yield whether `folder` is this process's alone until the block ends; a process that dies gives it back.

    Raises:
        StorageError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".claim")
        lock.acquire(blocking=False)
    except Timeout:
        yield False
        return
    except OSError as error:
        raise StorageError(f"cannot write in {folder}: {error.strerror}; give another --output") from None
    try:
        yield True
    finally:
        lock.release()
