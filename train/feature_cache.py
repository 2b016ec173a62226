"""The feature cache: what the frozen backbone says of each prompt, computed once and kept on disk.

Problems are cut into shards; a shard is one safetensors file named by the digest of everything that decides its
content: backbone weights, tokenizer, precision and quantisation, layers, what the encoder reads, prompts and spans. A
file is written beside its place and moved there whole, so two processes may build the same cache, and an interrupted one
goes on at the first missing shard. Each file holds the digest of its own content: a damaged one is built again. Files are
memory-mapped: the cache may be larger than memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from hybrid.backbone.codec import Packed
from hybrid.backbone.default import cache_folder
from hybrid.backbone.fingerprint import tensors_digest
from hybrid.backbone.reading import LanguageReader, Reading
from hybrid.checkpoint import whole_file, write_text
from hybrid.errors import StorageError
from hybrid.train.processes import Team

SHARD_ROWS = 256
FORMAT = 3

Shard = tuple[dict[str, Tensor], list[int]]


@dataclass(frozen=True)
class CachedFeatures:
    """Features of many problems, memory-mapped: what the codec keeps of them, and where each ends in its shard."""

    backbone: LanguageReader
    shards: Sequence[Shard]

    def rows(self, indices: Sequence[int]) -> list[Tensor]:
        """Return the features (p, k, h) of some problems."""
        return [self._row(*divmod(index, SHARD_ROWS)) for index in indices]

    def _row(self, number: int, place: int) -> Tensor:
        kept, ends = self.shards[number]
        part = slice(ends[place - 1] if place else 0, ends[place])
        return self.backbone.unpack({name: tensor[part] for name, tensor in kept.items()})


@dataclass(frozen=True)
class LiveFeatures:
    """The same without a cache: the backbone runs at every call."""

    backbone: LanguageReader
    prepared: Sequence[Reading]

    def rows(self, indices: Sequence[int]) -> list[Tensor]:
        """Return the features of some problems."""
        return self.backbone.read([self.prepared[index] for index in indices])


@dataclass(frozen=True)
class Held:
    """Features that are small enough to be held on the device: all positions in one tensor, and where each problem's end."""

    flat: Tensor
    ends: Sequence[int]

    def rows(self, indices: Sequence[int]) -> list[Tensor]:
        """Return the features of some problems."""
        return [self.flat[self.ends[index] : self.ends[index + 1]] for index in indices]


def missing_readings(backbone: LanguageReader, readings: Sequence[Reading], folder: Path | None = None) -> list[Reading]:
    """Return those of `readings` that `cached_features` would have to compute; nothing is read but names."""
    folder = folder or cache_folder() / "features"
    cuts = [readings[i : i + SHARD_ROWS] for i in range(0, len(readings), SHARD_ROWS)]
    return [reading for cut in cuts if not (folder / f"{_key(backbone, cut)}.safetensors").is_file() for reading in cut]


def cached_features(
    backbone: LanguageReader,
    readings: Sequence[Reading],
    *,
    folder: Path | None = None,
    say: Callable[[str], None] = lambda text: None,
    progress: Callable[[int], None] = lambda rows: None,
    team: Team | None = None,
) -> CachedFeatures:
    """Return the features of `readings`, computing the shards that the cache does not hold.

    Several processes each compute some of the missing shards and then open those of all. Where they do not share a disk,
    each computes what it does not find.

    Args:
        backbone: the language model with its chosen layers.
        readings: prompts in the order of the rows.
        folder: of the cache; None for `features` in the user's cache folder.
        say: gets one line with the size of what will be written.
        progress: gets the number of rows done after every shard.
        team: processes that all ask for these features; None for this one alone.

    Raises:
        StorageError: the disk is too small or the folder cannot be written; nothing is written then.
    """
    folder = folder or cache_folder() / "features"
    cuts = [readings[i : i + SHARD_ROWS] for i in range(0, len(readings), SHARD_ROWS)]
    files = [folder / f"{_key(backbone, cut)}.safetensors" for cut in cuts]
    team = team or Team()
    found = [_open(file) for file in files]
    missing = [cut for cut, shard in zip(cuts, found, strict=True) if shard is None]
    if missing:
        _check_space(folder, sum(backbone.bytes_of(cut) for cut in missing), say)
    if team.size > 1:
        for place in team.share(team.shared([place for place, shard in enumerate(found) if shard is None])):
            if found[place] is None:
                _write(files[place], backbone.pack(cuts[place]))
        team.wait()
        found = [shard or _open(file) for shard, file in zip(found, files, strict=True)]
    for place, (cut, file) in enumerate(zip(cuts, files, strict=True)):
        if found[place] is None:
            _write(file, backbone.pack(cut))
            found[place] = _open(file)
            if found[place] is None:
                raise StorageError(f"{file} cannot be read back; check the disk")
        progress(min((place + 1) * SHARD_ROWS, len(readings)))
    return CachedFeatures(backbone, [shard for shard in found if shard is not None])


def _key(backbone: LanguageReader, readings: Sequence[Reading]) -> str:
    content = [[reading.ids.tolist(), reading.ranges, *reading.cuts[1:]] for reading in readings]
    return hashlib.sha256(json.dumps([FORMAT, backbone.identity, torch.__version__, content]).encode()).hexdigest()[:32]


def _check_space(folder: Path, needed: int, say: Callable[[str], None]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise StorageError(f"cannot write in {folder}: {error.strerror}; set HYBRID_CACHE to another folder") from None
    say(f"features: {needed / 1e6:,.1f} MB in {folder}")
    if needed * 1.02 + 1e6 > free:
        raise StorageError(
            f"the features need {needed / 1e6:,.1f} MB, {folder} has {free / 1e6:,.1f} MB free; "
            "free some space, set HYBRID_CACHE to another disk, or train with cache off"
        )


def _write(file: Path, rows: Sequence[Packed]) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    tensors = {name: torch.cat([row[name] for row in rows]).cpu().contiguous() for name in rows[0]}
    tensors["ends"] = torch.tensor([len(row[next(iter(row))]) for row in rows]).cumsum(0)
    with whole_file(file) as work:
        try:
            save_file(tensors, work, metadata={"sha256": tensors_digest(sorted(tensors.items()))})
        except SafetensorError as error:
            raise OSError(str(error)) from None


def _open(file: Path) -> Shard | None:
    """Return a shard, None where there is none or it is damaged; its digest is computed once, not at every opening."""
    from safetensors import SafetensorError, safe_open

    if not file.is_file():
        return None
    try:
        with safe_open(file, "pt") as shard:
            tensors = {name: shard.get_tensor(name) for name in shard.keys()}  # noqa: SIM118 - not a dict
            known = (shard.metadata() or {}).get("sha256")
        intact = "ends" in tensors and (_is_marked(file) or known == tensors_digest(sorted(tensors.items())))
    except (SafetensorError, OSError):
        intact = False
    if not intact:
        warnings.warn(f"cache file {file} is damaged; it is built again", stacklevel=2)
        return None
    _mark(file)
    ends: list[int] = tensors.pop("ends").tolist()
    return tensors, ends


def _stamp(file: Path) -> str:
    found = file.stat()
    return f"{found.st_size} {found.st_mtime_ns}"


def _is_marked(file: Path) -> bool:
    mark = file.with_suffix(".seen")
    return mark.is_file() and mark.read_text(encoding="utf-8") == _stamp(file)


def _mark(file: Path) -> None:
    """Note a shard's size and time of writing beside it: unchanged, it needs no digest again."""
    if not _is_marked(file):
        with contextlib.suppress(StorageError):  # A cache that can only be read.
            write_text(file.with_suffix(".seen"), _stamp(file))
