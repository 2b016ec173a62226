"""The command line on data of one's own."""

import json

import pytest

from hybrid.checkpoint import CONFIG


def own_data(tiny_folder, file, output, *more):
    return [
        *("train", "--task", "table", "--task.train", file, "--output", output, "--quiet", "--backbone.name", tiny_folder),
        *("--reasoner.width", "16", "--reasoner.num_supervision_steps", "2", "--train.num_steps", "2"),
        *("--train.batch_size", "2", *more),
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        ("--encoder", "cross_attention"),
        ("--task.item", "[0-9]"),
        ("--task.spans_column", "spans"),
        ("--encoder", "concat", "--task.unit", "token", "--decoder", "tokens", "--decoder.whole", "true"),
    ],
    ids=["slots", "pattern", "spans", "tokens"],
)
def test_data_of_ones_own_is_trained_benched_solved_and_inspected(processes, tiny_folder, tmp_path, more):
    rows = [
        {"prompt": f"Sort: {a} {b}", "answer": f"{min(a, b)} {max(a, b)}", "spans": [[6, 7], [8, 9]]}
        for a in range(10)
        for b in range(10)
    ]
    (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, rows)))
    ended = processes.run(*own_data(tiny_folder, tmp_path / "own.jsonl", tmp_path / "run", *more))
    assert ended.code == 0, ended.err
    assert json.loads((tmp_path / "run" / CONFIG).read_text())["config"]["task"]["train"] == str(tmp_path / "own.jsonl")
    asked = ("--model", tmp_path / "run", "--file", tmp_path / "own.jsonl")
    solved = processes.run("solve", *asked, "--halting", "fixed")
    assert solved.code == 0 and len(solved.out.splitlines()) == 100, solved.err
    shown = processes.run("inspect", *asked, "--num_steps", "1")
    assert shown.code == 0 and shown.out.count("step 1") == 100, shown.err
    bench = (
        "bench",
        "--model",
        tmp_path / "run",
        "--methods",
        '["hybrid"]',
        "--output",
        tmp_path / "bench",
        "--num_latency",
        "1",
    )
    ended = processes.run(*bench)
    assert ended.code == 0 and (tmp_path / "bench" / "report.html").is_file(), ended.err


def test_faults_of_data_stand_one_a_line_and_nothing_is_left(processes, tiny_folder, tmp_path):
    (tmp_path / "own.csv").write_text("prompt,answer\nSort: 2 1,1 2\n,1 2\nSort: 3 1,\n")
    ended = processes.run(*own_data(tiny_folder, tmp_path / "own.csv", tmp_path / "run", "--encoder", "cross_attention"))
    assert ended.code == 2 and ended.out == "" and not (tmp_path / "run").exists()
    count, *lines = ended.err.splitlines()
    assert count == "hybrid: the data has 2 faults:"
    assert [line.partition("own.csv ")[2].partition(":")[0] for line in lines] == ["row 2 (line 3)", "row 3 (line 4)"]


def test_a_file_of_ones_own_needs_no_folder_of_the_hub(tmp_path, processes):
    (tmp_path / "file").write_text("")
    (tmp_path / "own.csv").write_text("prompt,answer\n" + "".join(f"Is {i} odd?,{i % 2}\n" for i in range(30)))
    ended = processes.run(
        *("tasks", "--task", "table", "--task.train", tmp_path / "own.csv"),
        env={"HF_HOME": str(tmp_path / "file" / "no"), "HF_DATASETS_CACHE": str(tmp_path / "file" / "no")},
    )
    assert ended.code == 0 and "odd?" in ended.out, ended.err


@pytest.mark.parametrize(
    "more",
    [
        ("--encoder", "words", "--encoder.path_at_words", "true"),
        ("--encoder", "words", "--encoder.num_thoughts", "0"),
        ("--encoder", "cross_attention"),
        ("--encoder", "segments"),
        ("--task.item", "[0-9]"),
    ],
)
def test_worked_steps_that_no_encoder_can_be_taught_are_refused(processes, tiny_folder, tmp_path, more):
    rows = [{"prompt": f"Sort: {a} 5", "answer": f"5 {a}", "steps": "five then"} for a in range(9)]
    (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, rows)))
    teach = ("--task.trace_column", "steps", "--task.teach_trace", "true", "--dry_run")
    ended = processes.run(*own_data(tiny_folder, tmp_path / "own.jsonl", tmp_path / "run", *teach, *more))
    assert ended.code == 2 and "task.teach_trace teaches worked steps to thoughts" in ended.err, ended
