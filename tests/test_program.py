"""The programs of eval/: a user's mistake is one line and exit code 2, and a `~` in front of a path is the home folder."""

import gzip
import json

import pytest

from hybrid.eval.prosqa import main as prosqa

STORY = "1 Mary left.\n2 Where is Mary? \tout\t1\n"
CLUTRR = {
    "story": "[Ann] and her son [Tim] ate.",
    "query": "('Ann', 'Tim')",
    "target": "son",
    "proof_state": "[]",
    "genders": "Ann:female,Tim:male",
    "story_edges": "[(0, 1)]",
    "edge_types": "['son']",
    "task_name": "task_1.1",
}
PROSQA = [{"question": "Every apus is a bpus. Tom is a apus. Is Tom a bpus or cpus?", "answer": "Tom is a bpus."}]


def csv_of(row):
    return ",".join(row) + "\n" + ",".join(f'"{cell}"' for cell in row.values()) + "\n"


@pytest.fixture
def started(processes, tmp_path):
    """Runs `python -m hybrid.eval.NAME ARGV` in a folder of its own, which is the home folder too."""

    def run(name, *argv):
        words = [name, *map(str, argv)]
        code = f"import runpy, sys\nsys.argv = {words!r}\nrunpy.run_module('hybrid.eval.{name}', run_name='__main__', alter_sys=True)"
        return processes.run(code=code, cwd=tmp_path, env={"HOME": str(tmp_path)})

    return run


WRITES = ("--output", "out.jsonl")


@pytest.mark.parametrize(
    ("name", "argv", "message"),
    [
        ("babi", ("--rows", "none.txt", *WRITES), "none.txt cannot be read: No such file"),
        ("babi", ("--rows", "none*.txt", *WRITES), "names no file"),
        ("babi", ("--rows", "cut.txt.gz", *WRITES), "cut.txt.gz cannot be read: "),
        ("babi", ("--rows", "bad.json", *WRITES), "no line of bAbI"),
        ("babi", ("--rows", "latin_story.txt", *WRITES), "line 1: '1 Zo\ufffd left.' is no line of bAbI"),
        ("babi", ("--rows", "blank.txt", *WRITES), "line 2: '2 Where?"),
        ("babi", ("--rows", "story.txt", "--output", ""), "--output: is empty; give a path"),
        ("babi", ("--rows", "story.txt", "--output", "story.txt/out.jsonl"), "cannot write story.txt/out.jsonl"),
        ("clutrr", ("--rows", "none.csv", *WRITES), "none.csv is not there"),
        ("clutrr", ("--rows", "other.csv", *WRITES), 'has no column "'),
        ("prosqa", ("--names", "none.json", *WRITES), "none.json cannot be read: No such file"),
        ("prosqa", ("--names", "bad.json", *WRITES), "bad.json is no JSON"),
        (
            "prosqa",
            ("--names", "other.json", *WRITES),
            "row 1: 'Who am I?' ends with no question that is known; give one such as",
        ),
        ("prosqa", ("--names", "cut.txt.gz", *WRITES), "cut.txt.gz cannot be read: "),
        ("prosqa", ("--names", "bad.json", "--rows", "-1", *WRITES), "--rows: is -1; give a whole number of at least 1"),
        ("load", ("--requests", "1"), "requests is 1; give at least 10"),
        ("load", ("--url", "http://127.0.0.1:9", "--requests", "10"), "see whether the server runs"),
        ("load", ("--url", "nonsense", "--requests", "10"), "see whether the server runs"),
        ("reliability", ("--model", "none"), "holds no config.json"),
        ("reliability", ("--model", "none", "--settings", "[1]"), "settings is '[1]'; give a JSON object"),
        ("reliability", ("--model", "none", "--num_problems", "0"), "num_problems is 0"),
        ("other_texts", ("--model", "none", "--texts", "none.txt"), "cannot read none.txt"),
        ("other_texts", ("--model", "none", "--texts", "story.txt"), "holds no config.json"),
        ("other_texts", ("--model", "none", "--texts", "latin.txt"), "is not UTF-8"),
        ("other_texts", ("--model", "none", "--texts", "story.txt", "--count", "0"), "--count: is 0"),
        ("memory", ("--cycles", "0"), "--cycles: is 0"),
        ("writing_cost", ("--backbone", "./none", "--tokens", "3"), "/none is not there"),
        ("writing_cost", ("--tokens", "0"), "--tokens: is 0"),
        ("writing_cost", (), "give --steps, --tokens or both"),
        ("harness_tasks", ("--task", "sort", "--output", "story.txt/x"), "cannot write story.txt/x"),
        ("ladder", ("--until", "nan", "--output", "x"), "--until: is nan; give a positive number of seconds"),
        (
            "ladder",
            ("--until", "9", "--rungs", "sudoku", "--small", "--sudoku", "none.csv", "--output", "x"),
            "none.csv is not there",
        ),
        ("speed", ("--dtype", "float99"), "--dtype: invalid choice"),
        ("results", ("none.json",), "cannot read none.json"),
        ("report", ("none",), "none"),
        ("wordings", ("bad.json",), "bad.json"),
    ],
)
def test_a_wrong_argument_of_a_program_is_one_line_and_code_two(started, tmp_path, name, argv, message):
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "other.json").write_text('[{"question": "Who am I?", "answer": "x"}]')
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    (tmp_path / "story.txt").write_text(STORY)
    (tmp_path / "latin_story.txt").write_bytes(STORY.replace("Mary", "Zo\xe9").encode("latin-1"))
    (tmp_path / "blank.txt").write_text("1 Mary left.\n2 Where? \t \t1\n")
    (tmp_path / "other.csv").write_text("prompt,answer\na,b\n")
    (tmp_path / "cut.txt.gz").write_bytes(gzip.compress(STORY.encode() * 99)[:-20])
    ended = started(name, *argv)
    assert ended.code == 2 and "Traceback" not in ended.err, ended
    assert message in ended.err and not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize("name", ["babi", "clutrr", "prosqa"])
def test_a_tilde_and_brackets_are_read_as_the_command_reads_them(started, tmp_path, name):
    for folder in ("data[1]", "data1"):
        (tmp_path / folder).mkdir()
    texts = {"babi": STORY, "clutrr": csv_of(CLUTRR), "prosqa": json.dumps(PROSQA)}
    (tmp_path / "data[1]" / "own é.csv").write_text(texts[name])
    (tmp_path / "data1" / "own é.csv").write_text("another file")
    flag = "--names" if name == "prosqa" else "--rows"
    more = ("--rows", "1", "--own=~/own.jsonl") if name == "prosqa" else ()
    ended = started(name, f"{flag}=~/data[1]/own é.csv", "--output=~/out.jsonl", *more)
    if name == "prosqa":  # The file is read; it has too few names to draw from.
        assert ended.code == 2 and "names, the file has 1: Tom" in ended.err
    else:
        assert ended.code == 0 and len((tmp_path / "out.jsonl").read_text().splitlines()) == 1, ended.err


def test_a_count_below_one_is_refused_before_anything_is_read(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["prosqa", "--names", "x", "--output", "y", "--rows", "some"])
    with pytest.raises(SystemExit) as ended:
        prosqa()
    assert ended.value.code == 2 and "give a whole number of at least 1" in capsys.readouterr().err
