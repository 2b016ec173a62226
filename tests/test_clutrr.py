"""CLUTRR's official form as a table: labels follow the proofs, names are others where asked, faults are named."""

import csv
import json
import re

import pytest

from hybrid.errors import DataError
from hybrid.eval.clutrr import COLUMNS, main, rows, stories

ROW = {
    "story": "[Ann] has a brother, [Bob]. [Bob]'s son is [Tim]. [Tim] met his sister [Eve].",
    "query": "('Ann', 'Eve')",
    "target": "niece",
    "proof_state": "[{('Ann', 'niece', 'Eve'): [('Ann', 'nephew', 'Tim'), ('Tim', 'sister', 'Eve')]}, "
    "{('Ann', 'nephew', 'Tim'): [('Ann', 'brother', 'Bob'), ('Bob', 'son', 'Tim')]}]",
    "story_edges": "[(0, 1), (1, 2), (2, 3)]",
    "edge_types": "['brother', 'son', 'sister']",
    "genders": "Ann:female,Bob:male,Tim:male,Eve:female",
    "task_name": "task_1.3",
}


@pytest.fixture
def official(tmp_path):
    def write(*given):
        file = tmp_path / "1.3_train.csv"
        with file.open("w", newline="") as handle:
            table = csv.DictWriter(handle, COLUMNS)
            table.writeheader()
            table.writerows(given)
        return str(file)

    return write


def seen(row):
    return [["/".join(each or "" for each in both) for both in line.values()] for line in row["labels"]]


def test_each_step_knows_the_persons_one_fact_further_by_the_proofs_own_rules(official):
    (row,) = rows(stories(official(ROW)))
    assert row["prompt"] == f"{ROW['story']} How is [Eve] related to [Ann]?"
    assert (row["answer"], row["relations"]) == ("niece", 3)
    assert seen(row) == [
        ["self/?", "brother/?", "?/sister", "?/self"],
        ["self/?", "brother/son+sister", "nephew/sister", "?/self"],
        ["self/niece", "brother/son+sister", "nephew/sister", "niece/self"],
    ]


def test_a_chain_that_has_no_names_from_one_end_has_them_from_the_other(official):
    proof = "[{('Ann', 'niece', 'Eve'): [('Ann', 'brother', 'Bob'), ('Bob', 'daughter', 'Eve')]}, "
    proof += "{('Bob', 'daughter', 'Eve'): [('Bob', 'son', 'Tim'), ('Tim', 'sister', 'Eve')]}]"
    (row,) = rows(stories(official(ROW | {"proof_state": proof})))
    assert seen(row)[1:] == [
        ["self/?", "brother/daughter", "brother+son/sister", "?/self"],
        ["self/niece", "brother/daughter", "brother+son/sister", "niece/self"],
    ]


def test_a_renamed_story_is_the_same_story_of_others_of_the_same_genders(official):
    other = ROW | {
        name: ROW[name].replace("Ann", "Zoe").replace("Bob", "Max") for name in ("query", "proof_state", "genders", "story")
    }
    told = stories(official(ROW, other))
    first, again = rows(told, renamed=True), rows(told, renamed=True)
    drawn = [next(rows(told, renamed=True, seed=seed)) for seed in range(40)]
    assert list(first) == list(again) and len({row["prompt"] for row in drawn}) > 3
    for row in drawn:
        persons = list(row["labels"][0])
        assert (
            len(set(persons)) == 4
            and set(persons[1:3]) <= {"Bob", "Tim", "Max"}
            and not {"Bob", "Tim", "Max"} & {persons[0], persons[3]}
        )
        back = row["prompt"]
        for name, old in zip(persons, ("<0>", "<1>", "<2>", "<3>"), strict=True):
            back = back.replace(f"[{name}]", old)
        same = f"{ROW['story']} How is [Eve] related to [Ann]?"
        for name, old in zip(("Ann", "Bob", "Tim", "Eve"), ("<0>", "<1>", "<2>", "<3>"), strict=True):
            same = same.replace(f"[{name}]", old)
        assert back == same and [each.split("/")[0] for each in seen(row)[-1]] == ["self", "brother", "nephew", "niece"]


def test_a_story_is_asked_for_other_persons_too_by_the_same_rules(official):
    told = stories(official(ROW))
    own, asked = list(rows(told)), list(rows(told, questions=9))
    assert [row for row in asked if row in own] == own and len(asked) > len(own)
    found = {(row["prompt"].removeprefix(ROW["story"]), row["answer"], row["relations"]) for row in asked}
    assert (" How is [Tim] related to [Ann]?", "nephew", 2) in found and (
        " How is [Bob] related to [Ann]?",
        "brother",
        1,
    ) in found
    assert len(list(rows(told, questions=2))) == len(own) + len(told)


def test_a_fact_that_no_rule_reaches_stays_unknown_and_the_answer_is_taught(official):
    (row,) = rows(stories(official(ROW | {"proof_state": "[]"})))
    assert [[each.split("/")[0] for each in line] for line in seen(row)] == [
        ["self", "brother", "?", "?"],
        ["self", "brother", "brother+son", "?"],
        ["self", "brother", "brother+son", "niece"],
    ]


def test_who_is_behind_two_facts_without_a_rule_has_no_label_and_is_taught_none(official):
    longer = {
        "query": "('Ann', 'Max')",
        "proof_state": "[]",
        "story_edges": "[(0, 1), (1, 2), (2, 3), (3, 4)]",
        "edge_types": "['brother', 'son', 'sister', 'father']",
        "genders": ROW["genders"] + ",Max:male",
        "story": ROW["story"] + " [Eve]'s father is [Max].",
    }
    (row,) = rows(stories(official(ROW | longer)))
    assert row["labels"][-1]["Eve"] == [None, "father"] and row["labels"][-1]["Max"] == ["niece", "self"]


@pytest.mark.parametrize(
    "other",
    [
        *({"query": query} for query in ("Ann", "(" * 3000, "('Ann',)", "('Zoe', 'Eve')", "('Ann', 'Ann')")),
        *({"proof_state": proof} for proof in ("[3]", "3", "[{3: 4}]")),
        *({"story_edges": edges} for edges in ("[(0, 9), (1, 2), (2, 3)]", "[(0, 1), (1, 2), (2, -1)]")),
        *({"story": ROW["story"].replace("[Tim]", other)} for other in ("Tim", "[Mary Ann]")),
        *({"story": " "}, {"target": ""}, {"genders": "Ann"}, {"task_name": "x"}),
    ],
)
def test_a_row_of_another_form_is_named(official, other):
    with pytest.raises(DataError, match=r"row 2 .*no row of CLUTRR.*give an official file"):
        stories(official(ROW, ROW | other))


def test_a_name_that_women_and_men_have_is_given_to_one_person_of_a_story(official):
    turned = ROW | {"genders": "Ann:male,Bob:female,Tim:female,Eve:male"}
    told = stories(official(ROW, turned))
    for seed in range(20):
        for row in rows(told, renamed=True, seed=seed):
            assert len(row["labels"][0]) == len(set(re.findall(r"\[(\w+)\]", row["prompt"]))) == 4
    alone = "Ann:female,Bob:male,Tim:other,Eve:female"
    few = stories(official(ROW | {"genders": alone}, ROW | {"genders": alone.replace("Bob", "Tim").replace("Tim:o", "Bob:o")}))
    for row in rows(few, renamed=True):
        assert len(row["labels"][0]) == 4


def test_the_command_writes_a_table(official, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["clutrr", "--rows", official(ROW), "--output", str(tmp_path / "own.jsonl")])
    main()
    assert json.loads((tmp_path / "own.jsonl").read_text())["answer"] == "niece" and "1 rows" in capsys.readouterr().out
