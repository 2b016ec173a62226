"""reasoning-gym as a task: splits by question, its own scorers for text and symbols, errors that help."""

import random

import pytest

from hybrid.errors import ConfigError, InputError
from hybrid.eval.bench.comparison import task_name
from hybrid.eval.tasks import TASKS
from hybrid.eval.tasks.gym import GymConfig
from hybrid.flags.parser import parse
from hybrid.problem import Problem


def gym(dataset="spell_backward", **fields):
    pytest.importorskip("reasoning_gym")
    return TASKS.build(GymConfig(dataset, **({"size": 600} | fields)))


SHORT = {"min_word_len": 3, "max_word_len": 4}


def test_a_config_is_checked_without_the_package_and_rebuilt_from_plain_data():
    config = GymConfig("gcd", {"max_value": 50}, symbols=("1", "2"), unit="whole")
    assert TASKS.from_dict(TASKS.to_dict(config)) == config
    for fields, message in (
        ({}, "dataset is missing"),
        ({"parameters": {"seed": 1}}, "give reasoning_gym.seed instead"),
        ({"size": 0}, "size is 0"),
        ({"threshold": 0.0}, "threshold is 0.0"),
        ({"symbols": ("a", "b"), "unit": "token"}, "open vocabulary"),
        ({"num_answers": 0}, "num_answers is 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            GymConfig(**({"dataset": "gcd"} | fields if fields else {}))


def test_parameters_are_a_mapping_on_the_command_line_and_in_a_file(tmp_path):
    from hybrid.cli import COMMANDS

    wanted = GymConfig("gcd", {"max_value": 50})
    flags = ["--task", "reasoning_gym", "--task.dataset", "gcd", "--task.parameters", '{"max_value": 50}']
    assert parse(COMMANDS["tasks"], flags, "hybrid tasks").task == wanted
    file = tmp_path / "task.yaml"
    file.write_text("task: {kind: reasoning_gym, dataset: gcd, parameters: {max_value: 50}}")
    assert parse(COMMANDS["tasks"], ["--config", str(file)], "hybrid tasks").task == wanted


def test_no_question_and_no_item_stands_in_two_splits_whatever_the_seeds_and_counts():
    task = gym(parameters=SHORT)
    splits = [{p.key for seed in (0, 1) for p in task.problems(s, n, seed=seed)} for s, n in (("train", 60), ("test", 10))]
    assert not splits[0] & splits[1]
    train = task.problems("train", 60)
    assert len({p.prompt for p in train}) == 60 and train == gym(parameters=SHORT).problems("train", 60)
    assert task.problems("train", 20) == train[:20]
    assert {task.split_of(p.key) for p in train} == {"train"}


def test_questions_that_come_twice_are_one_problem():
    with pytest.raises(InputError, match="only .* different"):
        gym("coin_flip", parameters={"min_trials": 3, "max_trials": 3}, unit="whole").problems("train", 300)


def test_the_data_sets_own_scorer_judges_text_and_symbols():
    task = gym("word_ladder", parameters={"min_word_length": 3, "max_word_length": 3})
    problem = task.problems("train", 1)[0]
    own = problem.answer[0]
    assert task.score(own, problem) and task.score(f"Let me see.\n**Answer:** {own}.", problem)
    assert task.right(problem.answer, problem) and not task.right(None, problem) and not task.right(("",), problem)
    detour = ",".join(own.split(",") + own.split(",")[-2:-1])  # Ends elsewhere.
    assert not task.score(detour, problem) and not task.score("", problem)


def test_a_threshold_takes_part_of_the_points():
    problem = gym("string_manipulation").problems("train", 1)[0]
    almost = problem.answer[0] + "z"
    assert not gym("string_manipulation").score(almost, problem)
    assert gym("string_manipulation", threshold=0.01).score(almost, problem)


def test_symbols_are_judged_by_the_same_scorer(monkeypatch):
    task = gym()
    problem = task.problems("train", 1)[0]
    monkeypatch.setattr(task.data, "score_answer", lambda answer, entry: 1.0 if answer == "other" else 0.0)
    assert task.right(("other",), problem) and not task.right(problem.answer, problem)


def test_a_scorer_that_chokes_counts_as_wrong(monkeypatch):
    task = gym()
    problem = task.problems("train", 1)[0]
    monkeypatch.setattr(task.data, "score_answer", lambda answer, entry: 1 / 0)
    assert task.score("anything", problem) is False


def test_a_problem_of_another_task_is_an_input_error():
    task, other = gym(), gym(seed=77)
    with pytest.raises(InputError, match="the task that made it"):
        task.score("x", other.problems("train", 1)[0])
    with pytest.raises(InputError, match="nowhere"):
        task.score("x", Problem("What?", ("x",)))


def test_scorers_that_run_answers_must_be_allowed():
    with pytest.raises(ConfigError, match="runs answers as Python code"):
        gym("n_queens")
    assert gym("n_queens", run_answers=True).data is not None


def test_unknown_names_and_settings_say_what_there_is():
    for fields, message in (
        ({"dataset": "spel_backward"}, "near it are: spell_backward"),
        ({"dataset": "gcd", "parameters": {"top": 1}}, "which gcd has not; it has: min_numbers"),
        ({"dataset": "gcd", "parameters": {"min_value": 9, "max_value": 2}}, "do not fit gcd"),
    ):
        with pytest.raises(ConfigError, match=message):
            gym(**fields)
    with pytest.raises(InputError, match="without an answer"):
        gym("graph_color").problems("train", 1)
    with pytest.raises(InputError, match="one wording"):
        gym().problems("test", 1, wording="held_out")


def test_without_the_package_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "reasoning_gym", None)
    with pytest.raises(ConfigError, match=r"hybrid-reasoner\[tasks\]"):
        TASKS.build(GymConfig("gcd"))


def test_units_cut_answers_and_find_their_vocabulary():
    letters = gym(unit="character", parameters=SHORT)
    assert letters.layout.num_answers == 4 and letters.symbols[-1] == "<end>"
    for problem in letters.problems("dev", 5):
        assert letters.right(problem.answer, problem) and len(problem.answer) == problem.difficulty and not problem.trace
    assert gym().symbols == () and gym().layout.num_answers == 16
    assert gym("gcd", unit="whole", parameters={"max_value": 9}).layout.num_answers == 1
    with pytest.raises(InputError, match="none of the first"):
        gym(unit="character", symbols=("a", "b")).problems("train", 5)


def test_a_cut_that_the_scorer_does_not_take_is_an_input_error():
    with pytest.raises(InputError, match="choose reasoning_gym.unit token"):
        gym("rotate_matrix", unit="word", num_answers=200).problems("train", 5)


def test_items_are_the_same_again_and_pythons_own_generator_is_left_alone():
    task = gym("list_functions")  # Draws from it.
    random.seed(3)
    state = random.getstate()
    assert task._entry(5) == task._entry(5)
    assert random.getstate() == state


def test_a_table_names_the_data_set():
    assert task_name(gym()).startswith("reasoning_gym spell_backward (")


@pytest.mark.parametrize(("dataset", "allowed"), [("ab", False), ("n_queens", True)])
def test_marks_that_mean_something_reach_the_scorer(dataset, allowed):
    task = gym(dataset, run_answers=allowed, size=200)
    for problem in task.problems("train", 5):
        own = problem.answer[0]
        assert task.score(own, problem) and task.score(f"So.\n**Answer:**\n```\n{own}\n```\n", problem)
        assert task.score(f"Answer: {own}" if "\n" not in own else f"Answer:\n{own}", problem)
        assert not task.score(own.replace("#", "").replace("Q", "_"), problem)
