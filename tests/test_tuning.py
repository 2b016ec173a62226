"""Tuning: an adapter that leaves the model as it was, passes with a cache, batches in order, and a loop that resumes."""

import json

import peft
import pytest
import torch

from hybrid import Backbone
from hybrid.backbone.tuner import AnyTuner, Lora
from hybrid.errors import CheckpointError, ConfigError, TrainingError
from hybrid.eval.tuning import Adapter, Plan, Reading, Run, TuningConfig
from hybrid.eval.tuning.reading import pad
from hybrid.eval.tuning.run import Order, Predicted
from hybrid.train.run.folder import RunFolder

IDS = torch.arange(12)[None]


@torch.no_grad()
def logits(backbone):
    return backbone.model(IDS).logits


@pytest.fixture
def adapter(backbone):
    """An adapter whose weights do something."""
    made = Adapter(backbone, Lora.Config(r=2), seed=0, num_embeddings=2)
    for parameter in made.trainable:
        torch.nn.init.normal_(parameter, std=0.3)
    return made


def test_outside_its_blocks_the_model_is_what_it_was(backbone):
    modules, weights, before = list(backbone.model.modules()), list(backbone.model.parameters()), logits(backbone)
    adapter = Adapter(backbone, Lora.Config(r=2), seed=0)
    for parameter in adapter.trainable:
        torch.nn.init.normal_(parameter, std=0.3)
    with adapter.attached():
        attached = logits(backbone)
    with adapter.merged():
        merged = logits(backbone)
    assert not torch.allclose(attached, before) and torch.equal(logits(backbone), before)
    torch.testing.assert_close(merged, attached, rtol=1e-4, atol=1e-4)
    assert all(a is b for a, b in zip(modules, backbone.model.modules(), strict=True))
    assert all(a is b for a, b in zip(weights, backbone.model.parameters(), strict=True))
    assert not hasattr(backbone.model, "peft_config") and not any(p.requires_grad for p in weights)


@pytest.mark.parametrize("block", ["attached", "merged"])
def test_the_model_is_restored_after_an_error_too(backbone, adapter, block):
    before = logits(backbone)
    with pytest.raises(KeyError), getattr(adapter, block)():
        raise KeyError
    assert torch.equal(logits(backbone), before)


def test_merged_weights_follow_further_training(backbone, adapter):
    with adapter.merged():
        first = logits(backbone)
    with adapter.attached(), torch.no_grad():
        adapter.trainable[0].add_(1.0)
    with adapter.merged():
        assert not torch.allclose(logits(backbone), first)


def test_a_model_with_packed_weights_wears_the_layers_instead_of_merging(new_llama, new_tokenizer):
    tokenizer = new_tokenizer()
    own = Backbone(new_llama(len(tokenizer)), tokenizer, "packed", (0,))
    codes = torch.nn.Parameter(torch.zeros(1, dtype=torch.uint8), requires_grad=False)
    own.model.model.layers[0].mlp.up_proj.register_parameter("codes", codes)
    adapter = Adapter(own, Lora.Config(r=2), seed=0)
    for parameter in adapter.trainable:
        torch.nn.init.normal_(parameter, std=0.3)
    with adapter.attached():
        worn = logits(own)
    with adapter.merged():
        assert torch.equal(logits(own), worn)


def test_two_adapters_share_one_model(backbone, adapter):
    with adapter.attached():
        alone = logits(backbone)
    other = Adapter(backbone, Lora.Config(r=3), seed=1)
    with other.attached():
        assert not torch.allclose(logits(backbone), alone)
    with adapter.attached():
        assert torch.equal(logits(backbone), alone)


def test_a_seed_decides_the_first_weights(backbone):
    one, same, other = (Adapter(backbone, Lora.Config(r=2), seed, 1) for seed in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(one.trainable, same.trainable, strict=True))
    assert not torch.equal(one.embeddings, other.embeddings)
    assert one.num_parameters() == sum(p.numel() for p in one.trainable) and one.trainable[-1] is one.embeddings


def test_adapter_and_embeddings_are_saved_and_loaded_with_equal_bits(backbone, adapter, tmp_path):
    digests = adapter.save(tmp_path)
    again = Adapter(backbone, Lora.Config(r=2), seed=1, num_embeddings=2)
    again.load(tmp_path, digests)
    assert all(torch.equal(a, b) for a, b in zip(adapter.trainable, again.trainable, strict=True))
    (tmp_path / "embeddings.safetensors").write_bytes(b"x")
    with pytest.raises(CheckpointError, match=r"embeddings\.safetensors is damaged"):
        again.load(tmp_path, digests)


def test_peft_alone_loads_the_adapter(backbone, adapter, tmp_path, tiny_folder):
    from transformers import AutoModelForCausalLM

    adapter.save(tmp_path)
    alone = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_folder), str(tmp_path)).eval()
    with adapter.attached(), torch.no_grad():
        assert torch.equal(alone(IDS).logits, logits(backbone))


@pytest.mark.parametrize("field", [{"modules_to_save": ["norm"]}, {"bias": "all"}])
def test_a_tuner_that_trains_the_models_own_weights_is_refused_before_it_touches_them(backbone, field):
    modules = list(backbone.model.modules())
    with pytest.raises(ConfigError, match=rf"tuner\.{next(iter(field))} is .*the model itself must stay as it is"):
        Adapter(backbone, AnyTuner.Config({"peft_type": "LORA", "r": 2, "target_modules": ["q_proj"]} | field), seed=0)
    assert all(a is b for a, b in zip(modules, backbone.model.modules(), strict=True))


def test_the_models_own_weights_take_no_gradient(backbone, adapter):
    with adapter.attached():
        backbone.model(IDS).logits.sum().backward()
    assert all(p.grad is not None for p in adapter.trainable[:-1])
    assert all(p.grad is None for p in backbone.model.parameters())


def test_a_prompt_padded_on_the_left_is_read_as_alone(backbone):
    rows = [[5, 6, 7, 8], [9, 3]]
    ids, mask = pad(rows, "left", "cpu")
    with torch.no_grad():
        reading = Reading(backbone)
        together = reading.logits(reading.embed(ids), mask, 2)
        alone = backbone.model(torch.tensor([rows[1]])).logits
    torch.testing.assert_close(together[1:], alone, rtol=1e-4, atol=1e-4)


def test_several_passes_give_what_one_pass_gives(backbone):
    ids, mask = pad([[5, 6, 7, 8, 9, 1], [2, 3, 4, 8, 1]], "left", "cpu")
    with torch.no_grad():
        one, several = Reading(backbone), Reading(backbone)
        whole = one.logits(one.embed(ids), mask, 3)
        states = several.states(several.embed(ids[:, :3]), mask[:, :3])
        rest = several.logits(several.embed(ids[:, 3:]), mask[:, 3:], 3)
    torch.testing.assert_close(rest, whole, rtol=1e-4, atol=1e-4)
    assert states.shape == (2, 3, backbone.hidden_size)


def test_writing_is_greedy_and_ends_at_the_end_token_or_the_limit(backbone):
    prompts = [[5, 6, 7], [9, 8]]
    ids, mask = pad(prompts, "left", "cpu")
    chosen = []
    for prompt in prompts:
        row = torch.tensor([prompt])
        for _ in range(6):
            row = torch.cat([row, backbone.model(row).logits[:, -1:].argmax(-1)], 1)
        chosen.append(row[0, len(prompt) :].tolist())
    end = chosen[0][3]
    with torch.inference_mode():
        reading = Reading(backbone)
        written = reading.write(reading.logits(reading.embed(ids), mask, 1, cached=True)[:, -1], end, 6)
    for row, out in zip(chosen, written, strict=True):
        stop = row.index(end) if end in row else 6
        assert out.text == backbone.tokenizer.decode(row[:stop], skip_special_tokens=True)
        assert (out.tokens, out.ended) == (min(stop + 1, 6), end in row)


def test_every_epoch_has_every_problem_once_in_batches_of_like_length():
    lengths = [(i % 7, 1) for i in range(100)]
    order = Order(lengths, 4, seed=1)
    epochs = [[order.batch(25 * epoch + step) for step in range(25)] for epoch in range(2)]
    assert all(sorted(i for batch in epoch for i in batch) == list(range(100)) for epoch in epochs)
    assert epochs[0] != epochs[1] and epochs[0] == [Order(lengths, 4, seed=1).batch(step) for step in range(25)]
    spread = [max(lengths[i] for i in batch)[0] - min(lengths[i] for i in batch)[0] for batch in epochs[0]]
    assert sum(spread) < 25


TINY = dict(batch_size=2, num_evaluations=2, num_dev=2)


def learner(backbone, folder, *, stop_at=None, loss=1.0, **fields):
    """A run that learns to say 7 after 5 and 8 after 6; it may be killed when it begins a step."""
    adapter = Adapter(backbone, Lora.Config(r=2, dropout=0.2), seed=0)
    calls = []

    def predict(problems, progress):
        if torch.is_grad_enabled():
            calls.append(progress)
            if stop_at is not None and len(calls) > stop_at:
                raise KeyboardInterrupt
        ids = torch.tensor(problems)
        return Predicted(
            Reading(backbone).logits(backbone.model.get_input_embeddings()(ids), torch.ones_like(ids), 1) * loss,
            ids[:, :1] + 2,
            4,
        )

    return Run(TuningConfig(**(TINY | fields)), RunFolder(folder), adapter, predict), calls


PROBLEMS = [(5, 1), (6, 1), (5, 2), (6, 2)]


def train(run, steps=8, seconds=1e9):
    order = Order([(2, 1)] * len(PROBLEMS), 2, seed=0)
    return run.train(PROBLEMS, PROBLEMS, order, Plan(seconds, steps, 1e-2, 0))


def weights(run):
    return [p.detach().clone() for p in run.adapter.trainable]


def test_a_killed_run_goes_on_with_the_same_bits(backbone, tmp_path):
    whole, _ = learner(backbone, tmp_path / "whole")
    outcome = train(whole)
    killed, _ = learner(backbone, tmp_path / "killed", stop_at=5, save_every_seconds=0.0)
    with pytest.raises(KeyboardInterrupt):
        train(killed)
    again, calls = learner(backbone, tmp_path / "killed", save_every_seconds=0.0)
    resumed = train(again)
    assert len(calls) == 3 and (resumed.steps, resumed.exact, resumed.loss) == (outcome.steps, outcome.exact, outcome.loss)
    assert all(torch.equal(a, b) for a, b in zip(weights(whole), weights(again), strict=True))
    steps = [json.loads(line)["step"] for line in (tmp_path / "killed" / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(steps) == [4, 8]


def test_the_budgets_seconds_end_a_run_and_decide_its_progress(backbone, tmp_path):
    run, calls = learner(backbone, tmp_path)
    outcome = train(run, steps=None, seconds=0.2)
    assert outcome.steps == len(calls) and outcome.seconds >= 0.2 and calls == sorted(calls) and calls[0] == 0 and calls[-1] < 1
    assert outcome.positions == 4 * outcome.steps


def test_a_budget_of_no_seconds_keeps_the_first_weights(backbone, tmp_path):
    run, calls = learner(backbone, tmp_path)
    before = weights(run)
    assert train(run, steps=None, seconds=0.0).steps == 0 and calls == []
    assert all(torch.equal(a, b) for a, b in zip(before, weights(run), strict=True))


def test_the_weights_kept_are_the_best_on_dev(backbone, tmp_path):
    run, _ = learner(backbone, tmp_path, num_evaluations=8)
    outcome = train(run)
    lines = [json.loads(line) for line in run.folder.metrics.read_text().splitlines()]
    best = max((line for line in lines if "dev_exact" in line), key=lambda line: (line["dev_exact"], -line["dev_loss"]))
    assert (outcome.best_step, outcome.exact) == (best["step"], best["dev_exact"])
    with run.adapter.attached():
        assert run._evaluate() == (outcome.exact, outcome.loss)


def test_a_loss_that_is_no_number_ends_the_run_with_advice(backbone, tmp_path):
    before = logits(backbone)
    run, _ = learner(backbone, tmp_path, loss=float("nan"))
    with pytest.raises(TrainingError, match=r"the loss became nan at step 0.*lower optimizer\.learning_rate"):
        train(run)
    assert torch.equal(logits(backbone), before)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("learning_rates", (0.0,)),
        ("trial_share", 1.0),
        ("batch_size", 0),
        ("max_steps", 0),
        ("num_dev", 0),
        ("num_evaluations", 0),
        ("save_every_seconds", -1.0),
    ],
)
def test_values_out_of_range_are_refused_by_name(field, value):
    with pytest.raises(ConfigError, match=rf"method\.{field}"):
        TuningConfig(**{field: value})
