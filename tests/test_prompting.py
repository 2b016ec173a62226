"""Prompted methods: what is asked, what is scored, what it costs, and which prompt is chosen."""

import json
from dataclasses import replace

import pytest

from hybrid.errors import ConfigError, InputError
from hybrid.eval.baselines import METHODS, Budget
from hybrid.eval.engines import Engine
from hybrid.eval.measures.cost import text_cost
from hybrid.eval.tasks import Sort
from hybrid.eval.tasks.table import Table
from hybrid.eval.text.generation import GREEDY, Generated, chat_text, cut

TASK = Sort(Sort.Config(length=3))
KINDS = ["direct", "zero_shot_cot", "few_shot_cot"]


def build(kind, backbone, engine=None, **fields):
    return METHODS[kind](METHODS[kind].Config(**fields), backbone, TASK, engine)


class Writes(Engine):
    """Writes given texts, again and again, and keeps what it was asked."""

    batch_sizes = (4,)

    def __init__(self, *texts, tokens=5, prompt_tokens=40, model="", fault=""):
        self.texts, self.costs, self.model, self.asked, self.fault = texts, (tokens, prompt_tokens), model, [], fault
        self.identity = f"writes {model}"

    def write(self, conversations, max_new_tokens, *, sampling=GREEDY, ends=None):
        self.asked.append((conversations, max_new_tokens, sampling))
        texts = [self.texts[i % len(self.texts)] for i in range(len(conversations))]
        return [Generated(cut(text, end), *self.costs, self.fault) for text, end in zip(texts, ends, strict=True)]

    def flops(self, out):
        return 1000.0 * out.prompt_tokens + out.tokens

    def most_tokens(self, texts):
        return max(len(text) for text in texts)


@pytest.mark.parametrize(
    ("kind", "shots", "name"),
    [
        ("direct", 3, "direct, 3 shots"),
        ("direct", 0, "direct"),
        ("zero_shot_cot", 0, "zero shot cot"),
        ("few_shot_cot", 2, "few shot cot, 2 shots"),
    ],
)
def test_a_name_tells_the_kind_and_the_shots(backbone, kind, shots, name):
    assert build(kind, backbone, shots=shots).name == name
    assert METHODS[kind].Config().shots == (shots or METHODS[kind].Config().shots)


def test_direct_asks_for_the_answer_alone_and_shows_answers(backbone):
    method, problem = build("direct", backbone, shots=2), TASK.problems("test", 1)[0]
    turns = method.messages(problem)
    assert [turn["role"] for turn in turns] == ["user", "assistant"] * 2 + ["user"]
    assert turns[-1]["content"] == f"{problem.prompt.rstrip()}\n{TASK.instructions('direct')}"
    for example, asked, told in zip(method.examples, turns[::2], turns[1::2], strict=False):
        assert asked["content"] == method.question(example) and told["content"] == " ".join(example.answer)


def test_few_shot_cot_shows_a_solvers_steps_that_lead_to_the_answer(backbone):
    method = build("few_shot_cot", backbone)
    turns = method.messages(TASK.problems("test", 1)[0])
    assert len(turns) == 5
    for example, told in zip(method.examples, turns[1::2], strict=False):
        assert told["content"] == example.trace and "Answer:" in example.trace and TASK.score(told["content"], example)
    assert turns[-1]["content"].endswith(TASK.instructions("cot"))


def test_zero_shot_cot_asks_for_steps_and_shows_nothing(backbone):
    problem = TASK.problems("test", 1)[0]
    (turn,) = build("zero_shot_cot", backbone).messages(problem)
    assert turn == {"role": "user", "content": f"{problem.prompt.rstrip()}\n{TASK.instructions('cot')}"}


def test_examples_come_from_the_training_split_and_are_always_the_same(backbone):
    method = build("few_shot_cot", backbone)
    assert all(TASK.split_of(example.key) == "train" for example in method.examples)
    assert method.examples == build("direct", backbone).examples


@pytest.mark.parametrize("kind", KINDS)
def test_a_worked_example_has_room_in_what_may_be_written(backbone, kind):
    method = build(kind, backbone)
    lengths = [len(backbone.tokenizer(method.reply(example))["input_ids"]) for example in method.examples]
    assert max(lengths) < method.max_new_tokens <= 2 * max(lengths) + 8
    assert build(kind, backbone, max_new_tokens=7).max_new_tokens == 7


def test_the_longest_training_problem_has_room_even_if_no_example_shows_it(backbone, tmp_path):
    long = Sort(Sort.Config(length=12)).problems("train", 1)
    training, dev = [*TASK.problems("train", 30), *long], TASK.problems("dev", 2)
    method = build("few_shot_cot", backbone, Writes("Answer: 1"))
    method.fit(training, dev, tmp_path, Budget(5.0))
    assert method.max_new_tokens > len(method.reply(long[0]))


def test_an_answer_that_was_cut_off_is_counted(backbone):
    method = build("direct", backbone, Writes("Let me see", tokens=9), max_new_tokens=9)
    assert [attempt.cut for attempt in method.attempt(TASK.problems("test", 2))] == [True, True]
    assert not build("direct", backbone, Writes("1", tokens=5), max_new_tokens=9).attempt(TASK.problems("test", 1))[0].cut


def test_steps_get_more_room_than_the_answer_alone(backbone):
    assert build("zero_shot_cot", backbone).max_new_tokens > build("direct", backbone).max_new_tokens


def test_the_tasks_scorer_decides_and_the_costs_are_the_engines(backbone):
    problems = TASK.problems("test", 3)
    right = f"I think.\nAnswer: {' '.join(problems[0].answer)}"
    engine = Writes(right, "no idea", f"Answer: {' '.join(reversed(problems[2].answer))} 0", tokens=9, prompt_tokens=50)
    method = build("few_shot_cot", backbone, engine)
    attempts = method.attempt(problems)
    assert [attempt.right for attempt in attempts] == [True, False, False]
    assert attempts[0].text == right and [(a.tokens, a.flops) for a in attempts] == [(9, 50_009.0)] * 3
    assert all(attempt.steps == 0 and attempt.right_by_step is None for attempt in attempts)
    ((conversations, limit, sampling),) = engine.asked
    assert limit == method.max_new_tokens and sampling == GREEDY
    assert conversations == [method.messages(problem) for problem in problems]


def test_what_stands_after_the_answer_is_not_read(backbone):
    problem = TASK.problems("test", 1)[0]
    said = f"Answer: {' '.join(problem.answer)}\n"
    engine = Writes(f"{said}Sort: 9 9 9\nAnswer: 9 9 9\n")
    (attempt,) = build("few_shot_cot", backbone, engine).attempt([problem])
    assert attempt.right and attempt.text == said


def test_an_answer_with_a_fault_is_wrong(backbone):
    problem = TASK.problems("test", 1)[0]
    engine = Writes(" ".join(problem.answer), fault="refused")
    assert not build("direct", backbone, engine).attempt([problem])[0].right


def test_a_method_with_another_model_carries_its_name(backbone):
    assert build("direct", backbone, Writes("", model="big")).name == "direct, 3 shots, big"


class Untold(Sort):
    """A task whose problems come without worked steps."""

    def _problem(self, *given):
        return replace(super()._problem(*given), trace="")


@pytest.mark.parametrize("kind", ["few_shot_cot", "self_consistency"])
def test_without_worked_steps_there_is_nothing_to_show(backbone, kind):
    with pytest.raises(InputError, match="has no worked steps, .*; leave these methods out, or name a table's column"):
        METHODS[kind](METHODS[kind].Config(), backbone, Untold(Sort.Config(length=3)))


def test_without_worked_steps_a_chain_of_thought_of_the_models_own_has_room(backbone):
    method = METHODS["zero_shot_cot"](METHODS["zero_shot_cot"].Config(), backbone, Untold(Sort.Config(length=3)))
    assert method.max_new_tokens == min(256, backbone.context_length // 4)


def test_many_training_problems_tell_how_long_an_answer_may_be(backbone):
    class Growing(Sort):
        def _problem(self, instance, *given):
            problem = super()._problem(instance, *given)
            return replace(problem, trace="x" * (400 if problem.answer[0] == "5" else 10))

    task = Growing(Sort.Config(length=3))
    assert not any(len(problem.trace) > 10 for problem in task.problems("train", 4, seed=1))
    method = METHODS["few_shot_cot"](METHODS["few_shot_cot"].Config(), backbone, task, Writes(""))
    assert method.max_new_tokens > 400 and len(method.examples) == 4


def test_the_costs_of_the_backbones_own_text_are_the_formulas(backbone):
    (attempt,) = build("direct", backbone, shots=0).attempt(TASK.problems("test", 1))
    prompt = backbone.tokenizer(chat_text(backbone, build("direct", backbone, shots=0).messages(TASK.problems("test", 1)[0])))
    assert attempt.flops == text_cost(backbone).flops(len(prompt["input_ids"]), attempt.tokens)


BUDGET = Budget(seconds=60.0)


def fit(method, folder, budget=BUDGET, count=6):
    method.fit(TASK.problems("train", 20), TASK.problems("dev", count), folder, budget)
    return method


class Likes(Writes):
    """Answers rightly where the question holds a word."""

    def __init__(self, word, tokens=lambda text: 5):
        super().__init__("", model="likes")
        self.word, self.tokens = word, tokens

    def write(self, conversations, max_new_tokens, *, sampling=GREEDY, ends=None):
        super().write(conversations, max_new_tokens, sampling=sampling, ends=ends)
        texts = [f"{len(turns) // 2} shots: {turns[-1]['content']}" for turns in conversations]
        answers = {problem.prompt: " ".join(problem.answer) for split in ("dev", "test") for problem in TASK.problems(split, 6)}
        told = [next(answer for prompt, answer in answers.items() if prompt in text) for text in texts]
        return [
            Generated(answer if self.word in text else "?", self.tokens(text), 40)
            for answer, text in zip(told, texts, strict=True)
        ]


@pytest.mark.parametrize(("word", "shots"), [("1 shots", 1), ("6 shots", 6), ("3 shots", 3)])
def test_fit_takes_the_number_of_examples_that_is_most_exact_on_dev(backbone, tmp_path, word, shots):
    method = fit(build("direct", backbone, Likes(word)), tmp_path)
    assert method.prompt.shots == shots and method.attempt(TASK.problems("test", 1))[0].right


def test_fit_takes_the_wording_that_is_most_exact_on_dev(backbone, tmp_path):
    method = fit(build("zero_shot_cot", backbone, Likes("one small step")), tmp_path)
    assert "one small step" in method.question(TASK.problems("test", 1)[0]) and method.name == "zero shot cot, likes"
    assert "{form}" not in method.question(TASK.problems("test", 1)[0])


def test_of_equally_exact_prompts_the_one_with_fewer_tokens_is_taken(backbone, tmp_path):
    tokens = {"0": 8, "1": 7, "3": 9, "6": 8}
    engine = Likes("shots", tokens=lambda text: tokens[text[0]])
    assert fit(build("direct", backbone, engine), tmp_path).prompt.shots == 1


def test_fit_never_asks_a_test_problem_and_shows_training_ones_only(backbone, tmp_path):
    engine, training = Writes("?"), TASK.problems("train", 20)
    method = fit(build("few_shot_cot", backbone, engine), tmp_path)
    dev = {method.question(problem).split("\n")[0] for problem in TASK.problems("dev", 6)}
    shown = {problem.prompt for problem in training}
    for conversations, _, sampling in engine.asked:
        for turns in conversations:
            assert turns[-1]["content"].split("\n")[0] in dev and sampling == GREEDY
            assert all(turn["content"].rsplit("\n", 1)[0] in shown for turn in turns[:-1:2])


def test_another_seed_shows_other_examples_and_the_same_seed_the_same(backbone, tmp_path):
    first, again, other = (
        fit(build("direct", backbone, Writes("?")), tmp_path / name, Budget(60.0, seed))
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first.examples == again.examples != other.examples


def test_the_same_fit_again_reads_its_choice_and_asks_nothing(backbone, tmp_path):
    method = fit(build("direct", backbone, Likes("6 shots")), tmp_path)
    engine = Likes("1 shots")
    again = fit(build("direct", backbone, engine), tmp_path)
    assert again.prompt == method.prompt and engine.asked == [] and again.train_seconds == method.train_seconds > 0


def test_the_real_model_chooses_a_prompt_and_leaves_out_those_that_do_not_fit(backbone, tmp_path):
    method = fit(build("direct", backbone, max_new_tokens=6, num_dev=2), tmp_path)
    data = json.loads((tmp_path / "prompt.json").read_text())
    unfit = [trial for trial in data["trials"] if trial["error"]]
    assert unfit and all("exceed the context" in trial["error"] for trial in unfit)
    assert data["chosen"]["shots"] == method.prompt.shots < 6


def test_the_real_model_answers_a_batch_as_it_answers_one_by_one(backbone):
    method, problems = build("direct", backbone, shots=0), TASK.problems("test", 3)
    together = method.attempt(problems)
    assert together == [method.attempt([problem])[0] for problem in problems]
    assert all(0 < attempt.tokens <= method.max_new_tokens and attempt.flops > 0 for attempt in together)


@pytest.mark.parametrize(("field", "value"), [("shots", -1), ("max_new_tokens", 0), ("num_dev", 0)])
@pytest.mark.parametrize("kind", KINDS)
def test_values_out_of_range_are_refused_by_name(kind, field, value):
    with pytest.raises(ConfigError, match=rf"method\.{field} is {value}"):
        METHODS[kind].Config(**{field: value})


def test_an_answer_of_more_lines_than_the_examples_have_is_not_cut(backbone, tmp_path):
    rows = [{"prompt": f"Count {i}", "answer": "a\nb\nc" if i % 20 == 0 else "abc"[i % 3]} for i in range(200)]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = Table(Table.Config(train=str(tmp_path / "own.jsonl"), unit="whole"))
    method = METHODS["direct"](METHODS["direct"].Config(), backbone, task)
    assert max(len(problem.answer[0].split("\n")) for problem in method.examples) == 1 and method._lines == 3
