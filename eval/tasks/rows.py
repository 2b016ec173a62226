"""Reads the rows of a CSV or JSONL file, plain, .gz or .xz, or of a data set of the Hugging Face hub: two columns of each.

Holds reading alone; what a row must look like, the task that asked for it says.
"""

from __future__ import annotations

import csv
import gzip
import json
import lzma
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hybrid.errors import InputError

HUB = "hub:"
OPENERS: dict[str, Callable[..., Any]] = {".xz": lzma.open, ".gz": gzip.open}
UNREADABLE = (OSError, EOFError, lzma.LZMAError, zlib.error)
"""What opening and reading a file, packed or not, may raise."""


def read_rows(source: str, columns: tuple[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the texts of two columns of every row.

    Args:
        source: path of a file, or `hub:owner/name`, of which all splits are taken.
        columns: names of the question's and the answer's column.

    Raises:
        InputError: the source cannot be read, or a row lacks a column.
    """
    return _hub_rows(source, columns) if source.startswith(HUB) else _file_rows(Path(source), columns)


def _file_rows(path: Path, columns: tuple[str, str]) -> Iterator[tuple[str, str]]:
    suffix = path.suffix.lower()
    inner = Path(path.stem).suffix.lower() if suffix in OPENERS else suffix
    readers = {".csv": _csv_records, ".jsonl": _json_records}
    if inner not in readers:
        raise InputError(f"{path} is of no known kind; give a .csv or .jsonl file, also as .gz or .xz, or {HUB}owner/name")
    try:
        with OPENERS.get(suffix, open)(path, "rt", encoding="utf-8-sig", newline="") as file:
            for number, record in enumerate(readers[inner](file, path), 1):
                yield _pick(record, columns, path, number)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8") from None
    except UNREADABLE as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} cannot be read: {reason}; give the path of a readable file") from None


def _csv_records(file: Any, path: Path) -> Iterator[dict[str, Any]]:
    try:
        yield from csv.DictReader(file)
    except csv.Error as error:
        raise InputError(f"{path} is no readable CSV: {error}") from None


def _json_records(file: Any, path: Path) -> Iterator[dict[str, Any]]:
    lines = (line for line in file if line.strip())
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path} row {number} is no JSON: {str(error)[:100]}") from None
        if not isinstance(record, dict):
            raise InputError(f"{path} row {number} is {str(record)[:40]!r}; give a JSON object a line")
        yield record


def _hub_rows(source: str, columns: tuple[str, str]) -> Iterator[tuple[str, str]]:
    import datasets  # type: ignore[import-untyped, unused-ignore]

    try:
        splits = datasets.load_dataset(source.removeprefix(HUB))
    except Exception as error:  # datasets raises a dozen unrelated classes for "not there"
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{source} cannot be loaded: {reason}; check the name and the connection") from None
    number = 0
    for split in splits.values():
        for record in split:
            number += 1
            yield _pick(record, columns, source, number)


def _pick(record: dict[str, Any], columns: tuple[str, str], source: object, number: int) -> tuple[str, str]:
    for column in columns:
        if column not in record:
            known = ", ".join(str(name) for name in record if name is not None)
            raise InputError(f'{source} row {number} has no column "{column}"; choose from its columns: {known}')
    question, answer = (str(record[column] or "") for column in columns)
    return question, answer
