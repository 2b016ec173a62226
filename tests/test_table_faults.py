"""Data of one's own that cannot be used: every fault is told with its file and row."""

import gzip
import json

import pytest

from hybrid.errors import DataError, InputError
from hybrid.eval.tasks.table import Table
from hybrid.eval.tasks.table.source import records

FLIPPED = gzip.compress(b"prompt,answer\n" + b"a,1\n" * 500, mtime=0)
FLIPPED = FLIPPED[:10] + b"\xff\xff" + FLIPPED[12:]


def write(path, rows):
    """Write rows in the format that the file's name asks for."""
    import pandas

    if ".csv" in path.name:
        pandas.DataFrame(rows).to_csv(path, index=False)
    elif ".parquet" in path.name:
        pandas.DataFrame(rows).to_parquet(path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def faults(path, content, **settings):
    """Return the lines of the error that a file's content gives."""
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        write(path, content)
    with pytest.raises(DataError) as error:
        Table(Table.Config(train=str(path), **settings)).problems("train", 1)
    return str(error.value).replace(str(path.parent) + "/", "").splitlines()


@pytest.mark.parametrize(
    ("source", "content", "message"),
    [
        ("none.csv", None, "none.csv is not there; give the path"),
        ("a.xlsx", b"x", 'a.xlsx is of no known kind (".xlsx"); give one of: .csv'),
        ("a", b"x", 'a is of no known kind ("")'),
        ("empty.csv", b"", "empty.csv holds no rows"),
        ("header.csv", b"prompt,answer\n", "header.csv holds no rows"),
        ("empty.jsonl", b"\n\n", "empty.jsonl holds no rows"),
        ("no.csv", b"question,answer\na,1\n", 'no.csv has no column "prompt"; choose from its columns: question, answer'),
        ("no.parquet", [{"prompt": "a"}], 'no.parquet has no column "answer"; choose from its columns: prompt'),
        ("twice.csv", b"prompt,answer,answer\na,1,2\n", 'twice.csv has 2 columns "answer"'),
        ("semicolons.csv", b"prompt;answer\na;1\n", "semicolons.csv has ';' between its cells; write ',' there"),
        ("tabs.csv", b"answer\tprompt\na\t1\n", "tabs.csv has '\\t' between its cells; write ',' there"),
        ("commas.tsv", b'"prompt,answer"\n"a,1"\n', "commas.tsv has ',' between its cells; write '\\t' there"),
        ("empty.json", b"", "empty.json holds no rows"),
        ("quote.csv", b'"prompt,answer\n', "has no readable first line"),
        ("bad.parquet", b"PAR1 nonsense", "bad.parquet cannot be read: "),
        ("bad.csv.gz", b"\x1f\x8bnonsense", "bad.csv.gz cannot be read: "),
        ("flipped.csv.gz", FLIPPED, "flipped.csv.gz cannot be read: "),
    ],
)
def test_a_source_that_cannot_be_read_is_named(tmp_path, source, content, message, capfd):
    if content is None:
        with pytest.raises(DataError, match="none.csv is not there"):
            Table(Table.Config(train=str(tmp_path / source))).problems("train", 1)
        return
    (line,) = faults(tmp_path / source, content)
    assert message in line and capfd.readouterr().err == ""


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_a_column_that_stands_twice_is_named_in_every_kind_of_file(tmp_path, name):
    import pyarrow
    import pyarrow.parquet

    cells = [pyarrow.array(column) for column in (["x", "y"], ["1", "2"], ["3", "4"])]
    table = pyarrow.Table.from_arrays(cells, names=["prompt", "answer", "answer"])
    if name == "a.parquet":
        pyarrow.parquet.write_table(table, tmp_path / name)
    else:
        with pyarrow.ipc.new_file(str(tmp_path / name), table.schema) as out:
            out.write_table(table)
    with pytest.raises(InputError, match='has 2 columns "answer"; rename or drop all but one'):
        list(records(str(tmp_path / name), ["prompt", "answer"]))


@pytest.mark.parametrize("name", ["s3://bucket/a.csv", "https://localhost/a.csv.gz"])
def test_an_address_that_needs_a_further_package_says_so(name, monkeypatch):
    import fsspec

    def missing(*_, **__):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec, "open", missing)
    with pytest.raises(InputError, match="cannot be read: Install s3fs .*; install what is missing, or fetch the file"):
        list(records(name, ["prompt"]))


def test_a_folder_that_is_no_data_set_is_told_how_its_files_are_named(tmp_path):
    write(tmp_path / "part-0.parquet", [{"prompt": "a", "answer": "1"}])
    with pytest.raises(InputError, match=r"is a folder that save_to_disk did not write; name the files in it: '.*/\*.parquet'"):
        list(records(str(tmp_path), ["prompt", "answer"]))


@pytest.mark.parametrize("again", ["prompt,answer", "\ufeffprompt, answer"])
def test_the_names_of_columns_again_between_rows_are_no_row(tmp_path, again):
    content = f"prompt,answer\nIs 3 odd?,yes\n{again}\nIs 4 odd?,no\n".encode()
    said = "a.csv row 2 (line 3): repeats the names of the columns, as files put together do; drop it"
    assert faults(tmp_path / "a.csv", content) == [said]


@pytest.mark.parametrize(
    ("one", "other"), [("é", "e\u0301"), ("yes", "yes\u200b"), ("New York", "New\u00a0York"), ("New York", "New  York")]
)
def test_answers_that_only_look_alike_are_told(tmp_path, one, other):
    rows = [{"prompt": "a", "answer": one}, {"prompt": "b", "answer": other}, {"prompt": "c", "answer": "no"}]
    (line,) = faults(tmp_path / "a.jsonl", rows, unit="whole")
    assert (
        line.endswith("are two symbols and look alike; write both the same way")
        and ascii(other).replace("  ", r"\x20\x20") in line
    )


def test_a_parquet_file_damaged_in_the_middle_is_named_with_the_last_good_row(tmp_path):
    import pyarrow
    import pyarrow.parquet

    path = tmp_path / "a.parquet"
    rows = {"prompt": [f"prompt {i}" for i in range(5000)], "answer": ["1", "2"] * 2500}
    pyarrow.parquet.write_table(pyarrow.table(rows), path, row_group_size=2500, compression="gzip")
    place = pyarrow.parquet.ParquetFile(path).metadata.row_group(1).column(0)
    data = bytearray(path.read_bytes())
    start = place.dictionary_page_offset or place.data_page_offset
    data[start : start + 2000] = b"\xff" * 2000
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"a.parquet cannot be read behind row 2\d00: "):
        list(records(str(path), ["prompt"]))


# Rows. Each kind of fault stands in row 2, the others are good.

GOOD = {"prompt": "Is 3 odd?", "answer": "yes"}
NO = {"prompt": "Is 4 odd?", "answer": "no"}
PLACES = {"prompt": "Sort: 2 1", "answer": "1 2", "places": [[6, 7], [8, 9]]}
SPANS = {"spans_column": "places"}


@pytest.mark.parametrize(
    ("bad", "settings", "message"),
    [
        ({"prompt": None}, {}, '"prompt" is missing (null)'),
        ({"prompt": ""}, {}, '"prompt" is empty'),
        ({"prompt": " \n\t"}, {}, '"prompt" is empty'),
        ({"prompt": 3}, {}, '"prompt" is 3 of type int; it must be text'),
        ({"prompt": ["a"]}, {}, "of type list; it must be text"),
        ({"prompt": "a\0b"}, {}, '"prompt" holds a NUL character at character 1'),
        ({"prompt": "\ud800"}, {}, '"prompt" holds half of a surrogate pair'),
        ({"answer": None}, {}, '"answer" is missing (null)'),
        ({"answer": ""}, {}, '"answer" is empty'),
        ({"answer": "  "}, {}, '"answer" is empty'),
        ({"answer": []}, {}, '"answer" is empty'),
        ({"answer": 1.5}, {}, '"answer" is 1.5 of type float; give text, a whole number'),
        ({"answer": {"text": "yes"}}, {}, "of type dict; give text"),
        ({"answer": [["yes"]]}, {}, "of type list; give text"),
        ({"answer": ["yes", None]}, {}, '"answer" is missing (null)'),
        ({"answer": ["yes"]}, {"unit": "token"}, '"answer" is a list; with table.unit token it must be text'),
        ({"answer": "yes,,no"}, {"separator": ","}, "has the symbol '', which no answer may hold"),
        ({"answer": "yes <end>"}, {}, "has the symbol '<end>', which no answer may hold"),
        ({"answer": "maybe"}, {"symbols": ("yes", "no")}, "has the symbol 'maybe', not in table.symbols: yes, no"),
        ({"answer": "yes no yes"}, {"num_answers": 2}, "the answer has 3 symbols, table.num_answers is 2; raise it"),
        ({"answer": "yes no"}, {"item": "[0-9]"}, "table.item finds 1 places in the prompt for 2 answer symbols"),
        ({"prompt": "Is 3 odd?", "answer": "no"}, {}, "the prompt of row 1 with another answer"),
        ({"prompt": " Is 3  odd?\n", "answer": "no"}, {}, "the prompt of row 1 with another answer"),
    ],
)
def test_a_bad_row_is_named_and_said_what_is_wrong(tmp_path, bad, settings, message):
    (line,) = faults(tmp_path / "a.jsonl", [GOOD, NO | bad, {"prompt": "Is 5 odd?", "answer": "yes"}], **settings)
    assert line.startswith("a.jsonl row 2") and message in line and ("; " in line or "outside" in line or "holds" in line)


@pytest.mark.parametrize(
    ("places", "message"),
    [
        (None, '"places" is None; give a list'),
        ([], '"places" is []; give a list'),
        ("6 to 7", "'6 to 7'; give JSON such as [[0, 4], [7, 9]]"),
        ([6, 7], '"places" holds 6; give pairs of whole numbers'),
        ([[6, 7, 8], [8, 9]], '"places" holds [6, 7, 8]; give pairs'),
        ([[6.0, 7.5], [8, 9]], "give pairs of whole numbers"),
        ([["6", "7"], [8, 9]], "give pairs of whole numbers"),
        ([[7, 6], [8, 9]], '"places" holds [7, 6], which is empty'),
        ([[6, 6], [8, 9]], '"places" holds [6, 6], which is empty'),
        ([[-2, 1], [8, 9]], '"places" holds [-2, 1], outside the prompt of 9 characters'),
        ([[6, 7], [8, 10]], '"places" holds [8, 10], outside the prompt of 9 characters'),
        ([[6, 7]], '"places" has 1 spans for 2 answer symbols'),
    ],
)
def test_bad_spans_are_named(tmp_path, places, message):
    rows = [PLACES, PLACES | {"prompt": "Sort: 3 1", "places": places}]
    (line,) = faults(tmp_path / "a.jsonl", rows, **SPANS)
    assert line.startswith("a.jsonl row 2 (line 2): ") and message in line


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"prompt": "a", "answer": "1"}\n{"prompt": \n', "a.jsonl row 2 (line 2): is no JSON"),
        ("a.jsonl", b'{"prompt": "a", "answer": "1"}\n\n[1]\n', "a.jsonl row 2 (line 3): is '[1]'; give one JSON object"),
        ("a.jsonl", b'{"prompt": "a", "answer": "1"}\n{"prompt": "b"}', 'row 2 (line 2): has no "answer"; it has: prompt'),
        ("a.jsonl", b'{"prompt": "a", "answer": "1"}\n{"prompt": "\xff", "answer": "2"}', 'row 2 (line 2): "prompt" holds bytes'),
        ("a.jsonl", b"[" * 100_000, "a.jsonl row 1 (line 1): is no JSON"),
        ("a.csv", b"prompt,answer\na,1\nb,2,3\n", "a.csv row 2 (line 3): has 3 cells where the header has 2"),
        ("a.csv", b"prompt,answer\na,1\nb\n", "a.csv row 2 (line 3): has 1 cells where the header has 2"),
        ("a.csv", b'prompt,answer\na,1\n"b" c,2\n', "a.csv row 2 (line 3): is no CSV"),
        ("a.csv", b'prompt,answer\na,1\n"b,2\nc,3\n', "is no CSV (unexpected end of data)"),
        ("a.csv", b"prompt,answer\na,1\n\xe9,2\n", 'a.csv row 2 (line 3): "prompt" holds bytes that are no UTF-8'),
    ],
)
def test_a_broken_row_of_text_is_named_with_its_line(tmp_path, name, content, message):
    (line,) = faults(tmp_path / name, content)
    assert message in line


def test_all_faults_are_told_at_once_and_good_rows_between_them_are_read(tmp_path):
    lines = faults(tmp_path / "a.csv", b"prompt,answer\n,1\nb,\nc,3\nd,4,5\nc,5\n")
    assert lines[0] == "the data has 4 faults:"
    assert [line.split(":")[0] for line in lines[1:]] == [
        *("a.csv row 1 (line 2)", "a.csv row 2 (line 3)", "a.csv row 4 (line 5)", "a.csv row 5")
    ]


def test_answers_that_are_no_vocabulary_are_refused(tmp_path):
    same = [{"prompt": f"{i}?", "answer": "1"} for i in range(4)]
    assert "all answers are '1'" in faults(tmp_path / "a.csv", same)[0]
    free = [{"prompt": f"{i}?", "answer": f"answer {i}"} for i in range(10_001)]
    assert (
        "more than 10,000 different symbols by table.unit whole; choose character, or token"
        in faults(tmp_path / "b.parquet", free, unit="whole")[0]
    )


MORE, LAST = ({"prompt": f"Is {i} odd?", "answer": "yes"} for i in (5, 7))


def test_a_training_row_that_stands_in_another_split_is_named_with_its_twin(tmp_path):
    write(tmp_path / "dev.csv", [GOOD, NO, MORE])
    lines = faults(tmp_path / "train.csv", [NO, MORE, LAST], dev=str(tmp_path / "dev.csv"))
    assert lines[1].startswith("train.csv row 1: its prompt stands in") and "dev.csv row 2 too" in lines[1]
    assert lines[2].startswith("train.csv row 2: ") and "dev.csv row 3" in lines[2] and len(lines) == 3


def test_duplicates_are_dropped_where_that_is_asked_for_and_counted(tmp_path):
    from collections import Counter

    train = [{"prompt": f"Is {i} odd?", "answer": ("no", "yes")[i % 2]} for i in range(20)]
    dev = [train[3], {"prompt": "Is 50 odd?", "answer": "no"}]
    paths = (
        write(tmp_path / "train.jsonl", [*train, {"prompt": "Is 4 odd?", "answer": "yes"}]),
        write(tmp_path / "dev.jsonl", dev),
    )
    with pytest.raises(DataError, match="stands in"):
        Table(Table.Config(*paths)).problems("train")
    task = Table(Table.Config(*paths, duplicates="drop"))
    with pytest.warns(UserWarning, match="dropped") as told:
        kept = Counter(problem.prompt for split in ("train", "test") for problem in task.problems(split))
    said = " ".join(str(each.message) for each in told)
    assert "train.jsonl: 1 prompts stand in another split" in said and "1 rows repeat a prompt" in said
    assert set(kept.values()) == {1} and kept.keys() == {row["prompt"] for row in train} - {"Is 3 odd?"}
    assert {problem.answer for problem in task.problems("train") if problem.prompt == "Is 4 odd?"} <= {("no",)}
    assert len(task.problems("dev")) == 2
