"""The course of thinking is what single steps give, and the pictures are written whole."""

import pytest
from PIL import Image

import hybrid
from hybrid.eval.scoring.thinking import course, draw_course, draw_path
from hybrid.eval.tasks import TASKS
from hybrid.eval.tasks.sudoku import Sudoku


@pytest.fixture(scope="module")
def sudoku_task():
    return TASKS.build(Sudoku.Config(size=4))


@pytest.fixture
def sudoku_model(sudoku_task, tiny_folder):
    config = hybrid.HybridConfig(
        layout=sudoku_task.layout,
        symbols=sudoku_task.symbols,
        reasoner=hybrid.ReasonerConfig(width=16, num_supervision_steps=3),
    )
    return hybrid.attach(str(tiny_folder), config)


def test_the_course_counts_what_solving_gives(sudoku_model, sudoku_task):
    problems = sudoku_task.problems("test", 6)
    found = course(sudoku_model, problems, 4, batch_size=4)
    assert len(found.loss) == len(found.exact) == len(found.motion) == 4 and len(found.halts) == 6
    fixed = hybrid.HybridModel.solve(sudoku_model, [p.prompt for p in problems], num_steps=4)
    right = sum(s.trajectory[0] == p.answer for s, p in zip(fixed, problems, strict=True)) / 6
    assert found.exact[0] == pytest.approx(right)
    assert all(loss > 0 for loss in found.loss) and all(1 <= halt <= 4 for halt in found.halts)


def test_the_pictures_are_written(sudoku_model, sudoku_task, tmp_path):
    problem = sudoku_task.problems("test", 1)[0]
    solution = sudoku_model.solve([problem.prompt], num_steps=3)[0]
    draw_path(sudoku_task, problem.prompt, solution, tmp_path)
    draw_course(course(sudoku_model, [problem], 3), tmp_path / "course.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answer.gif", "answer.png", "course.png"]
    with Image.open(tmp_path / "answer.gif") as gif:
        assert gif.n_frames <= solution.steps and gif.is_animated
