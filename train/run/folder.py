"""The folder of a run: which process works in it, its record, its metrics, and checkpoints that are whole or not there.

A checkpoint is a folder written under another name and renamed when complete; a manifest holds the digest of each
file. The newest intact one is resumed. What is inside is state.py's. Only the main process comes here.
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

from filelock import FileLock, Timeout

from hybrid.checkpoint import file_digest, write_lines, write_text
from hybrid.errors import ConfigError, StorageError

KEEP = 2
"""Checkpoints kept: the newest and one before it."""


SOURCES = ("train", "dev", "test", "source", "file", "solutions", "duplicates")
COLUMNS = ("prompt", "question", "answer", "spans", "trace", "labels", "difficulty")
BOOKKEEPING = {
    *("train.save_every_seconds", "train.cache", "train.trackers", "train.gradient_checkpointing"),
    *("model.backbone.name", "model.backbone.revision", "model.backbone.device_map"),
    *(f"model.task.{name}" for name in (*SOURCES, *(f"{column}_column" for column in COLUMNS))),
    *("problems", "problems.train", "problems.dev"),
}
"""What changes no result: how often is saved, what is kept in memory or made again, and where data and language model lie, whose
content is compared instead ("data"); how many problems that were is told with it.
"""
MAY_GROW = {"train.num_steps", "train.max_seconds", "train.patience"}
"""What only says when a run ends: a greater one, or none, goes on with it, also after its end."""


def differences(known: Any, wanted: Any, changed: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield (dotted name, value of before, value of now) of what differs.

    A field that one side lacks counts if the other has changed it.

    Example:
        >>> list(differences({"width": 8}, {"width": 9, "depth": 2}, {"width": 9}))
        [('width', 8, 9)]
    """
    if not (isinstance(known, Mapping) and isinstance(wanted, Mapping)):
        if known != wanted:
            yield name, known, wanted
        return
    changed = changed if isinstance(changed, Mapping) else {}
    for key in [*known, *(key for key in wanted if key not in known)]:
        below = f"{name}.{key}".lstrip(".")
        if key in known and key in wanted:
            yield from differences(known[key], wanted[key], changed.get(key), below)
        elif key in known or key in changed:
            yield below, known.get(key), wanted.get(key)


def _said(name: str, was: Any, now: Any) -> str:
    if name.startswith("problems."):
        split, same = name.removeprefix("problems."), was[0] == now[0]
        return f"{split} has {now[0]} problems, {'others than before' if same else f'had {was[0]}'}"
    short = max(len(str(was)), len(str(now))) <= 40
    return f"{name} is {now}, was {was}" if short else f"{name} differs"


class RunFolder:
    """Paths and files of one training run."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.checkpoints = self.path / "checkpoints"
        self.metrics = self.path / "metrics.jsonl"
        self.record = self.path / "run.json"
        self.grown: dict[str, tuple[Any, Any]] = {}

    def open(self, record: Mapping[str, Any]) -> None:
        """Claim the folder for the run that `record` describes, or find that it already is this run's.

        Args:
            record: plain data, or functions that give it as `kinds.to_dict` does. A field that the folder's run did not
                know yet makes no other run while it is at its default, nor do those in `BOOKKEEPING`; a run that has
                not ended takes a greater one of those in `MAY_GROW`.

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
        found = [] if known is None else list(differences(known["run"], wanted, changed))
        told = [each for each in found if each[0] not in BOOKKEEPING]
        more = bool(told) and all(name in MAY_GROW and (now is None or (was and now > was)) for name, was, now in told)
        lost = more and known and known.get("finished") is not None and self.newest_checkpoint() is None
        if told and (lost or not more):
            if any(name == "data" for name, *_ in told):
                told += [each for each in found if each[0].startswith(("problems.", "model.task.")) and each not in told]
            said, which = ", ".join(_said(*each) for each in told), "a run that has ended and left no checkpoint"
            do = "give another --output and --init this folder to go on from its head" if lost else "give another --output"
            raise ConfigError(f"{self.path} holds {which if lost else 'another run'} ({said}); {do}, or --overwrite")
        self.grown = {name: (was, now) for name, was, now in told}
        if known is None or more:
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

    def finish(self, outcome: dict[str, Any], *, resumable: bool = False) -> None:
        """Note that the run has ended, with its outcome, and remove its checkpoints, but the newest of a `resumable` run."""
        record = self.read_record() or {}
        write_text(self.record, json.dumps(record | {"finished": outcome}, indent=2) + "\n")
        if resumable:
            self._prune(keep=1)
        else:
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

    def _prune(self, keep: int = KEEP) -> None:
        for old in self._found()[:-keep]:
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
        write_lines(self.metrics, kept)


@contextlib.contextmanager
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
