"""Saved heads: one safetensors file and one JSON file, each vouching for the other.

config.json holds the SHA-256 of head.safetensors, whose metadata holds that of the config: a truncated or flipped
file of either kind is noticed. Files are written beside their place and moved there whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from hybrid.backbone.fingerprint import differences, precision, same_but_for_precision
from hybrid.errors import BackboneError, CheckpointError, StorageError
from hybrid.paths import from_home

CONFIG, HEAD = "config.json", "head.safetensors"
FORMAT = 1


@dataclass(frozen=True)
class Saved:
    """A head read from disk: its folder, its config as plain data, its tensors, and the fingerprint of its backbone."""

    folder: Path
    config: dict[str, Any]
    tensors: dict[str, Tensor]
    fingerprint: dict[str, str]


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a path to write; it replaces `path` in one move when the block ends well, and vanishes otherwise.

    Raises:
        StorageError: the place cannot be written or the disk is full.
    """
    work = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        work = Path(name)
        yield work
        with work.open("rb") as file:
            os.fsync(file.fileno())
        work.chmod(0o644)
        os.replace(work, path)
    except StorageError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(f"cannot write {path}: {reason}; free some space or choose another folder") from None
    finally:
        if work is not None:
            work.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with whole_file(path) as work:
        work.write_text(text, encoding="utf-8")


def write_lines(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Write objects as lines of JSON, whole or not at all."""
    write_text(path, "".join(json.dumps(line) + "\n" for line in lines))


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _digest(file.read())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _config_digest(config: dict[str, Any], fingerprint: dict[str, str]) -> str:
    return _digest(json.dumps([config, fingerprint], sort_keys=True).encode())


def save(
    folder: Path,
    config: dict[str, Any],
    fingerprint: dict[str, str],
    tensors: dict[str, Tensor],
    further: Mapping[str, bytes] | None = None,
) -> None:
    """Write a head, and `further` files beside it; raise StorageError where the folder cannot be written."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    # All files are written before any takes its place: a full disk must not leave one of them new, the other old.
    with contextlib.ExitStack() as stack:
        config_work = stack.enter_context(whole_file(folder / CONFIG))
        head_work = stack.enter_context(whole_file(folder / HEAD))
        try:
            save_file(tensors, head_work, metadata={"config_sha256": _config_digest(config, fingerprint)})
        except SafetensorError as error:
            raise OSError(str(error)) from None
        digests = {HEAD: file_digest(head_work)}
        for name, content in (further or {}).items():
            work = stack.enter_context(whole_file(folder / name))
            work.write_bytes(content)
            digests[name] = file_digest(work)
        record = {"format": FORMAT, "config": config, "backbone": fingerprint, "files": digests}
        config_work.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def load(folder: str | Path) -> Saved:
    """Read a head from a folder or a hub id.

    Raises:
        CheckpointError: a file is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    place = _locate(folder)
    try:
        record = json.loads((place / CONFIG).read_text(encoding="utf-8"))
        config, fingerprint, digests = record["config"], record["backbone"], dict(record["files"])
        digests[HEAD]
    except (ValueError, KeyError, TypeError, OSError):
        raise CheckpointError(f"{place / CONFIG} is damaged; restore the file or train the head again") from None
    if record.get("format") != FORMAT:
        raise CheckpointError(f"{place / CONFIG} has format {record.get('format')}, this version reads {FORMAT}; update hybrid")
    for name, digest in digests.items():
        if not (place / name).is_file() or file_digest(place / name) != digest:
            raise _damaged(place / name)
    damaged = _damaged(place / HEAD)
    try:
        with safe_open(place / HEAD, "pt") as file:
            if (file.metadata() or {}).get("config_sha256") != _config_digest(config, fingerprint):
                raise damaged
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError):
        raise damaged from None
    return Saved(place, config, tensors, fingerprint)


def _damaged(file: Path) -> CheckpointError:
    return CheckpointError(f"{file} is damaged or belongs to another config; restore it or train the head again")


def _locate(folder: str | Path) -> Path:
    place = from_home(folder)
    # Beside folders that are there, a name is a folder that is not, and no name on the hub.
    if not place.parent.is_dir() and str(folder).count("/") == 1 and not str(folder).startswith((".", "/", "~")):
        from huggingface_hub import snapshot_download

        with contextlib.suppress(Exception):  # Of the hub, the network, or whichever HTTP library the hub's client has.
            place = Path(snapshot_download(str(folder), allow_patterns=["*.json", "*.safetensors", "*.md"]))
    for name in (CONFIG, HEAD):
        if not (place / name).is_file():
            raise CheckpointError(f"{folder} holds no {name}; give a folder written by `hybrid train` or save_pretrained")
    return place


def check_backbone(wanted: dict[str, str], found: dict[str, str], name: str, *, moved: bool = False) -> None:
    """Raise BackboneError, naming what differs, unless the backbone is the one that the head was made for.

    Args:
        wanted: fingerprint of the backbone that the head was made for.
        found: of the backbone that is there.
        name: of the backbone that is there.
        moved: whether another precision of the same backbone is meant, for a warning instead.
    """
    differs = differences(wanted, found)
    if "quantization" in found and "quantization" not in wanted:
        differs.append("quantization")
    if not differs:
        return
    old, new = precision(wanted), precision(found)
    if not same_but_for_precision(wanted, found):
        if differs == ["tokenizer"] and "config" not in found:  # Symbols alone, without a language model.
            raise BackboneError(
                f"the head was made for the symbols {wanted['tokenizer']}, and these are {found['tokenizer']}; give the task and "
                "the encoder.vocabulary that it was trained with"
            )
        raise BackboneError(
            f"the head was made for another backbone than {name}: {' and '.join(differs)} differ; "
            "give the model that it was trained on, or train a head for this one"
        )
    if not moved:
        raise BackboneError(
            f"the head was made for {name} in {old}, and this one is in {new}: load it in {old}, train a head for {new}, "
            f"or give precision {found.get('quantization', new).split()[0]} to use this head all the same"
        )
    warnings.warn(
        f"the head was trained on {name} in {old} and meets it in {new}: its accuracy may be lower, measure it anew",
        stacklevel=3,
    )


def restore(module: nn.Module, tensors: Mapping[str, Tensor], name: str) -> None:
    """Load tensors into a module; raise CheckpointError with the list of what is missing, surplus or misshapen."""
    own = module.state_dict()
    missing, surplus = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    shapes = sorted(key for key in own.keys() & tensors.keys() if own[key].shape != tensors[key].shape)
    if missing or surplus or shapes:
        raise CheckpointError(f"{name} does not fit its config: missing {missing}, surplus {surplus}, other shapes {shapes}")
    module.load_state_dict(tensors)
