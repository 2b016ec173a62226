"""Mazes: one shortest path, any shortest path of a file's maze, keys, files, the scorer."""

import csv
import json
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid.errors import ConfigError, InputError
from hybrid.eval.tasks import Maze
from hybrid.eval.tasks.maze.grid import (
    MazeSymmetry,
    distances,
    draw_maze,
    is_solution,
    marked,
    maze_key,
    neighbours,
    shortest_path,
)

sizes_and_seeds = st.tuples(st.integers(4, 12), st.integers(0, 10_000))


def ways(size, maze):
    """Count the shortest paths and their steps by extending all paths step by step."""
    ends, steps = Counter({maze.index("S"): 1}), 0
    seen = set()
    while ends and maze.index("G") not in ends:
        seen |= set(ends)
        ends, steps = (
            sum(
                (
                    Counter({near: count})
                    for cell, count in ends.items()
                    for near in neighbours(size)[cell]
                    if maze[near] != "#" and near not in seen
                ),
                Counter(),
            ),
            steps + 1,
        )
    return ends[maze.index("G")], steps


@settings(max_examples=40, deadline=None)
@given(sizes_and_seeds)
def test_a_drawn_maze_has_one_shortest_path_of_the_length_asked_for(case):
    size, seed = case
    maze = draw_maze(size, size, random.Random(seed))
    count, steps = ways(size, maze)
    path = shortest_path(size, maze)
    assert count == 1 and steps == len(path) - 1 >= size
    assert is_solution(size, maze, marked(maze, path))


@settings(max_examples=40, deadline=None)
@given(sizes_and_seeds, st.randoms())
def test_the_key_is_the_same_turned_mirrored_and_walked_backwards(case, rng):
    size, seed = case
    maze = draw_maze(size, 3, random.Random(seed))
    rows = [maze[start : start + size] for start in range(0, size * size, size)]
    for _ in range(rng.randint(0, 3)):
        rows = ["".join(column) for column in zip(*rows[::-1], strict=True)]
    if rng.random() < 0.5:
        rows = rows[::-1]
    other = "".join(rows)
    if rng.random() < 0.5:
        other = other.translate(str.maketrans("SG", "GS"))
    assert maze_key(size, other) == maze_key(size, maze)
    cell = maze.index(".")
    assert maze_key(size, maze[:cell] + "#" + maze[cell + 1 :]) != maze_key(size, maze)


def test_distances_stop_at_walls():
    assert distances(3, [True, False, True, True, False, True, False, True, False], 0) == [0, -1, -1, 1, -1, -1, -1, -1, -1]


@pytest.mark.parametrize("solved", ["Soo...ooG", "So.oo..oG", "So..o..oo", "S...o.#oG", "So..o..o", "So.oo..G."])
def test_a_detour_a_gap_and_a_changed_cell_are_wrong(solved):
    maze = "S.......G"
    assert is_solution(3, maze, "So..o..oG") and is_solution(3, maze, "Soo..o..G")
    assert not is_solution(3, maze, solved)


def test_the_scorer_takes_the_drawn_path_and_nothing_near():
    task = Maze(Maze.Config(size=5))
    for problem in task.problems("dev", 20):
        written = task.layout.write(problem.answer)
        assert task.score(written.replace(" ", ""), problem) and task.score(problem.trace, problem)
        assert not task.score(written.replace("o", ".", 1), problem) and not task.score(
            task.layout.write(task._maze(problem.prompt)), problem
        )
        if "." in problem.answer:
            assert not task.score(written.replace(".", "o", 1), problem)
        assert problem.difficulty == problem.answer.count("o") + 1


def test_the_solver_says_what_is_wrong_with_a_maze():
    task = Maze(Maze.Config(size=4))
    with pytest.raises(InputError, match="0 S and 1 G"):
        task.solve("Maze:\n. . . G\n. . . .\n. . . .\n. . . .")
    with pytest.raises(InputError, match="no way leads"):
        task.solve("Maze:\nS # . G\n# . . .\n. . . .\n. . . .")


def test_the_picture_marks_start_and_goal():
    task = Maze(Maze.Config(size=4))
    problem = task.problems("train", 1)[0]
    picture = task.picture(problem.prompt, problem.answer)
    assert {cell.symbol for row in picture.rows for cell in row if cell.given} == {"S", "G"} and len(picture.rows) == 4


@pytest.mark.parametrize("fields", [{"size": 3}, {"size": 31}, {"min_steps": 1}, {"min_steps": 17}])
def test_a_config_out_of_range_is_refused(fields):
    with pytest.raises(ConfigError, match="maze"):
        Maze.Config(**fields)


def mazes(count=40):
    rng, rows = random.Random(0), []
    while len(rows) < count:
        cells = ["#" if rng.random() < 0.2 else " " for _ in range(16)]
        cells[0], cells[15] = "S", "G"
        maze = "".join(cells)
        path = shortest_path(4, maze.replace(" ", "."))
        if path:
            rows.append((maze, "".join("o" if cell in path[1:-1] else symbol for cell, symbol in enumerate(maze))))
    return rows


def test_mazes_come_from_files_and_any_shortest_path_is_right(tmp_path):
    with open(tmp_path / "a.csv", "w", newline="") as file:
        csv.writer(file).writerows([("source", "question", "answer", "rating"), *(("x", *row, 1) for row in mazes())])
    lines = [json.dumps({"q": question, "a": answer}) for question, answer in mazes()]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    task = Maze(Maze.Config(size=4, file=str(tmp_path / "a.csv")))
    named = {"file": str(tmp_path / "a.jsonl"), "question_column": "q", "answer_column": "a"}
    problems = task.problems("train", 20)
    assert Maze(Maze.Config(size=4, **named)).problems("train", 20) == problems
    assert all(task.right(task.solve(p.prompt), p) and task.score(p.trace, p) for p in problems)
    assert any(ways(4, task._maze(p.prompt))[0] > 1 for p in problems)  # several paths do stand in such files


BAD_ROWS = {
    "15 cells where 16": ("S" + " " * 13 + "G", "S" + " " * 14 + "G"),
    "set size to 5": ("S" + " " * 23 + "G", "S" + " " * 23 + "G"),
    "holds 'x'": ("Sx" + " " * 13 + "G", "S" + " " * 14 + "G"),
    "holds 'o'": ("So" + " " * 13 + "G", "S" + " " * 14 + "G"),
    "2 S and 1 G": ("SS" + " " * 13 + "G", "SS" + " " * 13 + "G"),
    "shortest path marked": ("S" + " " * 14 + "G", "Sooo" + " " * 11 + "G"),
}


@pytest.mark.parametrize("message", BAD_ROWS)
def test_a_bad_row_is_named_with_its_file(tmp_path, message):
    with open(tmp_path / "bad.csv", "w", newline="") as file:
        csv.writer(file).writerows([("question", "answer"), *mazes(1), BAD_ROWS[message]])
    with pytest.raises(InputError, match=rf"bad\.csv row 2: .*{message}"):
        Maze(Maze.Config(size=4, file=str(tmp_path / "bad.csv"))).problems("train", 1)


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "empty.csv").write_text("question,answer\n")
    with pytest.raises(InputError, match="holds no mazes"):
        Maze(Maze.Config(size=4, file=str(tmp_path / "empty.csv"))).problems("train", 1)


def test_a_disguised_maze_is_of_the_same_class_and_keeps_its_path():
    task, rng = Maze(Maze.Config(size=5)), random.Random(0)
    problem = task.problems("train", 1)[0]
    maze = [problem.prompt[a:b] for a, b in task.layout.spans(problem.prompt)[0]]
    seen = set()
    for _ in range(200):
        change = MazeSymmetry(5).draw(rng)
        changed, answer = change.of(maze), change.of(problem.answer)
        assert maze_key(5, "".join(changed)) == maze_key(5, "".join(maze)) and is_solution(5, "".join(changed), answer)
        assert change.back().of(changed) == tuple(maze)
        seen.add(changed)
    assert len(seen) == 16
