"""CLUTRR's official files as a table: prompt, answer, number of relations, and what each proof says of the persons.

    python -m hybrid.eval.clutrr --rows 1.2,1.3,1.4_train.csv --output clutrr_train.jsonl --renamed true
    python -m hybrid.eval.clutrr --rows '1.*_test.csv' --output clutrr_test.jsonl

The labels of a step are the relations of the persons who are at most so many facts away from the one who is asked about, by
the rules (brother's son = nephew) that the file's own proofs use. The official training stories are about 112 persons in a few
families, who are soon known by heart; `--renamed true` gives every story other names of the same file.
"""

from __future__ import annotations

import argparse
import ast
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from hybrid.checkpoint import write_lines
from hybrid.errors import Faults, InputError
from hybrid.eval import program
from hybrid.eval.tasks.table.files import files
from hybrid.eval.tasks.table.source import records

COLUMNS = ("story", "query", "target", "proof_state", "story_edges", "edge_types", "genders", "task_name")
SELF, UNKNOWN = "self", "?"
"""Labels of the person who is asked about, and of one who is too many facts away."""
NAMED = re.compile(r"(?<=\[)\w+(?=\])")
"""A person's name in a story: in brackets."""

Rules = Mapping[tuple[str, str], str]
"""The relation that two relations, one behind the other, make."""
Row = dict[str, Any]


class Story(NamedTuple):
    """One official row.

    Args:
        text: with each person's name in brackets.
        query: whose relation is asked for, and the person who has it.
        target: the relation.
        facts: told by the story: (person, relation, the relation's holder).
        rules: what the proof composes.
        genders: of each person, in the file's words.
        relations: k, the relations from the person to the holder.
    """

    text: str
    query: tuple[str, str]
    target: str
    facts: tuple[tuple[str, str, str], ...]
    rules: Rules
    genders: Mapping[str, str]
    relations: int


_NO_STORY = (ValueError, SyntaxError, LookupError, TypeError, AttributeError, RecursionError, MemoryError)
"""What a row of another form raises."""


def stories(source: str) -> list[Story]:
    """Return the stories of official files.

    Args:
        source: a .csv as CLUTRR's authors publish it, packed or not, or several by `*`.

    Raises:
        InputError: a file cannot be read.
        DataError: rows are no stories; names each.
    """
    found, faults = [], Faults()
    for file in files(source):
        for record in records(file, COLUMNS):
            try:
                found.append(_story(record.values))
            except _NO_STORY as error:
                faults.add(f"{file} {record.place}: {record.fault or f'no row of CLUTRR ({error})'}; give an official file")
    faults.check()
    if not found:
        raise InputError(f"{source} holds no rows; give an official file")
    return found


def rows(told: Sequence[Story], renamed: bool = False, seed: int = 0, questions: int = 1) -> Iterator[Row]:
    """Yield a table's rows for each story.

    Args:
        told: stories, whose proofs give the rules too.
        renamed: give each story names of all stories, drawn anew, a woman's to a woman.
        seed: of the draws.
        questions: asked of a story: its own, and up to so many less one of other pairs whose relation the proofs give.
    """
    rules = {pair: made for story in told for pair, made in story.rules.items()}
    pools: dict[str, set[str]] = {}
    for story in told:
        for name, gender in story.genders.items():
            pools.setdefault(gender, set()).add(name)
    given, rng = {gender: sorted(names) for gender, names in pools.items()}, random.Random(seed)
    others = random.Random(seed)
    for story in told:
        names = _names(story, given, rng) if renamed else {each: each for each in story.genders}
        more = _asked(story, rules) if questions > 1 else []
        for each in (story, *others.sample(more, min(questions - 1, len(more)))):
            prompt = f"{story.text} How is [{each.query[1]}] related to [{each.query[0]}]?"
            yield {
                "prompt": NAMED.sub(partial(_new, names), prompt),
                "answer": each.target,
                "labels": [{names[who]: label for who, label in line.items()} for line in labels(each, rules)],
                "relations": each.relations,
            }


def _asked(story: Story, rules: Rules) -> list[Story]:
    """Return the story with each other question that the facts and the rules answer."""
    known = _related(story.facts, rules)
    return [
        story._replace(query=pair, target=relation, relations=_distance(story, *pair))
        for pair, relation in known.items()
        if pair != story.query
    ]


def _distance(story: Story, person: str, holder: str) -> int:
    """Return how many facts lead from a person to the holder of a relation."""
    reached, count = {person}, 0
    while holder not in reached:
        reached, count = reached | {other for one, _, other in story.facts if one in reached}, count + 1
    return count


def labels(story: Story, rules: Rules) -> list[dict[str, list[str | None]]]:
    """Return what is known of each person after one fact, after two, and so on until nobody new is reached.

    Each has two labels: what the person is to the one who is asked about, followed from that end of the story, and what the
    holder of the relation asked for is to the person, followed from the other. Some chains have names from one end alone. A
    relation that the rules give in no way is called by the two that lead to it, "son+father". The last line holds the target.

    Example:
        >>> facts = (("Ann", "son", "Tim"), ("Tim", "father", "Bob"), ("Bob", "brother", "Max"))
        >>> told = Story("", ("Ann", "Max"), "brother", facts, {}, dict.fromkeys(("Ann", "Tim", "Bob", "Max"), ""), 3)
        >>> for line in labels(told, {("father", "brother"): "uncle", ("son", "uncle"): "brother"}):
        ...     print(*("/".join(both) for both in line.values()))
        self/? son/? ?/brother ?/self
        self/? son/uncle son+father/brother ?/self
        self/brother son/uncle son+father/brother brother/self
    """
    related, (asked, holder) = _related(story.facts, rules), story.query
    turned = [(other, relation, one) for one, relation, other in story.facts]
    from_asked = _outwards(story.facts, asked, lambda other: related.get((asked, other)), "{0}+{1}")
    from_holder = _outwards(turned, holder, lambda other: related.get((other, holder)), "{1}+{0}")
    count = max(len(from_asked), len(from_holder))
    both = [found + found[-1:] * (count - len(found)) for found in (from_asked, from_holder)]
    lines = [{each: [end.get(each, UNKNOWN) for end in ends] for each in story.genders} for ends in zip(*both, strict=True)]
    lines[-1][holder][0] = lines[-1][asked][1] = story.target
    return lines


def _outwards(
    facts: Sequence[tuple[str, str, str]], start: str, named: Callable[[str], str | None], unnamed: str
) -> list[dict[str, str | None]]:
    """Return the labels of the persons reached from `start` by one fact, by two, and so on until nobody new is reached.

    None stands for a relation without a name behind one that has none either.
    """
    known: dict[str, str | None] = {start: SELF}
    found: list[dict[str, str | None]] = []
    while True:
        new = {other: (known[one], relation) for one, relation, other in facts if one in known and other not in known}
        if found and not new:
            return found
        for other, (before, relation) in new.items():
            made = unnamed.format(before, relation) if before and "+" not in before else None
            known[other] = named(other) or made
        found.append(dict(known))


def _related(facts: Sequence[tuple[str, str, str]], rules: Rules) -> dict[tuple[str, str], str]:
    """Return the relation of each pair that the facts and the rules give, by the fewest facts."""
    found = {(person, holder): relation for person, relation, holder in facts}
    new = found
    while new:
        made = {
            (person, holder): rules[first, second]
            for (person, middle), first in found.items()
            for (other, holder), second in found.items()
            if middle == other and person != holder and (first, second) in rules
        }
        new = {pair: relation for pair, relation in made.items() if pair not in found}
        found = found | new
    return found


def _story(values: Mapping[str, Any]) -> Story:
    read = {name: ast.literal_eval(values[name]) for name in ("query", "proof_state", "story_edges", "edge_types")}
    genders = dict(each.split(":") for each in values["genders"].split(","))
    persons = list(genders)
    facts = tuple(
        (persons[one], relation, persons[other])
        for (one, other), relation in zip(read["story_edges"], read["edge_types"], strict=True)
    )
    rules = {(first[1], second[1]): made[1] for step in read["proof_state"] for made, (first, second) in step.items()}
    person, holder = read["query"]
    if person not in genders or holder not in genders:
        raise ValueError(f"nobody of {', '.join(persons)} is {person} or {holder}")
    if person == holder:
        raise ValueError(f"it asks what {person} is to {person}")
    unseen = [each for each in persons if each not in NAMED.findall(values["story"])]
    if unseen:
        raise ValueError(f"its story has no [{unseen[0]}]")
    if not (values["story"].strip() and values["target"].strip()):
        raise ValueError("story or target is empty")
    if any(end < 0 for ends in read["story_edges"] for end in ends):
        raise ValueError("an edge has an end below 0")
    relations = int(values["task_name"].split(".")[-1])  # "task_1.3"
    return Story(values["story"].strip(), (person, holder), values["target"].strip(), facts, rules, genders, relations)


def _new(name: Mapping[str, str], match: re.Match[str]) -> str:
    """Return the new name for one that stands in brackets."""
    return name.get(match[0], match[0])


def _names(story: Story, given: Mapping[str, Sequence[str]], rng: random.Random) -> dict[str, str]:
    name: dict[str, str] = {}
    for gender, names in sorted(given.items(), reverse=True):
        own = [each for each, other in story.genders.items() if other == gender]
        free = [each for each in names if each not in name.values()]  # Some names are a woman's and a man's.
        if len(own) > len(free):
            raise InputError(
                f"a story needs {len(own)} more names that are {gender}, and the files have {len(free)}; give more files"
            )
        name |= dict(zip(own, rng.sample(free, len(own)), strict=True))
    return name


def main() -> None:
    """Write a table."""
    parser = argparse.ArgumentParser(description="Write CLUTRR's official files as a table of prompts and answers.")
    parser.add_argument("--rows", required=True, help="official files (.csv; `*` for several)")
    parser.add_argument("--renamed", choices=("true", "false"), default="false", help="give every story other names of the file")
    parser.add_argument("--seed", type=int, default=0, help="of the names")
    parser.add_argument("--questions", type=program.positive, default=1, help="asked of each story: its own and others")
    parser.add_argument("--output", required=True, type=program.path, help="table to write (.jsonl)")
    given = parser.parse_args()
    table = list(rows(stories(given.rows), given.renamed == "true", given.seed, given.questions))
    program.check_apart(given.output, given.rows)
    write_lines(given.output, table)
    print(f"{given.output}: {len(table):,} rows; train with --task.labels_column labels --task.duplicates drop")


if __name__ == "__main__":
    program.run(main)
