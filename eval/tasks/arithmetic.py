"""Arithmetic: a number is added to, subtracted from and multiplied, step after step, modulo 10.

Holds the task. Every operation is a bijection of the digits, so that all results are equally likely and none can be told
without those before it; together the operations generate all invertible affine maps modulo 10. That modulus keeps a result
one symbol, which a head of classes can write. Every verb also says the number before it and every number the one after
it, so that a reasoner can be taught the way.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise, product
from typing import ClassVar

from hybrid.errors import InputError
from hybrid.eval.tasks.answers import read_sequence
from hybrid.eval.tasks.task import TASKS, Task
from hybrid.kinds import ADDED, require
from hybrid.layout import LayoutConfig, SpanPattern
from hybrid.problem import Problem

MODULUS = 10
ADD, SUBTRACT, MULTIPLY = "+", "-", "x"
_MULTIPLIERS = (3, 7, 9)
_VERBS = {"add": ADD, "plus": ADD, "subtract": SUBTRACT, "minus": SUBTRACT, "multiply": MULTIPLY, "times": MULTIPLY}

Operation = tuple[str, int]
Chain = tuple[int, tuple[Operation, ...]]


@dataclass(frozen=True)
class Words:
    """One way to put a chain: its beginning, a clause or several for each operation, and the question, which says "result"."""

    intro: str
    clauses: dict[str, str] | dict[str, tuple[str, ...]]
    question: str

    def __hash__(self) -> int:
        return hash((self.intro, self.question))


_LONG = {ADD: "Add {}.", SUBTRACT: "Subtract {}.", MULTIPLY: "Multiply by {}."}
_SHORT = {ADD: "Plus {}.", SUBTRACT: "Minus {}.", MULTIPLY: "Times {}."}
_THEN = {ADD: "Then add {}.", SUBTRACT: "Then subtract {}.", MULTIPLY: "Then multiply by {}."}
_NOW = {ADD: "Now plus {}.", SUBTRACT: "Now minus {}.", MULTIPLY: "Now times {}."}


INTROS = (
    *("Modulo 10, start with {}.", "Count modulo 10. Begin at {}.", "All numbers are modulo 10. Take {}."),
    *("Work modulo 10. Start from {}.", "We compute modulo 10 and begin with {}.", "Modulo 10: there are {} at the start."),
    *("Only last digits count, modulo 10. Choose {}.", "This sum is modulo 10. Put {} on the board.", "Modulo 10, we have {}."),
    *("Calculate modulo 10. Let the value be {}.", "Think modulo 10. It begins as {}.", "Here all is modulo 10. Set out at {}."),
)
_LEADS = ("", "Then ", "Next ", "After that ", "And ", "So ", "Later ", "Again ")
_FORMS = {
    ADD: ("add {}", "plus {}", "you add {} to it", "add another {}"),
    SUBTRACT: ("subtract {}", "minus {}", "you subtract {} from it", "subtract another {}"),
    MULTIPLY: ("multiply by {}", "times {}", "you multiply it by {}", "multiply all by {}"),
}
_MIXED = {
    sign: tuple(f"{(lead + form)[:1].upper()}{(lead + form)[1:]}." for lead, form in product(_LEADS, forms))
    for sign, forms in _FORMS.items()
}
QUESTIONS = (
    *("The result?", "What is the result?", "Give the result.", "Which result do you get?", "Say the result."),
    *("Find the result.", "State the final result.", "Write the result."),
)
"""Ways to say the parts of a chain where it is told in `varied` words; none is one of those held out."""
VARIED = tuple(Words(intro, _MIXED, asked) for intro, asked in product(INTROS, QUESTIONS))


@TASKS.register("arithmetic")
class Arithmetic(Task):
    """Follow a chain of operations modulo 10. Chains are equivalent when their operations are, whatever they start with."""

    @dataclass(frozen=True)
    class Config:
        """Settings of the chains.

        Args:
            steps: operations in a chain, 1 to 64; the most when `min_steps` is given.
            min_steps: the least; their number is then drawn uniformly. None for `steps`.
            largest: greatest number that is added or subtracted, 1 to 9; fewer sums are learned sooner.
            varied: train on many ways to say each part, mixed, in place of four whole wordings; for heads that read words and
                should understand others.
        """

        steps: int = 10
        min_steps: int | None = None
        largest: int = 9
        varied: bool = field(default=False, metadata=ADDED)

        def __post_init__(self) -> None:
            require(1 <= self.steps <= 64, f"arithmetic.steps is {self.steps}; give 1 to 64")
            require(
                self.min_steps is None or 1 <= self.min_steps <= self.steps,
                f"arithmetic.min_steps is {self.min_steps}; give 1 to the steps, {self.steps}, or none",
            )
            require(1 <= self.largest <= 9, f"arithmetic.largest is {self.largest}; give 1 to 9")

    wordings: ClassVar = {
        "varied": VARIED,
        "train": (
            Words("Modulo 10, start with {}.", _LONG, "The result?"),
            Words("Count modulo 10. Begin at {}.", _SHORT, "What is the result?"),
            Words("All numbers are modulo 10. Take {}.", _LONG, "Give the result."),
            Words("Work modulo 10. Start from {}.", _THEN, "Which result do you get?"),
        ),
        "held_out": (
            Words("What follows is modulo 10. Write down {}.", _NOW, "What result is left?"),
            Words("Reckon modulo 10. The first number is {}.", _SHORT, "Tell me the result."),
        ),
    }

    def __init__(self, config: Config) -> None:
        self.config, self.told = config, "varied" if config.varied else "train"
        self.symbols = tuple(map(str, range(MODULUS)))
        # Verb and number of a clause are places of their own: a mean over both would blur the digit. The question stands in
        # the workspace twice: as the answer, and as the end of the chain.
        told = rf"\b(?:(?i:{'|'.join(_VERBS)})|[0-9]|result)\b"
        self.layout = LayoutConfig(
            answer=SpanPattern(r"\bresult\b", "result"),
            context=SpanPattern(told, r"(?s).+"),
            num_answers=1,
        )

    @property
    def answer_form(self) -> str:
        """The answer's form in words."""
        return "the result as one digit"

    def read(self, text: str, problem: Problem) -> tuple[str, ...] | None:
        """Return the one digit in the final part of the text."""
        return read_sequence(re.sub(r"(?i)\(?\b(?:mod|modulo) 10\b\)?", "", text), self.symbols, 1)

    def solve(self, prompt: str) -> tuple[str, ...]:
        """Return the result, found by doing as the prompt says."""
        _, spans = self.layout.spans(prompt)
        first, *told = [prompt[start:end].lower() for start, end in spans[:-1]] or [""]
        verbs, numbers = told[::2], told[1::2]
        if len(verbs) != len(numbers) or not all(map(str.isdecimal, (first, *numbers))) or not _VERBS.keys() >= set(verbs):
            raise InputError("the prompt is no chain of operations; give a first number, and clauses such as: Add 3.")
        operations = [(_VERBS[verb], int(number)) for verb, number in zip(verbs, numbers, strict=True)]
        return (str(_results(int(first), operations)[-1]),)

    def _instances(self, rng: random.Random) -> Iterator[Chain]:
        least = self.config.min_steps or self.config.steps
        while True:
            signs = rng.choices((ADD, SUBTRACT, MULTIPLY), k=rng.randint(least, self.config.steps))
            choices = [_MULTIPLIERS if sign == MULTIPLY else range(1, self.config.largest + 1) for sign in signs]
            yield rng.randrange(MODULUS), tuple((sign, rng.choice(numbers)) for sign, numbers in zip(signs, choices, strict=True))

    def _key(self, instance: Chain) -> str:
        # Subtracting a number adds its complement.
        return " ".join(f"{ADD}{-number % MODULUS}" if sign == SUBTRACT else f"{sign}{number}" for sign, number in instance[1])

    def _problem(self, instance: Chain, key: str, wording: Words, rng: random.Random) -> Problem:
        start, operations = instance
        results = _results(start, operations)
        forms = [(wording.clauses[sign], number) for sign, number in operations]
        clauses = [(form if isinstance(form, str) else rng.choice(form)).format(number) for form, number in forms]
        steps = [_step(before, *operation) for before, operation in zip(results, operations, strict=False)]
        answer = (str(results[-1]),)
        return Problem(
            prompt=" ".join([wording.intro.format(start), *clauses, wording.question]),
            answer=answer,
            path=(str(start), *(str(value) for pair in pairwise(results) for value in pair), *answer),
            trace="\n".join([" ".join(steps), f"Answer: {answer[0]}"]),
            difficulty=len(operations),
            key=key,
            steps=tuple((str(result),) for result in results[1:]),
        )


def _apply(value: int, sign: str, number: int) -> int:
    return value * number if sign == MULTIPLY else value + number if sign == ADD else value - number


def _results(start: int, operations: tuple[Operation, ...] | list[Operation]) -> list[int]:
    """Return the number at the start and after every operation.

    Example:
        >>> _results(7, [("+", 5), ("-", 3), ("x", 7)])
        [7, 2, 9, 3]
    """
    results = [start]
    for operation in operations:
        results.append(_apply(results[-1], *operation) % MODULUS)
    return results


def _step(before: int, sign: str, number: int) -> str:
    whole = _apply(before, sign, number)
    last = "" if 0 <= whole < MODULUS else f", so {whole % MODULUS}"
    return f"{before} {sign} {number} = {whole}{last}."
