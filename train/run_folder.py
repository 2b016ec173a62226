"""The folder of a run: its record, its metrics, and checkpoints that are whole or not there.

A checkpoint is a folder written under another name and renamed when complete; a manifest holds the digest of each
file. The newest intact one is resumed. What is inside is run_state.py's. Only the main process comes here.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hybrid.checkpoint import file_digest, write_text
from hybrid.errors import ConfigError, StorageError
from hybrid.kinds import is_other

KEEP = 2
"""Checkpoints kept: the newest and one before it."""


class RunFolder:
    """Paths and files of one training run."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.checkpoints = self.path / "checkpoints"
        self.metrics = self.path / "metrics.jsonl"
        self.record = self.path / "run.json"

    def open(self, record: Mapping[str, Any]) -> None:
        """Claim the folder for the run that `record` describes, or find that it already is this run's.

        Args:
            record: plain data, or functions that give it as `kinds.to_dict` does. A field that the folder's run did not
                know yet makes no other run while it is at its default.

        Raises:
            ConfigError: the folder holds another run.
            StorageError: it cannot be written.
        """
        known = self.read_record()
        wanted, changed = (
            json.loads(json.dumps({name: part(changed_only=short) if callable(part) else part for name, part in record.items()}))
            for short in (False, True)
        )
        if known is not None and not self._begun(known):
            self.record.unlink()  # A run that ended in an error before its first step, such as data that did not fit.
            known = None
        if known is None and self.record.exists():
            raise ConfigError(f"{self.record} is damaged, so this may be another run; give another --output, or --overwrite")
        old = {} if known is None else known["run"]
        differs = [key for key in old | wanted if known and is_other(old.get(key), wanted.get(key), changed.get(key))]
        if differs:
            raise ConfigError(
                f"{self.path} holds another run ({', '.join(differs)} differ); give another --output, or --overwrite"
            )
        if known is None:
            write_text(self.record, json.dumps({"run": wanted, "finished": None}, indent=2) + "\n")
        self.check_writable()

    def _begun(self, known: dict[str, Any]) -> bool:
        """Say whether anything came of a run: it has ended, or left more than its record here."""
        others = [entry for entry in self.path.iterdir() if entry != self.record and not entry.name.startswith(".")]
        return known.get("finished") is not None or bool(others)

    def check_writable(self) -> None:
        """Raise StorageError unless a file can be made here."""
        write_text(self.path / ".probe", "")
        (self.path / ".probe").unlink()

    def read_record(self) -> dict[str, Any] | None:
        """Return the record of the run, or None where there is none that can be read."""
        try:
            record = json.loads(self.record.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return record if isinstance(record, dict) and isinstance(record.get("run"), dict) else None

    def finish(self, outcome: dict[str, Any]) -> None:
        """Note that the run has ended, with its outcome, and remove its checkpoints."""
        record = self.read_record() or {}
        write_text(self.record, json.dumps(record | {"finished": outcome}, indent=2) + "\n")
        shutil.rmtree(self.checkpoints, ignore_errors=True)

    def clear(self) -> None:
        """Remove what an earlier run left here: record, metrics, checkpoints. Other files stay."""
        shutil.rmtree(self.checkpoints, ignore_errors=True)
        for file in (self.record, self.metrics):
            with contextlib.suppress(NotADirectoryError):
                file.unlink(missing_ok=True)

    @contextlib.contextmanager
    def new_checkpoint(self, step: int) -> Iterator[Path]:
        """Yield a folder for the state after `step` supervision steps, which is put in place when the block ends well."""
        work, target = self.checkpoints / f".step-{step:08d}", self.checkpoints / f"step-{step:08d}"
        try:
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir(parents=True)
            yield work
            files = sorted(file for file in work.rglob("*") if file.is_file())
            manifest = {str(file.relative_to(work)): file_digest(file) for file in files}
            (work / "manifest.json").write_text(json.dumps(manifest, indent=2))
            for file in [*files, work / "manifest.json"]:
                with file.open("rb") as handle:
                    os.fsync(handle.fileno())
            shutil.rmtree(target, ignore_errors=True)
            work.rename(target)
            self._prune()
        except OSError as error:
            raise StorageError(
                f"cannot write a checkpoint in {self.checkpoints}: {error.strerror or error}; the last good one is kept, "
                "free some space and run the same command again"
            ) from None
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _prune(self) -> None:
        for old in self._found()[:-KEEP]:
            shutil.rmtree(old, ignore_errors=True)

    def _found(self) -> list[Path]:
        return sorted(self.checkpoints.glob("step-*")) if self.checkpoints.is_dir() else []

    def newest_checkpoint(self) -> Path | None:
        """Return the newest intact checkpoint; warn of damaged ones and pass over them."""
        for folder in reversed(self._found()):
            try:
                manifest = json.loads((folder / "manifest.json").read_text())
                if manifest and all(file_digest(folder / name) == digest for name, digest in manifest.items()):
                    return folder
            except (OSError, ValueError, AttributeError):
                pass
            warnings.warn(f"checkpoint {folder} is damaged; the one before it is taken", stacklevel=2)
        return None

    def write_metrics(self, line: dict[str, Any]) -> None:
        """Append one line of JSON to metrics.jsonl; raise StorageError where it cannot be written."""
        try:
            with self.metrics.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise StorageError(
                f"cannot write {self.metrics}: {error.strerror or error}; free some space and run the same command again"
            ) from None

    def read_metrics(self) -> list[dict[str, Any]]:
        """Return the lines of metrics.jsonl; a last line that a crash cut short is left out."""
        lines = []
        if self.metrics.is_file():
            for text in self.metrics.read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(ValueError):
                    lines.append(json.loads(text))
        return lines

    def rewind_metrics(self, step: int) -> None:
        """Drop the lines after `step`: the resumed run writes them again."""
        kept = [line for line in self.read_metrics() if line["step"] <= step]
        write_text(self.metrics, "".join(json.dumps(line) + "\n" for line in kept))
