"""Reads ProsQA's own problems: a JSON list of objects, or one object a line, with a question and its answer.

Holds reading and checking; a question is taken apart by the task's own layout.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import fsspec

from hybrid.errors import InputError
from hybrid.eval.tasks.graph import hops
from hybrid.eval.tasks.logic_maker import Edge, Family


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
    try:
        with fsspec.open(source, "rt", encoding="utf-8-sig", compression="infer") as file:
            text = file.read()
        return list(json.loads(text) if text.lstrip().startswith("[") else map(json.loads, filter(str.strip, text.splitlines())))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source} is no JSON in UTF-8: {str(error)[:100]}") from None
    except Exception as error:  # Every kind of packed file raises its own class.
        raise InputError(f"{source} cannot be read: {getattr(error, 'strerror', None) or error}; give a readable file") from None


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
