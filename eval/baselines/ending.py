"""Where an answer in text is complete, so that no token is written after it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hybrid.eval.tasks.task import Task
from hybrid.problem import Problem

_MARKER = re.compile(r"^[\W_]*(?:the[ \t]+)?(?:final[ \t]+)?answer\b[*_`]*[ \t]*:", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class AnswerEnd:
    """Says whether a text that has come to a line break holds its whole final answer.

    It does when a line begins with "Answer:", as many lines as an answer has stand from there, and the task's own reader
    finds an answer, right or wrong. A text that cannot be read so is never ended: it may still come to an answer.

    Args:
        task: reads.
        problem: asked.
        lines: of an answer.
    """

    task: Task
    problem: Problem
    lines: int = 1

    def __call__(self, text: str) -> bool:
        """Return whether the answer is complete."""
        starts = [match.end() for match in _MARKER.finditer(text)]
        if not starts:
            return False
        # A maze's row may be "# # .", without a letter.
        marks = {symbol for symbol in self.task.symbols if len(symbol) == 1 and not symbol.isspace()}
        lines = text[starts[-1] :].split("\n")
        full = [line for line in lines if any(mark.isalnum() or mark in marks for mark in line)]
        return len(full) >= self.lines and self.task.read(text, self.problem) is not None
