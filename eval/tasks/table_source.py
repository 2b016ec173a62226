"""Reads rows of a table: CSV, TSV, JSON lines, Parquet, Arrow, a folder of `save_to_disk`, or a data set of the hub.

Everything is streamed, by `datasets` or pyarrow, so that memory stays flat whatever the size. CSV and JSON are parsed
line by line, with no guess at types: "007" stays text, "NA" is no blank, and a broken row does not hide those behind it.
Holds no judgement of what a row says.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from hybrid.errors import InputError

HUB = "hub:"
_PACKED = (".gz", ".xz", ".bz2", ".zst")
_ROWS_AT_ONCE = 1000
_PAGE_BYTES = 1 << 20


@dataclass(frozen=True)
class Record:
    """One row.

    Args:
        number: of the row, from 1, the header not counted.
        line: the line that the row ends on, `line 4`, with the file's name before it where there are several; empty where
            files have no lines.
        values: cells by column.
        fault: why the row cannot be read; empty where it can.
    """

    number: int
    line: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    fault: str = ""

    @property
    def place(self) -> str:
        """The row in words: `row 3 (line 4)`."""
        return f"row {self.number}" + (f" ({self.line})" if self.line else "")


def records(source: str, columns: Sequence[str]) -> Iterator[Record]:
    """Yield the rows of `source` with the wanted `columns`.

    Args:
        source: path or URL of a .csv, .tsv, .jsonl or .ndjson file (also .gz, .xz, .bz2, .zst), of a .parquet or .arrow
            file, with `*` for several; a folder written by `Dataset.save_to_disk`; or `hub:OWNER/NAME`, with `/CONFIG`
            and `:SPLIT` (`train` where none is named) behind it.
        columns: those that each row must have.

    Raises:
        InputError: the source is not there, is of no known kind, lacks a column or cannot be read on; a broken row of
            CSV or JSON is a Record with a fault instead.
    """
    done = 0
    try:
        with _silent():
            for record in _open(source, columns):
                done = record.number
                yield record
    except InputError:
        raise
    except Exception as error:  # datasets, pyarrow, fsspec and zlib raise dozens of unrelated classes.
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        after = f" behind row {done}" if done else ""
        raise InputError(f"{source} cannot be read{after}: {reason[:200]}; check the file and its name") from None


def _open(source: str, columns: Sequence[str]) -> Iterator[Record]:
    path = Path(source)
    if source.startswith(HUB):
        return _hub(source, columns)
    if path.is_dir():
        return _folder(source, columns)
    if "://" not in source and "*" not in source and not path.exists():
        raise InputError(f"{source} is not there; give the path of a file, or {HUB}OWNER/NAME")
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in _PACKED]
    kind = suffixes[-1] if suffixes else ""
    if kind not in _READERS:
        raise InputError(f'{source} is of no known kind ("{kind}"); give one of: {", ".join(_READERS)}, or {HUB}OWNER/NAME')
    return _READERS[kind](source, columns)  # type: ignore[no-any-return]


def _lines(source: str) -> Iterator[str]:
    """Yield lines with their ends; a byte that is no UTF-8 becomes U+FFFD, so that its row can be named."""
    import datasets

    options = {"keep_linebreaks": True, "encoding": "utf-8-sig", "encoding_errors": "replace"}
    stream = datasets.load_dataset("text", data_files=source, split="train", streaming=True, **options)
    for batch in stream.iter(_ROWS_AT_ONCE):
        yield from batch["text"]


def _files(source: str) -> list[str]:
    """Return the files that a path with `*` stands for, in the order of their names."""
    import fsspec

    if "*" not in source:
        return [source]
    system, pattern = fsspec.url_to_fs(source)
    found = sorted(map(str, system.glob(pattern)))
    if not found:
        raise InputError(f"{source} names no file; check the folder and the pattern")
    return [system.unstrip_protocol(name) for name in found] if "://" in source else found


def _csv(source: str, columns: Sequence[str], delimiter: str = ",") -> Iterator[Record]:
    number = 0
    for file in _files(source):
        reader = csv.reader(_lines(file), delimiter=delimiter, strict=True)
        header = _header(reader, file, columns)
        named = "" if file == source else f"{Path(file).name} "
        for cells in _rows_of_csv(reader):
            number += 1
            line = f"{named}line {reader.line_num}"
            if isinstance(cells, str):
                yield Record(number, line, fault=cells)
            elif len(cells) == len(header):
                yield Record(number, line, dict(zip(header, cells, strict=True)))
            else:
                fault = f"has {len(cells)} cells where the header has {len(header)}; quote cells that hold {delimiter!r}"
                yield Record(number, line, fault=fault)


def _header(reader: Any, file: str, columns: Sequence[str]) -> list[str]:
    try:
        header = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise InputError(f"{file} has no readable first line: {error}; begin it with the names of the columns") from None
    if header:
        _check_columns(file, columns, header)
    for column in columns:
        if header.count(column) > 1:
            raise InputError(f'{file} has {header.count(column)} columns "{column}"; rename or drop all but one')
    return header


def _rows_of_csv(reader: Any) -> Iterator[list[str] | str]:
    """Yield the cells of each row that is not blank, or what is wrong with it."""
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield f"is no CSV ({error}); mend its quotes"
            continue
        if cells:
            yield cells


def _tsv(source: str, columns: Sequence[str]) -> Iterator[Record]:
    return _csv(source, columns, "\t")


def _json(source: str, columns: Sequence[str]) -> Iterator[Record]:
    number = 0
    for file in _files(source):
        named = "" if file == source else f"{Path(file).name} "
        for line, text in enumerate(_lines(file), 1):
            if text.strip():
                number += 1
                yield _json_record(number, f"{named}line {line}", text, columns)


def _json_record(number: int, line: str, text: str, columns: Sequence[str]) -> Record:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        return Record(number, line, fault=f"is no JSON ({str(error)[:80]}); give one object a line")
    if not isinstance(values, dict):
        return Record(number, line, fault=f"is {text.strip()[:40]!r}; give one JSON object a line")
    for column in columns:
        if column not in values:
            known = ", ".join(map(str, values)) or "nothing"
            return Record(number, line, fault=f'has no "{column}"; it has: {known[:200]}')
    return Record(number, line, values)


def _parquet(source: str, columns: Sequence[str]) -> Iterator[Record]:
    """Yield the rows of Parquet files, page by page.

    Not through `datasets`, which holds a whole row group: with many writers' defaults, a million rows.
    """
    import fsspec
    from pyarrow.parquet import ParquetFile

    number = 0
    for name in _files(source):
        with fsspec.open(name, "rb") as handle:
            parquet = ParquetFile(handle, buffer_size=_PAGE_BYTES, pre_buffer=False)
            _check_columns(source, columns, parquet.schema_arrow.names)
            for batch in parquet.iter_batches(_ROWS_AT_ONCE, columns=list(columns)):
                for values in batch.to_pylist():
                    number += 1
                    yield Record(number, values=values)


def _arrow(source: str, columns: Sequence[str]) -> Iterator[Record]:
    import datasets

    return _chosen(source, columns, datasets.load_dataset("arrow", data_files=source, split="train", streaming=True))


def _folder(source: str, columns: Sequence[str]) -> Iterator[Record]:
    import datasets

    found = datasets.load_from_disk(source)
    if not isinstance(found, datasets.Dataset):
        raise InputError(f"{source} holds several splits; give the folder of one: {', '.join(f'{source}/{s}' for s in found)}")
    return _chosen(source, columns, found)


def _hub(source: str, columns: Sequence[str]) -> Iterator[Record]:
    import datasets

    name, _, split = source.removeprefix(HUB).partition(":")
    parts = name.split("/", 2)
    repository, config = "/".join(parts[:2]), parts[2] if len(parts) == 3 else None
    stream = datasets.load_dataset(repository, config, split=split or "train", streaming=True)
    return _chosen(source, columns, stream)


def _chosen(source: str, columns: Sequence[str], stream: Any) -> Iterator[Record]:
    """Yield rows of a data set, reading no column besides those wanted; its schema may show with the first row only."""
    if stream.column_names is None:
        rows = iter(stream)
        first = next(rows, None)
        if first is not None:
            _check_columns(source, columns, list(first))
            yield from (Record(number, values=row) for number, row in enumerate(chain([first], rows), 1))
        return
    _check_columns(source, columns, stream.column_names)
    yield from _batches(stream.select_columns(list(columns)))


def _batches(stream: Any) -> Iterator[Record]:
    number = 0
    for batch in stream.iter(_ROWS_AT_ONCE):
        for cells in zip(*batch.values(), strict=True):
            number += 1
            yield Record(number, values=dict(zip(batch, cells, strict=True)))


def _check_columns(source: str, columns: Sequence[str], known: Sequence[str]) -> None:
    missing = [column for column in columns if column not in known]
    if missing:
        raise InputError(f'{source} has no column "{missing[0]}"; choose from its columns: {", ".join(known) or "none"}')


@contextmanager
def _silent() -> Iterator[None]:
    """Keep datasets from logging what is raised anyhow."""
    from datasets.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        logging.set_verbosity(before)


_READERS: dict[str, Any] = {
    ".csv": _csv,
    ".tsv": _tsv,
    ".jsonl": _json,
    ".ndjson": _json,
    ".json": _json,
    ".parquet": _parquet,
    ".arrow": _arrow,
}
