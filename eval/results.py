"""Results: one record for each method, task, split and seed, kept as JSON and shown as a table.

Holds the record, its file and its table; measuring is benchmark.py's, pictures are plots.py's. results.json is a plain
list of records, so that any tool can read it.
"""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, fields
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import hybrid
from hybrid.checkpoint import write_text
from hybrid.errors import ConfigError, InputError
from hybrid.kinds import from_dict, require, to_dict

if TYPE_CHECKING:
    from rich.table import Table

T = TypeVar("T", list[Any], dict[str, Any])


@dataclass(frozen=True)
class Record:
    """What one method did on one split of one task, and at what cost.

    Args:
        task, method, split: names.
        n: problems tried, at least 1.
        seed: of the training, or of the sampling where nothing is trained.
        exact: share of problems answered wholly right, 0 to 1.
        exact_low, exact_high: its Wilson 95% interval.
        accuracy_by_step: exact after 1, 2, ... supervision steps; None for methods without steps.
        tokens_generated_mean, reasoner_steps_mean: for each problem.
        flops_mean: forward FLOPs of a problem, the prefill included.
        latency_p50_seconds, latency_p95_seconds: of a problem at batch 1.
        throughput_per_second: problems a second at the best batch.
        peak_memory_bytes: while answering.
        trainable_parameters, train_seconds: 0 where nothing is trained.
        backbone, device: in words.
        versions: of Python and the libraries, as `versions` gives them.
        energy_joules_mean: of a problem at the best batch; None where the device does not say.
        train_problems: that the method was trained or chosen on; 0 where there are none, or in files that do not say.
        course: [training seconds, exact on dev] at each evaluation of the training; None where there is none.
        cut_share: of the answers, which ended because no more tokens were allowed.
        timed_problems: answered one by one for the latencies; 0 in files that do not say.

    Raises:
        ConfigError: a number is out of range.
    """

    task: str
    method: str
    split: str
    n: int
    seed: int
    exact: float
    exact_low: float
    exact_high: float
    accuracy_by_step: list[float] | None
    tokens_generated_mean: float
    reasoner_steps_mean: float
    flops_mean: float
    latency_p50_seconds: float
    latency_p95_seconds: float
    throughput_per_second: float
    peak_memory_bytes: int
    trainable_parameters: int
    train_seconds: float
    backbone: str
    device: str
    versions: dict[str, str]
    energy_joules_mean: float | None = None
    train_problems: int = 0
    course: list[list[float]] | None = None
    cut_share: float = 0.0
    timed_problems: int = 0

    def __post_init__(self) -> None:
        require(self.n >= 1, f"record.n is {self.n}; give at least 1 problem")
        shares = [(name, getattr(self, name)) for name in _SHARES]
        for name, share in [*shares, *(("accuracy_by_step", share) for share in self.accuracy_by_step or ())]:
            require(0 <= share <= 1, f"record.{name} is {share}; give a share between 0 and 1")
        low, high = self.exact_low, self.exact_high
        require(low <= self.exact <= high, f"record.exact is {self.exact}, outside its interval, {low} to {high}")
        require(all(len(pair) == 2 for pair in self.course or ()), f"record.course is {self.course}; give pairs of numbers")
        for moment, share in self.course or ():
            fits = math.isfinite(moment) and moment >= 0 and 0 <= share <= 1
            require(fits, f"record.course has {[moment, share]}; give seconds of at least 0 and a share between 0 and 1")
        for name in _COSTS:
            cost = getattr(self, name)
            require(
                cost is None or (math.isfinite(cost) and cost >= 0),
                f"record.{name} is {cost}; give a finite number of at least 0",
            )


_SHARES = ("cut_share", "exact", "exact_low", "exact_high")
_NUMBERS = [each.name for each in fields(Record) if str(each.type).startswith(("int", "float"))]
_COSTS = [name for name in _NUMBERS if name not in (*_SHARES, "n", "seed")]


def versions() -> dict[str, str]:
    """Return the versions of Python, torch, transformers and hybrid."""
    libraries = {name: version(name) for name in ("torch", "transformers")}
    return {"python": platform.python_version()} | libraries | {"hybrid": hybrid.__version__}


def write_results(path: str | Path, records: Sequence[Record]) -> None:
    """Write records as a JSON list, whole or not at all.

    Raises:
        StorageError: the file cannot be written.
    """
    data = [to_dict(record) for record in records]
    write_text(Path(path), json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_results(path: str | Path) -> list[Record]:
    """Return the records of a file that `write_results` wrote.

    Raises:
        InputError: the file is missing or damaged, or a field is missing, unknown, ill-typed or out of range.
    """
    records = []
    for number, entry in enumerate(read_json(path, list, "a results.json"), start=1):
        try:
            records.append(_record(entry))
        except ConfigError as error:
            raise InputError(f"{path}, record {number}: {error}") from None
    return records


def read_json(path: str | Path, kind: type[T], named: str) -> T:
    """Return what a JSON file holds, a list or a dict; `named` says what to give in its place.

    Raises:
        InputError: the file is missing or damaged, or holds something else.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}; give {named} of `hybrid bench`") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON ({error}); restore the file, or delete it and run the benchmark again") from None
    if not isinstance(data, kind):
        raise InputError(f"{path} holds a {type(data).__name__}; give a {kind.__name__} as `hybrid bench` writes it")
    return data


def _record(data: Any) -> Record:
    if isinstance(data, dict):
        asked = [f.name for f in fields(Record) if f.default is MISSING and f.name != "accuracy_by_step"]
        missing = [name for name in asked if data.get(name) is None]
        missing += ["accuracy_by_step"] if "accuracy_by_step" not in data else []
        require(not missing, f"no value for {', '.join(missing)}; restore the file or run the benchmark again")
    record: Record = from_dict(Record, data, "record")
    return record


@dataclass(frozen=True)
class Column:
    """A column of the results table: its heading, and the text of a record's cell."""

    heading: str
    cell: Callable[[Record], str]


def columns(records: Sequence[Record]) -> list[Column]:
    """Return the columns that these records need: task, split and seed only where they differ, joules where known."""
    first = [
        Column(name, lambda record, name=name: str(getattr(record, name)))  # type: ignore[misc]
        for name in ("task", "split", "method", "seed")
        if name == "method" or len({getattr(record, name) for record in records}) > 1
    ]
    has_energy = any(record.energy_joules_mean is not None for record in records)
    return first + [column for column in _FIGURES if column is not _ENERGY or has_energy]


def is_best(record: Record, records: Sequence[Record]) -> bool:
    """Say whether no record of the same task and split has a better exact share."""
    rivals = [other.exact for other in records if (other.task, other.split) == (record.task, record.split)]
    return record.exact >= max(rivals, default=0.0)


def results_table(records: Sequence[Record], *, width: int = 200) -> Table:
    """Return the records as a table for the terminal, the best exact share of every task and split in bold.

    Under WIDE characters of `width`, only the headline columns are shown; results.json has them all.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(header_style="bold")
    shown = [column for column in columns(records) if width >= WIDE or column not in _FIGURES or column.heading in _HEADLINE]
    for column in shown:
        table.add_column(column.heading, justify="right" if column in _FIGURES else "left")
    for record in records:
        bold = "bold" if is_best(record, records) else ""
        table.add_row(*(Text(column.cell(record), style=bold if column is _EXACT else "") for column in shown))
    return table


def markdown_table(records: Sequence[Record]) -> str:
    """Return the records as a Markdown table, as in README.md; `python -m hybrid.eval.results FILE` prints it."""
    shown = columns(records)
    return as_markdown([column.heading for column in shown], [[column.cell(each) for column in shown] for each in records])


def as_markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return cells as a Markdown table.

    Example:
        >>> print(as_markdown(["a", "b"], [["1", "2"]]))
        | a | b |
        | --- | --- |
        | 1 | 2 |
    """
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


def significant(value: float) -> str:
    """Return a number of at least 0 with three significant digits, thousands apart.

    Example:
        >>> [significant(value) for value in (0, 0.00001234, 2.5, 99.96, 1234.5)]
        ['0', '0.0000123', '2.5', '100', '1,234']
    """
    return f"{value:,.0f}" if value >= 999.5 else f"{Decimal(f'{value:.3g}'):f}"


def percent(share: float) -> str:
    """Return a share as a percentage with one digit, without its sign.

    Example:
        >>> percent(0.8742)
        '87.4'
    """
    return f"{100 * share:.1f}"


def exact_text(exact: float, low: float, high: float) -> str:
    """Return an exact share in percent with its interval, all given from 0 to 1."""
    return f"{percent(exact)} ({percent(low)}–{percent(high)})"


def size(count: float, unit: str = "B") -> str:
    """Return a count with a decimal prefix.

    Example:
        >>> size(0), size(640), size(3_140_000, ""), size(1.5e9)
        ('0 B', '640 B', '3.14 M', '1.5 GB')
    """
    prefixes = ("", "k", "M", "G", "T")
    power = 0
    while count >= 999.5 and power < len(prefixes) - 1:
        count, power = count / 1000, power + 1
    return f"{significant(count)} {prefixes[power]}{unit}".rstrip()


_EXACT = Column("exact % (95%)", lambda r: exact_text(r.exact, r.exact_low, r.exact_high))
_ENERGY = Column("joules a problem", lambda r: "-" if r.energy_joules_mean is None else significant(r.energy_joules_mean))
WIDE = 130
_HEADLINE = ("exact % (95%)", "n", "tokens", "steps", "GFLOPs a problem", "p50 seconds")
_FIGURES = [
    _EXACT,
    Column("n", lambda r: str(r.n)),
    Column("tokens", lambda r: significant(r.tokens_generated_mean)),
    Column("steps", lambda r: significant(r.reasoner_steps_mean)),
    Column("GFLOPs a problem", lambda r: significant(r.flops_mean / 1e9)),
    Column("p50 seconds", lambda r: significant(r.latency_p50_seconds)),
    Column("problems/s", lambda r: significant(r.throughput_per_second)),
    _ENERGY,
    Column("peak memory", lambda r: size(r.peak_memory_bytes)),
    Column("trainable weights", lambda r: size(r.trainable_parameters, "")),
    Column("train seconds", lambda r: significant(r.train_seconds)),
]


if __name__ == "__main__":
    import sys

    from hybrid.eval import program

    program.run(lambda: print(*(markdown_table(read_results(name)) for name in sys.argv[1:]), sep="\n"))
