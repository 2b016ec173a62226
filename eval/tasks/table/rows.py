"""Reads two columns of every row of a file, plain or packed, or of a data set of the Hugging Face hub.

Holds reading alone; what a row must look like, the task that asked for it says. Files are source.py's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hybrid.errors import InputError
from hybrid.eval.tasks.table.source import HUB, of_hub, records


def read_rows(source: str, columns: tuple[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the texts of two columns of every row.

    Args:
        source: path of a file, or `hub:owner/name`, of which all splits are taken.
        columns: names of the question's and the answer's column.

    Raises:
        InputError: the source cannot be read, or a row lacks a column.
    """
    for row in _hub_rows(source, columns) if of_hub(source) else _file_rows(source, columns):
        question, answer = (str(row[column] or "") for column in columns)
        yield question, answer


def _file_rows(source: str, columns: tuple[str, str]) -> Iterator[Any]:
    for record in records(source, columns):
        if record.fault:
            raise InputError(f"{source} {record.place} {record.fault}")
        yield record.values


def _hub_rows(source: str, columns: tuple[str, str]) -> Iterator[Any]:
    import datasets  # type: ignore[import-untyped, unused-ignore]

    try:
        splits = datasets.load_dataset(source.removeprefix(HUB))
    except Exception as error:  # datasets raises a dozen unrelated classes for "not there"
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{source} cannot be loaded: {reason}; check the name and the connection") from None
    for row in (row for split in splits.values() for row in split):
        missing = [column for column in columns if column not in row]
        if missing:
            raise InputError(f'{source} has no column "{missing[0]}"; choose from its columns: {", ".join(row)}')
        yield row
