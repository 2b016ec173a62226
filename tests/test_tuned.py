"""Trained text baselines: each learns a toy task by heart, resumes, and leaves the backbone as it was."""

import json
from dataclasses import replace

import pytest
import torch

from hybrid import Backbone
from hybrid.backbone.tuner import Lora
from hybrid.errors import CheckpointError, ConfigError, InputError
from hybrid.eval.baselines import METHODS, Budget
from hybrid.eval.measures.cost import text_cost
from hybrid.eval.tasks import Sort
from hybrid.train.optimizer import OptimizerConfig

KINDS = ["lora_direct", "lora_cot", "pause", "coconut"]
TASK = Sort(Sort.Config(length=2))
FOUR = TASK.problems("train", 4)
FOREVER = Budget(1e9)
BETWEEN = {"lora_direct": (0, 0), "lora_cot": (0, 0), "pause": (10, 0), "coconut": (2, 2)}
"""Steps, and other positions, between prompt and answer."""


def build(kind, backbone, **fields):
    defaults = dict(batch_size=4, num_dev=4, num_evaluations=1, max_steps=2, chat_template=False, tuner=Lora.Config(r=2))
    return METHODS[kind](METHODS[kind].Config(**(defaults | fields)), backbone, TASK)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_toy_task_is_learned_by_heart_and_answered_greedily(backbone, tmp_path, kind):
    rate = OptimizerConfig(learning_rate=2e-2, weight_decay=0.0, warmup_steps=5)
    method = build(kind, backbone, max_steps=50, optimizer=rate, tuner=Lora.Config(r=8))
    method.fit(FOUR, FOUR, tmp_path, FOREVER)
    losses = [line["loss"] for line in map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines()) if "loss" in line]
    assert losses[-1] < losses[0]
    attempts = method.attempt(FOUR)
    assert [attempt.right for attempt in attempts] == [True] * 4
    assert [attempt.text for attempt in attempts] == [method.target(problem, 1.0) for problem in FOUR]


@pytest.mark.parametrize("kind", KINDS)
def test_after_training_and_answering_the_backbone_is_what_it_was(backbone, tmp_path, kind):
    ids = torch.arange(9)[None]
    with torch.no_grad():
        before = backbone.model(ids).logits
    method = build(kind, backbone, max_steps=1)
    method.fit(FOUR, FOUR, tmp_path, FOREVER)
    method.attempt(FOUR[:1])
    with torch.no_grad():
        assert torch.equal(backbone.model(ids).logits, before)
    assert not any(p.requires_grad for p in backbone.model.parameters()) and not backbone.tuned


@pytest.mark.parametrize("kind", KINDS)
def test_costs_count_every_position_and_answers_the_plain_models_flops(backbone, tmp_path, kind):
    method = build(kind, backbone, max_steps=1, batch_size=2)
    method.fit(FOUR, FOUR, tmp_path, FOREVER)
    assert method.train_problems == 2  # As many as it had the time to learn from.
    steps, marks = BETWEEN[kind]
    for attempt, problem in zip(method.attempt(FOUR), FOUR, strict=True):
        prompt = len(backbone.tokenizer(method.prompt(problem), add_special_tokens=False)["input_ids"])
        assert (attempt.steps, attempt.flops) == (steps, text_cost(backbone).flops(prompt + steps + marks, attempt.tokens))
        assert 0 < attempt.tokens <= method.max_new_tokens
    assert method.train_seconds > 0 and method.trainable_parameters == method._trained.num_parameters() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_is_answered_as_its_problems_one_by_one(backbone, tmp_path, kind):
    method = build(kind, backbone, max_steps=1)
    method.fit(FOUR, FOUR, tmp_path, FOREVER)
    assert method.attempt(FOUR[:2]) == [method.attempt([problem])[0] for problem in FOUR[:2]]


def test_the_same_call_again_loads_and_does_not_train(backbone, tmp_path, monkeypatch):
    first = build("pause", backbone)
    first.fit(FOUR, FOUR, tmp_path, FOREVER)
    monkeypatch.setattr("hybrid.eval.tuning.Run.train", lambda *given: pytest.fail("it trained"))
    again = build("pause", backbone)
    again.fit(FOUR, FOUR, tmp_path, FOREVER)
    assert all(torch.equal(a, b) for a, b in zip(first._trained.trainable, again._trained.trainable, strict=True))
    assert again.attempt(FOUR) == first.attempt(FOUR) and again.train_seconds == first.train_seconds
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"run.json", "metrics.jsonl", "adapter_model.safetensors", "adapter_config.json", "embeddings.safetensors"}


@pytest.mark.slow
def test_a_run_killed_the_hard_way_ends_with_the_same_files(tiny_folder, tmp_path, processes):
    code = """
import os, sys, time
from pathlib import Path
from hybrid import Backbone, BackboneConfig
from hybrid.eval.baselines import METHODS, Budget
from hybrid.eval.tasks import Sort
from hybrid.eval.tuning import Run

task = Sort(Sort.Config(length=2))
four = task.problems("train", 4)
if KILLED:
    step = Run._one_step
    def last(self, *given):
        if self.step == 5:
            os.kill(os.getpid(), 9)
        step(self, *given)
    Run._one_step = last
config = METHODS["coconut"].Config(batch_size=2, max_steps=8, save_every_seconds=0.0, chat_template=False)
method = METHODS["coconut"](config, Backbone.load(BackboneConfig(name=NAME)), task)
method.fit(four, four, Path(FOLDER), Budget(1e9))
"""

    def run(folder, killed):
        given = f"NAME, FOLDER, KILLED = {str(tiny_folder)!r}, {str(tmp_path / folder)!r}, {killed}\n"
        return processes.run(code=given + code)

    assert run("killed", True).code == -9 and not (tmp_path / "killed" / "adapter_model.safetensors").exists()
    for folder in ("killed", "whole"):
        ended = run(folder, False)
        assert ended.code == 0, ended.err
    for name in ("adapter_model.safetensors", "embeddings.safetensors"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_another_training_in_the_folder_and_damaged_files_are_refused(backbone, tmp_path):
    build("lora_direct", backbone).fit(FOUR, FOUR, tmp_path, FOREVER)
    with pytest.raises(ConfigError, match=r"holds another run \(budget"):
        build("lora_direct", backbone).fit(FOUR, FOUR, tmp_path, Budget(2.0))
    with pytest.raises(ConfigError, match="method"):
        build("lora_cot", backbone).fit(FOUR, FOUR, tmp_path, FOREVER)
    (tmp_path / "adapter_model.safetensors").write_bytes(b"x")
    with pytest.raises(CheckpointError, match="adapter_model.safetensors is damaged"):
        build("lora_direct", backbone).fit(FOUR, FOUR, tmp_path, FOREVER)


def test_the_best_of_the_rates_gets_what_the_trials_left(backbone, tmp_path):
    method = build("lora_direct", backbone, learning_rates=(1e-6, 1e-2), trial_share=0.5, max_steps=12)
    method.fit(FOUR, FOUR, tmp_path, FOREVER)
    done = json.loads((tmp_path / "run.json").read_text())["finished"]
    assert [(trial["learning_rate"], trial["steps"]) for trial in done["trials"]] == [(1e-6, 3), (1e-2, 3)]
    assert done["learning_rate"] == 1e-2 and done["steps"] == 6 and method.train_problems == 4
    assert method.train_seconds == done["seconds"] > sum(trial["seconds"] for trial in done["trials"])


def test_an_answer_that_the_limit_cuts_is_wrong(backbone, tmp_path):
    method = build("lora_direct", backbone)
    method.fit(FOUR, FOUR, tmp_path, FOREVER)
    longest = max(len(backbone.tokenizer(method.target(p, 1.0))["input_ids"]) + 1 for p in FOUR)
    assert method.max_new_tokens == int(1.25 * longest) + 8
    method.task = type("Lenient", (), {"score": lambda self, text, problem: True})()
    for attempt in method.attempt(FOUR):
        assert attempt.right == (attempt.tokens < method.max_new_tokens)
    method.max_new_tokens = 1
    method.end = -1
    assert [attempt.right for attempt in method.attempt(FOUR)] == [False] * 4


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_answer_is_learned_and_every_token_of_it(backbone, kind):
    method = build(kind, backbone, **({"num_pauses": 3} if kind == "pause" else {}))
    method._measure(FOUR)
    method._adapter = method._fresh(0)
    for progress in (0.0, 1.0):
        predicted = method.predict(FOUR, progress)
        for problem, labels in zip(FOUR, predicted.labels.tolist(), strict=True):
            said = [label for label in labels if label != -100]
            assert backbone.tokenizer.decode(said[:-1]) == method.target(problem, progress) and said[-1] == method.end
        assert predicted.logits.shape == (*predicted.labels.shape, len(backbone.tokenizer))


@pytest.mark.parametrize("kind", KINDS)
def test_the_logits_are_those_that_writing_would_have(backbone, kind):
    method = build(kind, backbone)
    method._measure(FOUR)
    method._adapter = method._fresh(0)
    with torch.no_grad(), method._trained.attached():
        predicted = method.predict(FOUR[:1], 1.0)
    method.max_new_tokens = 1
    with method._trained.merged():
        (written,) = method._write([method.prompt(FOUR[0])])
    assert written.text == backbone.tokenizer.decode(predicted.logits[0, :1].argmax(-1), skip_special_tokens=True)


def test_the_chat_template_is_used_unless_it_is_left_out(backbone, new_tokenizer):
    tokenizer = new_tokenizer()
    tokenizer.chat_template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"
    own = Backbone(backbone.model, tokenizer, backbone.name, backbone.layers)
    assert build("lora_cot", own, chat_template=True).prompt(FOUR[0]) == f"<user>{FOUR[0].prompt.rstrip()}<assistant>"
    assert build("lora_cot", own).prompt(FOUR[0]) == f"{FOUR[0].prompt.rstrip()}\n"


def test_steps_are_written_from_the_trace_and_ends_with_the_answer(backbone):
    assert build("lora_cot", backbone).target(FOUR[0], 1.0) == FOUR[0].trace
    with pytest.raises(
        InputError, match="has no worked steps, which .* lora_cot and coconut show or learn; leave these methods out"
    ):
        build("lora_cot", backbone).target(replace(FOUR[0], trace=""), 1.0)


def test_what_cannot_be_trained_is_refused_in_words(backbone, tmp_path):
    method = build("lora_direct", backbone)
    with pytest.raises(ConfigError, match="the method lora_direct has not been trained; call fit first"):
        method.attempt(FOUR)
    with pytest.raises(InputError, match="4 training and 0 dev problems"):
        method.fit(FOUR, [], tmp_path, FOREVER)
    long = replace(FOUR[0], prompt="0 " * 200)
    with pytest.raises(InputError, match="the context holds 160; give shorter problems"):
        method.fit([long], FOUR, tmp_path, FOREVER)


def test_a_pause_is_read_as_often_as_asked(backbone):
    method = build("pause", backbone, num_pauses=3)
    assert method.name == "3 pause tokens" and build("lora_cot", backbone).name == "lora cot"
    method._measure(FOUR)
    method._adapter = method._fresh(0)
    assert method._trained.embeddings.shape == (1, backbone.hidden_size)
    from hybrid.eval.tuning import Reading
    from hybrid.eval.tuning.reading import pad

    ids, mask = pad([[5, 6, 7], [8]], "left", "cpu")
    embeds, longer = method.opening(Reading(backbone), ids, mask, 1.0)
    assert embeds.shape == (2, 6, backbone.hidden_size) and longer.tolist() == [[1] * 6, [0, 0, 1, 1, 1, 1]]
    assert torch.equal(embeds[:, 3:], method._trained.embeddings.expand(2, 3, -1))
    method.predict(FOUR, 1.0).logits.sum().backward()
    assert method._trained.embeddings.grad.abs().sum() > 0
    with pytest.raises(ConfigError, match=r"method\.num_pauses is 0"):
        METHODS["pause"].Config(num_pauses=0)
