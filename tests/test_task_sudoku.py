"""Sudoku: the solver, the equivalence key, the drawn puzzles, files, and the task around them."""

import csv
import gzip
import json
import lzma
import random
import sys
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid.errors import ConfigError, InputError
from hybrid.eval.tasks import Sudoku
from hybrid.eval.tasks.show import as_html
from hybrid.eval.tasks.sudoku.solver import _solutions, _start, holds_another_digit, random_solution, shape, solve
from hybrid.eval.tasks.sudoku.sudoku import MAX_BLANKS, draw_puzzle
from hybrid.eval.tasks.sudoku.symmetry import line_orders, puzzle_key


def count_solutions(shape, puzzle, limit=2):
    board = _start(shape, puzzle, None)
    return sum(1 for _ in islice(_solutions(board), limit)) if board else 0


def is_solution(shape, grid):
    wanted = set(range(1, shape.size + 1))
    return len(grid) == shape.size**2 and all({grid[cell] for cell in unit} == wanted for unit in shape.units)


HARD = Path(__file__).parents[2] / "shared" / "data" / "sudoku" / "sudoku_hard.csv.xz"
QUESTION = "1000002003000040"
SIZES = [4, 6, 9]
BLANKS = {4: 10, 6: 20, 9: 48}
sizes_and_seeds = st.tuples(st.sampled_from(SIZES), st.integers(0, 10_000))


def drawn(size, seed, blanks=None):
    pair = draw_puzzle(shape(size), blanks or BLANKS[size], random.Random(seed))
    assert pair is not None
    return pair


def disguised(size, puzzle, rng):
    """Return an equivalent puzzle by the definition, cell by cell."""
    height, width = shape(size).box
    rows, columns = rng.choice(list(line_orders(size, height))), rng.choice(list(line_orders(size, width)))
    digits = [0, *rng.sample(range(1, size + 1), size)]
    new = [digits[puzzle[r * size + c]] for r in rows for c in columns]
    if height == width and rng.random() < 0.5:
        new = [new[c * size + r] for r in range(size) for c in range(size)]
    return tuple(new)


def brute_force(size, puzzle):
    """Count solutions by trying every digit in every blank."""
    if 0 not in puzzle:
        return int(is_solution(shape(size), puzzle))
    cell = puzzle.index(0)
    peers = {puzzle[peer] for peer in shape(size).peers[cell]}
    return sum(
        brute_force(size, (*puzzle[:cell], digit, *puzzle[cell + 1 :])) for digit in range(1, size + 1) if digit not in peers
    )


@pytest.mark.parametrize(("size", "peers"), [(4, 7), (6, 12), (9, 20)])
def test_every_cell_has_as_many_peers_as_the_geometry_says(size, peers):
    assert {len(others) for others in shape(size).peers} == {peers}
    assert {len(unit) for unit in shape(size).units} == {size}


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000), st.integers(4, 12))
def test_counting_agrees_with_brute_force_on_any_4x4_grid(seed, blanks):
    rng = random.Random(seed)
    puzzle = list(random_solution(shape(4), rng))
    for cell in rng.sample(range(16), blanks):
        puzzle[cell] = 0
    if seed % 3 == 0:
        puzzle[rng.randrange(16)] = rng.randint(1, 4)
    right = brute_force(4, tuple(puzzle)) if _sound(puzzle) else 0
    assert count_solutions(shape(4), puzzle, limit=1000) == right
    assert (solve(shape(4), puzzle) is not None) == (right > 0)


def _sound(puzzle):
    return all(digit == 0 or digit not in (puzzle[peer] for peer in shape(4).peers[cell]) for cell, digit in enumerate(puzzle))


@settings(max_examples=25, deadline=None)
@given(sizes_and_seeds)
def test_drawn_puzzles_have_one_solution_and_exactly_the_blanks_asked_for(size_seed):
    size, seed = size_seed
    puzzle, solution = drawn(size, seed)
    assert puzzle.count(0) == BLANKS[size]
    assert is_solution(shape(size), solution)
    assert all(digit in (0, full) for digit, full in zip(puzzle, solution, strict=True))
    assert count_solutions(shape(size), puzzle) == 1
    solved = solve(shape(size), puzzle)
    assert solved is not None and solved.grid == solution


@pytest.mark.parametrize("size", SIZES)
def test_the_greatest_number_of_blanks_can_be_drawn(size):
    puzzle, _ = drawn(size, 3, MAX_BLANKS[size])
    assert count_solutions(shape(size), puzzle) == 1


@settings(max_examples=30, deadline=None)
@given(sizes_and_seeds)
def test_every_step_of_the_solver_writes_a_digit_of_the_solution_for_the_reason_it_gives(size_seed):
    size, seed = size_seed
    puzzle, solution = drawn(size, seed)
    solved = solve(shape(size), puzzle)
    grid = list(puzzle)
    for step in solved.steps:
        assert grid[step.cell] == 0 and step.digit == solution[step.cell]
        assert step.text.startswith(f"{shape(size).name(step.cell)}: ") and str(step.digit) in step.text
        others = [peer for peer in range(size**2) if grid[peer] == 0 and peer != step.cell]
        seen = {grid[peer] for peer in shape(size).peers[step.cell]}
        if ", so " in step.text and not step.guessed:
            assert seen | {step.digit, 0} == set(range(size + 1))
        elif not step.guessed:
            kind, number = step.text.rstrip(".").split(" in ")[1].split()
            unit = shape(size).units[["row", "column", "box"].index(kind) * size + int(number) - 1]
            places = [c for c in unit if c in others and step.digit not in {grid[p] for p in shape(size).peers[c]}]
            assert places == []
        grid[step.cell] = step.digit
    assert tuple(grid) == solution


def test_a_grid_that_breaks_a_rule_has_no_solution():
    assert solve(shape(4), (1, 1, *[0] * 14)) is None
    assert count_solutions(shape(4), (1, 1, *[0] * 14)) == 0
    assert not holds_another_digit(shape(4), (1, 1, *[0] * 14), 5, 3)


def test_a_blank_that_no_digit_fits_makes_a_grid_unsolvable():
    puzzle = (0, 1, 2, 0, 3, 0, 0, 0, 4, *[0] * 7)
    assert solve(shape(4), puzzle) is None
    assert count_solutions(shape(4), puzzle) == 0


def test_the_empty_4x4_grid_has_288_solutions():
    assert count_solutions(shape(4), (0,) * 16, limit=1000) == 288


@settings(max_examples=60, deadline=None)
@given(sizes_and_seeds)
def test_the_key_is_the_same_for_every_disguise(size_seed):
    size, seed = size_seed
    rng = random.Random(seed)
    puzzle, _ = drawn(size, seed % 50)
    assert puzzle_key(shape(size), disguised(size, puzzle, rng)) == puzzle_key(shape(size), puzzle)


@pytest.mark.parametrize("size", SIZES)
def test_the_key_changes_with_one_given_more(size):
    puzzle, solution = drawn(size, 1)
    cell = puzzle.index(0)
    other = (*puzzle[:cell], solution[cell], *puzzle[cell + 1 :])
    assert puzzle_key(shape(size), other) != puzzle_key(shape(size), puzzle)


def test_there_are_13_classes_of_4x4_puzzles_with_four_givens():
    rng = random.Random(0)
    keys = {puzzle_key(shape(4), draw_puzzle(shape(4), 12, rng)[0]) for _ in range(150)}
    assert len(keys) == 13  # the count known from the literature


@pytest.mark.skipif(not HARD.exists(), reason="the shared data are not here")
def test_the_9x9_key_tells_hard_puzzles_apart():
    with lzma.open(HARD, "rt") as file:
        questions = [row["question"].replace(".", "0") for row, _ in zip(csv.DictReader(file), range(500), strict=False)]
    assert len({puzzle_key(shape(9), [int(digit) for digit in question]) for question in questions}) == 500


@pytest.mark.parametrize("size", [4, 6])
def test_splits_are_disjoint_by_key_across_seeds_and_wordings(size):
    task = Sudoku(Sudoku.Config(size))
    keys = {
        split: {p.key for seed in (0, 1) for p in task.problems(split, 15, seed=seed, wording="held_out")}
        for split in ("train", "dev", "test")
    }
    assert not keys["train"] & keys["dev"] and not keys["train"] & keys["test"] and not keys["dev"] & keys["test"]


def test_the_hardest_default_4x4_puzzles_suffice_for_a_test_split():
    task = Sudoku(Sudoku.Config(4, min_blanks=11, max_blanks=11))
    assert len({p.prompt for p in task.problems("test", 100)}) == 100


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("wording", ["train", "held_out"])
def test_the_layout_finds_every_cell_in_every_wording(size, wording):
    task = Sudoku(Sudoku.Config(size))
    instance = drawn(size, 2)
    for words in task.wordings[wording]:
        problem = task._problem(instance, "", words, random.Random(0))
        spans, context = task.layout.spans(problem.prompt)
        assert [problem.prompt[start:end] for start, end in spans] == [str(digit) for digit in instance[0]]
        assert context == ()


@pytest.mark.parametrize("size", SIZES)
def test_the_scorer_accepts_the_written_answer_and_the_trace_and_nothing_near(size):
    task = Sudoku(Sudoku.Config(size))
    problem = task.problems("train", 1)[0]
    written = task.layout.write(problem.answer)
    wrong = task.layout.write((*problem.answer[1:], problem.answer[0]))
    assert task.score(written, problem) and task.score(problem.trace, problem)
    assert task.score(problem.prompt + problem.trace, problem)
    assert not task.score(wrong, problem) and not task.score("", problem) and not task.score(written[:-1], problem)
    assert not task.score(problem.trace + "\nAnswer:\n" + wrong, problem)


def test_the_picture_marks_given_and_changed_cells():
    task = Sudoku(Sudoku.Config())
    problem = task.problems("train", 1)[0]
    previous = ("0", *problem.answer[1:])
    html = as_html(task.picture(problem.prompt, problem.answer, previous))
    assert html.count("given") - html.count(".given") == 16 - problem.difficulty
    assert html.count('"changed"') + html.count("given changed") == 1
    text = task.show(problem.prompt, problem.answer, previous).plain
    assert text.count("│") == 4 and text.count("┼") == 1
    assert [letter for letter in text if letter.isdigit()] == list(problem.answer)


def test_a_config_out_of_range_is_refused():
    for fields in ({"size": 5}, {"min_blanks": 11, "max_blanks": 8}, {"max_blanks": 13}, {"min_blanks": -1}):
        with pytest.raises(ConfigError, match="sudoku"):
            Sudoku.Config(**fields)
    assert Sudoku.Config(min_blanks=12).blanks == (12, 12)
    assert Sudoku.Config(max_blanks=5).blanks == (5, 5)


def table(count=40):
    rng = random.Random(0)
    pairs = [draw_puzzle(shape(4), 9, rng) for _ in range(count)]
    return [("".join(map(str, q)).replace("0", "."), "".join(map(str, a))) for q, a in pairs]


def write_csv(path, rows, header=("question", "answer"), opener=open):
    with opener(path, "wt", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return str(path)


@pytest.mark.parametrize(("name", "opener"), [("a.csv", open), ("a.csv.gz", gzip.open), ("a.csv.xz", lzma.open)])
def test_puzzles_come_from_csv_files_plain_and_packed(tmp_path, name, opener):
    rows = table()
    task = Sudoku(Sudoku.Config(file=write_csv(tmp_path / name, rows, opener=opener)))
    problems = [p for split in ("train", "dev", "test") for p in task.problems(split, 2)]
    assert {"".join(p.answer) for p in problems} <= {answer for _, answer in rows}
    assert all(task.score(p.trace, p) for p in problems)


def test_puzzles_come_from_json_lines_and_from_the_hub_with_named_columns(tmp_path, monkeypatch):
    records = [{"q": question, "a": answer, "more": 1} for question, answer in table()]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, records)))
    columns = {"question_column": "q", "answer_column": "a"}
    from_file = Sudoku(Sudoku.Config(file=str(path), **columns)).problems("train", 5)
    hub = SimpleNamespace(load_dataset=lambda name: {"train": records[:30], "test": records[30:]})
    monkeypatch.setitem(sys.modules, "datasets", hub)
    assert Sudoku(Sudoku.Config(file="hub:a/b", **columns)).problems("train", 5) == from_file


def test_a_hub_data_set_that_is_not_there_is_an_input_error(monkeypatch):
    def load(name):
        raise RuntimeError("no such thing\nsecond line")

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load))
    with pytest.raises(InputError, match=r"^hub:a/b cannot be loaded: no such thing; "):
        Sudoku(Sudoku.Config(file="hub:a/b")).problems("train", 1)


GOOD = ("1.34341221434321", "1234341221434321")
BAD_ROWS = {
    "15 cells where 16": (GOOD[0][1:], GOOD[1]),
    "0 cells where 16": (GOOD[0], ""),
    "set size to 6": ("." * 36, "1" * 36),
    "more than digits up to 4": ("5" + GOOD[0][1:], GOOD[1]),
    "more than digits": (GOOD[0], "." + GOOD[1][1:]),
    "more than digits up": ("\u0661" + GOOD[0][1:], GOOD[1]),
    "changes a given digit": ("2" + GOOD[0][1:], GOOD[1]),
    "breaks a rule": ("." * 16, "1234" * 4),
}


@pytest.mark.parametrize("message", BAD_ROWS)
def test_a_bad_row_is_named_with_its_file(tmp_path, message):
    path = write_csv(tmp_path / "bad.csv", [GOOD, BAD_ROWS[message], GOOD])
    with pytest.raises(InputError, match=rf"bad\.csv row 2: .*{message}"):
        Sudoku(Sudoku.Config(file=path)).problems("train", 1)


def test_a_puzzle_with_several_solutions_is_refused(tmp_path):
    rows = [("." * 16, "".join(map(str, random_solution(shape(4), random.Random(seed))))) for seed in range(3)]
    task = Sudoku(Sudoku.Config(file=write_csv(tmp_path / "many.csv", rows)))
    with pytest.raises(InputError, match="another solution"):
        for split in ("train", "dev", "test"):
            task.problems(split, 3)


def test_a_file_that_cannot_be_read_is_one_line_that_names_it(tmp_path):
    (tmp_path / "latin.csv").write_bytes(b"question,answer\n\xe9\xff\n")
    (tmp_path / "cut.csv.xz").write_bytes(lzma.compress(b"question,answer\n" * 500)[:-20])
    (tmp_path / "plain.csv.gz").write_text("question,answer\n")
    packed = gzip.compress(b"question,answer\n" * 500)
    (tmp_path / "flipped.csv.gz").write_bytes(packed[:10] + b"\xff\xff" + packed[12:])
    (tmp_path / "a.jsonl").write_text("{no json\n")
    (tmp_path / "list.jsonl").write_text("[1]\n")
    (tmp_path / "a.txt").write_text("question,answer\n")
    (tmp_path / "empty.csv").write_text("question,answer\n")
    (tmp_path / "nul.csv").write_bytes(b"question,answer\n" + b"1" * 200_000 + b",1\n")
    write_csv(tmp_path / "named.csv", [GOOD], header=("puzzle", "answer"))
    (tmp_path / "folder.csv").mkdir()
    names = [path.name for path in tmp_path.iterdir()]
    for name in [*names, "missing.csv"]:
        with pytest.raises(InputError, match=name) as caught:
            Sudoku(Sudoku.Config(file=str(tmp_path / name))).problems("train", 1)
        assert "\n" not in str(caught.value)


def test_a_missing_column_is_named_with_those_that_are_there(tmp_path):
    path = write_csv(tmp_path / "named.csv", [GOOD], header=("puzzle", "answer"))
    with pytest.raises(InputError, match='no column "question"; choose from its columns: puzzle, answer'):
        Sudoku(Sudoku.Config(file=path)).problems("train", 1)


@pytest.mark.slow
@pytest.mark.skipif(not HARD.exists(), reason="the shared data are not here")
def test_hard_puzzles_of_the_shared_file_are_solved_and_scored():
    task = Sudoku(Sudoku.Config(9, file=str(HARD)))
    problems = task.problems("test", 10)
    assert all(task.score(problem.trace, problem) for problem in problems)
    assert any("so try" in problem.trace for problem in problems)  # some need a guess that fails first
    assert not {p.key for p in problems} & {p.key for p in task.problems("train", 30)}
