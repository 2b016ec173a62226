"""GSM8K: grade-school word problems whose answer is a number (arXiv 2110.14168).

Holds the task, the reading of its rows and of the numbers in free text. Rows stand in the official form (JSON lines or the hub:
`question`, and `answer` with calculator marks `<<48/2=24>>` and the number behind `####`), or in that of implicit chain of
thought (arXiv 2311.01460): a line `question||<<48/2=24>> #### 24` each.
"""

from __future__ import annotations

import io
import random
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Literal

from hybrid.errors import Faults, InputError
from hybrid.eval.tasks.answers import MAX_CHARACTERS, final_part
from hybrid.eval.tasks.table.files import opened, readable
from hybrid.eval.tasks.table.row import key_of
from hybrid.eval.tasks.table.source import kind_of, records
from hybrid.eval.tasks.table.table import TOKEN_SLOTS
from hybrid.eval.tasks.task import TASKS, Split, Task, Wording, check_arguments
from hybrid.kinds import A_PATH, require
from hybrid.layout import END, LayoutConfig
from hybrid.problem import Problem

MARK, STEP = "####", re.compile(r"<<[^<>]*>>")
_NUMBER = re.compile(r"(?:(?<![\d.,)\w])[-+])?(?:[$£€][-+]?)?(?:\d[\d,]*(?:\.\d+)?|\.\d+)")
_ANSWER = re.compile(r"(?i)\banswer\b")
_GROUPED = re.compile(r"[^\d,]*\d{1,3}(?:,\d{2,3})*,\d{3}(?:\.\d+)?")
_GOES_ON = re.compile(r",?\d|['\u2019\u00a0\u202f ]\d|\s*[/:^*\u00d7\u2013-]\s*\d|[eE][-+]?\d|[\u00bc-\u00be]")


@TASKS.register("gsm8k")
class GSM8K(Task):
    """Word problems of a file or of the hub. Two questions that differ in blanks alone are one problem."""

    @dataclass(frozen=True)
    class Config:
        """Where the problems stand, and what is made of them.

        Args:
            train: a .jsonl, .parquet or .txt file (also .gz, .xz), or a data set of the hub such as hub:openai/gsm8k/main.
            dev: the same for the dev split; none takes a tenth of the rows of `train`, by a hash of the question.
            test: the same for the test split, such as hub:openai/gsm8k/main:test; none takes another tenth.
            unit: what an answer's symbols are: its characters, or the language model's own tokens (free text, for the decoders
                soft_prompt and tokens).
            trace: worked steps that chains of thought show and learn: the calculator's marks, or the sentences without them.
            num_answers: slots of an answer; none takes the longest number, for tokens 16.
        """

        train: str = field(default="", metadata=A_PATH)
        dev: str | None = field(default=None, metadata=A_PATH)
        test: str | None = field(default=None, metadata=A_PATH)
        unit: Literal["character", "token"] = "character"
        trace: Literal["marks", "sentences"] = "marks"
        num_answers: int | None = None

        def __post_init__(self) -> None:
            require(bool(self.train), "gsm8k.train is missing; give a .jsonl or .txt file, or hub:openai/gsm8k/main")
            slots = self.num_answers
            require(slots is None or slots >= 1, f"gsm8k.num_answers is {slots}; give at least 1")

    wordings: ClassVar = {"train": (None,), "held_out": ()}

    def __init__(self, config: Config) -> None:
        self.config = config
        self._sources = {name: own for name in ("train", "dev", "test") if (own := getattr(config, name)) is not None}
        self.symbols = () if config.unit == "token" else (*"0123456789.-", END)

    @cached_property
    def layout(self) -> LayoutConfig:  # type: ignore[override]
        """Slots for the longest number."""
        tokens, own = self.config.unit == "token", self.config.num_answers
        if own is None:
            own = TOKEN_SLOTS if tokens else max(len(p.answer) for rows in self._read.values() for p in rows)
        return LayoutConfig(num_answers=own, separator="")

    @property
    def answer_form(self) -> str:
        """The answer's form in words."""
        return "the number alone"

    @cached_property
    def _read(self) -> dict[str, list[Problem]]:
        """Every source's problems; raises DataError, which names the rows that are none."""
        faults, found = Faults(), {}
        for split, source in self._sources.items():
            found[split] = [problem for problem in self._problems(source, faults) if problem is not None]
        faults.check()
        asked = {problem.key for split, rows in found.items() if split != "train" for problem in rows}
        if shared := sum(problem.key in asked for problem in found["train"]):
            warnings.warn(f"{self.config.train}: {shared:,} rows stand in another split too and are dropped here", stacklevel=2)
            found["train"] = [problem for problem in found["train"] if problem.key not in asked]
        for split, rows in found.items():
            if again := len({(problem.key, problem.answer) for problem in rows}) - len({problem.key for problem in rows}):
                said = f"{again:,} rows repeat a question with another answer and are dropped"
                warnings.warn(f"{self._sources[split]}: {said}", stacklevel=2)
        return found

    def _problems(self, source: str, faults: Faults) -> Iterator[Problem | None]:
        empty = True
        for place, question, answer in (_lines if kind_of(source) == ".txt" else _records)(source, faults):
            empty = False
            try:
                yield self._made(question, answer, f"{source} {place}")
            except InputError as error:
                faults.add(f"{source} {place}: {error}")
        if empty:
            faults.add(f"{source} holds no rows; give a file with at least one")

    def _made(self, question: str, solution: str, where: str) -> Problem:
        steps, mark, said = solution.rpartition(MARK)
        answer = number(said) if mark else None
        if answer is not None and not _alone(said):
            raise InputError(f'behind "{MARK}" stands {said.strip()[:40]!r}; give one number, such as 1,234.5, -3 or 0.25')
        if not question.strip() or answer is None:
            table = "" if mark else "; bare answers, with steps in a column, are read by --task table --task.trace_column steps"
            raise InputError(f'give a question, and an answer with a number behind "{MARK}"; got {solution[-60:]!r}{table}')
        marks = STEP.findall(steps)
        lines = (
            marks if self.config.trace == "marks" else [line.strip() for line in STEP.sub("", steps).splitlines() if line.strip()]
        )
        own = (answer,) if self.config.unit == "token" else tuple(answer)
        trace = "\n".join([*lines, f"Answer: {answer}"])
        return Problem(question.strip(), own, trace=trace, difficulty=len(marks), key=key_of(question), where=where)

    def read(self, text: str, problem: Problem) -> tuple[str, ...] | None:
        """Return the number behind the last "####", else the last one behind "Answer:" or of the whole text."""
        found = final_number(text)
        return None if found is None else (found,) if self.config.unit == "token" else tuple(found)

    def split_of(self, key: str) -> Split:
        """Return the split of a row of the train source; a split with a source of its own takes none of them."""
        split = super().split_of(key)
        return "train" if split in self._sources else split

    def problems(self, split: Split, count: int | None = None, *, seed: int = 0, wording: Wording = "train") -> list[Problem]:
        """Return `count` problems of a split, drawn at random by `seed`; None takes all. See Task.problems."""
        check_arguments(split, count, wording)
        if not self.wordings[wording]:
            raise InputError(f'wording "{wording}" is not there: the questions have one wording, "train"')
        found = self.up_to(split, len(self._rows(split)) if count is None else count, seed=seed)
        if count is not None and len(found) < count:
            raise InputError(f"{count:,} {split} problems were asked for, gsm8k has {len(found):,}; ask for fewer")
        return found

    def _rows(self, split: Split) -> list[Problem]:
        """Return the different problems of a split."""
        own = split in self._sources and split != "train"
        rows = self._read[split if own else "train"]
        return list({p.key: p for p in reversed(rows) if own or self.split_of(p.key) == split}.values())[::-1]

    def _some(self, split: Split, count: int, seed: int, wording: Wording) -> list[Problem]:
        rows = self._rows(split)
        return random.Random(f"{split} {seed}").sample(rows, len(rows))[:count]

    def _instances(self, rng: random.Random) -> Iterator[Problem]:
        return iter(self._rows("train"))

    def _key(self, instance: Problem) -> str:
        return instance.key

    def _problem(self, instance: Problem, key: str, wording: object, rng: random.Random) -> Problem:
        return instance


def _records(source: str, faults: Faults) -> Iterator[tuple[str, str, str]]:
    for record in records(source, ("question", "answer")):
        cells = [record.values.get(name) for name in ("question", "answer")]
        if record.fault or not all(isinstance(cell, str) for cell in cells):
            faults.add(f"{source} {record.place}: {record.fault or 'question and answer must be texts'}")
            continue
        yield record.place, str(cells[0]), str(cells[1])


def _lines(source: str, faults: Faults) -> Iterator[tuple[str, str, str]]:
    with readable(source), opened(source) as packed:
        for place, line in enumerate(io.TextIOWrapper(packed, encoding="utf-8-sig"), 1):
            question, between, answer = line.rpartition("||")
            if between:
                yield f"row {place}", question, answer
            elif line.strip():
                faults.add(f'{source} row {place}: no "||" parts a question from its steps; mend the line')


def number(text: str) -> str | None:
    """Return the first number of a text in one spelling: no commas, currency, unit, plus or idle zeros; None for none.

    Example:
        >>> number(" $1,234.50 dollars"), number("-.5%"), number("+007"), number("none")
        ('1234.5', '-0.5', '7', None)
    """
    found = _NUMBER.search(text.replace("\u2212", "-"))
    return None if found is None else _plain(found.group())


def _alone(text: str) -> bool:
    """Say whether the first number of a text is whole: no fraction, power, time, decimal comma or digits parted by blanks."""
    found = _NUMBER.search(text)
    if found is None or any(sign.isdigit() and not sign.isascii() for sign in found.group()):
        return False
    grouped = "," not in found.group().rstrip(",") or _GROUPED.fullmatch(found.group().rstrip(","))
    return bool(grouped) and not _GOES_ON.match(text, found.end())


def _plain(found: str) -> str:
    bare = re.sub(r"[^\d.-]", "", found)
    whole, _, part = bare.lstrip("-").partition(".")
    value = (whole.lstrip("0") or "0") + (f".{part.rstrip('0')}" if part.rstrip("0") else "")
    return f"-{value}" if bare.startswith("-") and value != "0" else value


def final_number(text: str) -> str | None:
    """Return the first number behind the last "####" of a text, else the last one in the line of its "Answer:", or of all.

    Example:
        >>> final_number("5 + 67 = 72\\n#### 72 clips"), final_number("Answer: $5 + 67 = $72.\\nNext: 9")
        ('72', '72')
    """
    tail = text[-MAX_CHARACTERS:].replace("\u2212", "-")
    _, mark, behind = tail.rpartition(MARK)
    if mark:
        return number(behind)
    part = final_part(tail).strip()
    every = _NUMBER.findall(part.splitlines()[0] if part and _ANSWER.search(tail) else part)
    return _plain(every[-1]) if every else None
