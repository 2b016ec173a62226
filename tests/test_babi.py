"""bAbI's official form as a table: stories up to their questions, with the facts that support the answer."""

import json

import pytest

from hybrid.errors import DataError, InputError
from hybrid.eval.babi import main, rows

STORY = (
    "1 Mary got the milk. \n2 Mary went home.\n3 Where is the milk? \thome\t1 2\n4 Mary left.\n5 Where is Mary?\tout,side\t4\n"
)


def test_a_prompt_is_the_story_up_to_its_question_and_a_new_story_begins_at_one(tmp_path):
    file = tmp_path / "qa2_two_train.txt"
    file.write_text(STORY + STORY)
    first, second, third, _ = rows(str(file))
    assert (
        first
        == third
        == {
            "prompt": "Mary got the milk. Mary went home. Where is the milk?",
            "answer": "home",
            "facts": ["Mary got the milk.", "Mary went home."],
            "file": "qa2",
        }
    )
    assert second["prompt"] == "Mary got the milk. Mary went home. Mary left. Where is Mary?"
    assert (second["answer"], second["facts"]) == ("out side", ["Mary left."])


@pytest.mark.parametrize("line", ["no number", "2 Where?\tx\t7", "3 Bob left.", "0 Bob left.", f"{'9' * 5000} Bob left."])
def test_a_line_of_another_form_is_named(tmp_path, line):
    (tmp_path / "own.txt").write_text(f"1 Mary left.\n{line}\n")
    with pytest.raises(DataError, match="line 2"):
        list(rows(str(tmp_path / "own.txt")))


def test_a_number_that_stands_twice_hides_no_fact(tmp_path):
    (tmp_path / "own.txt").write_text("1 Mary left.\n2 Bob left.\n2 Tim left.\n3 Who left?\tBob\t2\n")
    with pytest.raises(DataError, match="line 3: it is number 2 behind 2; give an official file"):
        list(rows(str(tmp_path / "own.txt")))


def test_a_file_that_is_read_is_not_written_over(tmp_path, monkeypatch):
    file = tmp_path / "qa1_x_train.txt"
    file.write_text(STORY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["babi", "--rows", str(tmp_path / "qa*.txt"), "--output", file.name])
    with pytest.raises(InputError, match="is what is read; give another file to write to"):
        main()
    assert file.read_text() == STORY
    monkeypatch.setattr("sys.argv", ["babi", "--rows", "", "--output", "own.jsonl"])
    with pytest.raises(InputError, match="the name of a file is empty"):
        main()


def test_the_command_writes_one_table_of_several_files(tmp_path, monkeypatch, capsys):
    for name in ("qa1", "qa2"):
        (tmp_path / f"{name}_x_train.txt").write_text(STORY)
    monkeypatch.setattr("sys.argv", ["babi", "--rows", str(tmp_path / "qa*_train.txt"), "--output", str(tmp_path / "own.jsonl")])
    main()
    table = [json.loads(line) for line in (tmp_path / "own.jsonl").read_text().splitlines()]
    assert sorted(row["file"] for row in table) == ["qa1", "qa1", "qa2", "qa2"] and "4 questions" in capsys.readouterr().out
