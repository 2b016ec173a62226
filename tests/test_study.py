"""Studies: cells that are trained, tested, kept and gone on with; a table of them."""

import json
from dataclasses import asdict, replace

import pytest

import hybrid
from hybrid.errors import InputError
from hybrid.eval import studies
from hybrid.eval.bench import study
from hybrid.eval.bench.study import (
    Cell,
    Result,
    depth_table,
    gain_table,
    halting_table,
    read,
    recipe_table,
    rules,
    run,
    run_cell,
    table,
)
from hybrid.eval.tasks.sort import Sort
from hybrid.inference.search import SearchConfig
from hybrid.recursion.reasoner import ReasonerConfig
from hybrid.train import TrainConfig

RESULT = Result("sort, a, seed 0", "sort", "a", 0, 100, [0.4, 0.6, 0.7], 2, 50, 9.0, 0.5, [[9.0, 0.5]], {}, {}, "a machine", "0")


@pytest.fixture
def cell(tiny_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "cache"))
    return Cell(
        "a",
        Sort.Config(length=3),
        ReasonerConfig(width=16, num_cycles=1, num_supervision_steps=2),
        TrainConfig(num_steps=10, eval_every_steps=5, batch_size=8),
        hybrid.BackboneConfig(name=str(tiny_folder)),
        num_train=20,
        num_dev=8,
        num_test=12,
        num_steps=4,
        halting=rules(),
        search={"twice": SearchConfig(num_trajectories=2)},
    )


def test_a_cell_is_trained_and_tested_beyond_its_training_depth(cell, tmp_path):
    found = run_cell(cell, tmp_path / "cell", show=False)
    assert (found.n, found.steps, len(found.exact_by_step)) == (12, 10, 4)
    assert found.exact == found.exact_by_step[1]
    assert [len(found.course), len(found.search["twice"])] == [2, 4]
    assert all(1 <= steps <= 2 for _, steps in found.halting.values())


def test_a_users_file_is_told_apart_by_a_column_that_training_does_not_see(cell, tmp_path):
    rows = [
        {"prompt": f"Sort: {a} {b} {c}", "answer": min(a, b, c), "hops": int(c)} for a in "123456" for b in "123456" for c in "12"
    ]
    for name, own in (("train", rows[:-12]), ("test", rows[-12:])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in own))
    files = (str(tmp_path / "train.jsonl"), str(tmp_path / "test.jsonl"), "hops")
    cells = {each.variant: each for each in studies.reading([0], 5.0, files)}
    assert list(cells)[:4] == ["the recipe", "embedding layer only", "random-weight LLM", "no recursion"]
    small = {"reasoner": replace(cells["the recipe"].reasoner, width=32, num_cycles=1), "num_steps": 2}
    for name in ("the recipe", "random-weight LLM"):
        own = replace(cells[name], train=replace(cell.train, curriculum=True), backbone=cell.backbone, **small)
        found = run_cell(own, tmp_path / name, show=False)
        assert {level: shares[-1] for level, shares in found.by_difficulty.items()} == {"1": 6, "2": 6}
    states = [
        json.loads((tmp_path / name / "run.json").read_text())["run"]["backbone"] for name in ("the recipe", "random-weight LLM")
    ]
    assert states[0] != states[1]


def test_gains_over_the_first_variant_count_where_seeds_and_problems_show_them():
    def of(variant, *shares):
        return [replace(RESULT, variant=variant, n=1000, seed=s, exact_by_step=[0.0, e]) for s, e in enumerate(shares)]

    shown = gain_table(
        [*of("a", 0.95, 0.96, 0.94), *of("b", 0.30, 0.31, 0.29), *of("c", 0.9, 0.99, 0.95), *of("d", 0.2)]
    ).splitlines()
    assert shown[2:] == ["| b | 3 | +65.0 | yes |", "| c | 3 | +0.3 | no |", "| d | 1 | +75.0 | yes |"]


def test_a_study_goes_on_at_the_first_cell_without_a_result(cell, tmp_path, monkeypatch):
    trained = []

    def run_one(cell, output, *, show):
        trained.append(cell.variant)
        if cell.variant == "c" and trained.count("c") == 1:
            raise KeyboardInterrupt
        return replace(RESULT, cell=cell.name, variant=cell.variant, settings=cell.digest)

    monkeypatch.setattr(study, "run_cell", run_one)
    cells = [replace(cell, variant=variant) for variant in "abcd"]
    with pytest.raises(KeyboardInterrupt):
        run(cells, tmp_path, say=lambda text: None)
    results = run(cells, tmp_path, say=lambda text: None)
    assert trained == ["a", "b", "c", "c", "d"]
    assert [result.variant for result in results] == ["a", "b", "c", "d"] and read(tmp_path / "results.json") == results


def test_a_cell_that_was_run_with_other_settings_is_refused(cell, tmp_path):
    (tmp_path / "results.json").write_text(json.dumps([asdict(replace(RESULT, cell=cell.name, settings=cell.digest))]))
    assert len(run([cell], tmp_path)) == 1
    with pytest.raises(InputError, match="in .* was run with other settings; give another --output"):
        run([replace(cell, num_train=21)], tmp_path)


def test_a_damaged_file_is_refused(tmp_path):
    (tmp_path / "results.json").write_text('[{"cell": 1}]')
    with pytest.raises(InputError, match="holds no results of a study"):
        read(tmp_path / "results.json")


def test_the_table_has_a_row_a_variant_and_says_what_was_not_run():
    results = [replace(RESULT, seed=seed, exact_by_step=[0.0, share]) for seed, share in enumerate((0.5, 0.6, 0.7))]
    results.append(replace(RESULT, task="sudoku", variant="b", exact_by_step=[0.0, 0.2]))
    shown = table(results).splitlines()
    assert shown[2] == "| a | 60.0 (34.2–81.2) | not run | 3, 0 | 50, - |"
    assert shown[3].startswith("| b | not run | 20.0 (13.3–28.9) | 0, 1 |")


@pytest.mark.parametrize("name", studies.STUDIES)
def test_every_cell_of_a_study_has_a_name_of_its_own_and_the_given_budget(name):
    cells = studies.STUDIES[name]([0, 1], 5.0)
    assert len({cell.name for cell in cells}) == len(cells)
    assert {cell.train.max_seconds for cell in cells} <= {5.0, 15.0} and {cell.train.seed for cell in cells} == {0, 1}


def test_the_gradient_study_tries_every_scheme():
    from hybrid.recursion.gradients import GRADIENTS

    cells = studies.gradients([0], 5.0)
    assert {GRADIENTS.to_dict(cell.reasoner.gradient)["kind"] for cell in cells} == set(GRADIENTS)


def test_the_table_of_files_is_printed(tmp_path, capsys):
    (tmp_path / "results.json").write_text(json.dumps([asdict(RESULT)]))
    studies.main(["gradients", "--table", str(tmp_path / "results.json")])
    assert "| a | 60.0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"), [(None, "is not there; give the results.json"), ("{", "holds no results of a study")]
)
def test_a_table_of_a_file_that_is_not_there_or_damaged_is_an_error(tmp_path, capsys, content, message):
    if content is not None:
        (tmp_path / "results.json").write_text(content)
    with pytest.raises(SystemExit):
        studies.main(["depth", "--table", str(tmp_path / "results.json")])
    assert message in capsys.readouterr().err


def test_depth_is_shown_by_powers_of_two_with_and_without_search():
    one = replace(RESULT, exact_by_step=[0.4, 0.6, 0.7, 0.8], search={"twice": [0.5, 0.7, 0.8, 0.9]})
    two = replace(one, seed=1, exact_by_step=[0.6, 0.8, 0.7, 1.0])
    shown = depth_table([one, two]).splitlines()
    assert shown[0] == "| task | search | N | seeds | after 1 | after 2 | after 4 |"
    assert shown[2:] == ["| sort | none | 2 | 2 | 50.0 | 70.0 | 90.0 |", "| sort | twice | 2 | 2 | 50.0 | 70.0 | 90.0 |"]


def test_halting_is_shown_beside_all_steps():
    result = replace(RESULT, halting={"learned": [0.6, 1.234], "converged": [0.5, 1.9]})
    assert halting_table([result, result]).splitlines()[2] == "| sort | 2 | 60.0, 2 | 60.0, 1.23 | 50.0, 1.90 |"


def test_the_first_evaluation_past_the_goal_counts():
    fast = replace(RESULT, course=[[10.0, 0.9], [21.0, 0.96], [30.0, 0.94]])
    rows = recipe_table([fast, replace(fast, variant="b", course=[[10.0, 0.9]])]).splitlines()[2:]
    assert rows == ["| a | 0 | 21 | 9 | 50 | 60.0 |", "| b | 0 | not reached | 9 | 50 | 60.0 |"]
