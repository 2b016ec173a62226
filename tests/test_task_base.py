"""What every task keeps: determinism, distinct problems, wordings, errors, pictures, a scorer that never raises."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid.errors import ConfigError, InputError
from hybrid.eval.tasks import TASKS
from hybrid.eval.tasks.show import Cell, Picture, as_html, as_text

MADE = ("arithmetic", "logic", "maze", "reachability", "sort", "state_tracking", "sudoku")
CONFIGS = [TASKS[kind].Config() for kind in MADE]
each_task = pytest.mark.parametrize("task", [TASKS.build(config) for config in CONFIGS], ids=MADE)


def test_the_registry_holds_the_tasks_and_rebuilds_their_configs():
    assert sorted(TASKS) == sorted([*MADE, "arc", "gsm8k", "reasoning_gym", "table"])
    for config in CONFIGS:
        assert TASKS.from_dict(TASKS.to_dict(config)) == config
    with pytest.raises(ConfigError, match="sudoko"):
        TASKS["sudoko"]


@each_task
def test_problems_are_distinct_repeatable_and_a_smaller_count_is_the_beginning(task):
    problems = task.problems("train", 40, seed=3)
    assert len({problem.prompt for problem in problems}) == 40
    assert TASKS.build(task.config).problems("train", 40, seed=3) == problems
    assert task.problems("train", 10, seed=3) == problems[:10]
    assert task.problems("train", 40, seed=4) != problems
    assert task.problems("train", 0) == [] and len(task.problems("dev")) == 300
    assert task.up_to("train", 10, seed=3) == problems[:10]


def test_a_split_with_fewer_problems_gives_all_of_them_where_that_will_do():
    task = TASKS["sort"](TASKS["sort"].Config(length=2))
    found = task.up_to("dev", 1000)
    assert 0 < len(found) < 100 and found == task.problems("dev", len(found))
    with pytest.raises(InputError, match=f"only {len(found)} different ones"):
        task.problems("dev", 1000)


@each_task
def test_making_problems_leaves_the_global_generator_alone(task):
    random.seed(1)
    state = random.getstate()
    task.problems("dev", 2)
    assert random.getstate() == state


@each_task
def test_another_wording_asks_the_same_in_other_words(task):
    assert len(task.wordings["train"]) >= 4 and len(task.wordings["held_out"]) >= 2
    assert not set(task.wordings["train"]) & set(task.wordings["held_out"])
    plain, other = (task.problems("test", 20, wording=wording) for wording in ("train", "held_out"))
    assert [(p.key, p.answer) for p in plain] == [(p.key, p.answer) for p in other]
    assert not {p.prompt for p in plain} & {p.prompt for p in other}


@each_task
def test_every_key_stands_in_the_split_it_was_drawn_for(task):
    for split in ("train", "dev", "test"):
        assert {task.split_of(problem.key) for problem in task.problems(split, 10)} == {split}


@each_task
def test_the_shares_of_the_splits_are_those_declared(task):
    splits = [task.split_of(str(number)) for number in range(4000)]
    assert splits.count("test") / 4000 == pytest.approx(task.test_share, abs=0.02)
    assert splits.count("dev") / 4000 == pytest.approx(task.dev_share, abs=0.02)


@each_task
def test_answers_are_symbols_and_written_answers_and_traces_score(task):
    for problem in task.problems("dev", 10):
        assert set(problem.answer) <= set(task.symbols) and set(problem.path) <= set(task.symbols)
        assert task.score(task.layout.write(problem.answer), problem) and task.score(task.write(problem), problem)
        assert task.right(problem.answer, problem) and not task.right(None, problem)
        assert task.score(f"**Answer:**\n```\n{task.layout.write(problem.answer)}\n```\nDone!", problem)
        assert task.score(problem.trace, problem)


@each_task
@pytest.mark.parametrize("wording", ["train", "held_out"])
def test_the_solver_finds_the_answer_in_the_prompt_alone_in_every_wording(task, wording):
    for problem in task.problems("test", 24, wording=wording):
        assert task.right(task.solve(problem.prompt), problem)


@each_task
def test_a_prompt_without_a_problem_is_an_input_error_of_the_solver(task):
    with pytest.raises(InputError):
        task.solve("What a fine day.")


@each_task
def test_the_path_has_a_symbol_for_every_place_that_the_layout_finds(task):
    for wording in ("train", "held_out"):
        for problem in task.problems("train", 12, wording=wording):
            answer, context = task.layout.spans(problem.prompt)
            assert len(answer) == len(problem.answer) and len(context) == len(problem.path)


PROBLEMS = [(task, task.problems("train", 1)[0]) for task in map(TASKS.build, CONFIGS)]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(PROBLEMS), st.text() | st.text("Answer: 1234redblu\n|,*`-[]\\\x00\ud800"))
def test_no_text_makes_a_scorer_raise(case, text):
    task, problem = case
    assert task.score(text, problem) in (True, False)


@each_task
def test_instructions_name_the_marker_only_for_reasoning(task):
    assert "Answer:" in task.instructions("cot") and "step by step" in task.instructions("cot")
    assert "Answer:" not in task.instructions("direct")


@each_task
def test_a_wrong_argument_is_an_input_error(task):
    for arguments, message in (
        ({"split": "valid", "count": 1}, "train, dev, test"),
        ({"split": "dev", "count": 1, "wording": "new"}, "held_out"),
        ({"split": "dev", "count": -1}, "count is -1"),
    ):
        with pytest.raises(InputError, match=message):
            task.problems(**arguments)


def test_a_split_with_too_few_problems_says_what_to_do():
    task = TASKS.build(TASKS["sort"].Config(length=2))
    with pytest.raises(InputError, match=r"1000 train problems of sort.*ask for fewer"):
        task.problems("train", 1000)


@each_task
def test_a_picture_marks_what_changed(task):
    problem = task.problems("train", 1)[0]
    cells = [cell for row in task.picture(problem.prompt, problem.answer, problem.answer).rows for cell in row]
    assert [cell.symbol for cell in cells] == list(problem.answer) and not any(cell.changed for cell in cells)
    blank = [cell for row in task.picture(problem.prompt, problem.answer, "?" * len(cells)).rows for cell in row]
    assert all(cell.changed for cell in blank)


def test_html_is_escaped_and_rich_markup_is_not_read():
    picture = Picture(((Cell("<b>", label="[red]&", given=True), Cell("[bold]", changed=True)),))
    html = as_html(picture)
    assert "&lt;b&gt;" in html and "[red]&amp;" in html and "<b>" not in html
    assert 'class="given"' in html and 'class="changed"' in html
    text = as_text(picture)
    assert text.plain == "[red]& <b> [bold]"
    assert any("yellow" in str(span.style) for span in text.spans)


@each_task
@pytest.mark.parametrize("wording", ["train", "held_out"])
def test_the_answer_as_a_sentence_is_read_as_the_answer(task, wording):
    for problem in task.problems("dev", 20, wording=wording):
        told = task.sentence(problem)
        assert task.score(told, problem) and task.score(f"Answer: {told}", problem), told


@pytest.mark.parametrize(
    ("kind", "mixed", "questions", "held_out"),
    [
        ("state_tracking", ("barters", "deals"), 7, ("starts", "carries", "exchanges", "switch")),
        ("reachability", ("Ships", "tram"), 7, ("drive", "line", "train leaves")),
        ("arithmetic", ("Later", "to it"), 8, ("Now", "Reckon", "Write down")),
    ],
)
def test_varied_problems_mix_the_ways_to_say_each_part_and_none_is_held_out(kind, mixed, questions, held_out):
    plain, varied = (TASKS.build(TASKS[kind].Config(varied=wanted)) for wanted in (False, True))
    told = [problem.prompt for problem in varied.problems("train", 200)]
    assert len({prompt.split(". ")[-1] for prompt in told}) == questions
    assert any(all(words in prompt for words in mixed) for prompt in told)
    assert not any(words in prompt for prompt in told for words in held_out)
    assert [p.key for p in plain.problems("test", 20)] == [p.key for p in varied.problems("test", 20)]
    assert plain.problems("test", 5, wording="held_out") == varied.problems("test", 5, wording="held_out")
