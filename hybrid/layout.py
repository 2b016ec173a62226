"""Where the answer and its context stand in a prompt, and how an answer is written out.

A layout turns a prompt into character spans: one a workspace position. It is saved with the head, so that a reloaded
head reads a bare prompt by itself. The tokenizer's part, from spans to tokens, is backbone's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from hybrid.errors import InputError
from hybrid.kinds import require
from hybrid.problem import Span

END = "<end>"
"""The symbol behind the last one of an answer that has fewer symbols than slots; never part of an answer.

A head whose symbols hold END may answer shorter than `LayoutConfig.num_answers`. It learns where an answer ends from
the first END; slots behind that are neither taught nor read.
"""


@dataclass(frozen=True)
class SpanPattern:
    """Two regular expressions: `region` finds stretches of the prompt, `item` the spans inside each stretch.

    Where `item` has a group, the first group is the span, else the whole match.

    Example:
        >>> SpanPattern(r"(?m)^[0-4]{4}$", "[0-4]").find("Use 1 to 4.\\n1004\\n0020")
        ((12, 13), (13, 14), (14, 15), (15, 16), (17, 18), (18, 19), (19, 20), (20, 21))
    """

    region: str
    item: str

    def __post_init__(self) -> None:
        for name in ("region", "item"):
            try:
                re.compile(getattr(self, name))
            except re.error as error:
                require(False, f"layout {name} {getattr(self, name)!r} is no regular expression: {error}")

    def find(self, prompt: str) -> tuple[Span, ...]:
        """Return the spans in `prompt`, left to right, as half-open character ranges."""
        item = re.compile(self.item)
        group = 1 if item.groups else 0
        stretches = (match.span() for match in re.finditer(self.region, prompt))
        return tuple(m.span(group) for start, end in stretches for m in item.finditer(prompt, start, end))


@dataclass(frozen=True)
class LayoutConfig:
    """How a prompt maps to workspace positions, and symbols to text.

    Args:
        answer: pattern of the A answer positions' own spans; None where the prompt has no place for them, or where the
            spans come with each problem and a bare prompt need not be read.
        context: pattern of C further workspace positions; None for none.
        num_answers: A, when every answer has the same length; None when the number of spans gives it.
        separator: text between two symbols of an answer.
        row_length: symbols a line; None for one line.
        given: whether answer spans come with each problem (`Problem.spans`). They go before those of the pattern.
    """

    answer: SpanPattern | None = None
    context: SpanPattern | None = None
    num_answers: int | None = None
    separator: str = " "
    row_length: int | None = None
    given: bool = False

    def __post_init__(self) -> None:
        for name in ("num_answers", "row_length"):
            value = getattr(self, name)
            require(value is None or value >= 1, f"layout.{name} is {value}; give a count of at least 1, or none")
        require(self.aligned or self.num_answers is not None, "layout needs `answer`, `given` spans or `num_answers`")

    @property
    def aligned(self) -> bool:
        """Whether each answer position is a span of the prompt; otherwise the answer has `num_answers` slots."""
        return self.answer is not None or self.given

    def spans(self, prompt: str, own: tuple[Span, ...] = ()) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
        """Return (answer spans, context spans) of `prompt`; `own` are the answer spans that come with it.

        Raises:
            InputError: the prompt is empty, or does not hold the answer positions that this layout expects.
        """
        if not prompt.strip():
            raise InputError("the prompt is empty; give the text of a problem")
        context = self.context.find(prompt) if self.context else ()
        if own and self.aligned:
            for start, end in own:
                if not 0 <= start < end <= len(prompt):
                    raise InputError(f"the span {start} to {end} is outside the prompt of {len(prompt)} characters; mend it")
            return tuple(own), context
        if self.answer is None:
            if self.given:
                hint = "give Problem(prompt, spans=...), or `spans` beside `prompt` in a .jsonl file"
                raise InputError(f"this head needs the answer's spans; {hint}")
            return (), context
        answer = self.answer.find(prompt)
        if not answer or (self.num_answers is not None and len(answer) != self.num_answers):
            wanted = self.num_answers or "at least 1"
            raise InputError(
                f"the prompt holds {len(answer)} answer positions where this head expects {wanted}; they are found by "
                f"region {self.answer.region!r} and item {self.answer.item!r}"
            )
        return answer, context

    def length(self, answer_spans: Sequence[Span]) -> int:
        """Return A for a prompt with these answer spans."""
        return len(answer_spans) if self.aligned else int(self.num_answers or 0)

    def write(self, symbols: Sequence[str]) -> str:
        """Return the symbols of one answer as text.

        Example:
            >>> LayoutConfig(num_answers=4, separator="", row_length=2).write("1234")
            '12\\n34'
        """
        row = self.row_length or max(len(symbols), 1)
        return "\n".join(self.separator.join(symbols[i : i + row]) for i in range(0, len(symbols), row))
