"""Quantisation: found in a config, trained beside, saved, loaded with equal bits, and quiet."""

import logging
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

import hybrid
from hybrid.backbone import quantization, tuner
from hybrid.backbone.tuner import Lora
from hybrid.errors import BackboneError, ConfigError
from hybrid.train import TrainConfig, train

PROMPTS = ["Sort: 3 1 2", "Sort: 9 0 4 4"]
TRAINING = TrainConfig(num_steps=6, batch_size=4, eval_every_steps=3)
NAMES = pytest.mark.parametrize("name", quantization.NAMES)


@pytest.fixture
def config(config, wide_folder):
    return replace(config, backbone=replace(config.backbone, name=str(wide_folder)))


@pytest.fixture
def backbone(config):
    return hybrid.Backbone.load(config.backbone)


def quantized(config, name, **changes):
    torch.manual_seed(0)
    own = changes.pop("backbone", config.backbone)
    model = hybrid.attach(None, replace(config, backbone=replace(own, quantization=name), **changes))
    for parameter in tuner.tuned_parameters(model.backbone):
        torch.nn.init.normal_(parameter, std=0.2)
    return model


@NAMES
@pytest.mark.parametrize("tuned", [None, Lora.Config(r=2)], ids=["frozen", "lora"])
def test_a_head_is_trained_saved_and_loaded_with_equal_bits(config, problems, tmp_path, recwarn, capfd, name, tuned):
    model = quantized(config, name, tuner=tuned)
    before = {key: tensor.clone() for key, tensor in model.backbone.model.state_dict().items()}
    train(model, problems(8), problems(3, seed=1), TRAINING, tmp_path / "run", show=False)
    after = model.backbone.model.state_dict()
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    assert all("lora_" in key for key in moved) and bool(moved) == (tuned is not None)
    again = hybrid.HybridModel.from_pretrained(tmp_path / "run")
    assert torch.equal(again.logits(PROMPTS), model.logits(PROMPTS)) and again.config == model.config
    assert [s.text for s in again.solve(PROMPTS)] == [s.text for s in model.solve(PROMPTS)]
    assert again.backbone.quantization == name == again.config.backbone.quantization
    assert again.backbone.fingerprint == model.backbone.fingerprint
    printed = capfd.readouterr()
    assert [str(w.message) for w in recwarn if not issubclass(w.category, DeprecationWarning)] == []
    assert printed.out == "" == printed.err


@NAMES
def test_four_times_or_more_fewer_bytes_stand_for_the_same_weights(config, backbone, name):
    found = quantized(config, name)
    layer, plain = (each.backbone.body.layers[0].mlp.up_proj.weight for each in (found, SimpleNamespace(backbone=backbone)))
    assert plain.nbytes == {"int8": 4, "nf4": 8}[name] * layer.nbytes
    assert (
        found.get_nb_trainable_parameters()[1]
        == quantization.num_weights(backbone.model) + found.get_nb_trainable_parameters()[0]
    )


def test_bytes_are_those_of_all_weights_and_scales_with_shared_ones_once(backbone, config):
    plain = backbone.model
    expected = 4 * quantization.num_weights(plain)
    assert quantization.num_bytes(plain) == expected
    plain.tie_weights()
    plain.lm_head.weight = plain.model.embed_tokens.weight
    assert quantization.num_bytes(plain) == expected - plain.lm_head.weight.nbytes
    packed = quantized(config, "nf4").backbone.model
    own = sum(p.nbytes for p in packed.parameters())
    scales = sum(m.weight.quant_state.absmax.nbytes for m in packed.modules() if hasattr(m, "quant_state"))
    assert own + scales <= quantization.num_bytes(packed) < own + scales + 21 * 400


@NAMES
def test_states_are_near_those_of_plain_weights_and_not_the_same(config, backbone, name):
    found, plain = quantized(config, name).backbone, backbone
    states = [each.read(each.prepare(PROMPTS, None))[0].float() for each in (found, plain)]
    off = (states[0] - states[1]).norm() / states[1].norm()
    assert torch.equal(states[0][:, 0], states[1][:, 0]) and 0 < off < {"int8": 0.05, "nf4": 0.5}[name]


@NAMES
def test_nothing_is_cast_that_need_not_be(config, name):
    model = quantized(config, name, tuner=Lora.Config(r=2), backbone=replace(config.backbone, dtype="bfloat16"))
    kinds = {key: p.dtype for key, p in model.backbone.model.named_parameters()}
    assert {kind for key, kind in kinds.items() if "norm" in key or "embed" in key} == {torch.bfloat16}
    assert {kind for key, kind in kinds.items() if "base_layer" in key} == {{"int8": torch.int8, "nf4": torch.uint8}[name]}


@NAMES
def test_gradients_of_a_tuner_go_through_quantised_layers(config, problems, name):
    model = quantized(config, name, tuner=Lora.Config(r=2))
    model.solve(PROMPTS)  # A call without gradient comes first.
    model.backbone.model.train()
    prepared = model.backbone.prepare(PROMPTS, None)
    sum(row.square().sum() for row in model.backbone.read(prepared)).backward()
    lowest = [p.grad for key, p in model.backbone.model.named_parameters() if "layers.0." in key and "lora_" in key]
    assert len(lowest) == 14 and all(grad is not None and grad.abs().max() > 0 for grad in lowest)


@pytest.mark.parametrize("tuned", [None, Lora.Config(r=2)])
def test_four_bit_layers_are_kept_from_the_layout_without_gradient(config, tuned):
    model = quantized(config, "nf4", tuner=tuned).backbone.model
    layers = [m for m in model.modules() if hasattr(m, "support_avx512bf16_for_cpu")]
    assert layers and not any(layer.support_avx512bf16_for_cpu for layer in layers)


@NAMES
def test_a_loaded_model_and_a_saved_folder_tell_their_quantisation(config, wide_folder, backbone, tmp_path, name):
    settings = quantization.bitsandbytes_config(name, torch.float32)
    loaded = AutoModelForCausalLM.from_pretrained(wide_folder, quantization_config=settings, dtype=torch.float32)
    model = hybrid.attach(loaded, config, tokenizer=backbone.tokenizer)
    assert model.backbone.quantization == name == model.config.backbone.quantization
    assert model.backbone.fingerprint == quantized(config, name).backbone.fingerprint
    model.save_pretrained(tmp_path / "head")
    again = hybrid.HybridModel.from_pretrained(tmp_path / "head")  # Made anew from the plain folder.
    assert torch.equal(again.logits(PROMPTS), model.logits(PROMPTS))
    loaded.save_pretrained(tmp_path / "llm")
    backbone.tokenizer.save_pretrained(tmp_path / "llm")
    moved = hybrid.HybridModel.from_pretrained(tmp_path / "head", backbone=tmp_path / "llm")
    assert torch.equal(moved.logits(PROMPTS), model.logits(PROMPTS))
    other = {"int8": "nf4", "nf4": "int8"}[name]
    with pytest.raises(BackboneError, match=f"holds weights in {name}, which cannot be made {other}"):
        hybrid.attach(tmp_path / "llm", replace(config, backbone=replace(config.backbone, quantization=other)))
    with pytest.raises(BackboneError, match=f"precision is float32, but .* is in {name}; give it in float32"):
        hybrid.HybridModel.from_pretrained(tmp_path / "head", backbone=tmp_path / "llm", precision="float32")


def test_settings_that_decide_the_states_are_part_of_the_fingerprint(config, wide_folder, backbone):
    settings = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)
    loaded = AutoModelForCausalLM.from_pretrained(wide_folder, quantization_config=settings, dtype=torch.float32)
    found = hybrid.attach(loaded, config, tokenizer=backbone.tokenizer).backbone.fingerprint
    assert found["quantization"] == "nf4 (bnb_4bit_use_double_quant: True)" and found["dtype"] == "float32"
    assert "quantization" not in backbone.fingerprint


@pytest.mark.parametrize(
    ("entry", "name", "said"),
    [
        (None, None, ""),
        ({"quant_method": "gguf", "dequantize": True}, None, ""),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, "gptq-4bit", "gptq-4bit (group_size: 128)"),
        ({"quant_method": "fp8"}, "fp8", "fp8"),
        (
            {"quant_method": "bitsandbytes", "load_in_8bit": True, "llm_int8_threshold": 5.0},
            "int8",
            "int8 (llm_int8_threshold: 5.0)",
        ),
        (
            {"quant_method": "bitsandbytes", "bnb_4bit_quant_type": "fp4", "bnb_4bit_compute_dtype": "float16"},
            "fp4",
            "fp4 (bnb_4bit_compute_dtype: float16)",
        ),
    ],
)
def test_a_config_tells_method_and_settings(entry, name, said):
    config = SimpleNamespace(quantization_config=entry)
    assert quantization.name_of(config) == name and quantization.details(config, "bfloat16") == said


@NAMES
def test_a_quantised_output_matrix_is_read_in_floating_point(config, wide_folder, backbone, name):
    four = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
    settings = BitsAndBytesConfig(llm_int8_skip_modules=["none"], **({"load_in_8bit": True} if name == "int8" else four))
    loaded = AutoModelForCausalLM.from_pretrained(wide_folder, quantization_config=settings, dtype=torch.float32)
    found = hybrid.Backbone(loaded, backbone.tokenizer, "tiny", (0, 2))
    assert not loaded.lm_head.weight.is_floating_point()
    rows, plain = found.output_rows([1, 5, 7]), backbone.output_rows([1, 5, 7])
    assert rows.shape == plain.shape and rows.dtype == torch.float32 and (rows - plain).norm() < 0.2 * plain.norm()


@NAMES
def test_a_quantised_model_moves_as_a_whole_and_is_not_cast(config, name):
    model = quantized(config, name)
    expected = model.logits(PROMPTS)
    assert torch.equal(model.to("cpu").logits(PROMPTS), expected)
    model.to(torch.float64)
    assert model.backbone.dtype == torch.float32 and model.backbone.quantization == name
    model.backbone.model.to = lambda device: (_ for _ in ()).throw(ValueError("bolted down"))
    with pytest.raises(BackboneError, match=f"in {name} cannot be moved to cpu: bolted down; load it there"):
        model.to("cpu")


@NAMES
def test_a_tuner_is_not_rounded_away_but_merged_on_plain_weights(config, tmp_path, name):
    model = quantized(config, name, tuner=Lora.Config(r=2))
    with pytest.raises(ConfigError, match=f"is in {name}, which would round the tuner away"):
        model.merge_and_unload()
    model.save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match=f"trained on .* in {name} with float32 and meets it in float32"):
        plain = hybrid.HybridModel.from_pretrained(tmp_path, precision="float32")
    before = plain.logits(PROMPTS)
    plain.merge_and_unload()
    torch.testing.assert_close(plain.logits(PROMPTS), before, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bitsandbytes.autograd._functions", "MatMul8bitLt: inputs will be cast from torch.float32 to float16"),
        ("bitsandbytes.backends.cpu.ops", "Failed to load CPU gemm_4bit_forward from kernels-community: %s"),
    ],
)
def test_only_messages_that_tell_nothing_are_dropped(caplog, name, message):
    quantization.silence()
    quantization.silence()
    logger = logging.getLogger(name)
    assert len(logger.filters) == 1
    logger.warning(message)
    logger.warning("something else")
    assert [record.getMessage() for record in caplog.records] == ["something else"]


def test_widths_that_a_kernel_gets_wrong_are_refused(config, tiny_folder, monkeypatch):
    narrow = replace(config, backbone=replace(config.backbone, name=str(tiny_folder), quantization="nf4"))
    monkeypatch.setattr(quantization, "_error", lambda width: {32: 0.3}.get(width, 0.09))
    with pytest.raises(BackboneError, match="reads four-bit layers of 32 inputs wrongly on a CPU"):
        hybrid.attach(None, narrow)
    monkeypatch.setattr(quantization, "_error", lambda width: 0.09)
    assert hybrid.attach(None, narrow).solve(PROMPTS)
    monkeypatch.undo()
    assert 0.05 < quantization._error(72) < quantization.WIDEST_ERROR
