"""A suite's folder: what is written is read again, an unfinished one too, and what is damaged is refused by name."""

import json

import pytest

from hybrid.errors import InputError
from hybrid.eval.baselines.method import Attempt
from hybrid.eval.report.suite_folder import (
    Drawn,
    Planned,
    read_suite,
    slug,
    write_cell,
    write_drawn,
    write_failure,
    write_problems,
    write_suite,
)
from hybrid.eval.tasks.show import Cell, Picture
from hybrid.problem import Problem

PROBLEMS = [Problem("Sort: 2 1", ("1", "2"), difficulty=2, key="k"), Problem("Sort: 3 1", ("1", "3"), difficulty=2)]
CELL = Planned("sort_2_hybrid_9_seed_1", "sort (2)", "hybrid", 9, 1)


def suite(folder, cells):
    write_suite(folder, {"suite": "mine", "command": "hybrid bench", "seconds": 60, "notes": ["a note"]}, cells)
    return folder


@pytest.fixture
def folder(tmp_path, synthetic):
    write_problems(tmp_path, "sort_2", PROBLEMS)
    attempts = [Attempt("1 2", True, steps=2, answers_by_step=("2 1", "1 2")), Attempt("\ud800", False)]
    write_cell(tmp_path, CELL.slug, synthetic.record("hybrid", 0.5, 2, task="sort (2)", seed=1), attempts)
    return suite(tmp_path, [CELL])


def test_what_is_written_is_read_again(folder, synthetic):
    picture = Picture(((Cell("1", given=True), Cell("2", label="x", changed=True)),), box=(1, 1), caption="step 1")
    write_drawn(folder, CELL.slug, [Drawn(1, (picture,))])
    found = read_suite(folder)
    assert (found.name, found.command, found.seconds, found.notes) == ("mine", "hybrid bench", 60.0, ["a note"])
    (cell,) = found.cells
    assert cell.record == synthetic.record("hybrid", 0.5, 2, task="sort (2)", seed=1)
    assert (cell.task_slug, cell.method, cell.seed, cell.reason) == ("sort_2", "hybrid", 1, "")
    assert cell.right == {0: True, 1: False}
    assert cell.answers({0})[0]["answers_by_step"] == ["2 1", "1 2"] and list(cell.answers({1})) == [1]
    assert [(p.prompt, p.answer, p.difficulty) for p in found.problems["sort_2"]] == [(p.prompt, p.answer, 2) for p in PROBLEMS]
    assert cell.drawn == [Drawn(1, (picture,))]


def test_fields_beside_the_record_are_kept_or_passed_over(folder):
    file = folder / "cells" / CELL.slug / "record.json"
    more = {"course": [[1, 0.25], [2.0, 0.5]], "train_problems": 9, "cell_seconds": 3.0}
    file.write_text(json.dumps(json.loads(file.read_text()) | more))
    (cell,) = read_suite(folder).cells
    assert cell.course == [[1.0, 0.25], [2.0, 0.5]] and cell.record.train_problems == 9 and cell.record.exact == 0.5


def test_a_cell_without_a_record_has_its_name_and_reason(folder):
    planned = [CELL, Planned("other", "sort (2)", "hybrid", 250, 3), Planned("failed", "new task (4)", "lora cot", 9, 0)]
    write_failure(folder, "failed", "out of memory")
    found = read_suite(suite(folder, planned)).cells
    placed = [(cell.task, cell.task_slug, cell.method, cell.num_train, cell.seed, cell.reason) for cell in found[1:]]
    assert placed == [
        ("sort (2)", "sort_2", "hybrid", 250, 3, "not run yet"),
        ("new task (4)", "new_task_4", "lora cot", 9, 0, "out of memory"),
    ]


def test_only_the_cells_of_the_suite_are_read(folder):
    assert read_suite(suite(folder, [])).cells == []


def test_a_damaged_record_is_a_cell_that_was_not_run(folder):
    (folder / "cells" / CELL.slug / "record.json").write_text('{"task": "sort"}')
    (cell,) = read_suite(folder).cells
    assert cell.record is None and cell.reason.startswith("its record is damaged: ") and cell.method == "hybrid"


def test_damaged_answers_are_refused_with_their_line(folder):
    file = folder / "cells" / CELL.slug / "attempts.jsonl"
    file.write_bytes(file.read_bytes()[:-20] + b"\xff\n")
    with pytest.raises(InputError, match=r"attempts.jsonl, line 2, has no problem, right; delete its folder and run"):
        _ = read_suite(folder).cells[0].right


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot read .*suite.json: No such file"),
        ("{", "is not JSON"),
        ("[]", "holds a list"),
        ("{}", "has no list of cells"),
        ('{"cells": ["sort"]}', "has no list of cells"),
        ('{"cells": [{"slug": "sort"}]}', "has no list of cells"),
    ],
)
def test_a_folder_that_is_no_suite_is_refused(tmp_path, text, said):
    if text is not None:
        (tmp_path / "suite.json").write_text(text)
    with pytest.raises(InputError, match=said):
        read_suite(tmp_path)


def test_damaged_pictures_are_refused(folder):
    (folder / "cells" / CELL.slug / "pictures.jsonl").write_text('{"problem": 4, "steps": [{"caption": "x"}]}\n')
    with pytest.raises(InputError, match="the pictures in .* are damaged"):
        _ = read_suite(folder).cells[0].drawn


def test_a_slug_is_a_file_name():
    assert slug("state tracking, (5) ../x") == "state_tracking_5_x"
