"""The check of a whole table before training: every row, every fault with its row, and what the answers consist of.

One pass over each source. A row costs 17 bytes of memory (digests of prompt and answer), whatever its length.
"""

from __future__ import annotations

import re
import unicodedata
import warnings
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b

import numpy as np

from hybrid.errors import Faults, InputError
from hybrid.eval.tasks.table.row import RowReader, TableConfig
from hybrid.eval.tasks.table.source import records
from hybrid.problem import Problem

MAX_SYMBOLS = 10_000
"""Different symbols after which answers are no closed vocabulary."""


UNSEEN = str.maketrans("\u00a0\u2007\u202f", "   ", "\u00ad\u200b\u2060\ufeff")
"""Blanks of other kinds as the usual one, and signs without width as nothing."""


@dataclass(frozen=True)
class Survey:
    """What a table holds.

    Args:
        rows: good rows of each source.
        symbols: all symbols of answers, paths and labels of words, in a fixed order; empty for an open vocabulary.
        answers: those that answers have.
        shortest: symbols of the shortest answer.
        longest: symbols of the longest answer.
        dropped: digests of the prompts that are left out of a source, as they stand in another.
    """

    rows: Mapping[str, int]
    symbols: tuple[str, ...]
    answers: tuple[str, ...]
    shortest: int
    longest: int
    dropped: Mapping[str, frozenset[int]] = field(default_factory=dict)


@dataclass
class _Seen:
    """One source's rows: digests (zero where a row is bad) by place."""

    source: str
    prompts: array[int] = field(default_factory=lambda: array("Q"))
    answers: array[int] = field(default_factory=lambda: array("Q"))
    good: int = 0

    def add(self, problem: Problem | None) -> None:
        digest = blake2b("\0".join(problem.answer).encode(), digest_size=8).digest() if problem else b""
        self.prompts.append(int(problem.key, 16) if problem else 0)
        self.answers.append(int.from_bytes(digest, "big"))
        self.good += problem is not None


def sources(config: TableConfig) -> dict[str, str]:
    """Return the source of each split that has one of its own, train first."""
    given = {"train": config.train, "dev": config.dev, "test": config.test}
    return {split: source for split, source in given.items() if source is not None}


def good_rows(config: TableConfig, source: str, faults: Faults) -> Iterator[Problem | None]:
    """Yield the problem of each row of `source`, None for a bad one, whose fault is noted."""
    reader = RowReader(config)
    empty = True
    try:
        for record in records(source, config.columns):
            empty = False
            try:
                yield reader.read(record, source)
            except InputError as error:
                faults.add(f"{source} {record.place}: {error}")
                yield None
        if empty:
            faults.add(f"{source} holds no rows; give a file with at least one")
    except InputError as error:
        faults.add(str(error))


def survey(config: TableConfig) -> Survey:
    """Check every row of every source.

    Raises:
        DataError: names the faults with their rows.
    """
    faults = Faults()
    symbols: set[str] = set()
    taught: set[str] = set()
    lengths: set[int] = set()
    seen = []
    for source in sources(config).values():
        rows = _Seen(source)
        for problem in good_rows(config, source, faults):
            rows.add(problem)
            if problem is not None:
                lengths.add(len(problem.answer))
                if config.unit != "token" and max(len(symbols), len(taught)) <= MAX_SYMBOLS:
                    symbols.update(problem.answer)
                    taught.update(problem.path, problem.labels())
        seen.append(rows)
    twins = _twins(seen)
    dropped: dict[str, set[int]] = {}
    if config.duplicates == "drop":
        dropped = _dropped(seen, twins)
    else:
        _check_twins(seen, twins, faults)
    if faults.count == 0 and config.unit != "token" and not config.symbols:
        _check_symbols(symbols, taught, config, faults)
    faults.check()
    ordered = config.symbols or tuple(sorted(symbols | taught, key=_order))
    answers = tuple(symbol for symbol in ordered if config.symbols or symbol in symbols)
    kept = {source: frozenset(digests) for source, digests in dropped.items()}
    return Survey({rows.source: rows.good for rows in seen}, ordered, answers, min(lengths), max(lengths), kept)


def _order(symbol: str) -> tuple[bool, int, str]:
    """Numbers by size, then words."""
    number = symbol.isascii() and symbol.isdecimal() and len(symbol) < 20
    return not number, int(symbol) if number else 0, symbol


def _check_symbols(symbols: set[str], taught: set[str], config: TableConfig, faults: Faults) -> None:
    if len(symbols) > MAX_SYMBOLS:
        faults.add(
            f"{config.train}: the answers have more than {MAX_SYMBOLS:,} different symbols by table.unit {config.unit}; choose "
            "character, or token for free text"
        )
    elif len(symbols | taught) > MAX_SYMBOLS:
        faults.add(
            f"{config.train}: answers and what is taught besides have more than {MAX_SYMBOLS:,} different symbols; drop some"
        )
    if alike := _look_alike(symbols | taught):
        one, other = (ascii(symbol).replace("  ", r"\x20\x20") for symbol in alike)
        faults.add(f"{config.train}: {one:.60} and {other:.60} are two symbols and look alike; write both the same way")
    if len(symbols) < 2:
        faults.add(f"{config.train}: all answers are {', '.join(symbols)!r}; there is nothing to learn")


def _look_alike(symbols: set[str]) -> tuple[str, str] | None:
    """Return two symbols that differ in what nobody sees: how an accent is stored, a sign without width, a kind of blank."""
    seen: dict[str, str] = {}
    for symbol in sorted(symbols):
        shown = unicodedata.normalize("NFC", symbol.translate(UNSEEN))
        first = seen.setdefault(re.sub("  +", " ", shown), symbol)
        if first != symbol:
            return first, symbol
    return None


FEW_ANSWERS, AGAIN = 64, 10
"""At most so many different answers, each given so many times on average, are classes."""


def with_unit(config: TableConfig) -> TableConfig:
    """Return the settings with what the training answers are cut into, where `unit` is auto."""
    if config.unit != "auto":
        return config
    plain = replace(config, unit="word")
    if config.aligned or config.separator is not None or config.symbols:
        return plain
    answers: Counter[str] = Counter()
    rows = good_rows(plain, config.train, Faults())
    for problem in rows:
        if problem is not None:
            answers[" ".join(problem.answer)] += 1
        if len(answers) > MAX_SYMBOLS:
            break
    single = not any(" " in answer for answer in answers)
    if len(answers) <= FEW_ANSWERS and answers.total() >= AGAIN * len(answers):
        return replace(config, unit="whole")
    many = len(answers) > FEW_ANSWERS and answers.total() < AGAIN * len(answers)
    return replace(config, unit="character") if many and single else plain


def _twins(seen: list[_Seen]) -> list[tuple[int, int]]:
    """Return pairs of rows, counted over all sources, with the same prompt in two sources, or in one with two answers."""
    ends = np.cumsum([len(rows.prompts) for rows in seen])
    prompts, answers = (
        np.concatenate([np.frombuffer(getattr(rows, side), dtype=np.uint64) for rows in seen]) for side in ("prompts", "answers")
    )
    order = np.argsort(prompts, kind="stable")
    ordered = prompts[order]
    twins = np.flatnonzero((ordered[1:] == ordered[:-1]) & (ordered[1:] != 0))
    first, second = order[twins], order[twins + 1]
    elsewhere = np.searchsorted(ends, first, side="right") != np.searchsorted(ends, second, side="right")
    chosen = elsewhere | (answers[first] != answers[second])
    return sorted(zip(first[chosen].tolist(), second[chosen].tolist(), strict=True))


def _dropped(seen: list[_Seen], twins: list[tuple[int, int]]) -> dict[str, set[int]]:
    """Return the digests of prompts that are left out of each source, and tell how many: train's go before dev's and test's."""
    ends = np.cumsum([len(rows.prompts) for rows in seen])
    dropped: dict[str, set[int]] = {}
    again = 0
    for a, b in twins:
        (one, row), (other, _) = (_place(seen, ends, each) for each in (a, b))
        if one is other:
            again += 1
        else:
            dropped.setdefault(one.source, set()).add(one.prompts[row - 1])
    for source, digests in dropped.items():
        warnings.warn(f"{source}: {len(digests)} prompts stand in another split too and are dropped here", stacklevel=2)
    if again:
        warnings.warn(f"{again} rows repeat a prompt of their file with another answer and are dropped", stacklevel=2)
    return dropped


def _check_twins(seen: list[_Seen], twins: list[tuple[int, int]], faults: Faults) -> None:
    """Note each pair as a fault."""
    ends = np.cumsum([len(rows.prompts) for rows in seen])
    for a, b in twins:
        (one, one_row), (other, other_row) = (_place(seen, ends, row) for row in (a, b))
        if one is other:
            faults.add(f"{one.source} row {other_row}: the prompt of row {one_row} with another answer; keep one of them")
        else:
            faults.add(
                f"{one.source} row {one_row}: its prompt stands in {other.source} row {other_row} too; a problem belongs to one "
                "split, drop it from one"
            )


def _place(seen: list[_Seen], ends: np.ndarray, row: int) -> tuple[_Seen, int]:
    index = int(np.searchsorted(ends, row, side="right"))
    return seen[index], row - (int(ends[index - 1]) if index else 0) + 1
