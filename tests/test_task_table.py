"""Data of one's own: sources, rows, splits, vocabularies, and and memory that stays flat."""

import json

import pytest

from hybrid.errors import ConfigError, InputError
from hybrid.eval.tasks import TASKS
from hybrid.eval.tasks.table import Table
from hybrid.eval.tasks.table.source import records
from hybrid.layout import END

ROWS = [{"prompt": f"{i} + {j} =", "answer": f"{i + j}"} for i in range(12) for j in range(12)]


GOOD = {"prompt": "Is 3 odd?", "answer": "yes"}
NO = {"prompt": "Is 4 odd?", "answer": "no"}
PLACES = {"prompt": "Sort: 2 1", "answer": "1 2", "places": [[6, 7], [8, 9]]}
SPANS = {"spans_column": "places"}


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


def table(path, rows=ROWS, **settings):
    return Table(Table.Config(train=write(path, rows), **settings))


# Sources.


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.jsonl", "a.parquet"])
def test_every_format_gives_the_same_problems(tmp_path, name):
    problems = table(tmp_path / name, unit="character").problems("train")
    assert {(p.prompt, p.answer) for p in problems} <= {(row["prompt"], tuple(row["answer"])) for row in ROWS}
    assert len(problems) > 100 and problems[0].where.startswith(str(tmp_path / name)) and " row " in problems[0].where


def test_a_saved_folder_and_the_hub_are_read_through_datasets(tmp_path, monkeypatch):
    import datasets

    data = datasets.Dataset.from_list([row | {"image": 0} for row in ROWS])
    data.save_to_disk(tmp_path / "saved")
    kept = [p.prompt for p in Table(Table.Config(train=str(tmp_path / "saved"))).problems("train")]
    asked = []

    def load(*args, **options):
        asked.append((args, options["split"], options["streaming"]))
        return data.to_iterable_dataset()

    monkeypatch.setattr(datasets, "load_dataset", load)
    for source, wanted in (
        ("hub:owner/name", (("owner/name", None), "train", True)),
        ("hub:owner/name/main:validation", (("owner/name", "main"), "validation", True)),
        ("hub:imdb:test", (("imdb", None), "test", True)),
    ):
        assert [p.prompt for p in Table(Table.Config(train=source)).problems("train")] == kept
        assert asked.pop() == wanted
    rows = list(records("hub:owner/name", ["prompt"]))
    assert rows[0].values == {"prompt": "0 + 0 ="} and rows[-1].number == len(ROWS)


def test_a_table_that_shows_its_columns_with_the_first_row_is_read_too(monkeypatch):
    import datasets

    stream = datasets.IterableDataset.from_generator(lambda: iter(ROWS))
    assert stream.column_names is None
    monkeypatch.setattr(datasets, "load_dataset", lambda *args, **options: stream)
    assert [record.values for record in records("hub:a/b", ["prompt"])] == ROWS
    with pytest.raises(InputError, match='no column "question"; choose from its columns: prompt, answer'):
        list(records("hub:a/b", ["question"]))


def test_several_files_are_one_table(tmp_path):
    for part in range(2):
        write(tmp_path / f"part{part}.parquet", ROWS[part::2])
        write(tmp_path / f"part{part}.csv", ROWS[part::2])
    for kind in ("parquet", "csv"):
        found = list(records(str(tmp_path / f"part*.{kind}"), ["prompt"]))
        assert [record.number for record in found] == [*range(1, len(ROWS) + 1)]
    assert found[-1].place == "row 144 (part1.csv line 73)"
    with pytest.raises(InputError, match="names no file"):
        list(records(str(tmp_path / "none*.csv"), ["prompt"]))


def test_a_csv_is_read_as_it_is_written(tmp_path):
    (tmp_path / "a.tsv").write_text('answer\tprompt\r\n007\t"two\nlines"\n\nNA\t"quote "" and, comma"\n', encoding="utf-8-sig")
    problems = Table(Table.Config(train=str(tmp_path / "a.tsv"), dev="x", test="x"))
    found = list(records(str(tmp_path / "a.tsv"), ["prompt", "answer"]))
    assert [(r.values["prompt"], r.values["answer"]) for r in found] == [("two\nlines", "007"), ('quote " and, comma', "NA")]
    assert [record.place for record in found] == ["row 1 (line 3)", "row 2 (line 5)"]
    assert problems.config.columns == ("prompt", "answer")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train": ""}, "table.train is missing"),
        ({"item": "("}, "layout item '\\(' is no regular expression"),
        ({"num_answers": 0}, "table.num_answers is 0"),
        ({"num_answers": 2, "item": "x"}, "table.num_answers goes without places"),
        ({"unit": "token", "item": "x"}, "table.unit token has no places"),
        ({"sentence": "It is so."}, "give a text with one {} for the answer"),
        ({"unit": "token", "symbols": ("a", "b")}, "table.unit token has an open vocabulary"),
        ({"symbols": ("a",)}, "table.symbols has 1 entry"),
        ({"symbols": ("a", END)}, "marks the end"),
        ({"separator": ""}, "table.separator is empty"),
        ({"separator": ",", "unit": "whole"}, "table.separator goes with table.unit word"),
        ({"answer_column": "prompt"}, "name different ones"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        Table.Config(**({"train": "a.csv"} | settings))


# Splits and draws.


def test_one_file_is_split_by_the_prompt_whatever_its_order_and_blanks(tmp_path):
    one = table(tmp_path / "a.csv")
    other = table(tmp_path / "b.csv", [{"prompt": f" {r['prompt']}\n", "answer": r["answer"]} for r in reversed(ROWS)])
    keys = {}
    for split in ("train", "dev", "test"):
        keys[split] = {p.key for p in one.problems(split)}
        assert keys[split] == {p.key for p in other.problems(split)} and {one.split_of(key) for key in keys[split]} == {split}
    assert sum(map(len, keys.values())) == len(ROWS) == len(set.union(*keys.values()))
    assert 5 < len(keys["dev"]) < 25 and 5 < len(keys["test"]) < 25


def test_a_split_of_its_own_is_whole_and_the_others_share_the_first(tmp_path):
    source = write(tmp_path / "train.csv", ROWS[:100])
    test = write(tmp_path / "test.csv", ROWS[100:])
    task = Table(Table.Config(train=source, test=test))
    assert len(task.problems("test")) == len(ROWS) - 100
    assert len(task.problems("train")) + len(task.problems("dev")) == 100


def test_the_same_row_twice_is_one_problem(tmp_path):
    assert len(table(tmp_path / "a.csv", [*ROWS, *ROWS]).problems("train")) == len(table(tmp_path / "b.csv").problems("train"))


def test_draws_are_repeatable_random_and_a_smaller_one_is_the_beginning(tmp_path):
    task = table(tmp_path / "a.csv")
    forty = task.problems("train", 40)
    assert Table(task.config).problems("train", 40) == forty and task.problems("train", 10) == forty[:10]
    other = task.problems("train", 40, seed=1)
    assert other != forty and 5 < len(set(forty) & set(other)) < 30
    assert task.problems("train", 0) == []
    assert sorted(task.problems("train"), key=lambda p: p.prompt)[0] in task.problems("train")


def test_more_rows_than_there_are_is_an_error_that_says_how_many(tmp_path):
    task = table(tmp_path / "a.csv")
    many = len(task.problems("train"))
    with pytest.raises(InputError, match=rf"1,000 train rows were asked for, .*a.csv gives {many}; ask for fewer"):
        task.problems("train", 1000)
    with pytest.raises(InputError, match="have one wording"):
        task.problems("train", 1, wording="held_out")
    with pytest.raises(InputError, match="too few rows to draw the dev split from; give more, or table.dev"):
        table(tmp_path / "b.csv", [GOOD, NO]).problems("dev")


def test_very_many_rows_need_a_number(tmp_path, monkeypatch):
    from hybrid.eval.tasks.table import table as module

    monkeypatch.setattr(module, "MAX_ROWS", 50)
    task = table(tmp_path / "a.csv")
    with pytest.raises(InputError, match=r"more than 50 train rows; say how many to take"):
        task.problems("train")
    assert len(task.problems("train", 60)) == 60


# Vocabularies and layouts.


def test_words_characters_and_whole_answers_are_symbols(tmp_path):
    rows = [{"prompt": "a", "answer": "10 New York"}, {"prompt": "b", "answer": "9 New York"}]
    words = table(tmp_path / "a.csv", rows)
    assert words.symbols == ("9", "10", "New", "York") and words.layout.num_answers == 3
    assert table(tmp_path / "a.csv", rows, unit="whole").symbols == ("10 New York", "9 New York")
    characters = table(tmp_path / "a.csv", rows, unit="character")
    assert set(characters.symbols) == {*"109NewYork ", END} and characters.layout.num_answers == 11
    assert characters.layout.write("9 New York") == "9 New York"


def test_lists_numbers_and_truth_values_are_answers(tmp_path):
    rows = [{"prompt": "a", "answer": ["New York", 3]}, {"prompt": "b", "answer": 7}, {"prompt": "c", "answer": True}]
    task = table(tmp_path / "a.jsonl", rows, separator=", ")
    assert task.symbols == ("3", "7", "New York", "true", END)
    assert task.layout.write(("New York", "3")) == "New York, 3"


def test_a_given_vocabulary_keeps_its_order(tmp_path):
    assert table(tmp_path / "a.csv", [GOOD, NO], symbols=("yes", "no", "maybe")).symbols == ("yes", "no", "maybe")


def test_places_come_from_the_pattern_or_from_a_column(tmp_path):
    found = table(tmp_path / "a.jsonl", [PLACES], item="[0-9]", symbols=("1", "2"), dev="x", test="x")
    assert found.layout.spans(PLACES["prompt"])[0] == ((6, 7), (8, 9)) and not found.layout.given
    task = table(tmp_path / "b.jsonl", [PLACES, PLACES | {"prompt": "Sort: 3 1", "answer": "1 3"}], **SPANS)
    assert task.layout.given and task.layout.answer is None and END not in task.symbols
    in_text = [{**PLACES, "places": json.dumps(PLACES["places"])}, {"prompt": "a", "answer": "x", "places": "[[0, 1]]"}]
    both = table(tmp_path / "c.csv", in_text, **SPANS)
    assert {p.spans for s in ("train", "dev", "test") for p in both._rows(s)} == {((6, 7), (8, 9)), ((0, 1),)}


def test_tokens_are_an_open_vocabulary(tmp_path):
    task = table(tmp_path / "a.csv", ROWS, unit="token")
    assert task.symbols == () and task.layout.num_answers == 16 and task.problems("train", 1)[0].answer[0] in map(str, range(30))


# Scoring and the config.


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("yes", True),
        ("Let me see.\nAnswer: **Yes.**", True),
        ("Answer: yes\nI am sure.", True),
        ("no", False),
        ("yes and no", False),
        ("", False),
        ("Answer:", False),
    ],
)
def test_the_scorer_compares_final_answers(tmp_path, text, right):
    task = table(tmp_path / "a.csv", [GOOD, NO])
    (problem,) = (p for s in ("train", "dev", "test") for p in task._rows(s) if p.answer == ("yes",))
    assert task.score(text, problem) is right and problem.trace == ""
    assert "yes" in table(tmp_path / "b.csv", [GOOD, NO], unit="whole").instructions("direct")


def test_worked_steps_come_from_a_column_of_their_own_and_end_with_the_answer(tmp_path):
    rows = [row | {"steps": f" I add {row['prompt']}\n"} for row in ROWS]
    task = table(tmp_path / "a.jsonl", rows, trace_column="steps")
    for problem in task.problems("train", 5):
        assert problem.trace == f"I add {problem.prompt}\nAnswer: {problem.answer[0]}" and task.score(problem.trace, problem)
    with pytest.raises(InputError, match='"steps" is empty; write the steps, or drop the row'):
        table(tmp_path / "b.jsonl", [*rows, rows[0] | {"prompt": "0 + 99 =", "steps": " "}], trace_column="steps").problems(
            "train"
        )


def test_fewer_rows_than_asked_for_are_all_where_that_will_do(tmp_path):
    task = table(tmp_path / "a.csv")
    assert task.up_to("train", 10) == task.problems("train", 10)
    assert task.up_to("train", 10**6) == task.problems("train")


def test_the_config_comes_back_from_plain_data():
    config = Table.Config(train="a.csv", symbols=("a", "b"))
    assert TASKS.from_dict(json.loads(json.dumps(TASKS.to_dict(config)))) == config


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file_nor_with_its_row_groups(processes, tmp_path):
    code = """
import pyarrow, pyarrow.parquet as parquet
for name, parts in (("warm", 1), ("small", 4), ("large", 12)):
    rows = {"prompt": [f"{name} {i} " + "x" * 5000 for i in range(2000)], "answer": ["yes", "no"] * 1000}
    with parquet.ParquetWriter(f"{name}.parquet", pyarrow.table(rows).schema, compression="none", use_dictionary=False) as file:
        whole = pyarrow.concat_tables([pyarrow.table(rows | {"prompt": [f"{p} {t}" for t in rows["prompt"]]}) for p in range(parts)])
        file.write_table(whole, row_group_size=1_000_000)
"""
    ended = processes.run(code=code, cwd=tmp_path)
    assert ended.code == 0, ended.err
    assert (tmp_path / "large.parquet").stat().st_size > 110e6
    code = """
import resource
from hybrid.eval.tasks.table import Table
peaks = []
for name in ("warm", "small", "large"):
    task = Table(Table.Config(train=f"{name}.parquet"))
    assert len(task.problems("train", 100)) == 100
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
print(*peaks)
"""
    ended = processes.run(code=code, cwd=tmp_path)
    assert ended.code == 0, ended.err
    warm, small, large = map(int, ended.out.split())
    assert large - small < 40e6 and large - warm < 60e6


# What is found where nothing is said.


@pytest.mark.parametrize(
    ("answers", "unit"),
    [
        (["upper left", "lower right"] * 30, "whole"),
        ([str(i * 37) for i in range(100)], "character"),
        ([f"{i} {i + 1}" for i in range(100)], "word"),
        (["a", "b", "c"], "word"),
    ],
)
def test_the_unit_of_answers_is_found_in_them(tmp_path, answers, unit):
    rows = [{"prompt": f"number {i}", "answer": answer} for i, answer in enumerate(answers)]
    task = table(tmp_path / "a.jsonl", rows)
    assert task.config.unit == unit and TASKS.to_dict(task.config)["unit"] == unit
    assert task.problems("train", 1)[0].answer


def test_difficulty_is_a_column_or_the_words_of_the_prompt(tmp_path):
    rows = [{**GOOD, "hops": 4}, {**NO, "hops": 2}]
    found = table(tmp_path / "a.jsonl", rows, dev=write(tmp_path / "d.jsonl", [GOOD | {"prompt": "Other?"}])).problems("train")
    assert {problem.difficulty for problem in found} == {4}  # Is, 3, odd, ?
    named = table(tmp_path / "a.jsonl", rows, difficulty_column="hops")
    assert {p.difficulty for split in ("train", "dev", "test") for p in named.up_to(split, 2)} == {4, 2}
    with pytest.raises(InputError, match="\"hops\" is 'many'; give a whole number"):
        table(tmp_path / "b.jsonl", [{**GOOD, "hops": "many"}, NO | {"hops": 1}], difficulty_column="hops").problems("train")


def test_worked_steps_may_be_taught_word_by_word(tmp_path):
    rows = [GOOD | {"steps": "3 - 2 = 1"}, NO | {"steps": "4 - 4 = 0"}]
    task = table(tmp_path / "a.jsonl", rows, trace_column="steps", teach_trace=True)
    found = {p.prompt: p.path for split in ("train", "dev", "test") for p in task.up_to(split, 2)}
    assert found["Is 3 odd?"] == ("3", "-", "2", "=", "1") and {"-", "yes", "no"} <= set(task.symbols)
    with pytest.raises(ConfigError, match="name their column with table.trace_column"):
        Table.Config("a.csv", teach_trace=True)


def test_an_answer_is_told_in_a_sentence_of_ones_own(tmp_path):
    rows = [{"prompt": f"{i}: where is A to B?", "answer": ["left", "lower-left"][i % 2]} for i in range(40)]
    task = table(tmp_path / "a.jsonl", rows, unit="whole", sentence="A is to the {} of B.")
    problem = next(p for p in task.problems("train") if p.answer == ("lower-left",))
    assert task.sentence(problem) == "A is to the lower-left of B."
    assert task.score(task.sentence(problem), problem) and task.score("lower-left", problem)
    assert not task.score("A is to the left of B.", problem) and not task.score("A is to the of B.", problem)
