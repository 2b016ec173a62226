"""What a run takes where nothing is said."""

import pytest

import hybrid
from hybrid.adapters import Words
from hybrid.backbone.codec import Projected, Raw
from hybrid.cli.train import TrainCommand
from hybrid.errors import ConfigError
from hybrid.flags.parser import parse
from hybrid.problem import Problem
from hybrid.recursion.cores import HRM
from hybrid.recursion.reasoner import ReasonerConfig
from hybrid.train import TrainConfig
from hybrid.train.optimizer import AdamW, Muon
from hybrid.train.recipe import fill, plain_language


def test_the_recipe_has_room_for_the_prompts_and_says_why():
    recipe = plain_language([Problem("word " * 800, ("yes",))], 3)
    assert recipe.encoder == Words.Config(max_answers=3, max_words=1200, context="sentence")
    assert recipe.reasoner.block.max_positions == 1203 and "longest prompt: 800 words" in recipe.reasons[0]
    config = hybrid.HybridConfig(hybrid.LayoutConfig(num_answers=3), ("a", "b"), encoder=recipe.encoder, reasoner=recipe.reasoner)
    assert config.reasoner.block.word_heads == 1


def test_what_was_said_stays_and_the_rest_is_filled():
    recipe = plain_language([Problem("a", ("yes",))], 1)
    own = fill(TrainConfig(num_steps=7, batch_size=64), recipe.train, {"train.num_steps", "train.batch_size"}, "train")
    assert (own.num_steps, own.batch_size, own.curriculum) == (7, 64, True)  # 64 is the default, and it was said.


def test_a_field_of_a_kind_that_the_recipe_chose_is_changed_in_it():
    recipe = plain_language([Problem("a", ("yes",))], 1)
    own = TrainConfig(optimizer=AdamW.Config(weight_decay=0.3))
    assert fill(own, recipe.train, {"train.optimizer.weight_decay"}, "train").optimizer == Muon.Config(
        weight_decay=0.3, warmup_steps=200
    )
    named = {"train.optimizer.kind", "train.optimizer.weight_decay"}
    assert fill(own, recipe.train, named, "train").optimizer == own.optimizer
    deep = fill(ReasonerConfig(), recipe.reasoner, {"reasoner.block.matched_heads"}, "reasoner")
    assert (deep.block.matched_heads, deep.block.word_heads) == (0, 1)
    with pytest.raises(ConfigError, match=r"reasoner\.core\.num_high_layers .* give --reasoner\.core KIND"):
        fill(ReasonerConfig(core=HRM.Config()), recipe.reasoner, {"reasoner.core.num_high_layers"}, "reasoner")


def test_the_command_knows_which_flags_were_given(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("task: {kind: table, train: x.jsonl}\ntrain: {seed: 3}\n")
    argv = ["--config", str(file), "--output", "out", "--train.batch_size", "64", "--encoder", "words"]
    command = parse(TrainCommand, argv, "hybrid train")
    assert {"train.seed", "train.batch_size", "encoder.kind", "output", "task.train"} <= command.named
    filled = command._filled(hybrid.LayoutConfig(num_answers=1), [Problem("a b", ("yes",))])
    assert (filled.train.seed, filled.train.batch_size, filled.train.curriculum) == (3, 64, True)
    assert filled.encoder.max_answers == 1 and isinstance(filled.backbone.codec, Projected.Config)
    raw = parse(TrainCommand, [*argv, "--backbone.codec", "raw"], "hybrid train")
    assert isinstance(raw._filled(hybrid.LayoutConfig(num_answers=1), [Problem("a b", ("yes",))]).backbone.codec, Raw.Config)
