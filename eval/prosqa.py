"""Training problems in ProsQA's official form, drawn with the names of an official file: a table of prompt, answer and path.

    python -m hybrid.eval.prosqa --names prosqa_valid.json --rows 18000 --output prosqa_train.jsonl --own prosqa_dev.jsonl

The file's own problems become a table of the same columns (`--own`), to choose a head by or to test it on. No drawn row is
one of them under other names or in another order.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator

from hybrid.checkpoint import write_lines
from hybrid.errors import InputError
from hybrid.eval import program
from hybrid.eval.tasks.graph import way
from hybrid.eval.tasks.logic import Logic
from hybrid.eval.tasks.logic.logic import read_families
from hybrid.eval.tasks.logic.maker import Family, draw_family

TASK = Logic(Logic.Config())
WORDING = Logic.wordings["train"][0]  # "Every {} is a {}." is the official one.


Row = dict[str, str | int]


def rows(names: str, count: int, seed: int = 0, nodes: int = 28, hops: tuple[int, int] = (3, 6)) -> Iterator[Row]:
    """Yield `count` problems.

    Args:
        names: an official file, whose persons and concepts are taken and whose problems are left out.
        count: problems.
        seed: of the draws.
        nodes: that each graph is grown from, as in the task `logic`.
        hops: the fewest and the most from the person to the right option.

    Raises:
        InputError: the file cannot be read, or has too few names.
    """
    official = families(names)
    every = sorted({end for family in official for edge in family.edges for end in edge})
    persons, concepts = ([name for name in every if name[0].isupper() == upper] for upper in (True, False))
    taken, rng = {TASK._key(family) for family in official}, random.Random(seed)
    while count:
        family = draw_family(nodes, *hops, rng)
        key = TASK._key(family)
        if key in taken:
            continue
        taken.add(key)
        yield _row(_renamed(family, persons, concepts, rng))
        count -= 1


def families(file: str) -> list[Family]:
    """Return the problems of an official file; InputError where it cannot be read."""
    return read_families(file, TASK._parts)


def own_rows(file: str) -> list[Row]:
    """Return the problems of an official file as they stand there."""
    return [_row(family) for family in families(file)]


def _renamed(family: Family, persons: list[str], concepts: list[str], rng: random.Random) -> Family:
    own = sorted({end for edge in family.edges for end in edge})
    name: dict[str, str] = {}
    for upper, given in ((True, persons), (False, concepts)):
        needed = [each for each in own if each[0].isupper() == upper]
        if len(needed) > len(given):
            raise InputError(f"a problem needs {len(needed)} names, the file has {len(given)}: {', '.join(given[:5])}, ...")
        name |= dict(zip(needed, rng.sample(given, len(needed)), strict=True))
    edges = tuple((name[low], name[high]) for low, high in family.edges)
    return Family(edges, name[family.root], name[family.target], name[family.wrong], family.swapped)


def _row(family: Family) -> Row:
    problem = TASK._problem(family, "", WORDING, random.Random(0))
    path = way(family.edges, family.root, family.target)[1:]
    return {"prompt": problem.prompt, "answer": family.target, "path": " ".join(path), "hops": len(path)}


def main() -> None:
    """Write a table of problems."""
    parser = argparse.ArgumentParser(description="Draw ProsQA problems with the names of an official file.")
    parser.add_argument("--names", required=True, type=program.path, help="an official file (.json or .jsonl)")
    parser.add_argument("--rows", type=program.positive, default=18000, help="problems to draw")
    parser.add_argument("--seed", type=int, default=0, help="of the draws")
    parser.add_argument("--output", required=True, type=program.path, help="table to write (.jsonl)")
    parser.add_argument("--own", type=program.path, help="table to write with the problems of the official file itself (.jsonl)")
    given = parser.parse_args()
    names = str(given.names)
    for output in (given.output, *([given.own] if given.own else [])):
        program.check_apart(output, names)
    if given.own and given.own.absolute() == given.output.absolute():
        raise InputError(f"{given.output} is given as --output and as --own; give two files")
    drawn = list(rows(names, given.rows, given.seed))
    own = own_rows(names) if given.own else []
    write_lines(given.output, drawn)
    if given.own:
        write_lines(given.own, own)
    print(f"{given.output}: {len(drawn):,} problems; train with --task.trace_column path --task.teach_trace true")


if __name__ == "__main__":
    program.run(main)
