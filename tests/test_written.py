"""Puzzles as people write them, answers held against rules, and prompts that nothing can solve."""

import json
from dataclasses import replace

import pytest

from hybrid.errors import InputError
from hybrid.eval.scoring import checked
from hybrid.eval.tasks import TASKS
from hybrid.eval.tasks.maze import Maze
from hybrid.eval.tasks.sort import Sort
from hybrid.eval.tasks.sudoku import Sudoku
from hybrid.eval.tasks.sudoku.digit_grids import BLANKS, digit_grids
from hybrid.problem import Problem

PUZZLE = "530070000600195000098000060800060003400803001700020006060000280000419005000080079"
ROWS = [PUZZLE[start : start + 9] for start in range(0, 81, 9)]


def ways(blank):
    """Ways in which people write a Sudoku with this sign for a blank."""
    rows = [row.replace("0", blank) for row in ROWS]
    yield "\n".join(rows)
    yield "Please solve this:\n" + "\n".join(" ".join(row) for row in rows) + "\nThanks!"
    yield f"Solve {''.join(rows)} please"
    yield "\n".join(",".join(row) for row in rows)
    yield "\n".join("|" + "|".join(row) + "|" for row in rows)
    barred = [" | ".join(" ".join(row[k : k + 3]) for k in (0, 3, 6)) for row in rows]
    yield "\n------+-------+------\n".join("\n".join(barred[k : k + 3]) for k in (0, 3, 6))
    border = "\n+-------+-------+-------+\n"
    yield border + border.join("\n".join(f"| {row} |" for row in barred[k : k + 3]) for k in (0, 3, 6)) + border


@pytest.mark.parametrize("blank", BLANKS)
def test_every_way_of_writing_a_sudoku_is_read(blank):
    assert all(digit_grids(text, 9) == [tuple(ROWS)] for text in ways(blank))


def test_cells_that_are_left_empty_between_bars_are_blanks():
    text = "\n".join("| " + " | ".join(cell if cell != "0" else " " for cell in row) + " |" for row in ROWS)
    assert digit_grids(text, 9) == digit_grids("[[" + "],\n[".join(", ".join(row) for row in ROWS) + "]]", 9) == [tuple(ROWS)]


@pytest.mark.parametrize(
    "text", ["", "hello", "what is 2+2?", "1234", "call 0123 456 789", "\n".join(ROWS[:8]), "x" * 81, "-" * 81]
)
def test_a_text_without_a_grid_has_none_and_the_error_shows_one_that_works(text):
    task = TASKS.build(Sudoku.Config(size=9))
    with pytest.raises(InputError, match="no 9x9 Sudoku was found.*; write 9 lines of 9 digits, 0 for a blank, such as"):
        task.understood(text)
    with pytest.raises(InputError) as told:
        task.understood(text)
    assert task.understood(str(told.value)) is not None


OTHER = "003020600900305001001806400008102900700000008006708200002609500800203009005010300"
SMALL = "0200300000030010"


def tables(rows):
    """Ways of programs, books and mails to write a grid of these rows, 0 for a blank."""
    size, dots = len(rows), [row.replace("0", ".") for row in rows]
    empty = [[cell.strip("0") for cell in row] for row in rows]
    yield from (sign.join(rows) for sign in (" ", ",", ", ", "\r\n\r\n", "\n> ", "|"))
    yield "Solve " + " ".join("".join(rows)) + " for me, and " + "thanks."
    yield f"It is {''.join(rows)}."
    yield from ("\n".join(sign.join(row) for row in empty) for sign in (",", ";", "\t", " & "))
    yield "\n".join(" & ".join(row) + " \\\\" for row in empty)
    yield "\n".join(",".join(f'"{cell}"' for cell in row) for row in empty)
    numbers = [[int(cell) for cell in row] for row in rows]
    yield from (
        json.dumps(numbers),
        json.dumps({"grid": numbers}, indent=2),
        json.dumps(rows),
        json.dumps([int(cell) for cell in "".join(rows)]),
    )
    yield from (
        json.dumps([[cell or None for cell in row] for row in numbers]),
        str([[c or None for c in row] for row in numbers]),
    )
    yield "array([" + ",\n       ".join(f"[{', '.join(row)}]" for row in rows) + "])"
    yield from ("\n".join(row.replace("0", sign) for row in rows) for sign in "·•□–—#O０")
    yield "\n".join(dots).translate({ord(str(digit)): chr(0xFF10 + digit) for digit in range(10)})
    yield "\n".join("\xa0".join(row) for row in rows)
    yield "\n".join(dots).replace("...", "…")
    yield "\n".join(f"{number}. {row}" for number, row in enumerate(dots, 1))
    yield "\n".join(f"Row {number}: {' '.join(row)}" for number, row in enumerate(rows, 1))
    yield (
        "   "
        + " ".join("123456789"[:size])
        + "\n"
        + "\n".join(f"{'ABCDEFGHI'[i]}  {' '.join(row)}" for i, row in enumerate(dots))
    )
    yield (
        "|   " * size
        + "|\n"
        + "|:-:" * size
        + "|\n"
        + "\n".join("| " + " | ".join(c or " " for c in row) + " |" for row in empty)
    )
    for signs in ("│─┌┬┐├┼┤└┴┘", "┃━┏┳┓┣╋┫┗┻┛", "║═╔╦╗╠╬╣╚╩╝"):
        bar, dash, *corners = signs
        top, middle, low = (a + b.join([3 * dash] * size) + c for a, b, c in (corners[:3], corners[3:6], corners[6:]))
        cells = [bar + bar.join(f" {cell or ' '} " for cell in row) + bar for row in empty]
        yield "\n".join([top, f"\n{middle}\n".join(cells), low])


@pytest.mark.parametrize(("puzzle", "size"), [(OTHER, 9), (SMALL, 4)])
def test_what_programs_books_and_mails_write_is_read(puzzle, size):
    rows = [puzzle[start : start + size] for start in range(0, size * size, size)]
    assert [text for text in tables(rows) if digit_grids(text, size) != [tuple(rows)]] == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("\n".join(ROWS[:8]), "there are 8 rows of 9 cells, not 9"),
        ("\n".join([*ROWS[:4], ROWS[4][:8], *ROWS[5:]]), '"40080300" has 8 cells, not 9'),
        (PUZZLE[:80], "80 cells stand in one line, not 81"),
        ("." * 81, "all cells are blank"),
    ],
)
def test_a_grid_that_is_almost_one_is_told_what_it_lacks(text, says):
    with pytest.raises(InputError, match=f"no 9x9 Sudoku was found: {says}; write 9 lines"):
        TASKS.build(Sudoku.Config(size=9)).understood(text)


def test_a_digit_that_a_small_grid_has_not_is_named():
    with pytest.raises(InputError, match='"..5." has a 5, not one of 1 to 4'):
        TASKS.build(Sudoku.Config()).understood("1..4\n..5.\n4...\n...1")


@pytest.mark.parametrize(
    "text", [f"size 4 {' '.join(SMALL)}", f"{' '.join(SMALL)} 1", f"see /{SMALL}?q=1x", " ".join(SMALL[:15])]
)
def test_cells_in_a_line_that_are_more_or_fewer_than_a_grid_has_are_none(text):
    assert digit_grids(text, 4) == []


def test_an_understood_prompt_is_one_that_the_layout_reads():
    task = TASKS.build(Sudoku.Config(size=9))
    prompt = task.understood("mine:\n" + "\n".join(" ".join(row.replace("0", "_")) for row in ROWS))
    assert "".join(prompt[a:b] for a, b in task.layout.spans(prompt)[0]) == PUZZLE
    assert task.understood(prompt) == prompt
    with pytest.raises(InputError, match="this is a 9x9 grid, and this head solves 4x4"):
        TASKS.build(Sudoku.Config()).understood(PUZZLE)
    with pytest.raises(InputError, match="2 different grids; give one"):
        task.understood(f"{PUZZLE}\n{PUZZLE[::-1]}")


def test_an_impossible_puzzle_is_refused_by_the_rule_that_it_breaks():
    task = TASKS.build(Sudoku.Config())
    for rows, says in (
        (("1001", "0000", "0000", "0000"), "row 1 has 1 twice"),
        (("1000", "0000", "1000", "0000"), "column 1 has 1 twice"),
        (("1000", "0100", "0000", "0000"), "box 1 has 1 twice"),
        (("1230", "0000", "0004", "0000"), "no grid fits these clues"),
    ):
        with pytest.raises(InputError, match=says):
            task.refuse(task.understood("\n".join(rows)))


def test_an_answer_is_checked_by_the_rules_alone():
    task = TASKS.build(Sudoku.Config())
    for problem in task.problems("test", 20):
        assert task.check(problem.prompt, problem.answer)
        assert not task.check(problem.prompt, problem.answer[::-1]) and not task.check(problem.prompt, ("1",) * 16)
    for config in (Maze.Config(size=5), Sort.Config(length=5)):
        task = TASKS.build(config)
        problem = task.problems("test", 1)[0]
        task.refuse(task.understood(problem.prompt))
        assert task.check(problem.prompt, problem.answer) and not task.check(problem.prompt, problem.answer[::-1])


def test_mazes_and_numbers_are_read_in_other_writings():
    maze = TASKS.build(Maze.Config(size=4))
    prompt = maze.understood("mine\nS..#\n##.#\n#...\n###G\nthanks")
    assert maze.solve(prompt) and maze.understood(prompt) == prompt
    with pytest.raises(InputError, match="no maze of 4 rows of 4 cells was found"):
        maze.understood("hello")
    sort = TASKS.build(Sort.Config(length=4))
    assert sort.solve(sort.understood("please sort 3; 9; 1; 1!")) == ("1", "1", "3", "9")
    for text, says in (("hello", "the text has 0"), ("1 2 3", "the text has 3"), ("1; 2; 3; 44", "44 is none of them")):
        with pytest.raises(InputError, match=says):
            sort.understood(text)


class Liar:
    """A head that first answers what breaks the rules, and is right when it may think for longer."""

    def __init__(self, model, answers):
        self.model, self.answers, self.asked = model, answers, []
        self.config = model.config

    def solve(self, problems, **options):
        self.asked.append((len(problems), options.get("num_steps")))
        base, right = self.model.solve(["Sort: 3 1"])[0], options.get("search") is not None
        return [replace(base, symbols=self.answers[p.prompt] if right else ("1",) * 16) for p in problems]


def test_an_answer_that_breaks_a_rule_is_thought_about_again(model):
    task = TASKS.build(Sudoku.Config())
    problems = task.problems("test", 3)
    liar = Liar(model, {problem.prompt: problem.answer for problem in problems})
    assert [s.verified for s in checked.solve(liar, problems, task=task)] == [False] * 3
    found = checked.solve(liar, problems, task=task, retries=2)
    assert [s.verified for s in found] == [True] * 3 and [s.symbols for s in found] == [p.answer for p in problems]
    assert liar.asked[1:] == [(3, None), (3, 12)]
    assert checked.solve(model, [Problem("Sort: 3 1", ())])[0].verified is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("solved:\n1234\n3412\n2143\n4321\nmine:\n1...\n..34\n.1..\n4...", "2 different grids"),
        ("1002\n0200\n0000\n2010\n\n4..1\n.1..\n....\n1..4", "2 different grids"),
        ("1000\nwords\n0034\n0100\n4000", "no 4x4 Sudoku was found"),
        ("4321\n\n1..4\n....\n..1.\n2...", "no 4x4 Sudoku was found"),
        ("1 2 | - -\n- - | 1 2\n- - - -\n2 1 | - -\n- - | 2 1", "no 4x4 Sudoku was found"),
    ],
)
def test_a_grid_that_could_be_misread_is_refused(text, says):
    with pytest.raises(InputError, match=says):
        TASKS.build(Sudoku.Config()).understood(text)


def test_the_columns_numbers_above_a_grid_are_no_row():
    text = "  1 2 3 4\n +-------+\n |. . . 4|\n |. . 2 .|\n |2 . . .|\n |. . . 2|"
    assert digit_grids(text, 4) == [("0004", "0020", "2000", "0002")]


@pytest.mark.parametrize(
    ("config", "text", "says"),
    [
        (Sort.Config(length=5), "sort 5 3 -4 1 2", "-4 is none of them"),
        (Sort.Config(length=5), "sort 1.5 2 3 4 5", "1.5 is none of them"),
        (Sort.Config(length=8, min_length=2), "sort these 5 numbers: 3, 1; 2; 4", "5 may be a number or say how many"),
        (Sort.Config(length=8, min_length=2, digits=2), "sort 45 -23 17", "-23 is none of them"),
    ],
)
def test_a_list_that_could_be_misread_is_refused(config, text, says):
    with pytest.raises(InputError, match=says):
        TASKS.build(config).understood(text)


def test_no_number_of_a_list_is_lost():
    task = TASKS.build(Sort.Config(length=8, min_length=2))
    assert task.solve(task.understood("sort 5, 3 and 7")) == task.solve(task.understood("5  3, and 7")) == ("3", "5", "7")


@pytest.mark.parametrize(
    ("rows", "says"),
    [(["S....", *["....."] * 3, "....G", "....."], "no maze of 5 rows"), (["S....", *["....."] * 3, "....G"] * 2, None)],
)
def test_a_maze_with_a_row_too_many_is_refused_and_the_same_one_twice_is_one(rows, says):
    task = TASKS.build(Maze.Config(size=5))
    if says is None:
        assert task.understood("\n".join(rows))
    else:
        with pytest.raises(InputError, match=says):
            task.understood("\n".join(rows))
    assert task.solve(task.understood("  S _ _ _ _\n" + "  _ _ _ _ _\n" * 3 + "  _ _ _ _ E"))


def test_a_puzzle_that_takes_for_ever_is_not_refused_but_soon():
    from hybrid.eval.tasks.sudoku.solver import shape, solvable

    endless = ".....5.8....6.1.43..........1.5........1.6...3.......553.....61........4........."
    assert solvable(shape(9), [0 if cell == "." else int(cell) for cell in endless], most_guesses=50)
    assert not solvable(shape(4), [1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0])
