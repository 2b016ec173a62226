"""What solve and inspect share: which head, which prompts, how long to think."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hybrid.errors import DataError, InputError
from hybrid.eval.scoring.checked import plain
from hybrid.eval.tasks.table.files import lines, readable
from hybrid.eval.tasks.table.row import RowReader, TableConfig
from hybrid.eval.tasks.table.source import PACKED, Record, is_table, records
from hybrid.flags.parser import read_text
from hybrid.inference.search import SearchConfig
from hybrid.kinds import A_PATH, require
from hybrid.problem import Problem
from hybrid.recursion.halting import HALTING

Precision = Literal["float32", "bfloat16", "float16", "int8", "nf4"] | None
"""Of the language model; None takes the one that the head was trained on."""


SHIPPED = "examples/sudoku9"
"""The trained head of this repository that is asked where none is named."""


@dataclass(frozen=True)
class Asked:
    """A prompt, and where it stands in a table: nothing for a single one. One that cannot be read is an error instead."""

    problem: Problem | None
    place: str = ""
    error: InputError | None = None


@dataclass(frozen=True)
class Asking:
    """What solve and inspect share: a head, a prompt, and how long to think."""

    prompt: str | None = field(default=None, metadata={"positional": True})
    model: str = field(default=SHIPPED, metadata=A_PATH)
    file: str | None = field(default=None, metadata=A_PATH)
    precision: Precision = None
    num_steps: int | None = None
    halting: Any = field(default=None, metadata={"kinds": HALTING})
    search: SearchConfig = field(default_factory=SearchConfig)
    strict: bool = False

    def asked(self, model: Any) -> Iterator[Asked]:
        """Yield the prompts: the argument, a text file or standard input as one; or the rows of a table.

        A prompt stands in the column that the head was trained on, or in `prompt`; its spans likewise.
        """
        if self.prompt is not None:
            require(self.file is None, "give a prompt or --file, not both")
            yield Asked(Problem(plain(self.prompt.replace("\\n", "\n"), "the prompt"), ()))
        elif self.file is None or not is_table(self.file):
            yield Asked(Problem(plain(_text(self.file), self.file or "standard input"), ()))
        else:
            yield from _rows(self.file, model.config.task or {})

    def tell(self, asked: Asked, error: InputError) -> None:
        """Name a row without an answer and say why; raise the error of a single prompt, or of the first row with --strict."""
        if not asked.place:
            raise error
        said = f"{self.file} {asked.place}: {error}"
        if self.strict:
            raise InputError(said)
        print(f"hybrid: {' '.join(said.split())}", file=sys.stderr)

    def load(self) -> Any:
        """Return the model, where the machine computes fastest."""
        from hybrid.device import usual_device
        from hybrid.model import HybridModel

        shipped = self.model != SHIPPED or Path(SHIPPED).is_dir()
        require(shipped, f"{SHIPPED} is not in this folder; give --model, the folder of a trained head")
        return HybridModel.from_pretrained(self.model, precision=self.precision).to(usual_device())


def check_all(failed: int, count: int) -> None:
    """Raise DataError where some of several prompts got no answer."""
    if failed:
        raise DataError(f"{failed:,} of {count:,} prompts got no answer, for the reasons above; mend them and ask again")


def _text(file: str | None) -> str:
    """Return the text of a file, packed or not, or of standard input for None."""
    if file is None or not file.lower().endswith(PACKED):
        return read_text(file)
    with readable(file):
        return "".join(lines(file))


def _rows(file: str, task: Mapping[str, Any]) -> Iterator[Asked]:
    prompts, spans = (task.get("prompt_column") or "prompt", "prompt"), (task.get("spans_column") or "spans", "spans")
    first: Record | None = None
    for first in records(file, (), (*prompts, *spans)):
        if not first.fault:  # A broken row names no columns.
            break
    if first is None:
        raise InputError(f"{file} holds no rows; give a file with at least one")
    prompt, places = (next((name for name in names if name in first.values), names[0]) for names in (prompts, spans))
    reader = RowReader(TableConfig(train=file, prompt_column=prompt, spans_column=places))
    for record in records(file, (prompt,), (places,)):
        try:
            if record.fault:
                raise InputError(record.fault)
            yield Asked(reader.ask(record), record.place)
        except InputError as error:
            yield Asked(None, record.place, error)
