"""Which files a name stands for, and what is in them: bytes, or lines of text, unpacked.

A name is a name, whatever signs it has: only `*` stands for others, where no file is called so. Holds no kind of table.
"""

from __future__ import annotations

import glob
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hybrid.errors import InputError


def opened(file: str) -> Any:
    """Return a handle on a file's unpacked bytes."""
    import fsspec
    from fsspec.compression import compr
    from fsspec.utils import infer_compression

    packed = infer_compression(file)
    if packed not in compr:
        raise InputError(f"{file} is packed by {packed}, which needs a package: pip install zstandard, or unpack it")
    if "://" in file and not Path(file).exists():
        return fsspec.open(file, "rb", compression=packed).open()
    handle = Path(file).open("rb")  # noqa: SIM115 - whoever asks closes it
    return compr[packed](handle, mode="rb") if packed else handle


def lines(file: str) -> Iterator[str]:
    """Yield lines with their ends; a byte that is no UTF-8 becomes U+FFFD, so that its row can be named."""
    with opened(file) as handle:
        yield from io.TextIOWrapper(handle, encoding="utf-8-sig", errors="replace")


def files(source: str) -> list[str]:
    """Return the files that a path with `*` stands for, in the order of their names; a file called so is itself."""
    import fsspec

    if "*" not in source or Path(source).exists():
        return [source]
    if "://" in source:
        system, pattern = fsspec.url_to_fs(source)
        found = [system.unstrip_protocol(name) for name in sorted(map(str, system.glob(pattern)))]
    else:
        found = sorted(glob.glob(glob.escape(source).replace("[*]", "*"), recursive=True))
    if not found:
        raise InputError(f"{source} names no file; check the folder and the pattern")
    return found
