"""The comparison: one command's files - results, every answer, and the report with its sentences."""

import html
import re
from dataclasses import replace

import pytest
import torch

import hybrid
from hybrid.adapters import Structured
from hybrid.errors import ConfigError, InputError
from hybrid.eval.baselines import METHODS, HeadMethod
from hybrid.eval.bench.comparison import DEPTH, Plan, compare, drawn, task_name
from hybrid.eval.report.suite_folder import read_suite, write_suite
from hybrid.eval.results import read_results
from hybrid.eval.tasks import Sort, StateTracking, Sudoku
from hybrid.recursion.cores import FeedForward

TASK = Sort(Sort.Config(length=3))
PLAN = Plan(num_problems=6, num_text_problems=3, num_latency=2, num_shown=2)


def head(backbone, config, **changes):
    torch.manual_seed(0)
    model = hybrid.attach(backbone, replace(config, layout=TASK.layout, symbols=TASK.symbols, **changes))
    torch.nn.init.normal_(model.head.reasoner.halt.weight)
    return model


def text_method(backbone, kind="direct"):
    return METHODS[kind](METHODS[kind].Config(shots=0, max_new_tokens=4), backbone, TASK)


@pytest.fixture(scope="module")
def model(shared_backbone, config):
    return head(shared_backbone, config)


@pytest.fixture(scope="module")
def compared(model, shared_backbone, config, tmp_path_factory):
    """The hybrid, its control and two prompted methods: (records, folder, lines said, model)."""
    folder = tmp_path_factory.mktemp("compared")
    once = replace(model.config.reasoner, core=FeedForward.Config(), num_supervision_steps=1)
    methods = [
        text_method(model.backbone),
        HeadMethod(HeadMethod.Config(), model, TASK, train_seconds=5.0),
        HeadMethod(HeadMethod.Config(name="no recursion"), head(shared_backbone, config, reasoner=once), TASK),
        text_method(model.backbone, "zero_shot_cot"),
    ]
    lines = []
    notes = ["A note of the caller."]
    records = compare(model, TASK, methods, folder, PLAN, command="hybrid bench <x>", notes=notes, say=lines.append)
    return records, folder, lines, model


def test_records_come_in_the_order_of_the_methods_and_are_those_of_the_file(compared):
    records, folder, _, _ = compared
    assert [record.method for record in records] == ["direct", "hybrid", "no recursion", "zero shot cot"]
    assert read_results(folder / "results.json") == records
    assert {(record.task, record.split) for record in records} == {("sort (length 3, digits 1)", "test")}


def test_heads_answer_all_problems_and_text_methods_the_first_of_them(compared):
    records, folder, _, _ = compared
    assert [record.n for record in records] == [3, 6, 6, 3]
    suite = read_suite(folder)
    assert [cell.record for cell in suite.cells] == records
    assert [list(cell.right) for cell in suite.cells] == [[0, 1, 2], [*range(6)], [*range(6)], [0, 1, 2]]
    (problems,) = suite.problems.values()
    assert [(p.prompt, p.answer) for p in problems] == [(p.prompt, p.answer) for p in TASK.problems("test", 6)]
    shares = [sum(cell.right.values()) / cell.record.n for cell in suite.cells]
    assert shares == [record.exact for record in records]


def test_accuracy_by_step_goes_to_the_same_depth_for_every_head_and_is_left_out_for_text(compared):
    records, _, _, model = compared
    assert DEPTH == 32
    assert [record.accuracy_by_step and len(record.accuracy_by_step) for record in records] == [None, 32, 32, None]
    expected = HeadMethod(HeadMethod.Config(), model, TASK).depth_curve(TASK.problems("test", 6), 32)
    assert records[1].accuracy_by_step == expected


def test_the_sentences_give_the_ratios_of_the_seconds_measured(compared):
    records, folder, lines, _ = compared
    said = lines[-4:]
    pattern = r"One prompt takes the hybrid ([\d.]+) ms \(p50\), the language model's forward pass over it alone ([\d.]+) ms: ([\d.]+) times\."
    own, forward, ratio = map(float, re.fullmatch(pattern, said[0]).groups())
    assert own == pytest.approx(1e3 * records[1].latency_p50_seconds, abs=0.06) and forward > 0
    assert ratio == pytest.approx(own / forward, rel=0.1)
    for sentence, record in zip(said[1:3], (records[0], records[3]), strict=True):
        times = record.latency_p50_seconds / records[1].latency_p50_seconds
        assert sentence == f"{record.method} takes {record.latency_p50_seconds:.2f} s a problem: {times:.0f} times the hybrid."
    assert said[3] == "A note of the caller."
    page = html.unescape((folder / "report.html").read_text())
    assert all(sentence in page for sentence in said) and "hybrid bench <x>" in page


def test_the_report_shows_problems_solving_themselves_beside_what_was_written(compared):
    _, folder, _, model = compared
    page = (folder / "report.html").read_text()
    problems = TASK.problems("test", 6)
    assert all(problem.prompt in html.unescape(page) for problem in problems)
    assert page.count("<details open") == 2 and page.count('<table class="answer">') >= 2
    solution = model.solve([problems[0].prompt])[0]
    assert f"step {solution.steps}: " in page
    assert "Bold: no method" in (folder / "report.md").read_text()
    assert len((folder / "results.csv").read_text().splitlines()) == 5


def test_a_solved_problem_has_a_picture_and_a_count_of_wrong_places_for_every_step(model):
    problem = TASK.problems("test", 1)[0]
    shown = drawn(model, TASK, problem, 3)
    solution = model.solve([problem.prompt])[0]
    assert len(shown.steps) == solution.steps and shown.problem == 3
    wrong = [sum(a != b for a, b in zip(step, problem.answer, strict=True)) for step in solution.trajectory]
    assert [step.caption for step in shown.steps] == [
        f"step {i}: {f'{n} wrong' if n else 'right'}" for i, n in enumerate(wrong, 1)
    ]
    assert drawn(model, TASK, replace(problem, answer=solution.symbols), 0).steps[-1].caption.endswith(": right")


def test_a_drawn_answer_is_right_where_the_task_says_so(model, monkeypatch):
    monkeypatch.setattr(TASK, "right", lambda symbols, problem: True)
    assert all(step.caption.endswith(": right") for step in drawn(model, TASK, TASK.problems("test", 1)[0], 0).steps)


def test_a_suites_folder_is_not_written_over(model, tmp_path):
    write_suite(tmp_path, {"suite": "standard", "command": "x", "seconds": 180.0, "notes": []}, [])
    before = (tmp_path / "suite.json").read_text()
    with pytest.raises(InputError, match="holds a suite of trained methods; give another --output"):
        compare(model, TASK, [HeadMethod(HeadMethod.Config(), model, TASK)], tmp_path, PLAN, command="x")
    assert (tmp_path / "suite.json").read_text() == before


def test_a_text_method_whose_prompt_is_too_long_is_told_and_the_others_are_kept(model, tmp_path):
    long = METHODS["direct"](METHODS["direct"].Config(shots=0, max_new_tokens=10_000), model.backbone, TASK)
    said = []
    methods = [HeadMethod(HeadMethod.Config(), model, TASK), long]
    records = compare(model, TASK, methods, tmp_path, PLAN, command="x", say=said.append)
    assert [record.method for record in records] == ["hybrid"] and any("direct: not run" in line for line in said)
    assert "exceed the context" in (tmp_path / "report.md").read_text()
    short = METHODS["direct"](METHODS["direct"].Config(shots=0, max_new_tokens=4), model.backbone, TASK)
    assert len(compare(model, TASK, [methods[0], short], tmp_path, PLAN, command="x")) == 2
    compare(model, TASK, methods, tmp_path, PLAN, command="x")
    assert "exceed the context" in (tmp_path / "report.md").read_text()  # And no figures of the run before.
    with pytest.raises(InputError, match="exceed the context"):
        compare(model, TASK, [long], tmp_path / "alone", PLAN, command="x")


def test_other_wordings_put_the_same_problems(model, tmp_path):
    method = HeadMethod(HeadMethod.Config(), model, TASK)
    compare(model, TASK, [method], tmp_path, replace(PLAN, wording="held_out"), command="x")
    (problems,) = read_suite(tmp_path).problems.values()
    assert [p.prompt for p in problems] == [p.prompt for p in TASK.problems("test", 6, wording="held_out")]


def test_without_a_head_there_are_no_ratios(model, tmp_path):
    lines = []
    (record,) = compare(model, TASK, [text_method(model.backbone)], tmp_path, PLAN, command="x", say=lines.append)
    assert lines == ["direct, 3 problems".replace(",", ":")] and record.accuracy_by_step is None


def test_a_head_without_language_model_is_compared_too(tmp_path):
    config = hybrid.HybridConfig(
        TASK.layout, TASK.symbols, hybrid.BackboneConfig("none"), Structured.Config(TASK.symbols), hybrid.ReasonerConfig(width=16)
    )
    bare, lines = hybrid.attach(None, config), []
    methods = [HeadMethod(HeadMethod.Config(), bare, TASK)]
    (record,) = compare(bare, TASK, methods, tmp_path, PLAN, command="x", say=lines.append)
    assert record.backbone == "none" and (tmp_path / "report.html").is_file() and lines == ["hybrid: 6 problems"]
    with pytest.raises(ConfigError, match="backbone none writes no text; leave out the prompted methods"):
        text_method(bare.backbone)


@pytest.mark.parametrize(
    ("task", "name"),
    [
        (Sort(Sort.Config(length=5, min_length=2)), "sort (length 5, min_length 2, digits 1)"),
        (Sudoku(Sudoku.Config(size=4, min_blanks=6)), "sudoku (size 4, min_blanks 6)"),
    ],
)
def test_a_task_is_named_with_what_decides_its_difficulty(task, name):
    assert task_name(task) == name
    assert task_name(StateTracking(StateTracking.Config())).startswith("state_tracking (")
