"""The classical solver as a method: right, free of tokens and FLOPs, refused where there is none."""

from dataclasses import replace

import pytest

from hybrid.errors import ConfigError
from hybrid.eval.baselines import Solver
from hybrid.eval.tasks import Maze, Sort, Table


def test_the_solver_is_right_and_costs_no_tokens_and_no_flops():
    task = Sort(Sort.Config(length=4))
    problems = task.problems("test", 5)
    attempts = Solver(Solver.Config(), None, task).attempt(problems)
    assert all(attempt.right and task.score(attempt.text, problem) for attempt, problem in zip(attempts, problems, strict=True))
    assert {(attempt.tokens, attempt.steps, attempt.flops) for attempt in attempts} == {(0, 0, 0.0)}


def test_an_answer_as_good_as_the_one_in_the_problem_is_right():
    task = Maze(Maze.Config(size=4))
    (problem,) = task.problems("test", 1)
    grid = "S . . .\n. # # .\n. # # .\n. . . G"
    unmarked = tuple(grid.split())
    answer = tuple("Sooo.##o.##o...G")
    open_maze = replace(problem, prompt=f"Find the way.\n{grid}\n", answer=answer)
    (attempt,) = Solver(Solver.Config(), None, task).attempt([open_maze])
    mirrored = tuple("S...o##.o##.oooG")
    assert attempt.right and task.right(mirrored, open_maze) and not task.right(unmarked, open_maze)


def test_a_task_without_a_solver_is_refused_with_what_to_do(tmp_path):
    (tmp_path / "a.csv").write_text("prompt,answer\n" + "".join(f"{n},{n % 2}\n" for n in range(40)))
    task = Table(Table.Config(train=str(tmp_path / "a.csv")))
    with pytest.raises(ConfigError, match="table has no classical solver; leave out the method solver"):
        Solver(Solver.Config(), None, task)
    with pytest.raises(ConfigError, match="no classical solver"):
        task.solve("1")
