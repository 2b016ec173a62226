"""Logic: who is what, told in rules, and a question with two options that takes several rules to answer.

Holds the task, in the manner of ProsQA: its prompts, splits, scorer and picture, and the reading of official problems, a JSON
list or an object a line. Drawing problems is maker.py's. The answer says of either option whether it holds, behind a
first "yes" for the one asked about: at a place of their own a reasoner sees at once whom the question is about. Beside it,
both ends of every rule say whether the one asked about is that, so that a reasoner can be taught the way.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar

from hybrid.errors import InputError
from hybrid.eval.tasks.answers import final_part, read_assignment, read_sequence
from hybrid.eval.tasks.graph import graph_key, hops, way
from hybrid.eval.tasks.logic.maker import CONCEPTS, Edge, Family, draw_family
from hybrid.eval.tasks.show import Cell, Picture
from hybrid.eval.tasks.table.files import opened, readable
from hybrid.eval.tasks.task import TASKS, Task, changes
from hybrid.kinds import A_PATH, require
from hybrid.layout import LayoutConfig, SpanPattern
from hybrid.problem import Problem

YES, NO = "yes", "no"
# Every word of a prompt that names nobody and nothing.
_PLAIN = "Every|Each|Any|Who|is|a|also|All|can|be|called|So|Tell|me|Now|decide|Question|Whatever|or|named"


@dataclass(frozen=True)
class Words:
    """One way to tell a problem: a rule, a fact about a person, and the question."""

    rule: str
    fact: str
    question: str


@TASKS.register("logic")
class Logic(Task):
    """Tell what somebody is by several rules. Problems are equivalent when they differ in names and order only."""

    @dataclass(frozen=True)
    class Config:
        """Settings of the problems.

        Args:
            nodes: persons and concepts that a problem is grown from, 6 to 40; those without a rule are dropped.
            max_hops: rules and facts from the person to the right option, 1 to 6: the difficulty.
            min_hops: the fewest.
            file: a file with ProsQA's own problems (.json or .jsonl, also .gz, .xz); None to draw problems.
        """

        nodes: int = 28
        max_hops: int = 6
        min_hops: int = 3
        file: str | None = field(default=None, metadata=A_PATH)

        def __post_init__(self) -> None:
            require(6 <= self.nodes <= len(CONCEPTS), f"logic.nodes is {self.nodes}; give 6 to {len(CONCEPTS)}")
            most = min(6, self.nodes // 3)
            require(
                1 <= self.min_hops <= self.max_hops <= most,
                f"logic.min_hops to max_hops is {self.min_hops} to {self.max_hops}; give two ascending counts from 1 to {most}",
            )

    wordings: ClassVar = {
        "train": (
            Words("Every {} is a {}.", "{} is a {}.", "Is {} a {} or {}?"),
            Words("Each {} is a {}.", "{} is a {}.", "Is {} a {} or a {}?"),
            Words("Any {} is a {}.", "{} is a {}.", "Tell me: is {} a {} or a {}?"),
            Words("Each {} is also a {}.", "{} is also a {}.", "Now decide: is {} a {} or {}?"),
        ),
        "held_out": (
            Words("Whatever is a {} is a {}.", "{} is a {}.", "So is {} a {} or a {}?"),
            Words("All {} can be called a {}.", "{} can be called a {}.", "Question: can {} be called a {} or a {}?"),
        ),
    }

    def __init__(self, config: Config) -> None:
        self.config = config
        self.symbols = (YES, NO)
        word = rf"\b(?!(?i:{_PLAIN})\b)[A-Za-z]+\b"
        question = rf"{word}(?: be called)? a {word} or (?:a )?{word}\?"
        self.layout = LayoutConfig(
            answer=SpanPattern(question, word),
            context=SpanPattern(rf"(?s)^.*(?={question})", word),
            num_answers=3,
        )

    @property
    def answer_form(self) -> str:
        """The answer's form in words."""
        return "the one option that is true"

    def write(self, problem: Problem) -> str:
        """Return the answer as a sentence, as in ProsQA."""
        _, name, options = self._parts(problem.prompt)
        return f"{name} is a {options[problem.answer[1:].index(YES)]}."

    def read(self, text: str, problem: Problem) -> tuple[str, ...] | None:
        """Return which option holds: the only one that the final part names without a "not", or yes and no for each."""
        _, _, options = self._parts(problem.prompt)
        part = final_part(text)
        if re.search(rf"(?i)\b(?:{YES}|{NO})\b", part):
            whole = read_sequence(text, self.symbols, 3)
            held = whole[1:] if whole else read_assignment(text, options, self.symbols)
            return held and (YES, *held)
        denied = re.compile(rf"(?i)\b(?:not|n't|isn't|rather than|instead of) (?:an? )?(?:{'|'.join(map(re.escape, options))})\b")
        said = {word.lower() for word in re.findall(r"[A-Za-z]+", denied.sub("", part))}
        named = tuple(YES if option.lower() in said else NO for option in options)
        return (YES, *named) if named.count(YES) == 1 else None

    def solve(self, prompt: str) -> tuple[str, ...]:
        """Return which option holds, found by following the rules."""
        edges, name, options = self._parts(prompt)
        known = hops(edges, name)
        return (YES, *(YES if option in known else NO for option in options))

    def picture(self, prompt: str, symbols: Sequence[str], previous: Sequence[str] | None = None) -> Picture:
        """Return yes or no for each option, behind the one asked about."""
        _, name, options = self._parts(prompt)
        marked = zip(symbols, (name, *options), changes(symbols, previous), strict=True)
        return Picture((tuple(Cell(symbol, label=label, changed=changed) for symbol, label, changed in marked),))

    def _parts(self, prompt: str) -> tuple[list[Edge], str, list[str]]:
        """Return the rules and facts, the name asked about and the options, as the prompt says them."""
        try:
            found = self.layout.spans(prompt)
        except InputError:
            form = "Every apus is a bpus. Tom is a apus. Is Tom a bpus or cpus?"
            raise InputError(f"{prompt[-60:]!r} ends with no question that is known; give one such as: {form}") from None
        (name, *options), told = ([prompt[start:end] for start, end in spans] for spans in found)
        if len(told) % 2 == 1:
            raise InputError(f"the prompt names {len(told)} ends of rules before its question; give pairs")
        return list(zip(told[::2], told[1::2], strict=True)), name, options

    @cached_property
    def _families(self) -> list[Family]:
        return read_families(self.config.file or "", self._parts)

    def _instances(self, rng: random.Random) -> Iterator[Family]:
        if self.config.file:
            yield from rng.sample(self._families, len(self._families))
            return
        while True:
            yield draw_family(self.config.nodes, self.config.min_hops, self.config.max_hops, rng)

    def _key(self, instance: Family) -> str:
        return graph_key(instance.edges, {instance.root: "root", instance.target: "target", instance.wrong: "wrong"})

    def _problem(self, instance: Family, key: str, wording: Words, rng: random.Random) -> Problem:
        told = [self._sentence(edge, wording) for edge in instance.edges]
        options = (instance.wrong, instance.target) if instance.swapped else (instance.target, instance.wrong)
        known = hops(instance.edges, instance.root)
        path = way(instance.edges, instance.root, instance.target)
        steps = [self._sentence(edge, wording) for edge in pairwise(path)]
        answer = (YES, NO, YES) if instance.swapped else (YES, YES, NO)
        ends = [end for edge in instance.edges for end in edge]
        waves = [
            tuple(YES if known.get(place, wave + 1) <= wave else "" for place in (instance.root, *options, *ends))
            for wave in range(1, len(path) - 1)
        ]
        return Problem(
            prompt=" ".join([*told, wording.question.format(instance.root, *options)]),
            answer=answer,
            path=tuple(YES if end in known else NO for end in ends),
            trace="\n".join([" ".join(steps), f"Answer: {instance.root} is a {instance.target}."]),
            difficulty=len(path) - 1,
            key=key,
            steps=(*waves, answer),
        )

    @staticmethod
    def _sentence(edge: Edge, wording: Words) -> str:
        return (wording.fact if edge[0][0].isupper() else wording.rule).format(*edge)


def read_families(source: str, parts: Callable[[str], tuple[list[Edge], str, list[str]]]) -> list[Family]:
    """Return the problems of a file.

    Args:
        source: path of a .json or .jsonl file, also .gz or .xz.
        parts: takes a question apart: rules, the name asked about, options.

    Raises:
        InputError: the file cannot be read, or a row is no such problem; the message names the row, counted from 1.
    """
    families = []
    for number, row in enumerate(_rows(source), 1):
        try:
            families.append(_family(row, parts))
        except InputError as error:
            raise InputError(f"{source} row {number}: {error}") from None
    if not families:
        raise InputError(f"{source} holds no problems; give a file with at least one")
    return families


def _rows(source: str) -> list[Any]:
    with readable(source), opened(source) as file:
        data = file.read()
    try:
        text = data.decode("utf-8-sig")
        return list(json.loads(text) if text.lstrip().startswith("[") else map(json.loads, filter(str.strip, text.split("\n"))))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source} is no JSON in UTF-8: {str(error)[:100]}") from None


def _family(row: Any, parts: Callable[[str], tuple[list[Edge], str, list[str]]]) -> Family:
    if not isinstance(row, dict) or not all(isinstance(row.get(name), str) for name in ("question", "answer")):
        raise InputError('give an object with the texts "question" and "answer"')
    edges, root, options = parts(row["question"])
    said = row["answer"].rstrip(". ").split(" ")[-1]
    known = hops(edges, root)
    true = [option for option in options if option in known]
    if true != [said]:
        raise InputError(f"the rules make {root} {' and '.join(true) or 'neither option'}, the answer says {said}; drop the row")
    wrong = next(option for option in options if option != said)
    return Family(tuple(edges), root, said, wrong, options[0] == wrong)
