"""Suites: cells are trained, tested and written down one by one; what is there is not run again."""

import json
import shutil
from contextlib import ExitStack
from dataclasses import replace

import pytest

from hybrid.adapters import Classes, Words
from hybrid.errors import InputError
from hybrid.eval.baselines import METHODS, Trained
from hybrid.eval.baselines.trained import with_random_weights
from hybrid.eval.bench import suite as suite_file
from hybrid.eval.bench.suite import Cell, Suite, open_suite, run_suite
from hybrid.eval.bench.suites import REPEATED, SUITES, Entry, cells_of, suite
from hybrid.eval.engines import TransformersEngine
from hybrid.eval.report.entries import tasks_of
from hybrid.eval.report.suite_folder import read_suite, write_failure
from hybrid.eval.tasks import TASKS
from hybrid.eval.tasks.sort import Sort
from hybrid.eval.tasks.table import Table
from hybrid.recursion.reasoner import ReasonerConfig
from hybrid.train import TrainConfig
from hybrid.train.run.folder import claimed

HEAD = Trained.Config(
    reasoner=ReasonerConfig(width=16, num_cycles=1, num_supervision_steps=2),
    train=TrainConfig(num_steps=4, eval_every_steps=2, batch_size=8),
)
HYBRID = Cell(Sort.Config(length=5), "hybrid", HEAD, num_train=20, num_dev=6, num_test=8, num_latency=2)
DIRECT = replace(HYBRID, name="direct", method=METHODS["direct"].Config(shots=0, max_new_tokens=4), num_test=3)
SHUFFLED = replace(HYBRID, name="shuffled", method=replace(HEAD, disturbance="other_problem"), fitted_as="hybrid")


def quiet(text):
    pass


@pytest.fixture
def run(backbone, tmp_path):
    """Runs cells in a folder: (cells)."""

    def go(*cells, say=quiet, **options):
        return run_suite(Suite("mine", cells, 30.0), backbone, tmp_path / "out", command="cmd", say=say, **options)

    return go


def test_every_cell_leaves_its_record_and_its_answers(run, tmp_path):
    reports = []
    records = run(HYBRID, DIRECT, SHUFFLED, report=reports.append)
    assert [(r.method, r.n) for r in records] == [("hybrid", 8), ("direct", 3), ("shuffled", 8)]
    assert reports == [tmp_path / "out"] * 4
    assert [r.train_problems for r in records] == [20, 0, 20] and records[0].course and not records[2].course
    assert [len(r.accuracy_by_step or ()) for r in records] == [32, 0, 0]
    folder = tmp_path / "out"
    lines = (folder / "cells" / HYBRID.slug / "attempts.jsonl").read_text().splitlines()
    first = json.loads(lines[0])
    assert len(lines) == 8 and first["problem"] == 0 and len(first["answers_by_step"]) == first["steps"]
    problems = [json.loads(line) for line in (folder / "problems" / f"{HYBRID.task_slug}.jsonl").read_text().splitlines()]
    assert len(problems) == 8 and problems[0]["prompt"] == TASKS.build(HYBRID.task).problems("test", 8)[0].prompt
    assert not (folder / "cells" / SHUFFLED.slug / "fit").exists()


def test_text_methods_answer_the_first_of_the_problems_that_heads_answer():
    task = TASKS.build(HYBRID.task)
    assert task.problems("test", 3) == task.problems("test", 8)[:3]


def test_the_same_command_goes_on_at_the_first_cell_without_a_record(run, monkeypatch):
    known, ran = suite_file.run_cell, []

    def once(cell, *rest, **options):
        ran.append(cell.name)
        if cell.name == "direct" and ran.count("direct") == 1:
            raise KeyboardInterrupt
        return known(cell, *rest, **options)

    monkeypatch.setattr(suite_file, "run_cell", once)
    with pytest.raises(KeyboardInterrupt):
        run(HYBRID, DIRECT)
    assert [r.method for r in run(HYBRID, DIRECT)] == ["hybrid", "direct"] and ran == ["hybrid", "direct", "direct"]


def test_a_cell_that_cannot_run_is_noted_and_the_rest_goes_on(run, tmp_path):
    many = replace(HYBRID, name="many", num_test=10**6)
    assert [r.method for r in run(many, DIRECT)] == ["direct"]
    noted = json.loads((tmp_path / "out" / "cells" / many.slug / "failed.json").read_text())
    assert "ask for fewer" in noted["error"]


def test_a_folder_of_another_suite_is_refused(run, backbone, tmp_path):
    run(DIRECT)
    with pytest.raises(InputError, match="holds a suite with suite mine; give another"):
        run_suite(Suite("other", [DIRECT], 30.0), backbone, tmp_path / "out", command="cmd", say=quiet)
    with pytest.raises(InputError, match=r"holds a suite with seconds 30\.0"):
        run_suite(Suite("mine", [DIRECT], 40.0), backbone, tmp_path / "out", command="cmd", say=quiet)
    with pytest.raises(InputError, match=r"holds a suite with the task sort \(length 5"):
        run(replace(DIRECT, task=Sort.Config(length=4)))


def test_a_folder_of_another_language_model_or_engine_is_refused(run, backbone, tmp_path):
    run(DIRECT)
    with pytest.raises(InputError, match="holds a suite with backbone .*; give another --output"):
        run_suite(Suite("mine", [DIRECT], 30.0), with_random_weights(backbone), tmp_path / "out", command="cmd", say=quiet)
    other = TransformersEngine(TransformersEngine.Config(), backbone)
    other.identity = "a larger model"
    with pytest.raises(InputError, match="holds a suite with engine"):
        run(DIRECT, engine=other)


def test_whatever_stops_a_method_does_not_stop_the_others(run, tmp_path, monkeypatch):
    def broken(*given, **more):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(Trained, "fit", broken)
    assert [r.method for r in run(HYBRID, DIRECT)] == ["direct"]
    assert read_suite(tmp_path / "out").cells[0].reason == "RuntimeError: out of memory"


def test_the_pictures_are_of_the_cell_that_drew_them(run, tmp_path):
    run(HYBRID, replace(HYBRID, name="no LLM", method=replace(HEAD, weights="random")))
    hybrid, other = read_suite(tmp_path / "out").cells
    answers = hybrid.answers({each.problem for each in hybrid.drawn})
    assert [len(each.steps) for each in hybrid.drawn] == [answers[each.problem]["steps"] for each in hybrid.drawn]
    assert len(other.drawn) == 3 and tasks_of(read_suite(tmp_path / "out"))[0].drawn == hybrid.drawn


def test_problems_that_were_made_otherwise_are_written_anew(run, tmp_path):
    run(DIRECT)
    file = tmp_path / "out" / "problems" / f"{DIRECT.task_slug}.jsonl"
    right = file.read_text()
    file.write_text(right.replace('"prompt": "', '"prompt": "Now: '))
    shutil.rmtree(tmp_path / "out" / "cells")
    run(DIRECT)
    assert file.read_text() == right


def test_answers_to_other_problems_are_not_put_beside_the_new_ones(run, tmp_path):
    run(DIRECT)
    file = tmp_path / "out" / "problems" / f"{DIRECT.task_slug}.jsonl"
    before = file.read_text().replace('"prompt": "', '"prompt": "Now: ')
    file.write_text(before)
    said = []
    assert len(run(HYBRID, DIRECT, say=said.append)) == 1 and file.read_text() == before
    assert any("holds answers to other test problems of sort (length 5" in line for line in said)


def test_cells_of_other_seeds_stay_in_the_report(run, tmp_path):
    first, second = replace(DIRECT, seed=1), replace(DIRECT, seed=2)
    run(first)
    assert [record.method for record in run(second, first, only="seed_2")] == ["direct", "direct"]
    assert len(run(second)) == 2 and len(read_suite(tmp_path / "out").cells) == 2


def test_two_processes_with_seeds_of_their_own_share_a_report(run, backbone, tmp_path):
    first, second = replace(DIRECT, seed=1), replace(DIRECT, seed=2)

    def other(line):
        if line.startswith("1 of"):
            open_suite(Suite("mine", [second], 30.0), tmp_path / "out", "cmd", backbone)

    assert len(run(first, say=other)) == 1
    assert {cell.seed for cell in read_suite(tmp_path / "out").cells if cell.record} == {1}


def test_a_cell_that_failed_for_another_process_meanwhile_is_not_tried_again(run, tmp_path, monkeypatch):
    tried = []

    def broken(self, *given, **more):
        tried.append(self)
        raise RuntimeError("out of memory")

    def other(line):
        if "direct" in line and not tried:
            write_failure(tmp_path / "out", HYBRID.slug, "out of memory")

    monkeypatch.setattr(Trained, "fit", broken)
    run(DIRECT, HYBRID, say=other)
    assert tried == []
    run(DIRECT, HYBRID)
    assert len(tried) == 1  # Another call tries it once more.


def test_a_damaged_list_of_cells_is_told_in_one_line(run, tmp_path):
    run(DIRECT)
    for text in ("[]", "{"):
        (tmp_path / "out" / "suite.json").write_text(text)
        with pytest.raises(InputError, match=r"suite\.json"):
            run(DIRECT)


def test_a_cell_that_was_run_with_other_settings_is_refused_by_name(run):
    run(HYBRID, DIRECT)
    with pytest.raises(InputError, match=f"1 cells .* the first is {HYBRID.slug}; delete their folders"):
        run(replace(HYBRID, num_dev=5), DIRECT)
    assert len(run(DIRECT)) == 2  # What has run stays in the report.


@pytest.mark.parametrize("name", SUITES)
def test_every_cell_of_a_suite_has_a_folder_of_its_own_and_a_training_that_is_there(name):
    cells = suite(name).cells
    slugs = [cell.slug for cell in cells]
    assert len(set(slugs)) == len(slugs)
    assert all(slugs.index(cell.fit_slug) <= slugs.index(cell.slug) for cell in cells)
    assert all(METHODS.name_of(cell.method) for cell in cells)


@pytest.mark.parametrize("name", SUITES)
def test_the_problems_of_a_suite_have_room_in_its_heads(name):
    for cell in {cell.task: cell for cell in suite(name).cells if cell.name == "hybrid"}.values():
        layout = TASKS.build(cell.task).layout
        counts = [len(spans) for p in TASKS.build(cell.task).problems("train", 20) for spans in [sum(layout.spans(p.prompt), ())]]
        assert max(counts) <= cell.method.encoder.max_positions


def test_only_the_seeds_of_the_named_methods_are_repeated():
    cells = cells_of(Entry(Sort.Config(length=3), HEAD, num_train=100, seeds=(0, 1)), sizes=(50, 400))
    assert {cell.name for cell in cells if cell.seed == 1} == {"hybrid", *REPEATED}
    assert [cell.num_train for cell in cells if cell.name == "hybrid"] == [100, 100, 50]


def test_a_suite_takes_other_seeds_and_more_of_them():
    cells = suite("standard", seeds=(7, 9)).cells
    assert {cell.seed for cell in cells if cell.name in ("hybrid", *REPEATED)} == {7, 9}
    assert {cell.seed for cell in cells if cell.name not in ("hybrid", *REPEATED)} == {7}
    smaller = [{(c.task, c.num_train) for c in suite("standard", seeds=own).cells if c.name == "hybrid"} for own in (None, (7,))]
    assert smaller[0] == smaller[1]
    assert {cell.seed for cell in suite("task", Sort.Config(length=12), seeds=(0, 1, 2)).cells} == {0, 1, 2}
    for wrong in ((), (-1,), (1, 1)):
        with pytest.raises(InputError, match="give different whole numbers from 0 on"):
            suite("standard", seeds=wrong)


def test_a_suite_is_asked_for_by_name():
    cells = suite("task", Sort.Config(length=12)).cells
    assert {cell.task for cell in cells} == {Sort.Config(length=12)}
    assert {(cell.num_train, cell.num_dev) for cell in cells} == {(4000, 200)}
    assert {cell.num_test for cell in cells} == {16, 32, 500}
    for wrong in (lambda: suite("best"), lambda: suite("task"), lambda: suite("standard", Sort.Config())):
        with pytest.raises(InputError):
            wrong()


def test_a_suite_on_a_small_table_takes_what_its_splits_give(tmp_path):
    (tmp_path / "own.csv").write_text("prompt,answer\n" + "".join(f"{i}?,{i % 3}\n" for i in range(200)))
    task = Table(Table.Config(train=str(tmp_path / "own.csv")))
    counts = {split: len(task.problems(split)) for split in ("train", "dev", "test")}
    cells = suite("task", task.config).cells
    assert {(cell.num_train, cell.num_dev) for cell in cells} == {(counts["train"], counts["dev"])}
    assert max(cell.num_test for cell in cells) == counts["test"] < 32
    assert isinstance(cells[0].method.encoder, Words.Config) and isinstance(cells[0].method.decoder, Classes.Config)
    words = suite("task", Table.Config(train=str(tmp_path / "own.csv"), unit="token")).cells
    assert words[0].method.decoder.whole and words[0].method.encoder.max_answers == 16
    (tmp_path / "two.csv").write_text("prompt,answer\n1?,1\n2?,2\n")
    with pytest.raises(InputError, match="has no .* problems; widen its config, or give more rows"):
        suite("task", Table.Config(train=str(tmp_path / "two.csv")))


def test_a_part_of_a_suite_can_be_run_by_name(run):
    assert [r.method for r in run(HYBRID, DIRECT, only="direct")] == ["direct"]
    with pytest.raises(InputError, match='no cell of the suite mine has "nothing" in its name'):
        run(HYBRID, only="nothing")


def test_a_cell_that_another_process_is_at_is_left_to_it(run, tmp_path):
    said = []
    with claimed(tmp_path / "out" / "cells" / HYBRID.slug):
        assert [r.method for r in run(HYBRID, DIRECT, SHUFFLED, say=said.append)] == ["direct"]
    assert said[-1].startswith("2 cells are left to the other processes")
    assert [r.method for r in run(HYBRID, DIRECT, SHUFFLED)] == ["hybrid", "direct", "shuffled"]


def test_a_cell_that_another_process_gives_back_is_run_at_last(run, tmp_path):
    with ExitStack() as other:
        other.enter_context(claimed(tmp_path / "out" / "cells" / HYBRID.slug))
        assert [r.method for r in run(HYBRID, DIRECT, report=lambda folder: other.close())] == ["hybrid", "direct"]
