"""Problems in ProsQA's form: those of the file are left out, and every answer follows from the rules."""

import itertools
import json
import re

import pytest

from hybrid.errors import InputError
from hybrid.eval.prosqa import own_rows, rows
from hybrid.eval.tasks.graph import hops

PLAIN = [f"{a}{b}pus" for a in "bdfglmnprst" for b in ("om", "er", "im", "um")]


@pytest.fixture
def official(tmp_path):
    told = [f"Every {low} is a {high}." for low, high in itertools.pairwise(PLAIN)]
    persons = [f"{name} is a {PLAIN[0]}." for name in ("Alex", "Tom", "Rex", "Max", "Sam", "Bob", "Eva", "Ann", "Joe", "Lea")]
    row = {
        "question": " ".join([*told, *persons, f"Zoe is a {PLAIN[3]}.", f"Is Alex a {PLAIN[-1]} or nopus?"]),
        "answer": f"Alex is a {PLAIN[-1]}.",
    }
    file = tmp_path / "official.json"
    file.write_text(json.dumps([row]))
    return file


def test_every_answer_follows_from_the_rules_and_the_path_leads_to_it(official):
    drawn = list(rows(str(official), 30))
    for row in drawn:
        edges = re.findall(r"(?:Every )?(\w+) is a (\w+)\.", row["prompt"])
        name, *options = re.search(r"Is (\w+) a (\w+) or (\w+)\?$", row["prompt"]).groups()
        known, path = hops(edges, name), row["path"].split()
        assert [option for option in options if option in known] == [row["answer"]] and path[-1] == row["answer"]
        assert all(edge in edges for edge in zip([name, *path], path, strict=False))
        assert 3 <= len(path) == row["hops"] <= 6
        assert {end for edge in edges for end in edge} <= {
            *PLAIN,
            "Alex",
            "Tom",
            "Rex",
            "Max",
            "Sam",
            "Bob",
            "Eva",
            "Ann",
            "Joe",
            "Lea",
            "Zoe",
        }
    assert drawn == list(rows(str(official), 30)) and drawn != list(rows(str(official), 30, seed=1))


def test_the_file_s_own_problems_stand_as_they_are(official):
    (row,) = own_rows(str(official))
    assert row["prompt"] == json.loads(official.read_text())[0]["question"]
    assert row["answer"] == PLAIN[-1] and row["path"].split() == PLAIN


def test_a_file_of_few_names_is_refused(tmp_path):
    file = tmp_path / "few.json"
    file.write_text(json.dumps([{"question": "Tom is a wumpus. Is Tom a wumpus or nopus?", "answer": "Tom is a wumpus."}]))
    with pytest.raises(InputError, match="names, the file has"):
        list(rows(str(file), 3))
