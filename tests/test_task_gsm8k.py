"""GSM8K: both forms of its files, numbers in every spelling, splits, and rows that are none. Nothing of the data stands here."""

import json
import os
from pathlib import Path

import pytest

from hybrid.errors import ConfigError, DataError, InputError
from hybrid.eval.tasks import GSM8K, TASKS
from hybrid.eval.tasks.gsm8k import final_number, number
from hybrid.layout import END
from hybrid.problem import Problem

OFFICIAL = [
    {
        "question": f"Ann has {n} eggs and buys {n}. How many?",
        "answer": f"She has {n}+{n} = <<{n}+{n}={2 * n}>>{2 * n}.\n#### {2 * n:,}",
    }
    for n in range(400, 700)
]
DATA = Path(os.environ.get("HYBRID_GSM8K", "/nowhere"))
"""A folder with the official file and a validation file of implicit chain of thought."""


@pytest.fixture
def official(tmp_path):
    file = tmp_path / "train.jsonl"
    file.write_text("\n".join(map(json.dumps, OFFICIAL)))
    return GSM8K(GSM8K.Config(train=str(file)))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("72", "72"),
        ("$1,000", "1000"),
        ("-$5.50", "-5.5"),
        ("10.00 dollars", "10"),
        (".5", "0.5"),
        ("-0", "0"),
        ("about 12%", "12"),
        ("1,000,000.", "1000000"),
        ("no number", None),
        ("0010", "10"),
        ("\u22125", "-5"),
    ],
)
def test_a_number_has_one_spelling(text, value):
    assert number(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("48/2=24, 48+24=72\n#### 72", "72"),
        ("#### 3\nso\n#### 1,072 eggs a day", "1072"),
        ("Answer: 3 + 4 = 7 eggs\n\nQuestion: 9", "7"),
        ("The answer is **$18**.", "18"),
        ("She has 3 and then 5", "5"),
        ("48-24", "24"),
        ("It is -3 degrees", "-3"),
        ("It is \u22123 degrees", "-3"),
        ("Answer:", None),
        ("", None),
    ],
)
def test_the_final_number_of_a_text_is_read(text, value):
    assert final_number(text) == value


def test_official_rows_become_problems(official):
    problem = next(p for p in official.problems("train") if p.prompt.startswith("Ann has 600 "))
    assert problem.answer == tuple("1200") and problem.difficulty == 1 and official.write(problem) == "1200"
    assert problem.trace == "<<600+600=1200>>\nAnswer: 1200" and official.symbols[-1] == END
    assert official.layout.num_answers == 4
    assert official.score("So 1,200 eggs.", problem) and not official.score("Answer: 120", problem)
    told = GSM8K(GSM8K.Config(train=official.config.train, unit="token", trace="sentences"))
    (same,) = [p for p in told.problems("train") if p.prompt == problem.prompt]
    assert same.answer == ("1200",) and same.trace == "She has 600+600 = 1200.\nAnswer: 1200" and told.symbols == ()
    assert told.score("#### 1200", same) and told.layout.num_answers == 16


def test_splits_share_no_question_and_a_test_file_leaves_more_to_train(official, tmp_path):
    parts = {split: {p.prompt for p in official.problems(split)} for split in ("train", "dev", "test")}
    assert sum(map(len, parts.values())) == 300 == len(set.union(*parts.values()))
    assert official.problems("train", 5) == official.problems("train", 9)[:5] != official.problems("train", 5, seed=1)
    (tmp_path / "test.txt").write_text("How many legs have 3 cats?||<<3*4=12>> #### 12\n\nAnd 2?||<<2*4=8>> #### 8\n")
    both = GSM8K(GSM8K.Config(train=official.config.train, test=str(tmp_path / "test.txt")))
    assert {p.answer for p in both.problems("test")} == {("1", "2"), ("8",)}
    assert len(both.problems("train")) == 300 - len(parts["dev"])
    with pytest.raises(InputError, match="9 test problems were asked for, gsm8k has 2"):
        both.problems("test", 9)
    with pytest.raises(InputError, match="one wording"):
        both.problems("test", wording="held_out")


def test_rows_that_are_no_problems_are_named(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text(
        '{"question": "a", "answer": "no mark"}\n{"question": 3, "answer": "#### 2"}\n{"question": "b", "answer": "#### 2"}'
    )
    with pytest.raises(DataError, match=r'(?s)2 faults.*row 1.*number behind "####".*read by --task table.*row 2.*must be texts'):
        GSM8K(GSM8K.Config(train=str(file))).problems("train")
    (tmp_path / "b.txt").write_text("a question alone\n")
    with pytest.raises(DataError, match=r'row 1: no "\|\|" parts'):
        GSM8K(GSM8K.Config(train=str(tmp_path / "b.txt"))).problems("train")
    with pytest.raises(InputError, match="cannot be read"):
        GSM8K(GSM8K.Config(train=str(tmp_path / "none.txt"))).problems("train")
    for wrong, message in (({}, "train is missing"), ({"train": "a", "num_answers": 0}, "num_answers is 0")):
        with pytest.raises(ConfigError, match=message):
            TASKS.from_dict({"kind": "gsm8k"} | wrong)


WRITTEN = ["12/5", "2 1/2", "1 234", "1\u202f234", "1'234", "12,5", "1,23", "1.234,50", "1e3", "10^6", "3:30", "10-15", "5½", "٣"]


@pytest.mark.parametrize("said", WRITTEN)
def test_what_is_no_plain_number_is_refused_as_an_answer(tmp_path, said):
    (tmp_path / "a.jsonl").write_text(json.dumps({"question": "a", "answer": f"#### {said}"}))
    with pytest.raises(DataError, match=r'row 1.*behind "####" stands .*; give one number, such as 1,234.5, -3 or 0.25'):
        GSM8K(GSM8K.Config(train=str(tmp_path / "a.jsonl"))).problems("train")


@pytest.mark.parametrize(
    "said", ["1,234,567.5", "1,00,000", "$5.00", "-$5", "12%", "7 clips, 2 pens", "18.", "\u22123", "72, so"]
)
def test_what_is_a_plain_number_is_taken(tmp_path, said):
    rows = [{"question": f"{n}", "answer": f"#### {said}"} for n in range(20)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert GSM8K(GSM8K.Config(train=str(tmp_path / "a.jsonl"))).problems("train")[0].answer == tuple(str(number(said)))


def test_a_question_of_a_test_file_is_never_trained_and_rows_that_disagree_are_counted(official, tmp_path):
    own = [*OFFICIAL[:7], {"question": OFFICIAL[0]["question"], "answer": "#### 1"}]
    (tmp_path / "test.jsonl").write_text("\n".join(map(json.dumps, own)))
    task = GSM8K(GSM8K.Config(train=official.config.train, dev=official.config.train, test=str(tmp_path / "test.jsonl")))
    with pytest.warns(UserWarning, match="300 rows stand in another split too and are dropped here"):
        assert task.problems("train") == []
    task = GSM8K(GSM8K.Config(train=official.config.train, test=str(tmp_path / "test.jsonl")))
    with pytest.warns(UserWarning, match="dropped") as told:
        parts = {split: {problem.prompt for problem in task.problems(split)} for split in ("train", "dev", "test")}
    assert len(parts["test"]) == 7 and not parts["test"] & (parts["train"] | parts["dev"])
    assert sum(map(len, parts.values())) == 300
    assert [str(each.message).partition(": ")[2] for each in told if "dropped" in str(each.message)] == [
        "7 rows stand in another split too and are dropped here",
        "1 rows repeat a question with another answer and are dropped",
    ]


@pytest.mark.skipif(not DATA.is_dir(), reason="the official file is not here")
def test_the_official_files_are_read_whole_and_their_own_solutions_score():
    files = sorted(str(path) for path in DATA.iterdir() if path.suffix in (".jsonl", ".txt"))
    for file in files:
        task = GSM8K(GSM8K.Config(train=file))
        problems = [problem for split in ("train", "dev", "test") for problem in task.problems(split)]
        assert len(problems) >= 490
        assert all(task.score(problem.trace, problem) for problem in problems)
        assert isinstance(problems[0], Problem)
