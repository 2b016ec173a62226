"""The feature cache: what the frozen backbone says of each prompt, computed once and kept on disk.

Problems are cut into shards; a shard is one safetensors file named by the digest of everything that decides its
content: backbone weights, tokenizer, precision and quantisation, layers, what the encoder reads, prompts and spans. A
file is written beside its place and moved there whole, so two processes may build the same cache, and an interrupted one
goes on at the first missing shard. Each file holds the digest of its own content: a damaged one is built again. Files are
memory-mapped: the cache may be larger than memory.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from hybrid.backbone import Backbone
from hybrid.checkpoint import whole_file
from hybrid.default_backbone import cache_folder
from hybrid.errors import StorageError
from hybrid.offsets import Encoded
from hybrid.problem import Span
from hybrid.train.processes import Team

SHARD_ROWS = 256
FORMAT = 2


@dataclass(frozen=True)
class Reading:
    """A prompt ready for the backbone: its tokens and, where the encoder reads spans, the spans."""

    encoded: Encoded
    spans: tuple[Span, ...] | None

    @property
    def num_positions(self) -> int:
        """Positions that the encoder gets."""
        return len(self.encoded.ids) if self.spans is None else len(self.spans)


@dataclass(frozen=True)
class CachedFeatures:
    """Features of many problems, memory-mapped."""

    shards: Sequence[tuple[Tensor, list[int]]]

    def row(self, index: int) -> Tensor:
        """Return the features (p, k, h) of one problem."""
        states, ends = self.shards[index // SHARD_ROWS]
        place = index % SHARD_ROWS
        return states[ends[place - 1] if place else 0 : ends[place]]

    def rows(self, indices: Sequence[int]) -> list[Tensor]:
        """Return the features of several problems."""
        return [self.row(index) for index in indices]


@dataclass(frozen=True)
class LiveFeatures:
    """The same without a cache: the backbone runs at every call."""

    backbone: Backbone
    readings: Sequence[Reading]

    def rows(self, indices: Sequence[int]) -> list[Tensor]:
        """Return the features of several problems."""
        return run(self.backbone, [self.readings[index] for index in indices])


def run(backbone: Backbone, readings: Sequence[Reading]) -> list[Tensor]:
    """Run the backbone on some prompts and return the features (p, k, h) of each."""
    spans = [reading.spans for reading in readings]
    given = None if spans[0] is None else [s or () for s in spans]
    return backbone.features([reading.encoded for reading in readings], given)


def bytes_needed(backbone: Backbone, readings: Sequence[Reading]) -> int:
    """Return the size in bytes of the features of these prompts on disk."""
    positions = sum(reading.num_positions for reading in readings)
    return positions * len(backbone.layers) * backbone.hidden_size * backbone.dtype.itemsize


def missing_readings(backbone: Backbone, readings: Sequence[Reading], folder: Path | None = None) -> list[Reading]:
    """Return those of `readings` that `cached_features` would have to compute; nothing is read but names."""
    folder = folder or cache_folder() / "features"
    cuts = [readings[i : i + SHARD_ROWS] for i in range(0, len(readings), SHARD_ROWS)]
    return [reading for cut in cuts if not (folder / f"{_key(backbone, cut)}.safetensors").is_file() for reading in cut]


def cached_features(
    backbone: Backbone,
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
        _check_space(folder, sum(bytes_needed(backbone, cut) for cut in missing), say)
    if team.size > 1:
        for place in team.share(team.shared([place for place, shard in enumerate(found) if shard is None])):
            if found[place] is None:
                _write(files[place], run(backbone, cuts[place]))
        team.wait()
        found = [shard or _open(file) for shard, file in zip(found, files, strict=True)]
    for place, (cut, file) in enumerate(zip(cuts, files, strict=True)):
        if found[place] is None:
            _write(file, run(backbone, cut))
            found[place] = _open(file)
            if found[place] is None:
                raise StorageError(f"{file} cannot be read back; check the disk")
        progress(min((place + 1) * SHARD_ROWS, len(readings)))
    return CachedFeatures([shard for shard in found if shard is not None])


def _key(backbone: Backbone, readings: Sequence[Reading]) -> str:
    content = [[reading.encoded.ids, reading.encoded.offsets, reading.spans] for reading in readings]
    deciding = {part: value for part, value in backbone.fingerprint.items() if part != "landmarks"}  # The weights say them.
    made_by = [FORMAT, deciding, backbone.settings, backbone.layers, torch.__version__]
    return hashlib.sha256(json.dumps([made_by, content]).encode()).hexdigest()[:32]


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


def _write(file: Path, rows: Sequence[Tensor]) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    states = torch.cat(list(rows)).cpu().contiguous()
    ends = torch.tensor([len(row) for row in rows]).cumsum(0)
    with whole_file(file) as work:
        try:
            save_file({"states": states, "ends": ends}, work, metadata={"sha256": _content_digest(states, ends)})
        except SafetensorError as error:
            raise OSError(str(error)) from None


def _open(file: Path) -> tuple[Tensor, list[int]] | None:
    from safetensors import SafetensorError, safe_open

    if not file.is_file():
        return None
    try:
        with safe_open(file, "pt") as shard:
            states, ends = shard.get_tensor("states"), shard.get_tensor("ends")
            intact = (shard.metadata() or {}).get("sha256") == _content_digest(states, ends)
    except (SafetensorError, OSError):
        intact = False
    if not intact:
        warnings.warn(f"cache file {file} is damaged; it is built again", stacklevel=2)
        return None
    return states, ends.tolist()


def _content_digest(*tensors: Tensor) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(f"{tuple(tensor.shape)} {tensor.dtype} ".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
