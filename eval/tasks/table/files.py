"""Which files a name stands for, and what is in them: bytes, or lines of text, unpacked.

A name is a name, whatever signs it has: only `*` stands for others, where no file is called so. Holds no kind of table.
"""

from __future__ import annotations

import glob
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hybrid.errors import InputError
from hybrid.paths import from_home


def opened(file: str) -> Any:
    """Return a handle on a file's unpacked bytes."""
    import fsspec
    from fsspec.compression import compr
    from fsspec.utils import infer_compression

    packed, place = infer_compression(file), from_home(file)
    away = "://" in file and not place.exists()
    if file.lower().endswith(".zst"):  # fsspec knows these with a further package alone.
        import pyarrow

        stream = fsspec.open(file, "rb").open() if away else place.open("rb")
        return io.BufferedReader(pyarrow.CompressedInputStream(stream, "zstd"))
    if away:
        return fsspec.open(file, "rb", compression=packed).open()
    handle = place.open("rb")
    return compr[packed](handle, mode="rb") if packed else handle


def lines(file: str, *, newline: str | None = None) -> Iterator[str]:
    """Yield lines with their ends, each as a bare line feed, or untouched where `newline` is empty.

    A byte that is no UTF-8 becomes U+FFFD, so that its row can be named.
    """
    with opened(file) as handle:
        for number, line in enumerate(io.TextIOWrapper(handle, encoding="utf-8-sig", errors="replace", newline=newline)):
            if number == 0 and (line.startswith("\ufffd\ufffd") or "\x00" in line):
                raise InputError(f"{file} is no UTF-8 text, maybe UTF-16 or packed; save it as UTF-8, or unpack it")
            yield line


@contextmanager
def readable(source: str) -> Iterator[None]:
    """Let whatever reading a file raises be an InputError that names `source`."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # Every kind of packed file raises classes of its own.
        raise unreadable(source, error) from None


def unreadable(source: str, error: Exception, after: str = "") -> InputError:
    """Return the error that says why a file cannot be read, `after` which of its rows, and what to do."""
    told = getattr(error, "strerror", None) or str(error).strip() or type(error).__name__
    do = "install what is missing, or fetch the file" if isinstance(error, ImportError) else "check the file and its name"
    return InputError(f"{source} cannot be read{after}: {str(told).splitlines()[0][:200]}; {do}")


def files(source: str) -> list[str]:
    """Return the files that a path with `*` stands for, in the order of their names; a file called so is itself.

    A `~` in front is the home folder.
    """
    import fsspec

    if not source:
        raise InputError("the name of a file is empty; give a path")
    source = str(from_home(source)) if source.startswith("~") else source
    if "*" not in source or Path(source).exists():
        return [source]
    if "://" in source:
        system, pattern = fsspec.url_to_fs(source)
        found = [system.unstrip_protocol(name) for name in sorted(map(str, system.glob(pattern)))]
    else:
        found = sorted(glob.glob(_pattern(source), recursive=True))
    if not found:
        raise InputError(f"{source} names no file; check the folder and the pattern")
    return found


def _pattern(source: str) -> str:
    """Return a path with `*` as a pattern in which nothing else stands for another: a folder that is called so is itself."""
    place, pattern = Path(), Path()
    for part in Path(source).parts:
        place = place / part
        wild = "*" in part and not place.exists()
        pattern /= glob.escape(part).replace("[*]", "*") if wild else glob.escape(part)
    return str(pattern)
