"""Scoring: a head's answers counted by step and by difficulty, on its task's problems and on a file of one's own."""

import json

import pytest

from hybrid.cli import main
from hybrid.errors import ConfigError, InputError
from hybrid.eval.scoring.scoring import score, shown
from hybrid.eval.tasks.sudoku import Sudoku
from hybrid.problem import Problem
from hybrid.recursion.halting import HALTING


def test_counts_are_those_of_a_loop_written_by_hand(model, problems):
    asked = problems(40)
    found = score(model, asked, 4, batch_size=16)
    fixed = HALTING["fixed"].Config()
    for step in range(4):
        answers = model.solve(asked, halting=fixed, num_steps=step + 1)
        share = sum(s.symbols == p.answer for s, p in zip(answers, asked, strict=True)) / 40
        (level,) = found.by_step
        assert found.by_step[level][step] == pytest.approx(share) and found.counts == {level: 40}
    answers = model.solve(asked, num_steps=4)
    assert found.right == sum(s.symbols == p.answer for s, p in zip(answers, asked, strict=True)) / 40
    assert found.steps == sum(s.steps for s in answers) / 40
    assert found.interval[0] <= found.right <= found.interval[1]


def test_a_long_table_shows_some_steps_and_the_last():
    assert shown(8) == list(range(1, 9)) and shown(12)[-1] == 12 and shown(64) == [1, 2, 3, 4, 24, 32, 48, 64]


def test_a_file_is_scored_in_groups_of_a_column(model, tmp_path, capsys):
    model.save_pretrained(tmp_path / "head")
    rows = [{"prompt": f"Sort: {a} {b} 1", "answer": " ".join(sorted((a, b, "1"))), "hops": int(a)} for a in "23" for b in "456"]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = tmp_path / "found.json"
    assert main(["score", "--model", str(tmp_path / "head"), "--file", str(file), "--by", "hops", "--output", str(out)]) == 0
    said, kept = capsys.readouterr().out, json.loads(out.read_text())
    assert "of 6 right" in said and kept["counts"] == {"2": 3, "3": 3} and len(kept["by_step"]["2"]) == 3
    assert main(["score", "--model", str(tmp_path / "head"), "--by", "hops"]) == 2
    assert "--by names a column of --file" in capsys.readouterr().err
    for flag, value in (("settings", "{}"), ("split", "dev"), ("wording", "held_out")):
        assert main(["score", "--model", str(tmp_path / "head"), "--file", str(file), f"--{flag}", value]) == 2
        assert f"--{flag} says which problems of the head's own task" in capsys.readouterr().err
    assert main(["score", "--model", str(tmp_path / "head"), "--settings", "{"]) == 2
    assert "give a JSON object" in capsys.readouterr().err
    assert main(["score", "--model", str(tmp_path / "head")]) == 2
    assert "does not name its task" in capsys.readouterr().err


def scored(capsys, folder, file, *more):
    code = main(["score", "--model", str(folder), "--file", str(file), *more])
    return code, *capsys.readouterr()


@pytest.fixture
def square(new_model, tmp_path):
    """A folder with an untrained head for Sudoku of 4x4, and three rows of its task."""
    task = Sudoku(Sudoku.Config(size=4))
    model = new_model(layout=task.layout, symbols=task.symbols, task={"kind": "sudoku", "size": 4})
    model.save_pretrained(tmp_path / "square")
    return tmp_path / "square", task, task.problems("test", 3)


def write(file, prompts, answers):
    rows = [{"prompt": prompt, "answer": answer} for prompt, answer in zip(prompts, answers, strict=True)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_answers_count_in_every_form_that_people_write_and_prompts_as_solve_reads_them(square, tmp_path, capsys, monkeypatch):
    folder, task, problems = square
    cells = ["".join(problem.answer) for problem in problems]
    monkeypatch.setattr(Sudoku, "right", lambda self, symbols, problem: problem.answer == task.solve(problem.prompt))
    forms = [cells, [task.write(problem) for problem in problems], [" ".join(each) for each in cells], list(map(list, cells))]
    for number, answers in enumerate(forms):
        for prompts in ([p.prompt for p in problems], [p.prompt.split("\n", 1)[1].replace("0", ".") for p in problems]):
            code, out, err = scored(capsys, folder, write(tmp_path / f"{number}.jsonl", prompts, answers))
            assert (code, err) == (0, "") and out.startswith("100.0% of 3 right") and "words" in out


def test_answers_that_the_head_cannot_write_are_told_and_refused_where_all_are(square, tmp_path, capsys):
    folder, _, problems = square
    prompts, cells = [p.prompt for p in problems], ["".join(p.answer) for p in problems]
    code, out, err = scored(capsys, folder, write(tmp_path / "a.jsonl", prompts, [*cells[:2], cells[2][:-1] + "9"]))
    assert code == 0 and "0.0% of 3 right" in out and "1 of 3 answers count as wrong, as this head cannot write them" in err
    assert 'a.jsonl row 3 (line 3): answer symbol "9" is not among the 4 symbols' in " ".join(err.split())
    code, _, err = scored(capsys, folder, write(tmp_path / "b.jsonl", prompts, [each[1:] for each in cells]))
    assert code == 2 and "can write none of the answers" in err and "row 1 (line 1): there are 15 answer symbols where" in err


def test_a_prompt_that_cannot_be_scored_is_named_with_its_row(square, model, problems, tmp_path, capsys):
    folder, _, own = square
    file = write(tmp_path / "a.jsonl", [own[0].prompt, "hello"], ["1" * 16] * 2)
    code, _, err = scored(capsys, folder, file, "--output", str(file))
    assert code == 2 and "is what is read; give another file" in err
    code, _, err = scored(capsys, folder, file)
    assert code == 2 and "a.jsonl row 2 (line 2): no 4x4 Sudoku was found" in err
    with pytest.raises(InputError, match=r"^'Sort: words': the prompt holds 0 answer positions"):
        score(model, [*problems(2), Problem("Sort: words", ("1",))])
    with pytest.raises(ConfigError, match="no problems to score"):
        score(model, [])
    assert main(["score", "--model", str(folder), "--settings", '{"kind": "maze"}']) == 2
    assert "settings.kind is 'maze', and the head was trained on sudoku" in capsys.readouterr().err


def test_a_table_s_own_symbols_and_slots_do_not_hide_rows_of_another_file(new_model, tmp_path, capsys):
    task = {"kind": "table", "train": "gone.csv", "unit": "word", "symbols": ["1", "2"], "num_answers": 3}
    model = new_model(task=task)
    model.save_pretrained(tmp_path / "head")
    file = write(tmp_path / "a.jsonl", ["Sort: 3 1 2", "Sort: 2 1 3"], ["1 2 3", "one two three"])
    code, out, err = scored(capsys, tmp_path / "head", file)
    assert code == 0 and "of 2 right" in out and "1 of 2 answers count as wrong" in err
