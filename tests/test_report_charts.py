"""What is drawn and shown of a task: bins of difficulty, training sizes, which problems, which columns."""

from dataclasses import replace

import pytest

from hybrid.eval.report.browser import MOST_PROBLEMS, _steps, browse
from hybrid.eval.report.charts import MOST_LABELS, by_cost, by_difficulty, by_training_seconds, by_training_size, charts
from hybrid.eval.report.entries import tasks_of
from hybrid.eval.report.suite_folder import read_suite
from hybrid.eval.report.tables import best_methods, cost_rows, counts, full_columns, headline_rows
from hybrid.eval.report.verdicts import against_all
from hybrid.problem import Problem


@pytest.fixture
def tasks(suite_folder):
    return tasks_of(read_suite(suite_folder))


def asked(difficulties):
    return [Problem(f"p{i}", ("a",), difficulty=level) for i, level in enumerate(difficulties)]


def test_accuracy_by_difficulty_is_that_of_the_answers(synthetic):
    task = synthetic.results({"hybrid": [True, True, False, True], "cot": [False, True]}, own=asked([1, 1, 2, 2]))
    chart = by_difficulty(task)
    assert chart.head == ["method, difficulty", "1", "2"]
    assert chart.rows == [["hybrid", "100.0", "50.0"], ["cot", "50.0", ""]]


def test_many_levels_of_difficulty_stand_together(synthetic):
    task = synthetic.results({"hybrid": 60}, count=60, own=asked(range(60)))
    assert by_difficulty(task).head[1:] == ["0–9", "10–19", "20–29", "30–39", "40–49", "50–59"]
    assert by_difficulty(synthetic.results({"hybrid": 3}, count=3, own=asked([4, 4, 4]))) is None


def test_smaller_training_sets_make_a_curve_and_no_rows_of_their_own(tasks):
    chart = by_training_size(tasks[0])
    assert chart.head == ["method, training problems", "250", "1,000", "4,000"] and [row[0] for row in chart.rows] == ["hybrid"]
    assert [len(entry.cells) for entry in tasks[0].measured if entry.method == "hybrid"] == [3]


def test_a_training_that_read_fewer_problems_stands_at_those_it_read(tasks):
    (ours,) = (entry for entry in tasks[0].entries if entry.method == "hybrid")
    read = [
        replace(cell, record=replace(cell.record, train_problems=count))
        for cell, count in zip(ours.cells, (1900, 2000, 2100), strict=True)
    ]
    others = tuple(entry for entry in tasks[0].entries if entry is not ours)
    chart = by_training_size(replace(tasks[0], entries=(replace(ours, cells=tuple(read)), *others)))
    assert chart.head == ["method, training problems", "250", "1,000", "2,000"]


def test_courses_of_training_have_a_row_a_seed(tasks):
    rows = by_training_seconds(tasks[0]).rows
    assert [row[:2] for row in rows[:3]] == [["hybrid", "0"], ["hybrid", "1"], ["hybrid", "2"]]
    assert all(float(row[2]) == 120 for row in rows)


def test_a_crowded_plot_names_hybrid_the_best_and_the_front(tasks):
    chart = by_cost(tasks[0], "flops_mean")
    named = [method for method in (row[0] for row in chart.rows) if f">{method}<" in chart.svg]
    assert len(named) <= MOST_LABELS and "hybrid" in named and len(chart.rows) == 19
    assert {row[0] for row in chart.rows if row[3]} == {"no LLM", "embedding layer only"} <= {*named}
    assert "solver (0)" in chart.svg and "front of all but solvers" in chart.caption


def test_a_task_without_steps_training_or_levels_has_the_plots_of_cost(synthetic):
    assert [chart.title for chart in charts(synthetic.results({"cot": 5}))] == [
        "Accuracy against FLOPs",
        "Accuracy against seconds",
    ]
    assert charts(synthetic.results({})) == []


def test_the_best_is_marked_also_beside_a_solver(synthetic):
    assert best_methods(synthetic.results({"hybrid": 90, "cot": 90, "direct": 3, "solver": 100})) == {"hybrid", "cot", "solver"}
    assert best_methods(synthetic.results({"cot": 0})) == set()


def test_rows_come_by_group_with_a_heading_each(tasks):
    rows = headline_rows(tasks)
    assert [row.heading.split(",")[0].split(":")[0] for row in rows if row.heading] == [
        "Hybrid",
        "Controls",
        "Text",
        "Text",
        "Solver",
    ]
    assert [row.method for row in rows][:3] == ["hybrid", "no recursion", "deep, untied"]


def test_what_text_costs_is_told_in_multiples_of_the_hybrid(synthetic):
    costs = {"hybrid": (0, 1.0, 2.0, 0.1, 0, 0), "few shot cot": (50, 0, 85.0, 22.0, 0, 0), "solver": (0, 0, 0.0, 1e-4, 0, 0)}
    task = synthetic.results({"hybrid": 90, "few shot cot": 5, "solver": 100}, figures=costs)
    assert cost_rows([task]) == [("few shot cot", ["42 × FLOPs, 220 × seconds"])]
    assert cost_rows([synthetic.results({"few shot cot": 5})]) == []


def test_text_that_costs_less_than_the_hybrid_shows_the_part(synthetic):
    costs = {"hybrid": (0, 1.0, 8.0, 0.4, 0, 0), "direct": (5, 0, 2.0, 0.1, 0, 0)}
    task = synthetic.results({"hybrid": 90, "direct": 5}, figures=costs)
    assert cost_rows([task]) == [("direct", ["0.25 × FLOPs, 0.25 × seconds"])]


def test_flops_that_nobody_tells_are_left_out_not_zero(synthetic):
    costs = {"hybrid": (0, 1.0, 2.0, 0.1, 0, 0), "few shot cot": (50, 0, 0.0, 22.0, 0, 0)}
    task = synthetic.results({"hybrid": 90, "few shot cot": 5}, figures=costs)
    assert cost_rows([task]) == [("few shot cot", ["220 × seconds"])]
    assert [row[0] for row in by_cost(task, "flops_mean").rows] == ["hybrid"]
    (column,) = [column for column in full_columns(task, {}) if column.heading == "GFLOPs a problem"]
    assert [column.cell(entry) for entry in task.measured] == ["2", ""]


def test_a_95th_percentile_of_a_few_problems_is_not_shown(synthetic):
    task = synthetic.results({"hybrid": 30, "few shot cot": 5})
    for entry, timed in zip(task.measured, (20, 4), strict=True):
        object.__setattr__(entry.cells[0], "record", replace(entry.cells[0].record, timed_problems=timed))
    shown = {column.heading: [column.cell(entry) for entry in task.measured] for column in full_columns(task, {})}
    assert shown["timed"] == ["20", "4"] and shown["p95 seconds"][0] and not shown["p95 seconds"][1]


def test_empty_columns_are_left_out_and_energy_is_shown_where_known(synthetic):
    task = synthetic.results({"hybrid": 90, "cot": 5})
    assert "joules a problem" not in [column.heading for column in full_columns(task, {})]

    entry = task.entries[0]
    metered = replace(entry.cells[0].record, energy_joules_mean=2.5)
    task = replace(task, entries=(replace(entry, cells=(replace(entry.cells[0], record=metered),)), task.entries[1]))
    (joules,) = [column for column in full_columns(task, {}) if column.heading == "joules a problem"]
    assert joules.cell(task.entries[0]) == "2.5" and joules.cell(task.entries[1]) == ""


def test_the_full_table_says_how_hybrid_stands_against_each_method(synthetic):
    task = synthetic.results({"hybrid": 90, "cot": 5})
    (column,) = [c for c in full_columns(task, against_all([task])) if c.heading == "hybrid against it"]
    assert [column.cell(entry) for entry in task.entries] == ["", "p < 0.001 (85:0 of 100)"]


def test_the_problems_shown_are_few_and_of_every_outcome(tasks):
    for task in tasks:
        found = browse(task)
        assert len(found.shown) == MOST_PROBLEMS and found.total == 60 and sum(found.counts.values()) == 32
        assert {shown.kind for shown in found.shown} >= {kind for kind, count in found.counts.items() if count}


def test_steps_mark_what_changed(tasks):
    shown = next(each for each in browse(tasks[1]).shown)
    assert [step.caption for step in shown.steps][:3] == ["step 1: differs", "step 2: differs", "step 3: differs"]
    first, second = shown.steps[:2]
    assert not any(word.changed for word in first.words) and any(word.changed for word in second.words)
    assert "".join(word.text for word in second.words).split() == "".join(word.text for word in second.words).split(" ")


def test_a_right_answer_of_another_kind_is_right_at_its_step(tasks):
    shown = next(each for each in browse(tasks[1]).shown if each.tries[0].right)
    assert shown.steps[-1].caption == "step 4: right"
    assert [step.caption for step in _steps(["a  b", "c d", "e"], ("a b", "c\nd"))] == [
        "step 1: right",
        "step 2: right",
        "step 3: differs",
    ]


def test_a_smaller_training_set_that_has_not_run_is_no_missing_seed(synthetic, tmp_path):
    synthetic.make(tmp_path, tasks=(synthetic.SORT,), methods=("hybrid",), count=4)
    (tmp_path / "cells" / "sort_length_6_hybrid_250_seed_0" / "record.json").unlink()
    (tmp_path / "cells" / "sort_length_6_hybrid_4000_seed_2" / "record.json").unlink()
    (entry,) = tasks_of(read_suite(tmp_path))[0].entries
    assert (len(entry.cells), len(entry.missing), len(entry.smaller)) == (2, 1, 1) and counts(entry) == "2 of 3 seeds, n 4"


def test_without_a_chain_of_thought_there_is_nothing_to_filter_by(synthetic, tmp_path):
    synthetic.make(tmp_path, tasks=(synthetic.SORT,), methods=("hybrid", "direct"), count=4)
    found = browse(tasks_of(read_suite(tmp_path))[0])
    assert found.chain == "" and [shown.kind for shown in found.shown] == [""] * 4
