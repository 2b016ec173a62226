"""Prompts in files: every format that training reads, and a bad row harms no other."""

import csv
import gzip
import io
import json
import lzma
import sys
from dataclasses import replace

import pytest
import torch

import hybrid
from hybrid import console
from hybrid.cli import main
from hybrid.console import json_line
from hybrid.eval.tasks import Sort

TASK = Sort(Sort.Config(length=3))
PROMPTS = [problem.prompt for problem in TASK.problems("test", 4)]


@pytest.fixture(scope="module")
def head(sorter_folder):
    """A folder with an untrained head for lists of three digits."""
    return str(sorter_folder)


@pytest.fixture(scope="module")
def reader(config, tiny_folder, tmp_path_factory):
    """The same with an encoder that reads every token, for a table with prompts in the column `question`."""
    from hybrid.adapters import ENCODERS
    from hybrid.layout import LayoutConfig

    torch.manual_seed(0)
    task = {"kind": "table", "train": "none.csv", "prompt_column": "question"}
    encoder = ENCODERS.from_dict("cross_attention")
    made = replace(config, layout=LayoutConfig(num_answers=2), encoder=encoder, task=task)
    folder = tmp_path_factory.mktemp("heads") / "reader"
    hybrid.attach(None, made).save_pretrained(folder)
    return str(folder)


def write(path, rows):
    """Write rows in the format that the file's name asks for."""
    import pyarrow
    import pyarrow.parquet

    name = path.name.lower()
    if ".csv" in name or ".tsv" in name:
        with gzip.open(path, "wt") if name.endswith(".gz") else path.open("w") as file:
            out = csv.DictWriter(file, rows[0], delimiter="\t" if ".tsv" in name else ",")
            out.writeheader()
            out.writerows(rows)
    elif name.endswith(".parquet"):
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif name.endswith(".json"):
        path.write_text(json.dumps(rows))
    else:
        mark = "\ufeff" if "mark" in name else ""
        path.write_text(mark + "\n\n".join(map(json.dumps, rows)) + "\r\n", encoding="utf-8")
    return str(path)


def solved(capsys, head, *more):
    """Return code, lines of standard output and lines of standard error."""
    code = main(["solve", "--model", head, *more])
    told = capsys.readouterr()
    return code, told.out.splitlines(), told.err.splitlines()


def test_every_format_that_trains_is_solved_and_gives_the_same_answers(head, tmp_path, capsys):
    rows = [{"prompt": prompt, "more": number} for number, prompt in enumerate(PROMPTS)]
    expected = [solution.text for solution in hybrid.HybridModel.from_pretrained(head).solve(PROMPTS)]
    for name in ("a.jsonl", "A.JSONL", "a.ndjson", "mark.jsonl", "a.json", "a.csv", "a.CSV.gz", "a.tsv", "a.parquet"):
        code, out, _ = solved(capsys, head, "--file", write(tmp_path / name, rows), "--batch_size", "3")
        assert (code, out) == (0, expected), name


def test_a_folder_of_save_to_disk_is_solved_as_it_is_trained_on(head, tmp_path, capsys):
    import datasets

    datasets.Dataset.from_list([{"prompt": prompt} for prompt in PROMPTS]).save_to_disk(tmp_path / "set [1]")
    expected = [solution.text for solution in hybrid.HybridModel.from_pretrained(head).solve(PROMPTS)]
    assert solved(capsys, head, "--file", str(tmp_path / "set [1]"))[:2] == (0, expected)
    code, out, err = solved(capsys, head, "--file", str(tmp_path))
    assert (code, out, len(err)) == (2, [], 1) and f"{tmp_path} is a folder that save_to_disk did not write" in err[0]


@pytest.mark.parametrize("name", ["a.txt.gz", "a.GZ", "a.txt.xz", "a.txt.zst"])
def test_a_packed_text_is_a_prompt_too(head, tmp_path, capsys, name):
    import pyarrow

    packers = {"gz": gzip.compress, "xz": lzma.compress, "zst": pyarrow.Codec("zstd").compress}
    packed = bytes(packers[name.rpartition(".")[2].lower()](PROMPTS[0].encode() + b"\r\n"))
    (tmp_path / name).write_bytes(packed)
    assert solved(capsys, head, "--file", str(tmp_path / name))[:2] == solved(capsys, head, PROMPTS[0])[:2]
    (tmp_path / name).write_bytes(packed[:-9])
    code, out, err = solved(capsys, head, "--file", str(tmp_path / name))
    assert (code, out, len(err)) == (2, [], 1) and "cannot be read: " in err[0]


def test_a_prompt_is_shown_as_it_is_and_nothing_in_it_is_a_style(reader, capsys):
    prompt = "[bold]3[/] :smile: [/x] [link=a]"
    assert main(["inspect", "--model", reader, prompt, "--num_steps", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == prompt


def test_fewer_than_no_retries_are_refused(head, capsys):
    code, _, err = solved(capsys, head, PROMPTS[0], "--retry", "-1")
    assert code == 2 and err == ["hybrid: retry is -1; give at least 0"]


def test_prompts_stand_in_the_column_of_the_head_or_in_prompt(reader, tmp_path, capsys):
    found = [
        solved(capsys, reader, "--file", write(tmp_path / f"{name}.csv", [{name: "3 1 2"}]))[:2]
        for name in ("question", "prompt")
    ]
    assert found[0] == found[1] and found[0][0] == 0 and len(found[0][1]) == 1
    code, out, err = solved(capsys, reader, "--file", write(tmp_path / "x.csv", [{"text": "3 1 2"}]))
    assert (code, out, len(err)) == (2, [], 1) and 'has no column "question"; choose from its columns: text' in err[0]


def test_a_row_that_cannot_be_answered_is_named_and_the_others_are_answered(head, tmp_path, capsys):
    long = PROMPTS[0] + " long" * 200
    lines = [
        *(json.dumps({"prompt": prompt}) for prompt in (PROMPTS[0], "no numbers", PROMPTS[1], long, "", 3)),
        *('{"text": "b"}', '{"prompt": ', "[1]", '{"prompt": "a", "spans": [1]}'),
    ]
    file = tmp_path / "a.jsonl"
    file.write_bytes("\n".join(lines).encode() + b'\n{"prompt": "\xff"}\n')
    code, out, err = solved(capsys, head, "--file", str(file))
    assert code == 2 and len(out) == 11 and [bool(line) for line in out] == [True, False, True] + [False] * 8
    said = [line for line in err if "breaks a rule" not in line]
    for row, message in enumerate(
        (
            *("this head sorts 3 numbers", "the context of", '"prompt" is empty', '"prompt" is 3 of type int', 'has no "prompt"'),
            *("is no JSON", "is '[1]'", '"spans" holds 1', '"prompt" holds bytes that are no UTF-8'),
        )
    ):
        number = (2, 4, 5, 6, 7, 8, 9, 10, 11)[row]
        assert said[row].startswith(f"hybrid: {file} row {number} (line {number}): ") and message in said[row], said[row]
    assert said[-1].startswith("hybrid: 9 of 11 prompts got no answer")
    code, out, err = solved(capsys, head, "--file", str(file), "--json")
    found = [json.loads(line) for line in out]
    assert code == 2 and [("error" in each) for each in found] == [False, True, False] + [True] * 8
    assert found[1]["where"] == "row 2 (line 2)" and "this head sorts" in found[1]["error"]
    code, out, err = solved(capsys, head, "--file", str(file), "--strict")
    assert code == 2 and len(out) == 1 and "row 2 (line 2): this head sorts" in err[-1]


def test_inspect_goes_on_behind_a_bad_row_too(head, tmp_path, capsys):
    file = write(tmp_path / "a.jsonl", [{"prompt": "no numbers"}, {"prompt": PROMPTS[0]}])
    assert main(["inspect", "--model", head, "--file", file, "--num_steps", "1"]) == 2
    told = capsys.readouterr()
    assert told.out.count("step 1") == 1 and "row 1 (line 1): this head sorts" in told.err and "1 of 2 prompts" in told.err


@pytest.mark.parametrize("form", ["{}\n", "{}\r\n", "\ufeff{}", "\ufeff{}\n\n"])
def test_a_text_file_says_what_the_same_text_says_as_an_argument(head, reader, tmp_path, capsys, form):
    for folder, text in ((reader, "Sort these:\n3 1 2"), (head, PROMPTS[0])):
        lines = text.replace("\n", "\r\n") if "\r" in form else text
        (tmp_path / "a.txt").write_bytes(form.format(lines).encode())
        asked = (["--file", str(tmp_path / "a.txt")], [text.replace("\n", "\\n")])
        found = [solved(capsys, folder, *words, "--json", "--num_steps", "3")[1] for words in asked]
        assert found[0] == found[1] and len(found[0]) == 1


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_console_of_few_signs_gets_marks_and_one_line(head, monkeypatch, capsys, encoding):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    assert main(["inspect", "--model", head, PROMPTS[0] + " 日本 🙂", "--num_steps", "1"]) == 0
    sys.stdout.flush()
    out, err = written.getvalue().decode(encoding), capsys.readouterr().err
    assert "?? ?" in out and "step 1" in out
    assert err.splitlines()[-1] == f"hybrid: {console.lost()}"
    if encoding == "cp1252":  # Also the list of commands and a task's own drawing.
        assert main(["--help"]) == main(["tasks", "maze"]) == 0


def test_an_output_that_takes_no_more_is_one_line(processes, head):
    asked = ("--task", "sort", "--num_problems", "50", "--json")
    found = processes.run("tasks", *asked, file_bytes=1000)
    assert found.code == 2 and found.err == "hybrid: cannot write: File too large; free some space, or write elsewhere\n"


def test_a_standard_input_that_is_closed_is_one_line(head, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    code, _, err = solved(capsys, head)
    assert code == 2 and err == ["hybrid: there is no standard input to read a prompt from; give it as an argument, or --file"]


def test_a_broken_first_row_does_not_choose_the_column(reader, tmp_path, capsys):
    file = tmp_path / "a.jsonl"
    file.write_text('[1]\n{"prompt": "3 1 2"}\n')
    code, out, err = solved(capsys, reader, "--file", str(file))
    assert code == 2 and out[1] and "row 1 (line 1): is '[1]'" in err[0] and "1 of 2 prompts" in err[1]


def test_json_is_valid_whatever_the_numbers_and_the_console(monkeypatch):
    value = {"a": float("nan"), "b": (1.5, float("inf")), "c": "é🙂"}
    assert json_line(value) == '{"a": null, "b": [1.5, null], "c": "é🙂"}'
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="cp1252"))
    assert json_line(value).isascii() and json.loads(json_line(value))["c"] == "é🙂"


def test_json_stays_on_one_line_whatever_ends_a_line(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
    value = {"prompt": "a\x85b\u2028c\u2029d\x0b\x0c\x1c\r\né"}
    line = json_line(value)
    assert len(line.splitlines()) == 1 and json.loads(line) == value and "é" in line


@pytest.mark.parametrize("command", ["tasks", "train", "solve", "bench", "inspect", "import-checkpoint"])
def test_a_tilde_behind_an_equals_sign_is_the_home_folder(command, head, tiny_folder, monkeypatch, tmp_path, capsys):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    write(home / "f.jsonl", [{"prompt": prompt, "answer": "1 2 3"} for prompt in PROMPTS])
    others = [problem.prompt for problem in TASK.problems("dev", 2)]
    write(home / "g.jsonl", [{"prompt": prompt, "answer": "1 2 3"} for prompt in others])
    (home / "head").symlink_to(head)
    small = ["--reasoner.width=16", f"--backbone.name={tiny_folder}", "--train.num_steps=1", "--num_train=3", "--num_dev=1"]
    words = {
        "tasks": ["--task", "table", "--task.train=~/f.jsonl"],
        "train": ["--task", "table", "--task.train=~/f.jsonl", "--task.dev=~/g.jsonl", "--output=~/run", "--quiet", *small],
        "solve": ["--model=~/head", "--file=~/f.jsonl"],
        "bench": ["--model=~/head", "--output=~/bench", "--num_problems=1", "--methods=[hybrid]"],
        "inspect": ["--model=~/head", "--file=~/f.jsonl", "--plots=~/plots", "--num_problems=2"],
        "import-checkpoint": ["~/none.pt", "~/made"],
    }[command]
    code = main([command, *words])
    told = capsys.readouterr()
    assert not list(tmp_path.rglob("~*")), told
    if command == "import-checkpoint":
        assert code == 2 and str(home / "none.pt") in told.err
    else:
        assert code == 0, told.err
    made = {"train": "run", "bench": "bench", "inspect": "plots"}.get(command)
    assert made is None or (home / made).is_dir()
