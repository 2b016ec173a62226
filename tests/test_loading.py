"""Loading: the precision that was asked for, wherever the model's parts then lie."""

from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM

import hybrid
from hybrid.backbone import BackboneConfig, loading
from hybrid.backbone.loading import load_model, load_tokenizer
from hybrid.errors import BackboneError

PROMPTS = ["Sort: 3 1 2", "Sort: 9 0 4 4"]


@pytest.fixture
def half_folder(tmp_path, new_llama, new_tokenizer):
    tokenizer = new_tokenizer()
    tokenizer.save_pretrained(tmp_path / "half")
    new_llama(len(tokenizer), hidden_size=64, intermediate_size=128).to(torch.bfloat16).save_pretrained(tmp_path / "half")
    return tmp_path / "half"


@pytest.mark.parametrize(("emulated", "found"), [(False, torch.bfloat16), (True, torch.float32)])
@pytest.mark.parametrize("quantization", [None, "int8", "nf4"])
def test_what_is_not_quantised_has_the_files_precision_where_the_processor_can(
    half_folder, monkeypatch, quantization, emulated, found
):
    monkeypatch.setattr(loading, "_is_emulated", lambda dtype: emulated and dtype == torch.bfloat16)
    model = load_model(half_folder, "auto", quantization, None)
    assert model.dtype == found == model.model.norm.weight.dtype
    if quantization == "nf4":
        assert model.config.quantization_config.bnb_4bit_compute_dtype == found
    assert load_model(half_folder, "bfloat16", quantization, None).dtype == torch.bfloat16


def test_a_model_that_fits_one_device_is_the_same_with_a_device_map(tiny_folder, config):
    plain = hybrid.attach(None, config)
    spread = hybrid.attach(None, replace(config, backbone=replace(config.backbone, device_map="auto")))
    spread.head.load_state_dict(plain.head.state_dict())
    assert torch.equal(spread.logits(PROMPTS), plain.logits(PROMPTS)) and spread.device == spread.backbone.device


def test_weights_that_wait_on_a_disk_serve_as_those_in_memory(tiny_folder, config, tmp_path, backbone):
    parts = {"model.embed_tokens": "disk", "model.layers.0": "cpu", "model.layers.1": "disk", "model.layers.2": "disk"}
    places = parts | {"model.norm": "cpu", "model.rotary_emb": "cpu", "lm_head": "disk"}
    loaded = AutoModelForCausalLM.from_pretrained(tiny_folder, device_map=places, offload_folder=tmp_path)
    assert loaded.model.layers[1].mlp.up_proj.weight.is_meta
    spread, plain = hybrid.attach(loaded, config, tokenizer=backbone.tokenizer), hybrid.attach(backbone, config)
    spread.head.load_state_dict(plain.head.state_dict())
    assert spread.backbone.fingerprint == plain.backbone.fingerprint
    assert torch.equal(spread.logits(PROMPTS), plain.logits(PROMPTS)) and spread.backbone.device == torch.device("cpu")
    assert torch.equal(spread.backbone.output_rows([3, 4]), plain.backbone.output_rows([3, 4]))
    assert torch.equal(spread.to("cpu").logits(PROMPTS), plain.logits(PROMPTS))  # The language model stays where it lies.
    assert loaded.model.layers[1].mlp.up_proj.weight.is_meta


def test_what_transformers_cannot_load_is_refused_in_one_line(tmp_path):
    (tmp_path / "config.json").write_text("{")
    for load in (lambda: load_model(tmp_path, "auto", None, None), lambda: load_tokenizer(tmp_path)):
        with pytest.raises(BackboneError, match="transformers cannot load") as error:
            load()
        assert "\n" not in str(error.value)


def test_an_unknown_quantisation_is_refused_by_name(config):
    data = config.to_dict()
    data["backbone"]["quantization"] = "int3"
    with pytest.raises(hybrid.HybridError, match=r"backbone.quantization is 'int3'|int3"):
        hybrid.HybridConfig.from_dict(data)
    assert BackboneConfig().quantization is None and BackboneConfig().device_map is None
