"""Scoring: a head's answers counted by step and by difficulty, on its task's problems and on a file of one's own."""

import json

import pytest

from hybrid.cli import main
from hybrid.eval.scoring import score, shown
from hybrid.halting import HALTING


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
