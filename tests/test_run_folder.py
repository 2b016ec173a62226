"""The folder of a run: one run each, whole checkpoints, metrics that can be rewound."""

import dataclasses
import json

import pytest

from hybrid.errors import ConfigError, StorageError
from hybrid.train.run.folder import BOOKKEEPING, KEEP, RunFolder

RECORD = {"model": {"width": 1}, "train": {"steps": (1, 2)}}


@pytest.fixture
def folder(tmp_path):
    made = RunFolder(tmp_path / "run")
    made.open(RECORD)
    return made


def checkpoint(folder, step, text="state"):
    with folder.new_checkpoint(step) as place:
        (place / "deep").mkdir()
        (place / "deep" / "file").write_text(text)


def test_the_same_run_opens_again_and_another_is_refused_with_what_differs(folder):
    folder.open(RECORD)
    checkpoint(folder, 1)
    with pytest.raises(ConfigError, match=r"holds another run \(train.steps is \[1, 3\], was \[1, 2\]\); give another"):
        folder.open(RECORD | {"train": {"steps": (1, 3)}})
    assert folder.read_record() == {"run": json.loads(json.dumps(RECORD)), "finished": None}


LONG = {
    "model": {"task": {"kind": "table", "train": "own.csv", "unit": "whole"}, "backbone": {"name": "llm"}},
    "train": {"num_steps": 100, "max_seconds": 60.0, "cache": True, "save_every_seconds": 30.0, "seed": 0},
    "data": "a" * 64,
}


def changed(part, **fields):
    return LONG | {part: LONG[part] | fields}


@pytest.mark.parametrize(
    "again",
    [
        changed("train", save_every_seconds=1.0, cache=False, gradient_checkpointing=True),
        changed("model", task=LONG["model"]["task"] | {"train": "./own.csv"}),
        changed("model", task=LONG["model"]["task"] | {"file": "./own.csv", "trace_column": "cot", "duplicates": "drop"}),
        changed("model", backbone={"name": "/models/llm"}),
        changed("train", num_steps=200),
        changed("train", num_steps=101, max_seconds=None),
    ],
)
def test_what_changes_no_result_and_more_steps_are_the_same_run(tmp_path, again):
    made = RunFolder(tmp_path / "run")
    made.open(LONG)
    checkpoint(made, 1)
    made.open(again)
    made.open(again)


@pytest.mark.parametrize(
    ("again", "message"),
    [
        (changed("train", seed=1), r"\(train.seed is 1, was 0\); give another --output, or --overwrite"),
        (changed("train", num_steps=99), r"\(train.num_steps is 99, was 100\)"),
        (changed("train", num_steps=200, seed=1), "num_steps is 200, was 100, train.seed is 1, was 0"),
        (changed("model", task={"kind": "table", "train": "own.csv", "unit": "word"}), "model.task.unit is word, was whole"),
        (LONG | {"data": "b" * 64}, r"\(data differs\)"),
    ],
)
def test_what_changes_the_result_is_named_with_both_values(tmp_path, again, message):
    made = RunFolder(tmp_path / "run")
    made.open(LONG)
    checkpoint(made, 1)
    with pytest.raises(ConfigError, match=message):
        made.open(again)


@pytest.mark.parametrize(
    ("problems", "said"),
    [
        ({"train": [8, "a"], "dev": [3, "b"]}, "train has 8 problems, had 9"),
        ({"train": [9, "c"], "dev": [3, "b"]}, "train has 9 problems, others than before"),
        ({"train": [9, "a"], "dev": [4, "d"]}, "dev has 4 problems, had 3"),
    ],
)
def test_other_data_are_told_by_split_with_both_counts_and_files(tmp_path, problems, said):
    made = RunFolder(tmp_path / "run")
    made.open(LONG | {"problems": {"train": [9, "a"], "dev": [3, "b"]}})
    checkpoint(made, 1)
    again = changed("model", task=LONG["model"]["task"] | {"train": "b.csv"})
    with pytest.raises(ConfigError, match=rf"\(data differs, model.task.train is b.csv, was own.csv, {said}\)"):
        made.open(again | {"data": "b" * 64, "problems": problems})
    made.open(again | {"problems": {"train": [9, "a"], "dev": [3, "b"]}})


def test_a_run_from_before_problems_were_counted_goes_on(tmp_path):
    made = RunFolder(tmp_path / "run")
    made.open(LONG)
    checkpoint(made, 1)
    made.open(LONG | {"problems": {"train": [9, "a"], "dev": [3, "b"]}})


def test_where_the_rows_of_a_task_come_from_is_bookkeeping_as_their_content_is_compared():
    from hybrid.eval.tasks import TASKS

    every = [field for kind in TASKS for field in dataclasses.fields(TASKS[kind].Config)]
    named = {field.name for field in every if field.metadata.get("path") or field.name.endswith("_column")}
    assert len(named) >= 8 and {f"model.task.{name}" for name in named} <= BOOKKEEPING


def test_a_run_that_has_ended_takes_more_steps_where_its_last_state_was_kept(tmp_path):
    made = RunFolder(tmp_path / "run")
    made.open(LONG)
    for step in (99, 100):
        checkpoint(made, step)
    made.finish({"step": 100}, resumable=True)
    assert [place.name for place in made.checkpoints.iterdir()] == ["step-00000100"]
    made.open(LONG)
    assert made.read_record()["finished"] == {"step": 100} and made.grown == {}
    longer = changed("train", num_steps=200)
    made.open(longer)
    assert made.read_record() == {"run": longer, "finished": None}
    assert made.grown == {"train.num_steps": (100, 200)} and made.newest_checkpoint().name == "step-00000100"


def test_a_run_that_has_ended_without_a_state_takes_no_more_steps_and_says_what_to_do(tmp_path):
    made = RunFolder(tmp_path / "run")
    made.open(LONG)
    made.finish({"step": 100})
    said = r"has ended and left no checkpoint \(train.num_steps is 200, was 100\).*--init this folder to go on from its head"
    with pytest.raises(ConfigError, match=said):
        made.open(changed("train", num_steps=200))
    assert made.read_record()["finished"] == {"step": 100}


@pytest.mark.parametrize("left", ["finished", "metrics", "file"])
def test_a_run_of_which_nothing_came_gives_its_folder_to_another(folder, left):
    other = RECORD | {"train": {"steps": (1, 3)}}
    folder.open(other)
    assert folder.read_record()["run"] == json.loads(json.dumps(other))
    if left == "finished":
        folder.finish({"step": 1})
    elif left == "metrics":
        folder.write_metrics({"step": 1})
    else:
        (folder.path / "head.safetensors").write_text("")
    with pytest.raises(ConfigError, match="holds another run"):
        folder.open(RECORD)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"run": 3}', "null"])
def test_a_record_that_cannot_be_read_is_refused_and_not_taken_for_a_fresh_folder(folder, text):
    folder.record.write_text(text)
    checkpoint(folder, 1)
    with pytest.raises(ConfigError, match="is damaged, so this may be another run"):
        folder.open(RECORD)
    folder.clear()
    folder.open(RECORD)


def test_clearing_removes_what_a_run_left_and_nothing_else(folder):
    checkpoint(folder, 1)
    folder.write_metrics({"step": 1})
    (folder.path / "notes.txt").write_text("mine")
    folder.clear()
    assert [entry.name for entry in folder.path.iterdir()] == ["notes.txt"]
    folder.clear()


def test_the_newest_intact_checkpoint_is_found_and_old_ones_are_removed(folder):
    assert folder.newest_checkpoint() is None
    for step in (5, 10, 100):
        checkpoint(folder, step)
    assert folder.newest_checkpoint().name == "step-00000100"
    assert sorted(entry.name for entry in folder.checkpoints.iterdir()) == ["step-00000010", "step-00000100"] and KEEP == 2


@pytest.mark.parametrize("damage", ["file", "gone", "manifest", "no manifest", "empty manifest"])
def test_a_damaged_checkpoint_is_passed_over_with_a_warning(folder, damage):
    checkpoint(folder, 1)
    checkpoint(folder, 2)
    newest = folder.checkpoints / "step-00000002"
    file, manifest = newest / "deep" / "file", newest / "manifest.json"
    {
        "file": lambda: file.write_text("stale"),
        "gone": file.unlink,
        "manifest": lambda: manifest.write_text(manifest.read_text()[:-5]),
        "no manifest": manifest.unlink,
        "empty manifest": lambda: manifest.write_text("{}"),
    }[damage]()
    with pytest.warns(UserWarning, match="step-00000002 is damaged; the one before it is taken"):
        assert folder.newest_checkpoint().name == "step-00000001"


def test_a_checkpoint_that_fails_halfway_is_not_there(folder):
    checkpoint(folder, 1)
    with pytest.raises(KeyError), folder.new_checkpoint(2) as place:
        (place / "file").write_text("half")
        raise KeyError
    assert [entry.name for entry in folder.checkpoints.iterdir()] == ["step-00000001"]


def test_a_full_disk_while_saving_is_a_storage_error_and_the_last_checkpoint_stays(folder):
    checkpoint(folder, 1)
    with pytest.raises(StorageError, match=r"No space left on device; the last good one is kept"):
        with folder.new_checkpoint(2):
            raise OSError(28, "No space left on device")
    assert folder.newest_checkpoint().name == "step-00000001" and len(list(folder.checkpoints.iterdir())) == 1


def test_the_same_step_can_be_saved_again(folder):
    checkpoint(folder, 3)
    checkpoint(folder, 3, "other")
    assert (folder.newest_checkpoint() / "deep" / "file").read_text() == "other"


def test_metrics_are_rewound_to_a_step_and_a_cut_line_is_dropped(folder):
    for step in (10, 20, 30):
        folder.write_metrics({"step": step})
    with folder.metrics.open("a") as file:
        file.write('{"step": 4')
    assert [line["step"] for line in folder.read_metrics()] == [10, 20, 30]
    folder.rewind_metrics(20)
    assert folder.metrics.read_text() == '{"step": 10}\n{"step": 20}\n'
    folder.rewind_metrics(0)
    assert folder.metrics.read_text() == ""


def test_finishing_notes_the_outcome_and_removes_checkpoints(folder):
    checkpoint(folder, 1)
    folder.finish({"step": 9})
    assert folder.read_record()["finished"] == {"step": 9} and not folder.checkpoints.exists()
    folder.open(RECORD)


def test_a_place_where_nothing_can_be_written_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "run", "/proc/run"):
        nowhere = RunFolder(path)
        with pytest.raises(StorageError, match="cannot write"):
            nowhere.open(RECORD)
        with pytest.raises(StorageError, match="cannot write"):
            nowhere.write_metrics({"step": 1})
        nowhere.clear()


def test_opening_leaves_no_probe_behind(folder):
    assert [entry.name for entry in folder.path.iterdir()] == ["run.json"]
