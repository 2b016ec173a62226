"""What solve and inspect share: which head, which prompts, how long to think."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hybrid.errors import InputError
from hybrid.flags import read_text
from hybrid.halting import HALTING
from hybrid.kinds import require
from hybrid.problem import Problem, Span
from hybrid.search import SearchConfig

Precision = Literal["float32", "bfloat16", "float16", "int8", "nf4"] | None
"""Of the language model; None takes the one that the head was trained on."""


SHIPPED = "examples/sudoku4"
"""The trained head that lies in this repository."""


@dataclass(frozen=True)
class Asking:
    """What solve and inspect share: a head, a prompt, and how long to think."""

    prompt: str | None = field(default=None, metadata={"positional": True})
    model: str = SHIPPED
    file: str | None = None
    precision: Precision = None
    num_steps: int | None = None
    halting: Any = field(default=None, metadata={"kinds": HALTING})
    search: SearchConfig = field(default_factory=SearchConfig)

    def prompts(self) -> list[Problem]:
        """Return the prompts: the argument; a file (.jsonl: one `prompt` a line, also its `spans`); or standard input."""
        if self.prompt is not None:
            require(self.file is None, "give a prompt or --file, not both")
            found = [Problem(self.prompt.replace("\\n", "\n"), ())]
        elif self.file is not None and self.file.endswith(".jsonl"):
            found = _prompts_of_lines(self.file, read_text(self.file))
        else:
            found = [Problem(read_text(self.file), ())]
        if not any(problem.prompt.strip() for problem in found):
            raise InputError("the prompt is empty; give the text of a problem")
        return found

    def load(self) -> Any:
        """Return the model, where the machine computes fastest."""
        from hybrid.device import usual_device
        from hybrid.model import HybridModel

        shipped = self.model != SHIPPED or Path(SHIPPED).is_dir()
        require(shipped, f"{SHIPPED} is not in this folder; give --model, the folder of a trained head")
        return HybridModel.from_pretrained(self.model, precision=self.precision).to(usual_device())


def _prompts_of_lines(name: str, text: str) -> list[Problem]:
    prompts = []
    for number, line in enumerate(text.split("\n"), 1):
        try:
            record = json.loads(line) if line.strip() else None
            prompt, spans = (record["prompt"], record.get("spans")) if record is not None else (None, None)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise InputError(f'line {number} of {name} is no JSON object with a "prompt"; mend the line') from None
        if prompt is not None:
            if not isinstance(prompt, str):
                raise InputError(f'"prompt" in line {number} of {name} is {prompt!r}; it must be text')
            prompts.append(Problem(prompt, (), spans=_spans(spans or (), f"line {number} of {name}")))
    return prompts


def _spans(value: Any, where: str) -> tuple[Span, ...]:
    try:
        return tuple((int(start), int(end)) for start, end in value)
    except (TypeError, ValueError):
        raise InputError(f'"spans" in {where} is {value!r:.60}; give a list of [start, end]') from None
