"""What tells one backbone from another, beyond the weights of a Llama and the rules of a fast tokenizer (test_backbone)."""

import json

import pytest
import torch

import hybrid
from hybrid.backbone import Backbone
from hybrid.backbone.fingerprint import (
    MOST_FIELDS,
    differences,
    landmarks,
    precision,
    same_but_for_precision,
    same_landmarks,
    settings,
    tokenizer_digest,
    weights_digest,
)
from hybrid.checkpoint import check_backbone
from hybrid.errors import BackboneError


def test_settings_say_what_decides_the_states_and_not_where_the_model_came_from(new_llama, tmp_path):
    model = new_llama(300)
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    again.config.use_cache = False
    again.config.output_hidden_states = True
    again.config.eos_token_id = 7
    assert settings(again.config) == settings(model.config)
    assert json.loads(settings(model.config))["rms_norm_eps"] == model.config.rms_norm_eps
    assert settings(new_llama(300, rms_norm_eps=0.1).config) != settings(model.config)
    assert settings(new_llama(300, rope_parameters={"rope_type": "default", "rope_theta": 5.0}).config) != settings(model.config)


def test_the_precision_is_not_a_setting(new_llama, tmp_path):
    model = new_llama(300).to(torch.bfloat16)
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert settings(again.config) == settings(new_llama(300).config)


def test_weights_are_told_apart_by_value_and_shape(new_llama):
    one, same, other = new_llama(300), new_llama(300), new_llama(300, seed=1)
    assert weights_digest(one) == weights_digest(same) != weights_digest(other)


def test_differences_name_parts_and_config_fields_and_skip_what_one_side_lacks():
    text = {name: json.dumps(fields) for name, fields in {"a": {"x": 1, "old": 1}, "b": {"x": 1, "new": 2}}.items()}
    assert differences({"weights": "1", "config": text["a"]}, {"weights": "1", "config": text["b"]}) == []
    assert differences({"weights": "1"}, {"weights": "1", "config": text["b"]}) == []
    assert differences({"weights": "1", "tokenizer": "2"}, {"weights": "3"}) == ["weights", "tokenizer"]
    many = [json.dumps({str(i): value for i in range(MOST_FIELDS + 3)}) for value in (0, 1)]
    (said,) = differences({"config": many[0]}, {"config": many[1]})
    assert said.startswith("config (0: 1 instead of 0, 1: 1 instead of 0") and said.endswith(", 3 more)")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_landmarks_tell_one_model_in_two_precisions_from_two_models(new_llama, dtype):
    def marks(model):
        return landmarks(model.get_input_embeddings())["landmarks"]

    one, half, other = new_llama(300), new_llama(300).to(dtype), new_llama(300, seed=1)
    assert same_landmarks(marks(one), marks(half)) and not same_landmarks(marks(one), marks(other))
    again = new_llama(300)
    again.get_input_embeddings().weight.data *= 1.02
    assert not same_landmarks(marks(half), marks(again))
    assert landmarks(torch.nn.Identity()) == {}


def test_a_precision_is_told_in_words_and_does_not_make_another_model():
    plain = {"weights": "1", "tokenizer": "t", "dtype": "float32", "landmarks": "[0.5]"}
    packed = plain | {"weights": "2", "quantization": "nf4"}
    assert (precision(plain), precision(packed)) == ("float32", "nf4 with float32")
    assert same_but_for_precision(plain, packed) and same_but_for_precision(packed, plain)
    assert not same_but_for_precision(plain, plain | {"weights": "2"})  # Tuned and merged, say.
    assert not same_but_for_precision(plain, packed | {"tokenizer": "other"})
    assert not same_but_for_precision(plain, packed | {"landmarks": "[0.6]"})
    assert same_but_for_precision({"weights": "1", "dtype": "float32"}, packed)


class TestSlowTokenizers:
    """Rules that are in no vocabulary still count."""

    @pytest.fixture
    def make(self, new_sentencepiece):
        return lambda **options: new_sentencepiece(vocab_size=70, **options)

    def test_the_same_files_give_the_same_digest(self, make):
        assert tokenizer_digest(make()) == tokenizer_digest(make())

    def test_another_normalisation_of_the_same_pieces_is_another_tokenizer(self, make):
        plain, folded = make(), make(normalization_rule_name="nfkc")
        assert tokenizer_digest(plain) != tokenizer_digest(folded)

    def test_a_flag_outside_the_files_is_another_tokenizer(self, tmp_path):
        from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "probe", "Probe", ":", "'", "s"]
        (tmp_path / "vocab.txt").write_text("\n".join(words))
        lower, cased = (BertTokenizerLegacy(str(tmp_path / "vocab.txt"), do_lower_case=flag) for flag in (True, False))
        assert tokenizer_digest(lower) != tokenizer_digest(cased)

    def test_a_backbone_has_a_fingerprint_with_one(self, make, new_llama):
        tokenizer = make()
        backbone = Backbone(new_llama(len(tokenizer)), tokenizer, "slow")
        assert set(backbone.fingerprint) == {"weights", "tokenizer", "dtype", "config", "landmarks"}
        again = Backbone(new_llama(len(tokenizer)), make(), "slow")
        backbone.encode(["Sort: 3 1 2"])
        assert again.fingerprint == backbone.fingerprint


def test_the_active_adapter_belongs_to_what_a_head_was_made_for(new_llama, new_tokenizer):
    import peft

    tokenizer = new_tokenizer()
    model = peft.get_peft_model(new_llama(len(tokenizer)), peft.LoraConfig(r=2, target_modules=["q_proj"]), adapter_name="a")
    model.add_adapter("b", peft.LoraConfig(r=2, target_modules=["q_proj"]))

    def made():
        backbone = Backbone(model, tokenizer, "owner/name", (0, 2))
        return backbone.fingerprint, str(backbone.identity)

    beside_a, cached_a = made()
    assert made() == (beside_a, cached_a)
    model.set_adapter("b")
    beside_b, cached_b = made()
    with pytest.raises(BackboneError, match=r"active_adapters: \['b'\] instead of \['a'\]"):
        check_backbone(beside_a, beside_b, "owner/name")
    with model.disable_adapter():
        beside_none, cached_none = made()
    assert len({cached_a, cached_b, cached_none}) == 3
    with pytest.raises(BackboneError, match=r"active_adapters: \[\] instead of \['a'\]"):
        check_backbone(beside_a, beside_none, "owner/name")


def test_an_adapter_that_is_switched_or_scaled_later_counts_as_it_is_then(new_llama, new_tokenizer):
    import peft

    tokenizer = new_tokenizer()
    model = peft.get_peft_model(new_llama(len(tokenizer)), peft.LoraConfig(r=2, target_modules=["q_proj"]), adapter_name="a")
    model.add_adapter("b", peft.LoraConfig(r=2, target_modules=["q_proj"]))
    backbone = Backbone(model, tokenizer, "owner/name", (0, 2))
    beside_a = backbone.fingerprint
    model.set_adapter("b")
    with pytest.raises(BackboneError, match=r"active_adapters: \['b'\] instead of \['a'\]"):
        check_backbone(beside_a, backbone.fingerprint, "owner/name")
    model.set_adapter("a")
    check_backbone(beside_a, backbone.fingerprint, "owner/name")
    for layer in model.modules():
        if isinstance(getattr(layer, "scaling", None), dict):
            layer.scaling["a"] *= 2
    with pytest.raises(BackboneError, match="adapter_scaling"):
        check_backbone(beside_a, backbone.fingerprint, "owner/name")


@pytest.fixture
def beside_adapters(new_llama, new_tokenizer, config):
    """A head beside a model with the adapters a, which is active, and b."""
    import peft

    torch.manual_seed(0)
    adapter = peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    model = peft.get_peft_model(new_llama(len(new_tokenizer())), adapter, adapter_name="a")
    model.add_adapter("b", adapter)
    return hybrid.attach(model, config, tokenizer=new_tokenizer())


def test_an_adapter_that_is_switched_under_a_head_is_told_and_answers_come_back_with_it(beside_adapters):
    before = beside_adapters.logits(["Sort: 3 1 2"])
    model = beside_adapters.backbone.model
    model.set_adapter("b")
    with pytest.raises(BackboneError, match=r"active adapters are \['b'\], and were \['a'\] since this head was put beside"):
        beside_adapters.solve(["Sort: 3 1 2"])
    with model.disable_adapter(), pytest.raises(BackboneError, match=r"active adapters are \[\], and were \['a'\]"):
        beside_adapters.solve(["Sort: 3 1 2"])
    model.set_adapter("a")
    assert torch.equal(beside_adapters.logits(["Sort: 3 1 2"]), before)
    for layer in model.modules():
        if isinstance(getattr(layer, "scaling", None), dict):
            layer.scaling["a"] *= 2
    with pytest.raises(BackboneError, match="the strength of its adapters has changed"):
        beside_adapters.solve(["Sort: 3 1 2"])


def test_a_head_beside_an_adapter_is_refused_without_it_in_another_precision_too(
    beside_adapters, new_llama, new_tokenizer, tmp_path
):
    beside_adapters.save_pretrained(tmp_path)
    plain = new_llama(len(new_tokenizer())).half()
    with pytest.raises(BackboneError, match=r"active_adapters: \[\] instead of \['a'\]"):
        hybrid.HybridModel.from_pretrained(tmp_path, backbone=plain, tokenizer=new_tokenizer(), precision="float16")
    bare = hybrid.attach(new_llama(len(new_tokenizer())), beside_adapters.config, tokenizer=new_tokenizer())
    bare.save_pretrained(tmp_path)
    with pytest.raises(BackboneError, match=r"active_adapters: \['a'\] instead of \[\]"):
        half = beside_adapters.backbone.model.half()
        hybrid.HybridModel.from_pretrained(tmp_path, backbone=half, tokenizer=new_tokenizer(), precision="float16")
