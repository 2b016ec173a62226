"""Self-consistency: the vote, what all samples cost, and how many are drawn."""

import json

import pytest

from hybrid.errors import ConfigError
from hybrid.eval.baselines import METHODS, Budget
from hybrid.eval.baselines.self_consistency import majority
from hybrid.eval.engines import Engine
from hybrid.eval.tasks import Sort
from hybrid.eval.tasks.table import Table
from hybrid.eval.text.generation import Generated

TASK = Sort(Sort.Config(length=3))
PROBLEMS = TASK.problems("test", 2)


class Draws(Engine):
    """Writes for each problem the text of this sample's number, with so many tokens."""

    identity = "draws"

    def __init__(self, *texts, tokens=(10,), knows_flops=True):
        self.texts, self.tokens, self.knows_flops, self.samplings, self.sizes = texts, tokens, knows_flops, [], []

    def write(self, conversations, max_new_tokens, *, sampling=None, ends=None):
        self.samplings.append(sampling)
        self.sizes.append(len(conversations))
        tokens = [self.tokens[i % len(self.tokens)] for i in range(len(conversations))]
        return [Generated(self.texts[sampling.sample % len(self.texts)], count, 40) for count in tokens]

    def flops(self, out):
        return float(out.tokens + out.prompt_tokens)

    def most_tokens(self, texts):
        return 10


def build(backbone, engine, **fields):
    kind = METHODS["self_consistency"]
    return kind(kind.Config(**fields), backbone, TASK, engine)


def text(problem, wrong=False):
    return f"Answer: {' '.join(problem.answer[::-1] if wrong else problem.answer)}"


PROBLEM = next(problem for problem in TASK.problems("test", 9) if problem.answer != problem.answer[::-1])


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([], None),
        ([None, None], None),
        ([None, None, ("a",)], ("a",)),
        ([("b",), ("a",), ("a",)], ("a",)),
        ([("b",), ("a",), ("a",), ("b",)], ("b",)),
    ],
)
def test_the_answer_given_most_often_wins_and_of_equal_ones_the_first(answers, expected):
    assert majority(answers) == expected


def test_the_majority_of_the_samples_is_the_answer_and_all_of_them_cost(backbone):
    engine = Draws(text(PROBLEM, wrong=True), text(PROBLEM), "no idea", text(PROBLEM), "?")
    (attempt,) = build(backbone, engine).attempt([PROBLEM])
    assert attempt.right and attempt.text == text(PROBLEM) and (attempt.tokens, attempt.flops) == (50, 250.0)


def test_the_vote_does_not_know_the_right_answer(backbone, tmp_path):
    rows = [{"prompt": f"Capital {i}?", "answer": "Paris" if i % 9 else "Rome", "steps": "Think."} for i in range(80)]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = Table(Table.Config(train=str(tmp_path / "own.jsonl"), trace_column="steps"))
    problem = next(problem for problem in task.problems("train", 9) if problem.answer == ("Paris",))
    kind, draws = (
        METHODS["self_consistency"],
        Draws("The answer is Lyon.\nGood.", "Answer: lyon.", "Answer: **LYON**", "Answer: Paris", "Paris."),
    )
    method = kind(kind.Config(samples=5, max_new_tokens=9), backbone, task, draws)
    (attempt,) = method.attempt([problem])
    assert not attempt.right and attempt.text == "The answer is Lyon.\nGood."


def test_a_majority_for_a_wrong_answer_is_wrong_and_so_are_no_answers(backbone):
    wrong = build(backbone, Draws(text(PROBLEM, wrong=True), text(PROBLEM), text(PROBLEM, wrong=True)), samples=3)
    assert not wrong.attempt([PROBLEM])[0].right
    (none,) = build(backbone, Draws("?")).attempt([PROBLEM])
    assert not none.right and none.text == "?" and none.tokens == 50


def test_samples_are_numbered_draws_with_the_configs_temperature(backbone):
    engine = Draws("?")
    build(backbone, engine, samples=3, temperature=0.5, top_p=0.9, seed=4).attempt(PROBLEMS)
    assert [(s.sample, s.temperature, s.top_p, s.seed) for s in engine.samplings] == [(i, 0.5, 0.9, 4) for i in range(3)]


@pytest.mark.parametrize(
    ("fields", "sizes"),
    [
        ({}, [2] * 5),
        ({"samples": 2}, [2, 2]),
        ({"most_tokens": 60.0}, [2, 2, 1, 1, 1, 1]),
        ({"most_tokens": 60.0, "samples": 3}, [2, 2, 1]),
        ({"most_tokens": 1.0}, [2]),
        ({"most_flops": 150.0}, [2, 2, 1]),
    ],
)
def test_samples_of_a_problem_end_before_they_exceed_the_tokens_or_flops_given(backbone, fields, sizes):
    engine = Draws("?", tokens=(10, 30))
    attempts = build(backbone, engine, **fields).attempt(PROBLEMS)
    assert engine.sizes == sizes
    assert all(attempt.tokens <= max(fields.get("most_tokens", 1e9), 30) for attempt in attempts)


def test_bounds_alone_draw_up_to_forty(backbone):
    engine = Draws("?")
    method = build(backbone, engine, most_tokens=1e9)
    method.attempt(PROBLEMS)
    assert len(engine.sizes) == 40 and method.name == "self consistency, 2 shots, up to 40 samples"
    assert build(backbone, engine).name == "self consistency, 2 shots, 5 samples"


def test_flops_that_nobody_knows_bound_nothing(backbone):
    with pytest.raises(ConfigError, match="give method.most_tokens instead"):
        build(backbone, Draws("?", knows_flops=False), most_flops=1e9)


def test_fit_compares_prompts_greedily_and_takes_the_budgets_seed(backbone, tmp_path):
    engine = Draws("?")
    method = build(backbone, engine, num_dev=2)
    method.fit(TASK.problems("train", 9), TASK.problems("dev", 2), tmp_path, Budget(60.0, seed=7))
    assert all(sampling.temperature == 0 for sampling in engine.samplings) and (tmp_path / "prompt.json").is_file()
    method.attempt(PROBLEMS)
    assert engine.samplings[-1].seed == 7 and method.name == "self consistency, 5 samples"


def test_the_real_models_vote_is_the_same_in_every_batch(backbone):
    method = build(backbone, None, shots=0, samples=3, max_new_tokens=8)
    together = method.attempt(PROBLEMS)
    assert together == [method.attempt([problem])[0] for problem in PROBLEMS]


@pytest.mark.parametrize(
    ("field", "value"), [("samples", 0), ("temperature", 0.0), ("top_p", 0.0), ("most_tokens", 0.0), ("most_flops", -1.0)]
)
def test_values_out_of_range_are_refused_by_name(field, value):
    with pytest.raises(ConfigError, match=rf"method\.{field} is {value}"):
        METHODS["self_consistency"].Config(**{field: value})
