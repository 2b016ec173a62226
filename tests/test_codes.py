"""Codes: symbols of the prompt's spans, without a language model."""

import random
from dataclasses import replace

import pytest
import torch

import hybrid
from hybrid.adapters import Structured
from hybrid.backbone.codes import NO_BACKBONE, Codes
from hybrid.cli import main
from hybrid.errors import BackboneError, ConfigError, InputError
from hybrid.train import TrainConfig, train
from hybrid.train.dataset import Dataset
from hybrid.train.feature_cache import Held
from hybrid.train.optimizer import OptimizerConfig


@pytest.fixture
def bare(config):
    encoder = Structured.Config(vocabulary=tuple("0123456789"))
    return hybrid.attach(None, replace(config, backbone=hybrid.BackboneConfig(name=NO_BACKBONE), encoder=encoder))


def test_features_are_the_numbers_of_the_symbols():
    reader = Codes(("x", "é", "🙂"))
    (row,) = reader.read(reader.prepare(["x🙂é"], [[(1, 2), (0, 1), (2, 3)]]))
    assert row[:, 0, 0].tolist() == [2, 0, 1] and row.dtype == torch.uint8 and reader.width == 1 and not reader.runs


def test_a_symbol_that_is_not_in_the_vocabulary_is_refused():
    reader = Codes(("x", "y"))
    with pytest.raises(InputError, match=r'"z" is not in encoder\.vocabulary: x, y'):
        reader.prepare(["z"], [[(0, 1)]])


def test_what_needs_a_language_model_is_refused_with_what_to_do():
    reader = Codes(("x", "y"))
    with pytest.raises(ConfigError, match="goes with the structured encoder"):
        reader.prepare(["x"], None)
    for call in (lambda: reader.token_id("x"), lambda: reader.output_rows(None), lambda: reader.token_text(3)):
        with pytest.raises(ConfigError, match="use the classes decoder"):
            call()


def test_more_symbols_than_a_byte_numbers_are_refused():
    with pytest.raises(ConfigError, match=r"encoder\.vocabulary has 300 symbols; give at most 256"):
        Codes(list(map(str, range(300))))


def test_a_dataset_of_codes_takes_a_byte_a_symbol(bare, problems):
    data = Dataset(bare, problems(50))
    assert isinstance(data.features, Held) and data.features.flat.nbytes == 150
    batch = data.batch([7, 3])
    assert batch.features.states.dtype == torch.uint8 and batch.features.mask is None
    assert torch.equal(batch.features.states, bare.read([data.problems[i].prompt for i in (7, 3)]).states)


def test_it_solves_saves_and_loads_like_any_other(bare, tmp_path):
    prompts = ["Sort: 3 1 2", "Sort: 9 8"]
    bare.save_pretrained(tmp_path)
    again = hybrid.HybridModel.from_pretrained(tmp_path)
    assert [s.symbols for s in again.solve(prompts)] == [s.symbols for s in bare.solve(prompts)]
    assert [len(s.symbols) for s in bare.solve(prompts)] == [3, 2]


def test_a_second_head_is_loaded_beside_it(bare, tmp_path):
    bare.save_pretrained(tmp_path)
    bare.load_head(tmp_path, "second")
    bare.set_head("second")
    assert bare.solve(["Sort: 9 8"])[0].symbols


def test_it_is_trained_like_any_other(bare, problems, tmp_path):
    config = TrainConfig(num_steps=3, batch_size=2)
    assert train(bare, problems(6), problems(3), config, tmp_path, show=False).step == 3


def test_a_tiny_task_is_learned_without_a_language_model(config, tmp_path):
    """Each place answers with its left neighbour's bit: rows that were never seen are right."""
    rows = [[int(bit) for bit in f"{number:06b}"] for number in range(64)]
    shifted = [hybrid.Problem("Bits: " + " ".join(map(str, row)), tuple(str(row[i - 1]) for i in range(6))) for row in rows]
    torch.manual_seed(0)
    random.Random(0).shuffle(shifted)
    made = replace(
        config,
        symbols=("0", "1"),
        backbone=hybrid.BackboneConfig(name=NO_BACKBONE),
        encoder=Structured.Config(vocabulary=("0", "1"), max_positions=6),
        reasoner=hybrid.ReasonerConfig(width=32, num_cycles=1, num_supervision_steps=2),
    )
    model = hybrid.attach(None, made)
    schedule = TrainConfig(num_steps=80, batch_size=16, eval_every_steps=40, optimizer=OptimizerConfig(learning_rate=5e-3))
    outcome = train(model, shifted[:48], shifted[48:56], schedule, tmp_path, show=False)
    unseen = shifted[56:]
    right = [s.symbols == p.answer for s, p in zip(model.solve([p.prompt for p in unseen]), unseen, strict=True)]
    assert outcome.best_exact >= 0.9 and sum(right) >= 7


def test_logits_are_bit_equal_after_a_reload(bare, tmp_path):
    torch.nn.init.normal_(bare.head.reasoner.halt.weight)
    bare.save_pretrained(tmp_path)
    prompts = ["Sort: 3 1 2", "Sort: 9 8"]
    again = hybrid.HybridModel.from_pretrained(tmp_path)
    assert isinstance(again.backbone, Codes) and again.config == bare.config
    assert torch.equal(again.logits(prompts), bare.logits(prompts)) and again.solve(prompts) == bare.solve(prompts)


def test_a_reader_that_is_there_already_may_be_given(bare, tmp_path):
    bare.save_pretrained(tmp_path)
    for given in (bare.backbone, NO_BACKBONE):
        again = hybrid.HybridModel.from_pretrained(tmp_path, backbone=given)
        assert torch.equal(again.logits(["Sort: 3 1"]), bare.logits(["Sort: 3 1"]))


def test_only_the_structured_encoder_goes_without_a_language_model_and_only_without(bare, config, backbone):
    with pytest.raises(ConfigError, match="backbone none goes with the structured encoder"):
        hybrid.attach(NO_BACKBONE, config)
    for given in (backbone, config.backbone.name):
        with pytest.raises(ConfigError, match="choose backbone none with it"):
            hybrid.attach(given, bare.config)


def test_it_has_no_precision_to_change_and_says_which_symbols_differ(bare, tmp_path, capsys):
    bare.save_pretrained(tmp_path / "head")
    for given in (None, NO_BACKBONE, bare.backbone):
        with pytest.raises(
            (ConfigError, BackboneError), match="this head reads symbols alone, without a language model; leave precision"
        ):
            hybrid.HybridModel.from_pretrained(tmp_path / "head", backbone=given, precision="float16")
    assert main(["solve", "--model", str(tmp_path / "head"), "--precision", "int8", "Sort: 3 1 2"]) == 2
    assert "precision is int8, and this head reads symbols alone" in capsys.readouterr().err
    fewer = replace(bare.config, encoder=replace(bare.config.encoder, vocabulary=tuple("123")))
    with pytest.raises(
        BackboneError, match=r"made for the symbols .*, and these are 1 2 3; give the task and the encoder.vocabulary"
    ):
        hybrid.attach(None, fewer).start_from(tmp_path / "head")


def test_a_symbol_of_a_prompt_that_is_unknown_is_refused_when_solving(config):
    encoder = Structured.Config(vocabulary=tuple("01234567"))
    model = hybrid.attach(None, replace(config, backbone=hybrid.BackboneConfig(name=NO_BACKBONE), encoder=encoder))
    assert len(model.solve(["Sort: 7 1"])) == 1
    with pytest.raises(InputError, match=r'"9" is not in encoder\.vocabulary'):
        model.solve(["Sort: 7 9 1"])
    with pytest.raises(InputError, match="the prompt is empty"):
        model.solve(["  "])
