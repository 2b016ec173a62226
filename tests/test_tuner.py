"""Tuners: PEFT inside the language model, saved beside the head in PEFT's own files."""

import json
from dataclasses import replace

import peft
import pytest
import torch

import hybrid
from hybrid.adapters import CrossAttention, Tokens
from hybrid.backbone import tuner
from hybrid.backbone.default import DEFAULT_BACKBONE, PACKAGED
from hybrid.backbone.tuner import AnyTuner, Lora, as_config
from hybrid.errors import BackboneError, CheckpointError, ConfigError

PROMPTS = ["Sort: 3 1 2", "Sort: 9 0 4 4"]


@pytest.fixture
def tuned(tiny_folder, config):
    """A model with a LoRA whose weights do something."""
    model = hybrid.attach(None, replace(config, tuner=Lora.Config(r=2)))
    for parameter in tuner.tuned_parameters(model.backbone):
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def test_only_the_tuner_of_the_language_model_takes_gradients(tuned):
    parameters = dict(tuned.backbone.model.named_parameters())
    read = {name for name in parameters if "lora_" in name and ".layers.2." not in name}  # The head reads states 0 and 2.
    assert {name for name, p in parameters.items() if p.requires_grad} == read and read
    own = sum(p.numel() for p in tuner.tuned_parameters(tuned.backbone))
    head = sum(p.numel() for p in tuned.head.parameters())
    assert tuned.get_nb_trainable_parameters() == (own + head, sum(p.numel() for p in parameters.values()) + head)


def test_a_fresh_tuner_changes_nothing(config):
    torch.manual_seed(0)
    plain = hybrid.attach(None, config)
    torch.manual_seed(0)
    fresh = hybrid.attach(None, replace(config, tuner=Lora.Config()))
    fresh.head.load_state_dict(plain.head.state_dict())
    assert torch.equal(plain.logits(PROMPTS), fresh.logits(PROMPTS))


def test_head_and_tuner_are_saved_and_loaded_with_equal_bits(tuned, tmp_path):
    tuned.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "head.safetensors", tuner.WEIGHTS, tuner.SETTINGS}
    again = hybrid.HybridModel.from_pretrained(tmp_path)
    assert torch.equal(tuned.logits(PROMPTS), again.logits(PROMPTS)) and again.config == tuned.config


CACHED = "/home/me/.cache/huggingface/hub/models--owner--na--me/snapshots/0a1b"


@pytest.mark.parametrize(
    ("name", "said"),
    [("owner/name", "owner/name"), (PACKAGED, DEFAULT_BACKBONE), (CACHED, "owner/na--me"), (f"{CACHED}/q4.gguf", "owner/na--me")],
)
def test_the_tuner_names_its_base_by_the_hub_id_and_no_folder_of_this_machine(tuned, tmp_path, name, said):
    tuned.backbone.name = name  # As it is found; its files lie in a folder of the hub's cache.
    tuned.save_pretrained(tmp_path)
    written = json.loads((tmp_path / tuner.SETTINGS).read_text())
    assert (written["base_model_name_or_path"], written["revision"]) == (said, "0a1b" if name.startswith(CACHED) else None)


def test_the_tuner_names_the_revision_of_its_base(tuned, tmp_path):
    """PEFT loads it; without, the weights would go beside the hub's newest."""
    tuned.config = replace(tuned.config, backbone=replace(tuned.config.backbone, revision="v1"))
    tuned.save_pretrained(tmp_path)
    assert json.loads((tmp_path / tuner.SETTINGS).read_text())["revision"] == "v1"


def test_peft_alone_loads_the_tuner(tuned, tmp_path, new_llama, tiny_folder):
    from transformers import AutoModelForCausalLM

    tuned.save_pretrained(tmp_path)
    alone = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_folder), str(tmp_path)).eval()
    ids = torch.arange(6)[None]
    with torch.no_grad():
        assert torch.equal(alone(ids).logits, tuned.backbone.model(ids).logits)


def test_a_damaged_tuner_is_refused(tuned, tmp_path):
    tuned.save_pretrained(tmp_path)
    (tmp_path / tuner.WEIGHTS).write_bytes(b"x")
    with pytest.raises(CheckpointError, match=rf"{tuner.WEIGHTS} is damaged"):
        hybrid.HybridModel.from_pretrained(tmp_path)


def test_the_fingerprint_is_that_of_the_model_as_it_came(tuned, shared_backbone):
    assert tuned.backbone.fingerprint == shared_backbone.fingerprint


def test_after_merging_the_head_answers_the_same_and_goes_with_the_merged_model(tuned, tmp_path):
    before = tuned.logits(PROMPTS)
    untuned = tuned.backbone.fingerprint
    tuned.merge_and_unload()
    torch.testing.assert_close(tuned.logits(PROMPTS), before, rtol=1e-4, atol=1e-4)
    assert tuned.backbone.fingerprint["weights"] != untuned["weights"] and tuned.config.tuner is None
    tuned.save_pretrained(tmp_path / "head")
    with pytest.raises(BackboneError, match="weights differ"):
        hybrid.HybridModel.from_pretrained(tmp_path / "head")
    tuned.backbone.model.save_pretrained(tmp_path / "llm")
    tuned.backbone.tokenizer.save_pretrained(tmp_path / "llm")
    again = hybrid.HybridModel.from_pretrained(tmp_path / "head", backbone=tmp_path / "llm")
    assert torch.equal(again.logits(PROMPTS), tuned.logits(PROMPTS))
    with pytest.raises(ConfigError, match="holds no tuner"):
        tuned.merge_and_unload()


@pytest.mark.parametrize(
    "given",
    [
        peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], use_dora=True),
        peft.IA3Config(target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"]),
        peft.LoHaConfig(r=2, target_modules=["q_proj"]),
        peft.OFTConfig(oft_block_size=2, target_modules=["q_proj"], r=0),
    ],
    ids=["dora", "ia3", "loha", "oft"],
)
def test_any_tuner_of_peft_serves_and_survives_saving(given, config, tmp_path):
    model = hybrid.attach(None, replace(config, tuner=given))
    for parameter in tuner.tuned_parameters(model.backbone):
        torch.nn.init.normal_(parameter, std=0.2)
    json.dumps(model.config.to_dict())
    model.save_pretrained(tmp_path)
    again = hybrid.HybridModel.from_pretrained(tmp_path)
    assert torch.equal(model.logits(PROMPTS), again.logits(PROMPTS))


def test_what_cannot_be_trained_is_refused_in_words(config, tiny_folder):
    with pytest.raises(ConfigError, match="adds tokens, not weights"):
        hybrid.attach(None, replace(config, tuner=peft.PromptTuningConfig(num_virtual_tokens=2, task_type="CAUSAL_LM")))
    with pytest.raises(ConfigError, match="PEFT cannot tune"):
        hybrid.attach(None, replace(config, tuner=Lora.Config(target_modules=("nothing",))))
    with pytest.raises(ConfigError, match="PEFT refuses"):
        hybrid.attach(None, replace(config, tuner=AnyTuner.Config({"peft_type": "LORA", "rank": 3})))
    model = hybrid.attach(None, replace(config, tuner=Lora.Config()))
    with pytest.raises(ConfigError, match="holds the tuner of a head"):
        hybrid.attach(model.backbone, replace(config, tuner=Lora.Config()))
    with pytest.raises(ConfigError, match="holds an adapter of PEFT already"):
        tuner.tune(model.backbone, Lora.Config())
    first = replace(config, backbone=replace(config.backbone, layers=(0,)), tuner=Lora.Config())
    with pytest.raises(ConfigError, match="nothing to train up to layer 0, the deepest read; read a deeper one"):
        hybrid.attach(None, first)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"peft_type": "LORA", "init_lora_weights": "pissa_niter_4"}, "rewrites the language model's own weights, which are not"),
        ({"peft_type": "LORA", "layer_replication": [[0, 2], [1, 3]]}, "a saved head would not fit it; leave it out"),
        ({"peft_type": "LORA", "init_lora_weights": "olora"}, "rewrites the language model's own weights, which are not"),
        ({"peft_type": "POLY"}, r"POLY with these settings cannot tune .*: task_ids should not be None"),
        ({"peft_type": "IA3"}, r"IA3 with these settings cannot tune .*: `feedforward_modules` should be a subset"),
        ({"peft_type": "TRAINABLE_TOKENS"}, "TRAINABLE_TOKENS with these settings cannot tune"),
    ],
)
def test_what_would_not_come_back_from_its_files_or_cannot_be_called_is_refused(config, settings, said):
    kind = AnyTuner.Config({"target_modules": ["q_proj"], **settings})
    with pytest.raises(ConfigError, match=said):
        hybrid.attach(None, replace(config, tuner=kind))


def test_a_tuner_of_the_models_own_biases_cannot_be_set_aside_in_silence(config):
    kinds = {bias: AnyTuner.Config({"peft_type": "LORA", "target_modules": ["q_proj"], "bias": bias}) for bias in ("none", "all")}
    with tuner.set_aside(hybrid.attach(None, replace(config, tuner=kinds["none"])).backbone):
        pass
    with (
        pytest.raises(ConfigError, match="trains biases of .* itself"),
        tuner.set_aside(hybrid.attach(None, replace(config, tuner=kinds["all"])).backbone),
    ):
        pass


def test_configs_of_peft_become_plain_data():
    found = as_config(peft.LoraConfig(r=3, target_modules={"b", "a"}))
    assert isinstance(found, AnyTuner.Config) and found.settings["target_modules"] == ["a", "b"] and found.settings["r"] == 3
    assert as_config(None) is None and as_config(Lora.Config()) == Lora.Config()


def test_several_heads_serve_one_language_model(new_model, tmp_path, config):
    first, second = new_model(seed=0), new_model(seed=1)
    second.save_pretrained(tmp_path / "second")
    one, two = first.logits(PROMPTS), second.logits(PROMPTS)
    first.load_head(tmp_path / "second", "second")
    assert torch.equal(first.logits(PROMPTS), one)
    first.set_head("second")
    assert torch.equal(first.logits(PROMPTS), two)
    first.set_head("default")
    assert torch.equal(first.logits(PROMPTS), one)
    with pytest.raises(ConfigError, match='head "third" is unknown; choose one of: default, second'):
        first.set_head("third")


def test_a_head_with_a_tuner_is_no_further_head(tuned, new_model, tmp_path):
    tuned.save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="changes the language model for all heads"):
        new_model().load_head(tmp_path, "tuned")


def test_a_tuner_never_leaks_into_a_head_that_was_trained_without(tuned, new_model, tmp_path):
    new_model().save_pretrained(tmp_path / "frozen")
    tuned.save_pretrained(tmp_path / "tuned")
    with pytest.raises(ConfigError, match="holds the tuner of a head, which changes what others read"):
        tuned.load_head(tmp_path / "frozen", "frozen")
    with pytest.raises(ConfigError, match="holds the tuner of a head"):
        hybrid.HybridModel.from_pretrained(tmp_path / "frozen", backbone=tuned.backbone)
    shared = hybrid.Backbone.load(tuned.config.backbone)
    plain = hybrid.HybridModel.from_pretrained(tmp_path / "frozen", backbone=shared)
    hybrid.HybridModel.from_pretrained(tmp_path / "tuned", backbone=shared)
    for ask in (lambda: plain.solve(PROMPTS), lambda: hybrid.HybridModel.from_pretrained(tmp_path / "frozen", backbone=shared)):
        with pytest.raises(BackboneError, match="a tuner was put into .* for another head"):
            ask()


def test_a_start_from_a_head_with_a_tuner_takes_the_tuner_over(tuned, config, new_model, tmp_path):
    tuned.save_pretrained(tmp_path)
    again = hybrid.attach(None, tuned.config)
    again.start_from(tmp_path)
    assert torch.equal(again.logits(PROMPTS), tuned.logits(PROMPTS))
    for other in (new_model(), hybrid.attach(None, replace(config, tuner=Lora.Config(r=3)))):
        with pytest.raises(ConfigError, match="was trained with the tuner .* give the same one"):
            other.start_from(tmp_path)


def test_trainable_weights_are_printed_as_peft_does(tuned, capsys):
    tuned.print_trainable_parameters()
    trained, everything = tuned.get_nb_trainable_parameters()
    assert f"trainable params: {trained:,d} || all params: {everything:,d} || trainable%" in capsys.readouterr().out


@pytest.mark.parametrize("fields", [{"r": 0}, {"dropout": 1.0}])
def test_values_out_of_range_are_refused_by_name(fields):
    with pytest.raises(ConfigError, match=rf"tuner\.{next(iter(fields))}"):
        Lora.Config(**fields)


@pytest.mark.parametrize(
    "settings",
    [
        {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
        {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]},
        {"target_modules": ["q_proj"], "trainable_token_indices": [5, 6]},
        {"target_modules": ["lm_head"], "modules_to_save": ["norm"]},
    ],
)
def test_a_tuner_of_the_output_matrix_and_a_decoder_that_takes_it_as_it_is_are_refused(config, settings):
    kind = AnyTuner.Config({"peft_type": "LORA", "r": 2, **settings})
    open_slots = {"layout": hybrid.LayoutConfig(num_answers=2), "symbols": (), "encoder": CrossAttention.Config()}
    words = replace(config, decoder=Tokens.Config(whole=True), **open_slots)
    with pytest.raises(ConfigError, match=r"output matrix, which this decoder takes as they are"):
        hybrid.attach(None, replace(words, tuner=kind))
