"""A journal of answers: a line of JSON for each, on the disk before the answer counts.

A run that was killed finds in it what it has asked for already. A last line without its end was torn by the kill: it is
taken out, and its answer is asked for again. Holds no asking (server.py).
"""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from hybrid.errors import StorageError


class Journal(dict[str, dict[str, Any]]):
    """Answers by key; threads may share it, and add to it by `put` alone.

    Args:
        path: of the file; without one the journal lasts as long as the process.
        fields: what every entry holds; a line without them is passed over.

    Raises:
        StorageError: the file cannot be read or written.
    """

    def __init__(self, path: Path | None, fields: Collection[str] = ()) -> None:
        super().__init__()
        self.path, self.fields = path, {"key", *fields}
        self._lock = threading.Lock()
        if path is not None:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                if path.exists():
                    self._read(path)
            except OSError as error:
                raise self._failed(error) from None

    def _read(self, path: Path) -> None:
        with path.open("r+b") as file:
            whole = 0
            for line in file:
                if not line.endswith(b"\n"):
                    file.truncate(whole)
                    break
                whole += len(line)
                entry = self._entry(line)
                if entry is not None:
                    self.setdefault(str(entry["key"]), entry)

    def _entry(self, line: bytes) -> dict[str, Any] | None:
        """Return an entry from its line, or None where a disk has spoilt it."""
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            return None
        return entry if isinstance(entry, dict) and entry.keys() >= self.fields else None

    def put(self, key: str, entry: Mapping[str, Any]) -> None:
        """Keep an answer under `key`; it is on the disk when this returns."""
        kept = {"key": key, **entry}
        line = json.dumps(kept).encode() + b"\n"
        with self._lock:
            if key in self:
                return
            if self.path is not None:
                self._append(self.path, line)
            self[key] = kept

    def _append(self, path: Path, line: bytes) -> None:
        try:
            with path.open("ab", buffering=0) as file:
                before = file.seek(0, os.SEEK_END)
                try:
                    if file.write(line) < len(line):
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                    os.fsync(file.fileno())
                except OSError:
                    file.truncate(before)  # Half a line would spoil the next one.
                    raise
        except OSError as error:
            raise self._failed(error) from None

    def _failed(self, error: OSError) -> StorageError:
        reason = error.strerror or error
        return StorageError(f"cannot keep answers in {self.path}: {reason}; free some space or choose another folder")
