"""Reads rows of a table: CSV, TSV, JSON lines, Parquet, Arrow, a folder of `save_to_disk`, or a data set of the hub.

Everything is streamed, so that memory stays flat whatever the size; a .json file that is one array alone is held whole.
CSV and JSON are parsed line by line, with no guess at types: "007" stays text, "NA" is no blank, and a broken row does not
hide those behind it. `datasets` is asked for what is its own alone: folders of `save_to_disk`, and the hub. Holds no
judgement of what a row says.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

from hybrid.errors import InputError
from hybrid.eval.tasks.table.files import files, lines, opened, unreadable
from hybrid.paths import from_home

HUB = "hub:"
PACKED = (".gz", ".xz", ".bz2", ".zst")
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


def records(source: str, columns: Sequence[str], optional: Sequence[str] = ()) -> Iterator[Record]:
    """Yield the rows of `source` with the wanted `columns`.

    Args:
        source: path or URL of a .csv, .tsv, .jsonl, .ndjson or .json file (also .gz, .xz, .bz2, .zst), of a .parquet or
            .arrow file, with `*` for several; a folder written by `Dataset.save_to_disk`; or `hub:OWNER/NAME`, with
            `/CONFIG` and `:SPLIT` (`train` where none is named) behind it. A .json file holds lines, one array of objects,
            or an object with one such array.
        columns: those that each row must have.
        optional: those that are read where they are there.

    Raises:
        InputError: the source is not there, is of no known kind, lacks a column or cannot be read on; a broken row of
            CSV or JSON is a Record with a fault instead.
    """
    done = 0
    try:
        for record in _open(source, columns, optional):
            done = record.number
            yield record
    except InputError:
        raise
    except Exception as error:  # datasets, pyarrow, fsspec and zlib raise dozens of unrelated classes.
        raise unreadable(source, error, f" behind row {done}" if done else "") from None


def kind_of(source: str) -> str:
    """Return the suffix that says what a file holds, in small letters: `.csv` for `A.CSV.gz`."""
    suffixes = [suffix.lower() for suffix in Path(f"_{Path(source).name}").suffixes if suffix.lower() not in PACKED]
    return suffixes[-1] if suffixes else ""


def of_hub(source: str) -> bool:
    """Say whether a name stands for a data set of the hub: a file that is called so is itself."""
    return source.startswith(HUB) and not Path(source).exists()


def is_table(source: str) -> bool:
    """Say whether `records` reads what has this name."""
    return of_hub(source) or kind_of(source) in _READERS or from_home(source).is_dir()


def _open(source: str, columns: Sequence[str], optional: Sequence[str]) -> Iterator[Record]:
    if of_hub(source):
        return _hub(source, columns, optional)
    source = str(from_home(source)) if source.startswith("~") else source
    if Path(source).is_dir():
        return _folder(source, columns, optional)
    if "://" not in source and "*" not in source and not Path(source).exists():
        raise InputError(f"{source} is not there; give the path of a file, or {HUB}OWNER/NAME")
    kind = kind_of(source)
    if kind not in _READERS:
        raise InputError(f'{source} is of no known kind ("{kind}"); give one of: {", ".join(_READERS)}, or {HUB}OWNER/NAME')
    return _READERS[kind](source, columns, optional)  # type: ignore[no-any-return]


def _csv(source: str, columns: Sequence[str], optional: Sequence[str], delimiter: str = ",") -> Iterator[Record]:
    number = 0
    csv.field_size_limit(sys.maxsize)  # A cell may hold a book.
    for file in files(source):
        reader = csv.reader(lines(file, newline=""), delimiter=delimiter, strict=True)
        header = _header(reader, file, columns)
        named = "" if file == source else f"{Path(file).name} "
        for cells in _rows_of_csv(reader):
            number += 1
            line = f"{named}line {reader.line_num}"
            if isinstance(cells, str):
                yield Record(number, line, fault=cells)
            elif len(cells) == len(header) > 1 and [cell.strip("\ufeff \t") for cell in cells] == header:
                yield Record(number, line, fault="repeats the names of the columns, as files put together do; drop it")
            elif len(cells) == len(header):
                yield Record(number, line, dict(zip(header, cells, strict=True)))
            else:
                fault = f"has {len(cells)} cells where the header has {len(header)}; quote cells that hold {delimiter!r}"
                yield Record(number, line, fault=fault)


def _header(reader: Any, file: str, columns: Sequence[str]) -> list[str]:
    """Return the names of the columns: the first row that is not blank."""
    try:
        header = next((names for names in ([name.strip() for name in row] for row in reader) if any(names)), [])
    except csv.Error as error:
        raise InputError(f"{file} has no readable first line: {error}; begin it with the names of the columns") from None
    for sign in ",;\t|" if len(header) == 1 else "":
        if sign in header[0] and {*columns} <= {part.strip(' "') for part in header[0].split(sign)}:
            raise InputError(f"{file} has {sign!r} between its cells; write {reader.dialect.delimiter!r} there")
    if header:
        _check_columns(file, columns, header)
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


def _tsv(source: str, columns: Sequence[str], optional: Sequence[str]) -> Iterator[Record]:
    return _csv(source, columns, optional, "\t")


def _json(source: str, columns: Sequence[str], optional: Sequence[str]) -> Iterator[Record]:
    number = 0
    for file in files(source):
        named = "" if file == source else f"{Path(file).name} "
        rows = _array(file, columns) if kind_of(file) == ".json" else _array_of_lines(file)
        for values in rows or ():
            number += 1
            yield _json_record(number, named.strip(), values, columns)
        for line, text in enumerate(lines(file) if rows is None else (), 1):
            if text.strip():
                number += 1
                try:
                    yield _json_record(number, f"{named}line {line}", parsed(text), columns)
                except (ValueError, RecursionError) as error:
                    yield Record(number, f"{named}line {line}", fault=f"is no JSON ({str(error)[:80]}); give one object a line")


def _array(file: str, columns: Sequence[str]) -> list[Any] | None:
    """Return the rows of a file that is one JSON value; None where it holds one object a line."""
    some = list(islice((text.strip() for text in lines(file) if text.strip()), 2))
    if not some:
        return []
    if len(some) == 2 and some[0][0] == "{" and some[0][-1] == "}":
        return None
    try:
        value = parsed("".join(lines(file)))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is no JSON ({str(error)[:80]}); mend it, or give one object a line") from None
    if isinstance(value, dict) and not all(column in value for column in columns):
        arrays = [name for name, rows in value.items() if isinstance(rows, list) and rows and isinstance(rows[0], dict)]
        if len(arrays) > 1:
            raise InputError(f"{file} holds several tables: {', '.join(arrays)}; write one to a file of its own")
        value = value[arrays[0]] if arrays else value
    return value if isinstance(value, list) else [value] if len(some) == 2 else None


def _array_of_lines(file: str) -> list[Any] | None:
    """Return the rows of a file that is called one of lines and is one array; None where it holds one object a line."""
    first = next((text.strip() for text in lines(file) if text.strip()), "")
    if first == "{":
        raise InputError(f"{file} spreads an object over several lines; give one object a line (jq -c . FILE), or one array")
    if first.startswith("["):
        with suppress(ValueError, RecursionError):
            value = parsed("".join(lines(file)))
            return value if isinstance(value, list) and all(isinstance(row, dict) for row in value) else None
    return None


def parsed(text: str) -> Any:
    """Return a value of JSON; raise ValueError where it is none, or an object has a name twice."""
    return json.loads(text, object_pairs_hook=_each_once)


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f'"{next(name for name in names if names.count(name) > 1)}" stands twice')
    return found


def _json_record(number: int, line: str, values: Any, columns: Sequence[str]) -> Record:
    if not isinstance(values, dict):
        return Record(number, line, fault=f"is {json.dumps(values)[:40]!r}; give one JSON object a row")
    for column in columns:
        if column not in values:
            known = ", ".join(map(str, values)) or "nothing"
            return Record(number, line, fault=f'has no "{column}"; it has: {known[:200]}')
    return Record(number, line, values)


def _parquet(source: str, columns: Sequence[str], optional: Sequence[str]) -> Iterator[Record]:
    """Yield the rows of Parquet files, page by page.

    Not through `datasets`, which holds a whole row group: with many writers' defaults, a million rows.
    """
    from pyarrow.parquet import ParquetFile

    number = 0
    for name in files(source):
        with opened(name) as handle:
            parquet = ParquetFile(handle, buffer_size=_PAGE_BYTES, pre_buffer=False)
            wanted = _check_columns(source, columns, parquet.schema_arrow.names, optional)
            for batch in parquet.iter_batches(_ROWS_AT_ONCE, columns=wanted):
                for values in batch.to_pylist(maps_as_pydicts="strict"):
                    number += 1
                    yield Record(number, values=values)


def _arrow(source: str, columns: Sequence[str], optional: Sequence[str]) -> Iterator[Record]:
    import pyarrow

    number = 0
    for name in files(source):
        with opened(name) as handle:
            try:
                table = pyarrow.ipc.open_file(handle)
            except pyarrow.ArrowInvalid:  # The form without an index at its end, which `datasets` writes.
                handle.seek(0)
                table = pyarrow.ipc.open_stream(handle)
            wanted = _check_columns(source, columns, table.schema.names, optional)
            batches = map(table.get_batch, range(table.num_record_batches)) if hasattr(table, "get_batch") else table
            for batch in batches:
                for values in batch.select(wanted).to_pylist(maps_as_pydicts="strict"):
                    number += 1
                    yield Record(number, values=values)


def _folder(source: str, columns: Sequence[str], optional: Sequence[str]) -> Iterator[Record]:
    import datasets

    folder = Path(source)
    if not any((folder / name).exists() for name in ("dataset_info.json", "state.json", "dataset_dict.json")):
        within = next((file.suffix for file in sorted(folder.iterdir()) if kind_of(file.name) in _READERS), ".parquet")
        raise InputError(f"{source} is a folder that save_to_disk did not write; name the files in it: '{source}/*{within}'")
    with _silent():
        found = datasets.load_from_disk(source)
    if not isinstance(found, datasets.Dataset):
        raise InputError(f"{source} holds several splits; give the folder of one: {', '.join(f'{source}/{s}' for s in found)}")
    yield from _chosen(source, columns, optional, found)


def _hub(source: str, columns: Sequence[str], optional: Sequence[str]) -> Iterator[Record]:
    import datasets

    name, _, split = source.removeprefix(HUB).partition(":")
    parts = name.split("/", 2)
    repository, config = "/".join(parts[:2]), parts[2] if len(parts) == 3 else None
    with _silent():
        yield from _chosen(
            source, columns, optional, datasets.load_dataset(repository, config, split=split or "train", streaming=True)
        )


def _chosen(source: str, columns: Sequence[str], optional: Sequence[str], stream: Any) -> Iterator[Record]:
    """Yield rows of a data set, reading no column besides those wanted; its schema may show with the first row only."""
    if stream.column_names is None:
        rows = iter(stream)
        first = next(rows, None)
        if first is not None:
            _check_columns(source, columns, list(first))
            yield from (Record(number, values=row) for number, row in enumerate(chain([first], rows), 1))
        return
    yield from _batches(stream.select_columns(_check_columns(source, columns, stream.column_names, optional)))


def _batches(stream: Any) -> Iterator[Record]:
    number = 0
    for batch in stream.iter(_ROWS_AT_ONCE):
        for cells in zip(*batch.values(), strict=True):
            number += 1
            yield Record(number, values=dict(zip(batch, cells, strict=True)))


def _check_columns(source: str, columns: Sequence[str], known: Sequence[str], optional: Sequence[str] = ()) -> list[str]:
    """Return the columns to read."""
    missing = [column for column in columns if column not in known]
    if missing:
        raise InputError(f'{source} has no column "{missing[0]}"; choose from its columns: {", ".join(known) or "none"}')
    for column in (*columns, *optional):
        if list(known).count(column) > 1:
            raise InputError(f'{source} has {list(known).count(column)} columns "{column}"; rename or drop all but one')
    return [*columns, *(name for name in optional if name in known and name not in columns)]


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
