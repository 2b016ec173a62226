"""What solve and inspect share: which head, which prompts, how long to think."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from hybrid.errors import InputError
from hybrid.eval.tasks import TASKS
from hybrid.flags import read_text
from hybrid.halting import HALTING
from hybrid.kinds import require
from hybrid.search import SearchConfig


@dataclass(frozen=True)
class Asking:
    """What solve and inspect share: a head, a prompt, and how long to think."""

    prompt: str | None = field(default=None, metadata={"positional": True})
    model: str = "examples/sudoku4"
    file: str | None = None
    num_steps: int | None = None
    halting: Any = field(default=None, metadata={"kinds": HALTING})
    search: SearchConfig = field(default_factory=SearchConfig)

    def prompts(self) -> list[str]:
        """Return the prompts: the argument; a file (.jsonl: one `prompt` a line); or standard input."""
        if self.prompt is not None:
            require(self.file is None, "give a prompt or --file, not both")
            found = [self.prompt.replace("\\n", "\n")]
        elif self.file is not None and self.file.endswith(".jsonl"):
            found = _prompts_of_lines(self.file, read_text(self.file))
        else:
            found = [read_text(self.file)]
        if not any(prompt.strip() for prompt in found):
            raise InputError("the prompt is empty; give the text of a problem")
        return found

    def load(self) -> Any:
        """Return the model."""
        from hybrid.model import HybridModel

        return HybridModel.from_pretrained(self.model)


def task_of(model: Any) -> Any:
    """Return the task that a head was trained on; raise InputError where it names none."""
    if model.config.task is None:
        raise InputError("this head does not name its task; give --task")
    return TASKS.build(TASKS.from_dict(model.config.task))


def _prompts_of_lines(name: str, text: str) -> list[str]:
    prompts = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            prompt = json.loads(line)["prompt"] if line.strip() else None
        except (ValueError, KeyError, TypeError):
            raise InputError(f'line {number} of {name} is no JSON object with a "prompt"; mend the line') from None
        if prompt is not None:
            if not isinstance(prompt, str):
                raise InputError(f'"prompt" in line {number} of {name} is {prompt!r}; it must be text')
            prompts.append(prompt)
    return prompts
