"""lm-evaluation-harness: its figure for a head is our own to the last digit; what a head can be asked, and what not."""

import json
import math
import sys
from dataclasses import replace
from functools import partialmethod
from itertools import product
from types import SimpleNamespace

import pytest
import torch

from hybrid.errors import ConfigError, InputError
from hybrid.eval import harness, harness_tasks
from hybrid.eval.baselines import HeadMethod
from hybrid.eval.bench.benchmark import measure
from hybrid.eval.harness import HybridAnswers
from hybrid.eval.harness_tasks import TaskFileCommand, documents, problem_of, score
from hybrid.eval.tasks import TASKS, Sort
from hybrid.layout import END, LayoutConfig

CONFIG = Sort.Config(length=3)
TASK = Sort(CONFIG)
COUNT = 24


@pytest.fixture
def head(new_model):
    """A head that sorts three digits, of random weights: right now and then."""
    return new_model(layout=TASK.layout, symbols=TASK.symbols, task=TASKS.to_dict(CONFIG))


@pytest.fixture
def file(tmp_path):
    """Our task as a file for lm-eval."""
    return TaskFileCommand(task=CONFIG, output=str(tmp_path), num_problems=COUNT, num_shots_from=4).write()


def ask(context, second, doc=None):
    return SimpleNamespace(args=(context, second), doc=doc)


def evaluate(model, file, **options):
    harness.register()
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    # Without lm-eval's own tasks, which take it half a minute to list.
    return simple_evaluate(
        model=model, tasks=[str(file)], bootstrap_iters=0, task_manager=TaskManager(include_defaults=False), **options
    )


def test_lm_eval_gives_the_figure_of_our_own_benchmark_to_the_last_digit(head, file, backbone, monkeypatch):
    pytest.importorskip("lm_eval")
    torch.nn.init.normal_(head.head.decoder.out.weight, std=5.0)  # Else it gives one symbol at every place.
    # The head's own answers count as right for seven problems, so that the figure is neither 0 nor 1.
    first, real = TASK.problems("test", 7), Sort.problems
    told = {p.prompt: solution.symbols for p, solution in zip(first, head.solve(first), strict=True)}

    def some(self, *arguments, **options):
        return [replace(p, answer=told.get(p.prompt, p.answer)) for p in real(self, *arguments, **options)]

    monkeypatch.setattr(Sort, "problems", some)
    own = measure(
        HeadMethod(HeadMethod.Config(), head, TASK),
        TASK.problems("test", COUNT),
        task_name="sort",
        split="test",
        seed=0,
        backbone=backbone,
        num_latency=1,
    )
    model = harness.register()(pretrained=head, batch_size=5)
    found = evaluate(model, file)
    results = found["results"]["hybrid_sort"]
    samples = sorted(found["samples"]["hybrid_sort"], key=lambda sample: sample["doc_id"])
    assert [sample["filtered_resps"][0] for sample in samples] == [attempt.text for attempt in own.attempts]
    assert [sample["exact"] for sample in samples] == [float(attempt.right) for attempt in own.attempts]
    assert any(attempt.right and attempt.text != attempt.text[::-1] for attempt in own.attempts)
    assert results["exact,none"] == own.record.exact and 0 < own.record.exact < 1
    assert results["sample_len"] == own.record.n == COUNT


def test_any_model_of_lm_eval_runs_on_our_tasks_also_with_examples(tiny_folder, file):
    pytest.importorskip("lm_eval")
    options = {"model_args": {"pretrained": str(tiny_folder), "device": "cpu"}, "num_fewshot": 1, "limit": 2}
    found = evaluate("hf", file, **options)
    assert found["results"]["hybrid_sort"]["exact,none"] in (0.0, 0.5, 1.0)
    sample = found["samples"]["hybrid_sort"][0]
    context = sample["arguments"]["gen_args_0"]["arg_0"] if isinstance(sample["arguments"], dict) else sample["arguments"][0][0]
    assert context.count("Reply with only the sorted numbers") == 2


def test_the_command_line_of_lm_eval_knows_the_model(head, file, tmp_path, monkeypatch, capsys):
    manager = pytest.importorskip("lm_eval.tasks.manager").TaskManager
    monkeypatch.setattr(manager, "__init__", partialmethod(manager.__init__, include_defaults=False))
    head.save_pretrained(tmp_path / "head")
    words = ["harness", "--model", "hybrid", "--model_args", f"pretrained={tmp_path / 'head'}", "--tasks", str(file)]
    monkeypatch.setattr(sys, "argv", [*words, "--batch_size", "auto", "--output_path", str(tmp_path / "out")])
    assert harness.main() == 0
    (written,) = (tmp_path / "out").rglob("results*.json")
    assert "hybrid_sort" in json.loads(written.read_text())["results"] and "exact" in capsys.readouterr().out


def test_a_chat_template_that_is_asked_for_changes_nothing_of_what_a_head_reads(head):
    lm = HybridAnswers(head)
    message = {"role": "user", "content": TASK.problems("test", 1)[0].prompt}
    assert lm.apply_chat_template([message]) == message["content"] and lm.chat_template(True) == ""
    assert lm.apply_chat_template([{"role": "system", "content": "a"}, message]).startswith("a\n\n") and lm.tokenizer_name


def test_lm_eval_runs_with_a_chat_template(head, file):
    pytest.importorskip("lm_eval")
    plain, chat = (evaluate(harness.register()(head), file, apply_chat_template=each)["results"] for each in (False, True))
    assert plain == chat


def test_our_documents_are_answered_from_the_bare_prompt_with_its_spans(new_model):
    model = new_model(layout=LayoutConfig(given=True), symbols=TASK.symbols)
    prompt = "Sort: 3 1"
    doc = {"hybrid": {"problem": json.dumps({"prompt": prompt, "answer": ["1", "3"], "path": [], "spans": [[6, 7], [8, 9]]})}}
    answers = HybridAnswers(model)
    (text,) = answers.generate_until([ask("Many examples.\n\nSort: 3 1\nReply with only ...", {"until": ["\n\n"]}, doc)])
    assert len(text.split()) == 2
    with pytest.raises(InputError, match="spans"):
        answers.generate_until([ask(prompt, {}, {"another": "task"})])


def test_what_stops_a_text_cuts_an_answer(head):
    answers, prompt = HybridAnswers(head), TASK.problems("test", 1)[0].prompt
    (whole,) = answers.generate_until([ask(prompt, {"until": []})])
    assert answers.generate_until([ask(prompt, {"until": " "})]) == [whole.split()[0]]


def test_the_probabilities_of_all_answers_add_up_to_one_and_the_likeliest_is_the_heads(head):
    answers, prompt = HybridAnswers(head, batch_size=2), TASK.problems("test", 1)[0].prompt
    choices = [" " + " ".join(symbols) for symbols in product(TASK.symbols, repeat=3)]
    found = answers.loglikelihood([ask(prompt, choice) for choice in choices])
    assert sum(math.exp(value) for value, _ in found) == pytest.approx(1, abs=1e-5)
    best = max(range(len(choices)), key=lambda i: found[i][0])
    assert [i for i, (_, greedy) in enumerate(found) if greedy] == [best]
    assert choices[best].strip() == head.solve([prompt])[0].text


def test_shorter_answers_have_a_probability_too(new_model):
    model = new_model(layout=LayoutConfig(num_answers=2, separator=""), symbols=("a", "b", END), encoder=_slots())
    texts = ["a", "b", *("".join(pair) for pair in product("ab", repeat=2))]
    found = HybridAnswers(model).loglikelihood([ask("Which?", text) for text in texts])
    logits = model.logits(["Which?"])[0].float().log_softmax(-1)
    empty = float(logits[0, 2].exp())  # The answer without a symbol, which no continuation writes.
    assert sum(math.exp(value) for value, _ in found) == pytest.approx(1 - empty, abs=1e-4)


def _slots():
    from hybrid.adapters import CrossAttention

    return CrossAttention.Config()


def test_a_continuation_that_is_no_answer_and_a_running_text_say_what_can_be_asked(head):
    answers, prompt = HybridAnswers(head), TASK.problems("test", 1)[0].prompt
    for continuation in (" yes", " 1", " 1 2 3 4"):
        with pytest.raises(InputError, match="no answer that this head can give"):
            answers.loglikelihood([ask(prompt, continuation)])
    with pytest.raises(InputError, match="generate_until, multiple_choice or loglikelihood"):
        answers.loglikelihood_rolling([ask("Once upon a time", None)])


def test_arguments_are_checked_and_a_missing_gpu_is_none(head, monkeypatch):
    assert HybridAnswers(head, batch_size="auto:4").batch_size == harness.BATCH
    assert type(HybridAnswers(head, halting="fixed").halting).__name__ == "Config"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert HybridAnswers(head, device="cuda:0").model.device.type == "cpu"
    for fields, message in (({"batch_size": 0}, "batch_size is 0"), ({"halting": "act"}, 'halting "act" is unknown')):
        with pytest.raises(ConfigError, match=message):
            HybridAnswers(head, **fields)


@pytest.mark.parametrize("kind", ["sort", "state_tracking", "sudoku"])
def test_documents_hold_the_problems_and_their_scorer(kind):
    config = TASKS[kind].Config()
    task = TASKS.build(config)
    settings = {"task": TASKS.to_dict(config), "num_problems": 4, "num_shots_from": 2, "seed": 5, "wording": "held_out"}
    docs = documents({"hybrid": settings | {"style": "direct"}}, pretrained="x", batch_size=1)
    problems = task.problems("test", 4, seed=5, wording="held_out")
    assert [problem_of(doc) for doc in docs["test"]] == problems and len(docs["train"]) == 2
    assert problem_of({"question": "?"}) is None
    for doc, problem in zip(docs["test"], problems, strict=True):
        assert score(doc, [doc["target"]]) == {"exact": 1.0} and score(doc, ["no idea"]) == {"exact": 0.0}
        assert harness_tasks.question(doc) == f"{problem.prompt.rstrip()}\n{task.instructions('direct')}"


def test_the_style_says_what_a_language_model_is_asked():
    settings = {"task": TASKS.to_dict(CONFIG), "num_problems": 1, "num_shots_from": 1, "seed": 0, "wording": "train"}
    bare, cot = (documents({"hybrid": settings | {"style": style}})["test"][0] for style in ("bare", "cot"))
    assert bare["question"] == problem_of(bare).prompt and "step by step" in cot["question"]
    assert cot["target"] == problem_of(cot).trace


def test_an_example_without_worked_steps_shows_its_answer_in_any_style(tmp_path):
    (tmp_path / "own.csv").write_text("prompt,answer\n" + "".join(f"{i}?,{i % 3}\n" for i in range(60)))
    task = {"kind": "table", "train": str(tmp_path / "own.csv")}
    settings = {"task": task, "num_problems": 1, "num_shots_from": 1, "seed": 0, "wording": "train"}
    doc = documents({"hybrid": settings | {"style": "cot"}})["train"][0]
    assert doc["target"] == f"Answer: {problem_of(doc).answer[0]}"


def test_the_file_takes_the_task_of_a_head(head, tmp_path, capsys, monkeypatch):
    head.save_pretrained(tmp_path / "head")
    monkeypatch.setattr(sys, "argv", ["x", "--model", str(tmp_path / "head"), "--output", str(tmp_path), "--num_problems", "20"])
    assert harness_tasks.main() == 0
    text = (tmp_path / "hybrid_sort.yaml").read_text()
    assert "length: 3" in text and "!function hybrid.eval.harness_tasks.score" in text
    monkeypatch.setattr(sys, "argv", ["x", "--num_problems", "3"])
    assert harness_tasks.main() == 2 and "either --task or --model" in capsys.readouterr().err


def test_without_lm_eval_the_error_names_the_extra(monkeypatch, capsys):
    for name in ("lm_eval", "lm_eval.api.model"):
        monkeypatch.setitem(sys.modules, name, None)
    assert harness.main() == 2 and "hybrid-reasoner[lm-eval]" in capsys.readouterr().err
