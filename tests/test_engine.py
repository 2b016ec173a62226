"""Engines: the family, the backbone's own text, and the flags that choose one."""

from dataclasses import replace

import pytest
import torch

from hybrid import BackboneConfig, attach
from hybrid.backbone import tuner
from hybrid.backbone.codes import Codes
from hybrid.backbone.tuner import Lora
from hybrid.cli.bench import BenchCommand
from hybrid.errors import ConfigError
from hybrid.eval.engines import ENGINES, ServerEngine, TransformersEngine
from hybrid.eval.measures.cost import text_cost
from hybrid.eval.text.generation import Sampling, chat_text, generate
from hybrid.flags.parser import parse

CONVERSATIONS = [[{"role": "user", "content": text}] for text in ("Sort: 3 1 2", "red", "Sort these numbers: 9 8")]


def engine(backbone, **fields):
    return ENGINES.build(TransformersEngine.Config(**fields), backbone)


def bench(*flags):
    return parse(BenchCommand, ["--model", "head", *flags], "hybrid bench").engine


def test_the_local_engine_writes_what_the_backbone_generates(backbone):
    texts = [chat_text(backbone, turns) for turns in CONVERSATIONS]
    sampling = Sampling(1.0, seed=2)
    assert engine(backbone).write(CONVERSATIONS, 6) == generate(backbone, texts, 6)
    assert engine(backbone).write(CONVERSATIONS, 6, sampling=sampling) == generate(backbone, texts, 6, sampling=sampling)


def test_its_flops_are_the_models_and_it_says_nothing_more(backbone):
    local = engine(backbone)
    (out,) = local.write(CONVERSATIONS[:1], 6)
    assert local.flops(out) == text_cost(backbone).flops(out.prompt_tokens, out.tokens) and local.knows_flops
    assert local.notes() == [] and local.recalled_seconds == 0 and local.model == "" and local.identity == backbone.name


def test_the_longest_text_decides_the_most_tokens(backbone):
    texts = ["a", "Sort these numbers: 1 2 3", "red"]
    assert engine(backbone).most_tokens(texts) == max(len(backbone.tokenizer(text)["input_ids"]) for text in texts)


def test_a_batch_size_is_two_to_try_or_the_one_given(backbone):
    assert engine(backbone).batch_sizes == (8, 32) and engine(backbone, batch_size=5).batch_sizes == (5,)
    with pytest.raises(ConfigError, match="engine.batch_size is 0"):
        TransformersEngine.Config(batch_size=0)


def test_flags_choose_an_engine():
    assert bench() == TransformersEngine.Config()
    assert bench("--engine.batch_size", "4") == TransformersEngine.Config(batch_size=4)
    chosen = bench(
        "--engine", "server", "--engine.url", "http://127.0.0.1:9/v1", "--engine.model", "m", "--engine.concurrency", "2"
    )
    assert chosen == ServerEngine.Config(url="http://127.0.0.1:9/v1", model="m", concurrency=2)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--engine", "telepathy"), 'engine "telepathy" is unknown; choose one of: transformers, server'),
        (("--engine", "server"), "engine.model is missing"),
        (("--engine", "server", "--engine.model", "m", "--engine.url", "here"), "engine.url is 'here'"),
    ],
)
def test_flags_that_name_no_engine_are_refused(flags, message):
    with pytest.raises(ConfigError, match=message):
        bench(*flags)


def test_a_backbone_without_text_of_its_own_needs_a_server():
    alone = Codes(("x", "y"))
    with pytest.raises(ConfigError, match="give --engine server"):
        engine(alone)
    with pytest.raises(ConfigError, match="engine.same_backbone is true, but none writes no text"):
        ENGINES.build(ServerEngine.Config(model="m", same_backbone=True), alone)
    assert ENGINES.build(ServerEngine.Config(model="m"), alone).most_tokens(["aé"]) == 3


def test_a_heads_tuner_does_not_write_the_language_models_text(backbone, tiny_folder, config):
    tuned = attach(None, replace(config, backbone=BackboneConfig(name=str(tiny_folder)), tuner=Lora.Config(r=2)))
    for weight in tuner.tuned_parameters(tuned.backbone):
        torch.nn.init.normal_(weight, std=0.5)
    before = [(name, weight.requires_grad) for name, weight in tuned.backbone.model.named_parameters()]
    own, plain = engine(tuned.backbone), engine(backbone)
    (out,), (wanted,) = own.write(CONVERSATIONS[:1], 12), plain.write(CONVERSATIONS[:1], 12)
    assert out == wanted and own.flops(out) == plain.flops(wanted)
    with tuner.set_aside(tuned.backbone):
        assert not tuned.backbone.tuned
    assert tuned.backbone.tuned and [(n, w.requires_grad) for n, w in tuned.backbone.model.named_parameters()] == before
    (other,) = generate(tuned.backbone, [chat_text(tuned.backbone, CONVERSATIONS[0])], 12)
    assert other != wanted
