"""Random small files, names, configs and prompts through the command line: no traceback, codes 0 or 2, and two spellings of
the same data say the same. Not collected by name, as it takes minutes; the same cases at every run:

    FUZZ_EXAMPLES=1000 python -m pytest tests/fuzz/campaign.py
"""

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import runpy
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hybrid
from hybrid.adapters import ENCODERS
from hybrid.cli import main
from hybrid.layout import LayoutConfig

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "30"))
seldom = settings(max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
# A carriage return is a line's end in a CSV and a sign in JSON; halves of surrogate pairs can be written in neither.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=12)
WORDS = st.sampled_from(["yes", "no", "1", "007", " a ", "NA", "null", "é 日本", "<end>", "", "- 1", "true", "1.50"])
CELL = st.one_of(WORDS, TEXT)
ROWS = st.lists(st.fixed_dictionaries({"prompt": CELL, "answer": CELL}), min_size=1, max_size=12)
NAME = st.text(st.sampled_from("ab[]*? é~日'\"$&;#%{}!-"), min_size=1, max_size=8).filter(lambda name: name.strip("."))


TASK = {"kind": "table", "train": "none.csv"}


def ran(*argv, program=None):
    """Run a command, or a program of eval/, in this process; return its code, standard output and standard error."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    with mock.patch.object(sys, "stdout", out), mock.patch.object(sys, "stderr", err):
        if program is None:
            code = main([str(word) for word in argv])
        else:
            with mock.patch.object(sys, "argv", [program, *map(str, argv)]), pytest.raises(SystemExit) as ended:
                runpy.run_module(f"hybrid.eval.{program}", run_name="__main__", alter_sys=True)
            code = ended.value.code
    texts = [stream.flush() or stream.buffer.getvalue().decode() for stream in (out, err)]
    assert code in (0, 2), (argv, code, texts)
    assert code == 0 or texts[1].startswith("hybrid: "), (argv, texts)
    assert "Traceback" not in texts[1], texts[1]
    return code, *texts


def zstd(data):
    import pyarrow

    return bytes(pyarrow.Codec("zstd").compress(data))


PLAIN = ("csv", "tsv", "jsonl", "NDJSON", "json", "pretty.json", "array.jsonl", "data.json", "crlf.csv", "mark.jsonl")
PACKERS = {"": bytes, ".gz": gzip.compress, ".XZ": lzma.compress, ".bz2": bz2.compress, ".zst": zstd}
KINDS = st.lists(st.tuples(st.sampled_from(PLAIN), st.sampled_from(list(PACKERS))), min_size=3, max_size=3, unique=True)


def as_text(kind, rows):
    """Return rows as a table of this kind."""
    if kind.endswith("sv"):
        file = io.StringIO()
        ends = "\r\n" if "crlf" in kind else "\n"
        out = csv.DictWriter(file, rows[0], quoting=csv.QUOTE_ALL, delimiter="\t" if kind == "tsv" else ",", lineterminator=ends)
        out.writeheader()
        out.writerows(rows)
        return file.getvalue()
    if kind in ("json", "array.jsonl", "data.json", "pretty.json"):
        return json.dumps({"data": rows} if "data" in kind else rows, indent=1 if "pretty" in kind else None)
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def spelled(folder, name, rows, kinds):
    """Write rows in these kinds of table; return the files."""
    files = []
    for kind, packed in kinds:
        mark = "utf-8-sig" if kind in ("csv", "mark.jsonl") else "utf-8"
        files.append(folder / f"{name}.{kind}{packed}")
        files[-1].write_bytes(PACKERS[packed](as_text(kind, rows).encode(mark)))
    return files


@pytest.fixture(scope="module")
def head(config, tiny_folder, tmp_path_factory):
    """A folder with an untrained head that reads every token."""
    torch.manual_seed(0)
    encoder = ENCODERS.from_dict("cross_attention")
    folder = tmp_path_factory.mktemp("heads") / "head"
    hybrid.attach(None, replace(config, layout=LayoutConfig(num_answers=2), encoder=encoder, task=TASK)).save_pretrained(folder)
    return folder


@seldom
@given(ROWS, NAME, st.sampled_from(["auto", "word", "character", "whole"]), KINDS)
def test_a_table_says_the_same_in_every_spelling(rows, name, unit, kinds):
    with tempfile.TemporaryDirectory() as folder:
        found = []
        for file in spelled(Path(folder), name, rows, kinds):
            asked = (f"--task.train={file}", "--task.unit", unit, "--num_problems", 1, "--json")
            code, out, _ = ran("tasks", "--task", "table", *asked)
            found.append((code, [{**json.loads(line), "where": ""} for line in out.splitlines()]))
        assert found[0] == found[1] == found[2]


@seldom
@given(CELL.map(lambda text: text.strip("\n").replace("\\", "")), st.sampled_from(["{}", "{}\n", "\ufeff{}\n\n"]), KINDS)
def test_a_prompt_says_the_same_as_an_argument_and_in_files(head, prompt, form, kinds):
    argument = prompt.replace("\n", "\\n")
    if argument.startswith("-") or "\0" in argument:
        return  # A flag, or what no shell hands over.
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "a b[1].txt"
        file.write_text(form.format(prompt), encoding="utf-8", newline="")
        code, out, _ = ran("solve", "--model", head, "--json", argument)
        assert ran("solve", "--model", head, "--json", "--file", file)[:2] == (code, out)
        for table in spelled(Path(folder), "a", [{"prompt": prompt}], kinds):
            there = ran("solve", "--model", head, "--json", "--file", table)
            assert there[0] == code and (code == 2 or there[1] == out)
        assert ran("inspect", "--model", head, "--num_steps", 1, "--file", file)[0] == code


VALUES = st.one_of(WORDS, st.integers(-2, 9), st.booleans(), st.none(), st.lists(WORDS, max_size=3), TEXT)
FIELDS = (
    *(
        "num_train",
        "quiet",
        "init",
        "encoder",
        "decoder",
        "task",
        "reasoner",
        "train",
        "backbone",
        "nonsense",
        "tuner",
        "dry-run",
    ),
    *("train.num_steps", "reasoner.block", "encoder.kind", "block", "train.optimizer.kind", "num-dev"),
)
BELOW = ("kind", "width", "num_steps", "batch_size", "mixed_precision", "layers", "name", "max_seconds", "unit", "symbols")
CONFIGS = st.dictionaries(st.sampled_from(FIELDS), st.one_of(VALUES, st.dictionaries(st.sampled_from(BELOW), VALUES)))


@seldom
@given(CONFIGS, st.booleans())
def test_a_config_is_taken_or_refused_in_one_line(tiny_folder, fields, plain):
    import yaml

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "a.yaml"
        file.write_text(yaml.safe_dump(fields, allow_unicode=True, default_flow_style=plain), encoding="utf-8")
        small = (
            "--task",
            "sort",
            "--task.length",
            2,
            "--reasoner.width",
            16,
            "--backbone.name",
            tiny_folder,
            "--train.num_steps",
            1,
        )
        ran("train", "--config", file, "--dry_run", "--quiet", "--output", Path(folder) / "run", *small)
        assert not (Path(folder) / "run").exists()


FLAGS = st.sampled_from(
    [
        *(
            "--task",
            "--encoder",
            "--reasoner.block",
            "--block",
            "--task.length",
            "--num_dev",
            "--quiet",
            "--train.seed",
            "--init",
        ),
        *("--num-train", "--tuner", "--halting", "--file", "--model", "--json", "--strict", "--num_steps", "--precision", "--"),
        *("--search.num_trajectories", "--train.max_seconds", "--backbone.layers", "--num_problems", "--split", "--retry", "-x"),
    ]
)
GIVEN = st.one_of(
    WORDS, st.integers(-1, 3).map(str), st.sampled_from(["sort", "words", "mlp", "[0]", "{}", "nan", "dev", "lora"])
)


@seldom
@given(st.sampled_from(["train", "tasks", "solve", "inspect", "layers"]), st.lists(st.one_of(FLAGS, GIVEN), max_size=5))
def test_flags_are_taken_or_refused_in_one_line(head, tiny_folder, tmp_path_factory, command, words):
    folder = tmp_path_factory.mktemp("flags")
    own = {
        "train": ("--dry_run", "--quiet", "--output", folder / "run", "--backbone.name", tiny_folder, "--train.num_steps", 1),
        "layers": ("--backbone.name", tiny_folder, "--num_train", 20, "--num_dev", 2),
        "tasks": (),
    }
    if any(word.startswith("-h") for word in words):
        return
    with mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"3 1 2"))):
        ran(command, *own.get(command, ("--model", head)), *words)


SUFFIXES = [
    ".csv",
    ".tsv",
    ".jsonl",
    ".json",
    ".txt",
    ".parquet",
    ".arrow",
    ".csv.gz",
    ".jsonl.xz",
    ".json.zst",
    ".txt.gz",
    ".yaml",
]
BYTES = st.one_of(
    st.binary(max_size=40), TEXT.map(str.encode), st.text('[]{}",:\n\t 1ab', max_size=30).map(str.encode), CELL.map(str.encode)
)


@seldom
@given(BYTES, st.sampled_from(SUFFIXES), st.booleans())
def test_a_file_of_any_bytes_is_read_or_refused_in_one_line(head, data, suffix, packed):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"a{suffix}"
        end = f".{suffix.rpartition('.')[2]}"
        file.write_bytes(PACKERS.get(".XZ" if end == ".xz" else end, bytes)(data) if packed else data)
        ran("tasks", "--task", "table", f"--task.train={file}")
        ran("solve", "--model", head, "--file", file)
        ran("tasks", "--config", file)
        for task, name in (("gsm8k", "train"), ("maze", "file"), ("logic", "file")):
            ran("tasks", "--task", task, f"--task.{name}={file}")
        for program, flag in (("babi", "rows"), ("clutrr", "rows"), ("prosqa", "names")):
            ran(f"--{flag}={file}", f"--output={folder}/out.jsonl", *(["--rows=1"] if flag == "names" else []), program=program)
        ran("import-checkpoint", file, f"{folder}/head")
