"""bAbI's official files as a table: prompt, answer, and the facts that each question names as its support.

    python -m hybrid.eval.babi --rows 'qa2_*_train.txt' --output babi_train.jsonl

A prompt is the story up to its question. Several files make one table, whose column `file` tells them apart.
"""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hybrid.checkpoint import write_lines
from hybrid.errors import Faults, InputError
from hybrid.eval import program
from hybrid.eval.tasks.table.files import files, lines, readable

LINE = re.compile(r"([0-9]{1,9}) ([^\t]+?)\s*(?:\t([^\t]*[^\s][^\t]*)\t([\d ]*))?\s*")
"""A number, and a fact; or a question with its answer and the numbers of its supporting facts."""

Row = dict[str, Any]


def rows(source: str) -> Iterator[Row]:
    """Yield a table's row for each question.

    Args:
        source: a .txt file as bAbI's authors publish it, packed or not, or several by `*`.

    Raises:
        InputError: a file cannot be read.
        DataError: lines are none of bAbI's; names each.
    """
    faults = Faults()
    for file in files(source):
        with readable(file):
            yield from _questions(file, faults)
    faults.check()


def _questions(file: str, faults: Faults) -> Iterator[Row]:
    facts: dict[str, str] = {}
    last = 0
    for place, line in enumerate(lines(file), 1):
        found = None if "\ufffd" in line else LINE.fullmatch(line)  # What was no UTF-8.
        if found is None:
            if line.strip():
                faults.add(f"{file} line {place}: {line.strip()[:40]!r} is no line of bAbI; give an official file")
            continue
        number, text, answer, support = found.groups()
        if int(number) not in (1, last + 1):
            faults.add(f"{file} line {place}: it is number {number} behind {last}; give an official file")
        last = int(number)
        if last == 1:
            facts = {}
        if answer is None:
            facts[number] = text
            continue
        missing = [each for each in support.split() if each not in facts]
        if missing:
            faults.add(f"{file} line {place}: it names fact {missing[0]}, which is not there; give an official file")
            continue
        yield {
            "prompt": " ".join([*facts.values(), text]),
            "answer": answer.strip().replace(",", " "),
            "facts": [facts[each] for each in support.split()],
            "file": Path(file).name.split("_")[0],
        }


def main() -> None:
    """Write a table."""
    parser = argparse.ArgumentParser(description="Write bAbI's official files as a table of prompts and answers.")
    parser.add_argument("--rows", required=True, help="official files (.txt; `*` for several)")
    parser.add_argument("--output", required=True, type=program.path, help="table to write (.jsonl)")
    given = parser.parse_args()
    table = list(rows(given.rows))
    if not table:
        raise InputError(f"{given.rows} holds no question; give an official file")
    random.Random(0).shuffle(table)
    program.check_apart(given.output, given.rows)
    write_lines(given.output, table)
    print(f"{given.output}: {len(table):,} questions; train with --task.trace_column facts --task.teach_trace true")


if __name__ == "__main__":
    program.run(main)
