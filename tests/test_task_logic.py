"""Logic: the drawn graphs, prompts, both options, files of official problems, scoring."""

import json
import random
import re
from statistics import mean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid.errors import ConfigError, InputError
from hybrid.eval.tasks import Logic
from hybrid.eval.tasks.logic.maker import CONCEPTS, PERSONS, draw_family

TASK = Logic(Logic.Config(nodes=14, min_hops=2, max_hops=4))


def told(seed):
    rng = random.Random(seed)
    family = next(TASK._instances(rng))
    words = TASK.wordings["train"] + TASK.wordings["held_out"]
    return family, [TASK._problem(family, TASK._key(family), wording, rng) for wording in words]


def known(prompt):
    """Follow the rules by reading the prompt's own names, until nothing new is known."""
    names = [word for word in re.findall(r"\w+", prompt) if word in PERSONS + CONCEPTS]
    *ends, who, first, second = names
    found = {who}
    for _ in ends:
        found |= {target for source, target in zip(ends[::2], ends[1::2], strict=True) if source in found}
    return ends, who, (first, second), found


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_answer_path_and_layout_are_those_of_a_direct_reading_in_every_wording(seed):
    _, problems = told(seed)
    for problem in problems:
        ends, who, options, found = known(problem.prompt)
        assert problem.answer == tuple("yes" if name in found else "no" for name in (who, *options))
        assert sorted(problem.answer) == ["no", "yes", "yes"]
        assert problem.path == tuple("yes" if name in found else "no" for name in ends)
        answer, context = ([problem.prompt[a:b] for a, b in spans] for spans in TASK.layout.spans(problem.prompt))
        assert answer == [who, *options] and context == ends


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_the_scorer_takes_a_name_a_sentence_and_yes_and_no(seed):
    family, problems = told(seed)
    for problem in problems:
        right, wrong = family.target, family.wrong
        for text in (right, f"Answer: {family.root} is a {right}.", problem.trace, f"{right}: yes, {wrong}: no",
                     f"**Answer:** a {right.title()}, not a {wrong}", "Answer: " + " ".join(problem.answer), " ".join(problem.answer[1:])):  # fmt: skip
            assert TASK.score(text, problem), text
        for text in (wrong, f"Answer: {right} or {wrong}", "", f"Answer: not a {right}", f"{wrong}: yes, {right}: no"):
            assert not TASK.score(text, problem), text


def test_steps_are_a_shortest_path_of_rules_that_the_prompt_holds():
    for problem in TASK.problems("train", 20):
        steps = [step.strip() for step in problem.trace.split("\n")[0].split(".") if step.strip()]
        assert len(steps) == problem.difficulty and 2 <= problem.difficulty <= 4
        assert all(f"{step}." in problem.prompt for step in steps)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.randoms())
def test_the_key_forgets_names_and_order(seed, rng):
    family = draw_family(14, 2, 4, random.Random(seed))
    names = sorted({name for edge in family.edges for name in edge})
    other = dict(zip(names, rng.sample(names, len(names)), strict=True))
    edges = [(other[a], other[b]) for a, b in family.edges]
    rng.shuffle(edges)
    chosen = (other[name] for name in (family.root, family.target, family.wrong))
    assert TASK._key(type(family)(tuple(edges), *chosen)) == TASK._key(family)


def test_the_size_of_drawn_problems_is_that_of_the_official_ones():
    rng = random.Random(0)
    drawn = [draw_family(28, 3, 6, rng) for _ in range(150)]
    names = [{name for edge in family.edges for name in edge} for family in drawn]
    assert mean(map(len, names)) == pytest.approx(22.8, abs=1)
    assert mean(len(family.edges) for family in drawn) == pytest.approx(36.0, abs=2.5)
    assert mean(len(each & set(PERSONS)) for each in names) == pytest.approx(2.55, abs=0.4)
    assert mean(family.swapped for family in drawn) == pytest.approx(0.5, abs=0.15)


def rows(count=40):
    made = TASK.problems("train", count)
    return [
        {"question": p.prompt, "answer": TASK.write(p), "steps": p.trace.split("\n")[:1]} for p in made if p.prompt[:5] != "Tell "
    ]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_official_problems_come_from_a_file(tmp_path, name):
    text = json.dumps(rows()) if name == "a.json" else "\n".join(map(json.dumps, rows()))
    (tmp_path / name).write_text(text)
    task = Logic(Logic.Config(file=str(tmp_path / name)))
    problems = task.problems("train", 20)
    assert all(task.right(task.solve(p.prompt), p) and task.score(p.trace, p) for p in problems)


def test_signs_that_end_a_line_elsewhere_end_no_row(tmp_path):
    made = [row | {"note": "a\x85b\u2028c"} for row in rows()]
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in made), encoding="utf-8")
    assert len(Logic(Logic.Config(file=str(tmp_path / "a.jsonl"))).problems("train", 20)) == 20


BAD = {
    "cannot be read": None,
    "no JSON": "{no",
    "row 1: give an object": "[1]",
    "row 1: .*neither option": json.dumps(
        [{"question": "Tom is a x. Every y is a z. Is Tom a y or z?", "answer": "Tom is a z."}]
    ),
    "row 1: .*give pairs": json.dumps([{"question": "Tom is a x. Is Tom Bob a y or z?", "answer": "Tom is a z."}]),
    "holds no problems": "[]",
}


@pytest.mark.parametrize("message", BAD)
def test_a_bad_file_is_one_line_that_names_it(tmp_path, message):
    path = tmp_path / "bad.json"
    if BAD[message] is not None:
        path.write_text(BAD[message])
    with pytest.raises(InputError, match=rf"bad\.json.*{message}") as caught:
        Logic(Logic.Config(file=str(path))).problems("train", 1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "fields", [{"nodes": 5}, {"nodes": 41}, {"min_hops": 0}, {"max_hops": 7}, {"min_hops": 5, "max_hops": 4}]
)
def test_a_config_out_of_range_is_refused(fields):
    with pytest.raises(ConfigError, match="logic"):
        Logic.Config(**fields)
