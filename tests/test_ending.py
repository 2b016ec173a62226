"""Where an answer ends: not before it can be read whole, and at once then."""

import pytest

from hybrid.eval.baselines.prompting import AnswerEnd
from hybrid.eval.tasks import Maze, Sort, Sudoku
from hybrid.eval.text.generation import cut

SORT, SUDOKU = Sort(Sort.Config(length=3)), Sudoku(Sudoku.Config(size=4))
MAZE = Maze(Maze.Config(size=5))
DRAWN = next(p for p in MAZE.problems("train", 99) if any(set(p.answer[i : i + 5]) <= set("#.") for i in range(0, 25, 5)))
NUMBERS, GRID = SORT.problems("train", 1)[0], SUDOKU.problems("train", 1)[0]


def kept(text, task=SORT, problem=NUMBERS, lines=1):
    return cut(text, AnswerEnd(task, problem, lines))


@pytest.mark.parametrize("marker", ["Answer:", "**Answer:**", "The final answer:", "## Answer:", "answer :", "> Answer:"])
def test_what_follows_the_answers_line_is_cut_off(marker):
    assert kept(f"First 1.\n{marker} 1 2 3\nSort these: 4 5 6\nAnswer: 4 5 6\n") == f"First 1.\n{marker} 1 2 3\n"


def test_a_wrong_answer_ends_the_text_as_a_right_one_does():
    for answer in (NUMBERS.answer, NUMBERS.answer[::-1]):
        assert kept(f"Answer: {' '.join(answer)}\nmore\n") == f"Answer: {' '.join(answer)}\n"


@pytest.mark.parametrize(
    "text", ["Answer: 1 2\nno, wait\n", "1 2 3\n1 2 3\n", "To find the answer: sort 1 2 3\nthen\n", "Answer: 1 2 3", "\n\n\n", ""]
)
def test_a_text_without_a_whole_marked_answer_goes_on(text):
    assert kept(text) == text


def test_the_answer_may_begin_on_the_line_after_the_marker():
    assert kept("Answer:\n\n1 2 3\nmore\n") == "Answer:\n\n1 2 3\n"


def test_a_grid_is_whole_with_its_last_line_whatever_stands_around_it():
    rows = [" ".join(GRID.answer[i : i + 4]) for i in range(0, 16, 4)]
    plain = "Answer:\n" + "\n".join(rows) + "\n"
    assert kept(plain + "5 5 5 5\n", SUDOKU, GRID, 4) == plain
    drawn = "**Answer:**\nHere is the grid:\n|---|\n" + "\n".join(f"| {row} |" for row in rows) + "\n"
    assert kept(drawn + "|---|\nDone.\n", SUDOKU, GRID, 4) == drawn


@pytest.mark.parametrize(("task", "lines"), [(SORT, 1), (SUDOKU, 4)])
def test_a_solvers_own_trace_is_never_cut(task, lines):
    for problem in task.problems("train", 20):
        text = problem.trace + "\n"
        assert kept(text + "more\n", task, problem, lines) == text and task.score(text, problem)


def test_a_mazes_rows_count_though_they_hold_no_letter():
    rows = [" ".join(DRAWN.answer[i : i + 5]) for i in range(0, 25, 5)]
    plain = "Answer:\n" + "\n".join(rows) + "\n"
    assert any(set(row) <= set("# .") for row in rows)
    assert kept(plain + "# # # # #\n", MAZE, DRAWN, 5) == plain
    assert kept("Answer: \n" + plain.split("\n", 1)[1], MAZE, DRAWN, 5) == "Answer: \n" + plain.split("\n", 1)[1]
    bars = "Answer:\n|-----|\n" + "\n".join(f"|{row}|" for row in rows) + "\n"
    assert kept(bars + "|-----|\n", MAZE, DRAWN, 5) == bars
