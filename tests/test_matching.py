"""Which language model a head gets: another precision is refused by name, or warned of where it is meant."""

import warnings
from dataclasses import replace

import pytest
import torch

import hybrid
from hybrid.backbone.tuner import Lora
from hybrid.errors import BackboneError, ConfigError
from hybrid.matching import as_trained, check_precision, in_precision

PROMPTS = ["Sort: 3 1 2", "Sort: 9 0 4 4"]
PRECISIONS = {"float32": {"dtype": "float32"}, "bfloat16": {"dtype": "bfloat16"}} | {
    name: {"dtype": "float32", "quantization": name} for name in ("int8", "nf4")
}


@pytest.fixture
def config(config, wide_folder):
    return replace(config, backbone=replace(config.backbone, name=str(wide_folder)))


@pytest.fixture
def backbone(config):
    return hybrid.Backbone.load(config.backbone)


def attach(config, precision, **changes):
    return hybrid.attach(None, replace(config, backbone=replace(config.backbone, **PRECISIONS[precision]), **changes))


def in_words(precision, rest="float32"):
    return f"{precision} with {rest}" if precision in ("int8", "nf4") else precision


@pytest.mark.parametrize("old", PRECISIONS)
def test_another_precision_is_refused_by_name_and_moved_to_on_purpose(config, tmp_path, old):
    attach(config, old).save_pretrained(tmp_path)
    for new in (name for name in PRECISIONS if name != old):
        there = attach(config, new).backbone
        said = f"was made for .* in {in_words(old)}, and this one is in {in_words(new)}.*give precision {new} to use"
        with pytest.raises(BackboneError, match=said):
            hybrid.HybridModel.from_pretrained(tmp_path, backbone=there)
        rest = old if old == "bfloat16" else "float32"  # What quantisation leaves alone keeps the trained precision.
        for given in (None, there):
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                moved = hybrid.HybridModel.from_pretrained(tmp_path, backbone=given, precision=new)
                moved.solve(PROMPTS)
            told = [str(w.message) for w in told if not issubclass(w.category, DeprecationWarning)]
            said = f"in {in_words(old)} and meets it in {in_words(new, rest if given is None else 'float32')}: its accuracy may"
            assert len(told) == 1 and said in told[0] and moved.backbone.precision == new


def test_a_moved_head_that_is_saved_goes_with_its_new_precision(config, tmp_path):
    attach(config, "float32").save_pretrained(tmp_path / "old")
    with pytest.warns(UserWarning, match="meets it in nf4"):
        moved = hybrid.HybridModel.from_pretrained(tmp_path / "old", precision="nf4")
    moved.save_pretrained(tmp_path / "new")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        again = hybrid.HybridModel.from_pretrained(tmp_path / "new")
    assert torch.equal(again.logits(PROMPTS), moved.logits(PROMPTS)) and again.config == moved.config


def test_naming_the_trained_precision_is_no_move(config, tmp_path, recwarn):
    attach(config, "nf4").save_pretrained(tmp_path)
    hybrid.HybridModel.from_pretrained(tmp_path, precision="nf4")
    assert not [w for w in recwarn if not issubclass(w.category, DeprecationWarning)]


def test_another_model_is_refused_in_any_precision(config, tmp_path, new_llama, new_tokenizer):
    attach(config, "float32").save_pretrained(tmp_path / "head")
    tokenizer = new_tokenizer()
    new_llama(len(tokenizer), seed=1, hidden_size=64, intermediate_size=128).save_pretrained(tmp_path / "other")
    tokenizer.save_pretrained(tmp_path / "other")
    for precision in (None, "bfloat16", "nf4"):
        with pytest.raises(BackboneError, match="was made for another backbone than"):
            hybrid.HybridModel.from_pretrained(tmp_path / "head", backbone=tmp_path / "other", precision=precision)


def test_a_tuner_moves_with_its_head(config, tmp_path):
    model = attach(config, "float32", tuner=Lora.Config(r=2))
    model.save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match="meets it in int8"):
        moved = hybrid.HybridModel.from_pretrained(tmp_path, precision="int8")
    assert moved.backbone.tuned and moved.config.tuner == model.config.tuner and moved.solve(PROMPTS)


def test_a_warm_start_may_come_from_another_precision_and_says_so(config, tmp_path, new_llama, new_tokenizer):
    attach(config, "float32").save_pretrained(tmp_path)
    model = attach(config, "nf4", tuner=Lora.Config(r=2))
    with pytest.warns(UserWarning, match="in float32 and meets it in nf4"):
        model.start_from(tmp_path)
    with pytest.raises(BackboneError, match="in float32, and this one is in nf4"):
        attach(config, "nf4").load_head(tmp_path, "second")


def test_a_loaded_model_is_not_taken_for_one_that_the_config_wants_quantised(config, backbone):
    wanted = replace(config, backbone=replace(config.backbone, quantization="nf4"))
    for given in (backbone, backbone.model):
        with pytest.raises(BackboneError, match="precision is nf4, but .* is in float32; give it in nf4"):
            hybrid.attach(given, wanted, tokenizer=backbone.tokenizer)


def test_precisions_are_told_from_names_and_fingerprints(config, backbone):
    assert as_trained(config, {"dtype": "bfloat16"}).backbone.dtype == "bfloat16"
    assert as_trained(config, {"dtype": "int16"}).backbone.dtype == "auto"
    four = in_precision(config, "nf4")
    assert four.backbone.quantization == "nf4" and in_precision(four, "float16").backbone.quantization is None
    with pytest.raises(ConfigError, match='precision "int3" is unknown; choose one of: float32, bfloat16, float16, int8, nf4'):
        in_precision(config, "int3")
    check_precision(backbone, "float32")
    with pytest.raises(BackboneError, match="precision is int8, but .* is in float32"):
        check_precision(backbone, "int8")
