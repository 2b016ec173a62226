"""One table, spelled in many ways: names of files with odd signs, blanks that count, JSON of other makers, long cells."""

import bz2
import gzip
import json
import lzma

import pytest

from hybrid.errors import DataError, InputError
from hybrid.eval.tasks.maze.maze import read_mazes
from hybrid.eval.tasks.table import Table
from hybrid.eval.tasks.table.cells import with_plain_ends
from hybrid.eval.tasks.table.row import RowReader
from hybrid.eval.tasks.table.rows import read_rows
from hybrid.eval.tasks.table.source import is_table, records

ROWS = [{"prompt": f"Is {i} odd?", "answer": ("no", "yes")[i % 2]} for i in range(40)]


def write(path, rows=ROWS):
    """Write rows in the format that the file's name asks for."""
    import pyarrow
    import pyarrow.csv
    import pyarrow.parquet

    path.parent.mkdir(exist_ok=True)
    table = pyarrow.Table.from_pylist(rows)
    if path.suffix == ".csv":
        pyarrow.csv.write_csv(table, path)
    elif path.suffix == ".parquet":
        pyarrow.parquet.write_table(table, path)
    elif path.suffix == ".arrow":
        with pyarrow.ipc.new_file(str(path), table.schema) as out:
            out.write_table(table)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def read(source, *columns):
    return [record.values for record in records(str(source), columns or ("prompt", "answer"))]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "arrow"])
def test_a_file_with_odd_signs_in_its_name_is_itself_and_no_pattern(tmp_path, kind):
    for folder in ("data1", "own", "ownx", "b c"):  # What a pattern would find.
        write(tmp_path / folder / f"own.{kind}", [{"prompt": "another", "answer": "no"}] * 2)
    for folder in ("data[1]", "own*", "own?", "b  c é ñ", "~", "a::b", "file:x"):
        assert read(write(tmp_path / folder / f"own.{kind}")) == ROWS, folder
    assert len(read(tmp_path / "data[1]" / f"o*.{kind}")) == len(ROWS)


def test_a_file_that_is_called_as_the_hub_is_or_by_its_kind_alone_is_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("hub:own.jsonl", "./hub:own.jsonl", ".jsonl"):
        write(tmp_path / name)
        assert read(name) == ROWS and is_table(name)
        assert Table(Table.Config(train=name)).problems("dev")
        assert len(list(read_rows(name, ("prompt", "answer")))) == len(ROWS)


def test_a_pattern_in_a_folder_with_odd_signs_looks_into_that_folder_alone(tmp_path):
    write(tmp_path / "sub1" / "own1.jsonl", [{"prompt": "another", "answer": "no"}])
    write(tmp_path / "sub*" / "own1.jsonl")
    assert read(tmp_path / "sub*" / "ow*.jsonl") == ROWS
    assert len(read(tmp_path / "s*1" / "ow*.jsonl")) == 1


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.XZ", "a.ndjson.bz2", "a.jsonl.zst", "a.jsonl.ZST"])
def test_packed_files_are_read_without_a_further_package(tmp_path, name):
    import pyarrow

    text = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    packers = {"gz": gzip.compress, "xz": lzma.compress, "bz2": bz2.compress, "zst": pyarrow.Codec("zstd").compress}
    packed = bytes(packers[name.rpartition(".")[2].lower()](text))
    (tmp_path / name).write_bytes(packed)
    assert read(tmp_path / name) == ROWS
    (tmp_path / name).write_bytes(b"nonsense" * 9)
    with pytest.raises(InputError, match="cannot be read: "):
        read(tmp_path / name)


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "own.csv")
    assert read("~/own.csv") == ROWS


def test_every_blank_of_an_answer_in_characters_is_a_symbol(tmp_path):
    rows = [{"prompt": f"maze {i}", "answer": answer} for i, answer in enumerate([" ac  d ", "  ac d ", "c  a d "] * 9)]
    for kind in ("csv", "jsonl", "parquet"):
        task = Table(Table.Config(write(tmp_path / f"a.{kind}", rows), unit="character"))
        problems = task.problems("train")
        assert {"".join(problem.answer) for problem in problems} == {row["answer"] for row in rows}
        assert task.symbols == (" ", "a", "c", "d") and task.layout.write(problems[0].answer) in {row["answer"] for row in rows}
    listed = [row | {"answer": list(row["answer"])} for row in rows]
    assert Table(Table.Config(write(tmp_path / "b.jsonl", listed), unit="character")).symbols == (" ", "a", "c", "d")


def test_blanks_around_words_and_classes_say_nothing(tmp_path):
    rows = [row | {"answer": f" {row['answer']} "} for row in ROWS]
    for unit in ("word", "whole", "auto"):
        assert Table(Table.Config(write(tmp_path / "a.jsonl", rows), unit=unit)).symbols == ("no", "yes")


def test_prompts_that_differ_in_blanks_are_two_where_blanks_are_signs(tmp_path):
    mazes = ["# #\n## ", "#  \n###", " ##\n## ", "## \n # "]
    rows = [{"prompt": maze, "answer": maze.replace("\n", "").replace(" ", "o", 1)} for maze in mazes]
    task = Table(Table.Config(write(tmp_path / "a.jsonl", rows), unit="character", dev=write(tmp_path / "b.jsonl", rows[:1])))
    with pytest.raises(DataError, match="row 1: its prompt stands in .*b.jsonl row 1 too"):
        task.problems("train")
    task = Table(Table.Config(write(tmp_path / "a.jsonl", rows), unit="character", duplicates="drop"))
    assert sum(len(task.up_to(split, 9)) for split in ("train", "dev", "test")) == 4


def test_a_maze_of_blanks_keeps_its_cells(tmp_path):
    rows = [{"question": "  S #  G ", "answer": "  S #o Go"}]
    for kind in ("csv", "jsonl"):
        assert read_mazes(write(tmp_path / f"a.{kind}", rows), 3, ("question", "answer")) == [("..S.#..G.", "..S.#o.Go")]


def test_json_of_other_makers_is_read_as_it_is(tmp_path):
    steps = [{"question": "1 + 1 + 1 = ?", "steps": ["<<1+1=2>>", "<<2+1=3>>"], "answer": "3"}] * 2
    forms = {
        "array": json.dumps(steps),
        "indented": json.dumps(steps, indent=2),
        "data": json.dumps({"version": 1, "data": steps}),
        "deep": json.dumps({"data": steps}, indent=1),
        "lines": "\n".join(map(json.dumps, steps)),
        "marked": "\ufeff" + json.dumps(steps),
    }
    for name, text in forms.items():
        (tmp_path / f"{name}.json").write_text(text, encoding="utf-8")
        assert read(tmp_path / f"{name}.json", "question", "steps", "answer") == steps, name
    settings = {"prompt_column": "question", "trace_column": "steps", "symbols": ("2", "3")}
    (problem,) = Table(Table.Config(str(tmp_path / "array.json"), **settings)).problems("train")
    assert problem.trace == "<<1+1=2>>\n<<2+1=3>>\nAnswer: 3"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"train": [{"a": 1}], "test": [{"a": 2}]}', "holds several tables: train, test; write one to a file of its own"),
        ('[{"prompt": "a"}', "a.json is no JSON"),
        ("[1, 2]", r"a.json row 1: is '1'; give one JSON object a row"),
        ('[{"prompt": "a", "answer": "1"}, {"prompt": "b"}]', 'a.json row 2: has no "answer"; it has: prompt'),
    ],
)
def test_json_that_is_no_table_is_refused_in_one_line(tmp_path, text, message):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match=message):
        Table(Table.Config(str(tmp_path / "a.json"))).problems("train", 1)


def test_a_cell_may_be_longer_than_the_csv_module_likes(tmp_path):
    rows = [{"prompt": "word " * 40_000 + str(i), "answer": "no"} for i in range(2)]
    assert read(write(tmp_path / "a.csv", rows)) == rows


@pytest.mark.parametrize("form", [json.dumps, lambda rows: json.dumps(rows, indent=1), lambda rows: f"\n{json.dumps(rows)}\n"])
def test_an_array_is_read_in_a_file_that_is_called_one_of_lines(tmp_path, form):
    (tmp_path / "a.jsonl").write_text(form(ROWS))
    assert read(tmp_path / "a.jsonl") == ROWS


def test_an_object_over_several_lines_is_refused_in_one_line(tmp_path):
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(row, indent=1) for row in ROWS))
    with pytest.raises(InputError, match="a.jsonl spreads an object over several lines; give one object a line"):
        read(tmp_path / "a.jsonl")


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_a_name_that_stands_twice_in_an_object_is_a_fault_as_a_column_that_does_is(tmp_path, name):
    rows = "".join(f'{{"prompt": "a", "answer": "1", "prompt": "{place}"}}\n' for place in range(3))
    (tmp_path / name).write_text(rows)
    with pytest.raises(DataError, match='row 1 .*"prompt" stands twice'):
        Table(Table.Config(str(tmp_path / name))).problems("train")


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.json"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_a_file_in_another_encoding_is_refused_in_one_line_that_says_so(tmp_path, name, encoding):
    text = json.dumps(ROWS) if "json" in name else "prompt,answer\na,1\n"
    (tmp_path / name).write_bytes(text.encode(encoding))
    with pytest.raises(InputError, match="is no UTF-8 text, maybe UTF-16"):
        read(tmp_path / name)


def test_a_list_without_steps_is_called_empty(tmp_path):
    rows = [row | {"steps": []} for row in ROWS]
    with pytest.raises(DataError, match='"steps" is empty; write the steps, or drop the row'):
        Table(Table.Config(write(tmp_path / "a.jsonl", rows), trace_column="steps")).problems("train")


def test_a_json_file_that_is_one_object_over_several_lines_is_one_row(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(ROWS[0], indent=1))
    assert read(tmp_path / "a.json") == ROWS[:1]
    (tmp_path / "a.json").write_text(json.dumps({"size": 3, "names": ["a", "b"]}, indent=1))
    (record,) = records(str(tmp_path / "a.json"), ("prompt",))
    assert record.fault == 'has no "prompt"; it has: size, names'


@pytest.mark.parametrize("before", ["\n\n", "\ufeff\n", "  \n", ",,\n"])
def test_blank_lines_before_the_names_of_columns_say_nothing(tmp_path, before):
    (tmp_path / "a.csv").write_text(f"{before}prompt,answer\na,1\n", encoding="utf-8")
    assert read(tmp_path / "a.csv") == [{"prompt": "a", "answer": "1"}]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.parquet"])
def test_a_line_s_end_is_one_sign_in_every_kind_of_file_and_places_are_those_that_were_written(tmp_path, name):
    import pandas

    prompts = ["Sort:\r\n{} 1\r\n5", "Sort:\n{} 1\n5"]
    rows = [{"prompt": prompt.format(n), "answer": f"{n} 5"} for n in (2, 3) for prompt in prompts]
    for row in rows:
        places = [row["prompt"].index(symbol) for symbol in row["answer"].split()]
        row["spans"] = json.dumps([[place, place + 1] for place in places])
    if name.endswith("sv"):
        pandas.DataFrame(rows).to_csv(tmp_path / name, index=False, sep="," if name == "a.csv" else "\t")
    else:
        write(tmp_path / name, rows)
    found = Table(Table.Config(train=str(tmp_path / name), spans_column="spans", unit="word", dev="d", test="t"))
    problems = [RowReader(found.config).read(record, name) for record in records(str(tmp_path / name), found.config.columns)]
    asked = [RowReader(found.config).ask(record) for record in records(str(tmp_path / name), found.config.columns)]
    assert (
        [problem.prompt for problem in problems]
        == [each.prompt for each in asked]
        == [prompts[1].format(n) for n in (2, 2, 3, 3)]
    )
    for problem, other in zip(problems, asked, strict=True):
        assert tuple(problem.prompt[start:end] for start, end in problem.spans) == problem.answer and other.spans == problem.spans


def test_a_line_s_end_may_have_a_place():
    assert with_plain_ends("a\r\nb", [(1, 3), (1, 2), (2, 3), (3, 4)]) == ("a\nb", ((1, 2), (1, 2), (1, 2), (2, 3)))
