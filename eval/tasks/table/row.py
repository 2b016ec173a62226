"""One row of a table as a problem: which columns, how an answer is cut into symbols, and what a good row is.

Holds the settings and the judgement of single rows; what only shows when rows are compared is survey.py's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import Any, Literal

from hybrid.backbone import words
from hybrid.errors import InputError
from hybrid.eval.tasks.table import cells
from hybrid.eval.tasks.table.source import Record
from hybrid.kinds import A_PATH, ADDED, require
from hybrid.layout import END, SpanPattern
from hybrid.problem import Problem, Span

Unit = Literal["auto", "word", "character", "whole", "token"]


@dataclass(frozen=True)
class TableConfig:
    """Where rows of one's own stand and how they are read.

    Args:
        train: a .csv, .tsv, .jsonl, .json, .parquet or .arrow file, a folder of `Dataset.save_to_disk`, or a data set of
            the hub, `hub:OWNER/NAME` or `hub:OWNER/NAME/CONFIG:SPLIT`.
        dev: the same for the dev split; none takes a tenth of the rows of `train`, by a hash of the prompt.
        test: the same for the test split; none takes another tenth.
        prompt_column: column of the text that the language model reads.
        answer_column: column of the answers: text, a whole number, true or false; or a list of symbols.
        spans_column: column of the answer symbols' own places in the prompt, a list of [start, end) characters, one a
            symbol (in a CSV, as JSON). Prompts to solve must then bring theirs along, or be read by `item`.
        trace_column: column of worked steps in words, one text or a list of lines, from which chains of thought are shown
            and learned; the answer is written behind them.
        teach_trace: teach the words of the trace to the thoughts of the encoder `words` while training; they join the vocabulary.
        labels_column: column of what words of the prompt mean on the way to the answer, such as {"Zoe": "kitchen"}: a mapping
            of words to symbols, or a list of mappings, one a supervision step (in a CSV, as JSON). A word that means several
            things at once has a list of symbols, null for one that is not taught. The encoder `words` is taught them at every
            place of the word; they join the vocabulary and are no part of the answer.
        difficulty_column: column of whole numbers by which a curriculum orders rows and reports cut them; none takes the words
            of the prompt.
        item: regular expression of the answer symbols' places in a prompt, its first group where it has one.
        region: regular expression of the stretches of a prompt in which `item` is looked for.
        unit: what an answer's symbols are: its words, its characters (each blank is one), the whole answer as one class, or
            the language model's own tokens (an open vocabulary, any text; with --decoder tokens --decoder.whole true). auto
            takes whole answers where a few are given again and again, characters of many different single words, else words.
        separator: what stands between two words of an answer; none for blanks.
        symbols: the closed vocabulary; empty to take the symbols of all answers.
        duplicates: what happens to a prompt that stands in two splits, or twice with two answers: an error, or the row is
            dropped: from train before dev before test, and all but the first in one split.
        sentence: how a head that writes tells an answer, such as "The first is {} of the second."; none for the answer alone.
        num_answers: slots of an answer where it has no places in the prompt; none takes the longest answer, for tokens 16.
    """

    train: str = field(default="", metadata=A_PATH)
    dev: str | None = field(default=None, metadata=A_PATH)
    test: str | None = field(default=None, metadata=A_PATH)
    prompt_column: str = "prompt"
    answer_column: str = "answer"
    spans_column: str | None = None
    trace_column: str | None = None
    teach_trace: bool = field(default=False, metadata=ADDED)
    labels_column: str | None = field(default=None, metadata=ADDED)
    difficulty_column: str | None = field(default=None, metadata=ADDED)
    item: str | None = None
    region: str = "(?s).+"
    unit: Unit = "auto"
    separator: str | None = None
    symbols: tuple[str, ...] = ()
    duplicates: Literal["error", "drop"] = field(default="error", metadata=ADDED)
    sentence: str | None = field(default=None, metadata=ADDED)
    num_answers: int | None = None

    def __post_init__(self) -> None:
        require(bool(self.train), "table.train is missing; give a .csv, .jsonl or .parquet file, or hub:OWNER/NAME")
        require(
            not (self.aligned and self.num_answers), "table.num_answers goes without places in the prompt; leave one of them out"
        )
        require(self.num_answers is None or self.num_answers >= 1, f"table.num_answers is {self.num_answers}; give at least 1")
        told = self.sentence
        require(told is None or told.count("{}") == 1, f"table.sentence is {told!r}; give a text with one {{}} for the answer")
        is_open = self.unit == "token"
        require(not (is_open and self.aligned), "table.unit token has no places in the prompt; choose another unit")
        require(not (is_open and self.symbols), "table.unit token has an open vocabulary; leave out table.symbols")
        require(
            not (is_open and self.labels_column),
            "table.labels_column names symbols, and table.unit token has none; choose another",
        )
        require(len(self.symbols) != 1, "table.symbols has 1 entry; give at least 2")
        require(self.separator != "", "table.separator is empty; choose table.unit character")
        words = self.separator is None or self.unit in ("auto", "word")
        require(words, f"table.separator goes with table.unit word, not {self.unit}; leave one of them out")
        require(
            len(self.columns) == len(set(self.columns)), f"table's columns are {', '.join(self.columns)}; name different ones"
        )
        require(
            not self.teach_trace or self.trace_column is not None,
            "table.teach_trace teaches worked steps; name their column with table.trace_column",
        )
        require(END not in self.symbols, f"{END} marks the end of a shorter answer; leave it out of table.symbols")
        assert self.item is None or self.pattern  # Raises where an expression is none.

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all columns that are read."""
        named = (self.prompt_column, self.answer_column, self.spans_column, self.trace_column, self.labels_column)
        return tuple(name for name in (*named, self.difficulty_column) if name is not None)

    @property
    def aligned(self) -> bool:
        """Whether answers have places in the prompt."""
        return self.spans_column is not None or self.item is not None

    @property
    def pattern(self) -> SpanPattern | None:
        """The pattern of the answer's places, None for none."""
        return None if self.item is None else SpanPattern(self.region, self.item)

    @property
    def between(self) -> str:
        """What is written between two symbols."""
        return (self.separator or " ") if self.unit in ("auto", "word") else ""


def key_of(prompt: str, *, blanks: bool = False) -> str:
    """Return the name of a prompt's class: prompts that differ in blanks alone are the same, unless `blanks` are signs.

    Example:
        >>> key_of("1 + 1 =") == key_of(" 1  + 1 =\\n"), key_of("1") == key_of("2")
        (True, False)
        >>> key_of("# #", blanks=True) == key_of("#  #", blanks=True), key_of("# #\\n#", blanks=True) == key_of("# # #")
        (False, True)
    """
    text = " ".join(prompt.strip("\n").splitlines()) if blanks else " ".join(prompt.split())
    return blake2b(text.encode(), digest_size=8).hexdigest()


class RowReader:
    """Turns records into problems."""

    def __init__(self, config: TableConfig) -> None:
        self.config = config

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.config.symbols)

    @cached_property
    def _pattern(self) -> SpanPattern | None:
        return self.config.pattern

    def read(self, record: Record, source: str) -> Problem:
        """Return the problem of a row.

        Raises:
            InputError: the row is no problem; what is wrong and what to do, without the row's place.
        """
        if record.fault:
            raise InputError(record.fault)
        config = self.config
        prompt = cells.text(record.values.get(config.prompt_column), config.prompt_column, "a prompt")
        answer = self._symbols(record.values.get(config.answer_column))
        spans = self._spans(record.values.get(config.spans_column), prompt) if config.spans_column is not None else ()
        prompt, spans = cells.with_plain_ends(prompt, spans)
        self._check_length(prompt, answer, spans)
        return Problem(
            prompt,
            answer,
            path=self._path(record),
            trace=self._trace(record, answer),
            difficulty=self._difficulty(record, prompt),
            key=key_of(prompt, blanks=self.config.unit == "character"),
            spans=spans,
            where=f"{source} {record.place}",
            word_labels=self._word_labels(record, prompt),
        )

    def ask(self, record: Record) -> Problem:
        """Return the problem of a row without a look at its answer; its spans are read where it has some.

        Raises:
            InputError: the row is no prompt.
        """
        prompt = cells.text(record.values.get(self.config.prompt_column), self.config.prompt_column, "a prompt")
        spans = record.values.get(self.config.spans_column or "")
        prompt, own = cells.with_plain_ends(prompt, self._spans(spans, prompt) if spans else ())
        return Problem(prompt, (), spans=own)

    def _difficulty(self, record: Record, prompt: str) -> int:
        name = self.config.difficulty_column
        if name is None:
            return len(words.spans(prompt))
        value = cells.scalar(record.values.get(name), name).strip()
        if not value.isdecimal():
            raise InputError(f'"{name}" is {value[:40]!r}; give a whole number of at least 0')
        return int(value)

    def _trace(self, record: Record, answer: tuple[str, ...]) -> str:
        """Return the row's worked steps with the answer behind them; nothing where the table has none."""
        name = self.config.trace_column
        if name is None:
            return ""
        return f"{cells.lines(record.values.get(name), name).strip()}\nAnswer: {self.config.between.join(answer)}"

    def _path(self, record: Record) -> tuple[str, ...]:
        """Return the words of the row's worked steps where they are taught."""
        name = self.config.trace_column
        if name is None or not self.config.teach_trace:
            return ()
        text = cells.lines(record.values.get(name), name)
        return tuple(text[start:end] for start, end in words.spans(text))

    def _word_labels(self, record: Record, prompt: str) -> tuple[tuple[tuple[str, str], ...], ...]:
        """Return the row's labels of words, a line a supervision step; nothing where the table has none."""
        name = self.config.labels_column
        if name is None:
            return ()
        value = cells.from_json(record.values.get(name), name, '{"Zoe": "kitchen"}')
        lines = value if isinstance(value, list) else [value]
        if not lines or not all(isinstance(line, dict) for line in lines):
            raise InputError(f'"{name}" is {value!r:.40}; give a mapping of words to symbols, or a list of mappings')
        known = {prompt[start:end].casefold() for start, end in words.spans(prompt)}
        return tuple(tuple(self._line(line, known)) for line in lines)

    def _line(self, line: Mapping[str, Any], known: Collection[str]) -> Iterator[tuple[str, str]]:
        """Yield the labels of one step's words; a word without any, as Parquet has those of other rows, is passed over."""
        name, seen = str(self.config.labels_column), set()
        for word, own in line.items():
            if own is None:
                continue
            if word.casefold() not in known:
                raise InputError(f'"{name}" labels {word[:40]!r}, which is no word of the prompt; give single words of it')
            if word.casefold() in seen:
                raise InputError(f'"{name}" labels {word[:40]!r} twice, case aside; give the word one list of labels')
            seen.add(word.casefold())
            for symbol in own if isinstance(own, list) else [own]:
                yield word, "" if symbol is None else self._known_symbol(self._scalar(symbol, name), name, own)

    def _symbols(self, value: Any) -> tuple[str, ...]:
        name, unit = self.config.answer_column, self.config.unit
        if isinstance(value, list | tuple):
            if unit == "token":
                raise InputError(f'"{name}" is a list; with table.unit token it must be text')
            symbols = tuple(self._scalar(item, name) for item in value)
        else:
            text = self._scalar(value, name)
            if unit in ("auto", "word"):
                symbols = tuple(part.strip() for part in text.split(self.config.separator)) if text else ()
            else:
                symbols = () if not text.strip() else tuple(text) if unit == "character" else (text,)
        if not symbols:
            raise InputError(f'"{name}" is empty; give an answer, or drop the row')
        return tuple(self._known_symbol(symbol, name, value) for symbol in symbols)

    def _known_symbol(self, symbol: str, name: str, value: Any) -> str:
        """Return a symbol that stands in the value of a column; raise InputError where it can be none."""
        if not symbol or symbol == END:
            raise InputError(f'"{name}" has the symbol {symbol!r}, which no answer may hold; mend {value!r:.60}')
        if self._known and symbol not in self._known:
            known = ", ".join(self.config.symbols[:10])
            raise InputError(f'"{name}" has the symbol {symbol[:40]!r}, not in table.symbols: {known}; add it, or mend the row')
        return symbol

    def _scalar(self, value: Any, name: str) -> str:
        """Return a text, or one symbol of it: without the blanks around it, unless characters are the symbols."""
        text = cells.scalar(value, name)
        return text.strip("\r\n") if self.config.unit == "character" else text.strip()

    def _spans(self, value: Any, prompt: str) -> tuple[Span, ...]:
        name = self.config.spans_column
        value = cells.from_json(value, name, "[[0, 4], [7, 9]]")
        if not isinstance(value, list | tuple) or not value:
            raise InputError(f'"{name}" is {value!r:.40}; give a list of [start, end], one for each answer symbol')
        spans = []
        for span in value:
            pair = span if isinstance(span, list | tuple) else ()
            if len(pair) != 2 or not all(isinstance(end, int) and not isinstance(end, bool) for end in pair):
                raise InputError(f'"{name}" holds {span!r:.40}; give pairs of whole numbers, [start, end]')
            start, end = pair
            if start >= end:
                raise InputError(f'"{name}" holds [{start}, {end}], which is empty; the end stands behind the last character')
            if start < 0 or end > len(prompt):
                raise InputError(f'"{name}" holds [{start}, {end}], outside the prompt of {len(prompt)} characters')
            spans.append((start, end))
        return tuple(spans)

    def _check_length(self, prompt: str, answer: tuple[str, ...], spans: tuple[Span, ...]) -> None:
        config, count = self.config, len(answer)
        if config.spans_column is not None and len(spans) != count:
            raise InputError(f'"{config.spans_column}" has {len(spans)} spans for {count} answer symbols; give one for each')
        if self._pattern is not None and not spans and len(places := self._pattern.find(prompt)) != count:
            raise InputError(
                f"table.item finds {len(places)} places in the prompt for {count} answer symbols; change one of them"
            )
        if config.num_answers is not None and config.unit != "token" and count > config.num_answers:
            raise InputError(
                f"the answer has {count} symbols, table.num_answers is {config.num_answers}; raise it, or drop the row"
            )
