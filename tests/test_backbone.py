"""The backbone: hidden states as transformers gives them, padding, early stop, spans to tokens, fingerprints."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

import hybrid
from hybrid.backbone import Backbone, BackboneConfig
from hybrid.backbone.offsets import Encoded, tokens_of_spans
from hybrid.errors import BackboneError, ConfigError, InputError

PROMPTS = ["Sort: 3 1 2", "Sort the numbers in ascending order: 9 8 7 6", "a"]


def reference(backbone, ids):
    """Return transformers' own hidden states (s, layers + 1, h) of one prompt alone."""
    with torch.no_grad():
        states = backbone.model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states
    return torch.stack(states, dim=2)[0]


def at(backbone, *layers):
    return Backbone(backbone.model, backbone.tokenizer, "tiny", layers)


@pytest.mark.parametrize("side", ["left", "right"])
def test_every_layer_equals_transformers_output_hidden_states_under_either_padding(backbone, side):
    every = at(backbone, 0, 1, 2, 3)
    encoded = every.encode(PROMPTS)
    with torch.no_grad():
        states, mask = every.hidden_states([tokens.ids for tokens in encoded], padding_side=side)
    for row, kept, tokens in zip(states, mask, encoded, strict=True):
        torch.testing.assert_close(row[kept], reference(backbone, tokens.ids), rtol=0, atol=2e-5)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_does_not_move_learned_positions(backbone, side):
    """Rotary positions are relative and would not show it; GPT-2's are absolute."""
    from transformers import GPT2Config, GPT2LMHeadModel

    sizes = {"vocab_size": 300, "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 160, "initializer_range": 0.3}
    model = Backbone(GPT2LMHeadModel(GPT2Config(**sizes)), backbone.tokenizer, "gpt2", (0, 1, 3))
    encoded = model.encode(PROMPTS)
    with torch.no_grad():
        states, mask = model.hidden_states([tokens.ids for tokens in encoded], padding_side=side)
    for row, kept, tokens in zip(states, mask, encoded, strict=True):
        torch.testing.assert_close(row[kept], reference(model, tokens.ids)[:, [0, 1, 3]], rtol=0, atol=1e-4)


def test_layers_come_in_the_order_asked_for_and_may_count_from_the_end(backbone):
    chosen = at(backbone, -1, 0, -3)
    assert chosen.layers == (3, 0, 1)
    ids = chosen.encode(PROMPTS[:1])[0].ids
    with torch.no_grad():
        states, _ = chosen.hidden_states([ids])
    torch.testing.assert_close(states[0], reference(backbone, ids)[:, [3, 0, 1]], rtol=0, atol=2e-5)


def test_without_a_choice_a_third_and_two_thirds_of_the_depth_are_read(backbone):
    assert at(backbone).layers == (0, 1, 2)


@pytest.mark.parametrize("layer", [4, -5])
def test_a_layer_that_is_not_there_is_refused(backbone, layer):
    with pytest.raises(ConfigError, match=rf"layers has {layer}; this model has layers 0 to 3"):
        at(backbone, layer)


def test_deeper_layers_are_not_run(backbone):
    ran = []
    layers = backbone.model.model.layers
    handles = [layer.register_forward_hook(lambda *_, i=i: ran.append(i)) for i, layer in enumerate(layers)]
    handles.append(backbone.model.model.norm.register_forward_hook(lambda *_: ran.append("norm")))
    with torch.no_grad():
        at(backbone, 0, 1).hidden_states([[1, 2, 3]])
        assert ran == [0]
        at(backbone, 0).hidden_states([[1, 2, 3]])
        assert ran == [0]
        at(backbone, 3).hidden_states([[1, 2, 3]])
    assert ran == [0, 0, 1, 2, "norm"]
    for handle in handles:
        handle.remove()


def test_reading_leaves_no_hook_behind_even_after_an_error(backbone):
    with pytest.raises(IndexError), torch.no_grad():
        backbone.hidden_states([[10**6]])
    assert not any(layer._forward_pre_hooks for layer in backbone.model.model.layers)


def test_features_of_tokens_are_those_of_each_prompt_alone_whatever_the_batches(backbone):
    encoded = backbone.encode(PROMPTS)
    for tokens_a_batch in (1, 30, 4096):
        packed = backbone.pack(backbone.prepare(PROMPTS, None), tokens_a_batch=tokens_a_batch)
        rows = [backbone.unpack(each) for each in packed]
        for row, tokens in zip(rows, encoded, strict=True):
            torch.testing.assert_close(row, reference(backbone, tokens.ids)[:, [0, 2]], rtol=0, atol=2e-5)


def test_features_of_spans_are_means_over_their_tokens_each_normalised(backbone):
    prompt = "Sort: 31 2"
    encoded = backbone.encode([prompt])
    (row,) = backbone.read(backbone.prepare([prompt], [[(6, 8), (9, 10)]]))
    states = reference(backbone, encoded[0].ids)[:, [0, 2]]
    normal = torch.nn.functional.layer_norm(states, (32,))
    first, second = (i for i, (a, b) in enumerate(encoded[0].offsets) if prompt[a:b] in ("3", "1"))
    torch.testing.assert_close(row[0], (normal[first] + normal[second]) / 2, rtol=0, atol=2e-4)
    torch.testing.assert_close(row[1], normal[-1], rtol=0, atol=2e-4)
    (alone,) = backbone.read(backbone.prepare([prompt], [[(6, 7), (9, 10)]]))
    assert torch.equal(alone, torch.stack([states[first], states[-1]])) or torch.allclose(alone[1], states[-1], atol=2e-5)


def test_a_span_inside_a_token_gets_the_whole_token(backbone):
    encoded = Encoded([1, 2, 3], [(0, 4), (4, 9), (9, 10)])
    assert tokens_of_spans(encoded, [(1, 2), (3, 5), (4, 9), (5, 10)]) == [(0, 1), (0, 2), (1, 2), (1, 3)]


@pytest.mark.parametrize("word", ["Zoë", "🙂", "日本", "👩‍👩‍👧", "x"])
def test_spans_of_any_script_touch_exactly_their_own_tokens(backbone, word):
    prompt = f"🙂é {word} 7"
    (encoded,) = backbone.encode([prompt])
    start = prompt.index(word, 3)
    ranges = tokens_of_spans(encoded, [(start, start + len(word)), (len(prompt) - 1, len(prompt))])
    (first, end), (seven, _) = ranges
    assert word in backbone.tokenizer.decode(encoded.ids[first:end]) and end <= seven
    assert backbone.tokenizer.decode(encoded.ids[first:end]).strip() == word
    assert backbone.tokenizer.decode([encoded.ids[seven]]) == "7"


def test_special_tokens_belong_to_no_span(backbone):
    encoded = Encoded([0, 5, 0], [(0, 0), (0, 3), (0, 0)])
    assert tokens_of_spans(encoded, [(0, 3)]) == [(1, 2)]


def test_a_span_without_tokens_is_refused(backbone):
    with pytest.raises(InputError, match="no token of the prompt touches its characters 20 to 21"):
        tokens_of_spans(Encoded([1], [(0, 3)]), [(20, 21)])


@pytest.mark.parametrize("prompt", ["", " \n"])
def test_an_empty_prompt_is_refused(backbone, prompt):
    with pytest.raises(InputError, match="the prompt is empty"):
        backbone.encode(["Sort: 1", prompt])


def test_a_prompt_beyond_the_context_is_refused_and_one_that_just_fits_is_read(backbone):
    limit = backbone.context_length
    assert len(backbone.encode(["7" * limit])[0].ids) == limit
    with pytest.raises(InputError, match=f"has {limit + 1} tokens, the context of .* holds {limit}; shorten it"):
        backbone.encode(["7" * (limit + 1)])


def test_no_prompts_are_no_tokens(backbone):
    assert backbone.encode([]) == []


def test_the_model_is_frozen_and_in_eval_mode(backbone):
    assert not backbone.model.training and not any(p.requires_grad for p in backbone.model.parameters())


def test_a_copied_head_shares_its_backbone(model):
    import copy

    assert copy.deepcopy(model).backbone is model.backbone


class TestFingerprint:
    """What tells one backbone from another."""

    @pytest.fixture
    def make(self, new_tokenizer, new_llama):
        def make(seed=0, **changes):
            tokenizer = new_tokenizer()
            return Backbone(new_llama(len(tokenizer), seed, **changes), tokenizer, "tiny")

        return make

    def test_is_the_same_for_the_same_model(self, make):
        assert make().fingerprint == make().fingerprint

    def test_changes_with_the_smallest_change_of_one_weight(self, make):
        changed = make()
        with torch.no_grad():
            weight = changed.model.model.layers[1].mlp.up_proj.weight
            weight[0, 0] = torch.nextafter(weight[0, 0], torch.tensor(9.0))
        before, after = make().fingerprint, changed.fingerprint
        assert before["weights"] != after["weights"] and before["tokenizer"] == after["tokenizer"]

    def test_changes_with_the_tokenizer(self, make):
        changed = make()
        changed.tokenizer.add_tokens(["<new>"])
        before, after = make().fingerprint, changed.fingerprint
        assert before["tokenizer"] != after["tokenizer"] and before["weights"] == after["weights"]

    def test_changes_with_the_precision(self, make):
        changed = make()
        changed.model.to(torch.bfloat16)
        assert changed.fingerprint["dtype"] == "bfloat16" and changed.fingerprint["weights"] != make().fingerprint["weights"]

    def test_does_not_change_when_prompts_are_read(self, make):
        """Calling a tokenizer rewrites the padding and truncation that its file came with."""
        fresh, used = make(), make()
        for each in (fresh, used):
            each.tokenizer.backend_tokenizer.enable_padding(length=8)
            each.tokenizer.backend_tokenizer.enable_truncation(20)
        used.encode(["Sort: 1"])
        used.tokenizer(["a", "bb"], padding=True, truncation=True, max_length=5)
        assert fresh.fingerprint == used.fingerprint == make().fingerprint


def test_a_name_a_loaded_model_and_a_folder_give_the_same_backbone(backbone, tiny_folder):
    loaded = Backbone.load(BackboneConfig(), backbone.model, backbone.tokenizer)
    by_name = Backbone.load(BackboneConfig(), backbone.model)  # Its tokenizer is found in its folder.
    assert loaded.fingerprint == by_name.fingerprint == backbone.fingerprint
    assert Backbone.load(BackboneConfig(str(tiny_folder), dtype="bfloat16")).dtype == torch.bfloat16


def test_a_folder_that_holds_no_model_is_refused_in_one_line(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "nonsense"}')
    with pytest.raises(BackboneError, match="transformers cannot load") as caught:
        hybrid.Backbone.load(BackboneConfig(str(tmp_path)))
    assert "\n" not in str(caught.value)


def test_damaged_weights_are_refused_in_one_line(tiny_folder, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(tiny_folder, folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(BackboneError, match="transformers cannot load"):
        Backbone.load(BackboneConfig(str(folder)))


def test_a_folder_is_loaded_as_the_class_that_it_was_saved_from(backbone, tiny_folder, tmp_path):
    """So nothing is made up that the files do not hold, such as the output matrix of a body saved alone."""
    shutil.copytree(tiny_folder, tmp_path / "body")
    backbone.model.model.save_pretrained(tmp_path / "body")
    bare = Backbone.load(BackboneConfig(str(tmp_path / "body")))
    assert type(bare.model) is type(backbone.model.model) and bare.model.get_output_embeddings() is None


@pytest.mark.parametrize("name", ["NoSuchClass", "logging", None])
def test_a_folder_whose_class_is_not_known_is_loaded_by_its_config(tiny_folder, tmp_path, backbone, name):
    folder = tmp_path / "copy"
    shutil.copytree(tiny_folder, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": name and [name]}))
    assert Backbone.load(BackboneConfig(str(folder))).fingerprint["weights"] == backbone.fingerprint["weights"]


def test_weights_that_the_files_lack_are_the_same_at_every_load_and_the_users_seed_is_left_alone(new_tokenizer, tmp_path):
    from transformers import BertConfig, BertModel

    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    BertModel(BertConfig(vocab_size=300, **sizes), add_pooling_layer=False).save_pretrained(tmp_path)
    new_tokenizer().save_pretrained(tmp_path)
    torch.manual_seed(5)
    expected = torch.rand(3)
    prints = []
    for seed in (5, 6):
        torch.manual_seed(seed)
        prints.append(Backbone.load(BackboneConfig(str(tmp_path))).fingerprint)
        assert seed == 6 or torch.equal(torch.rand(3), expected)
    assert prints[0] == prints[1]


@pytest.mark.parametrize("fields", [{"layers": ()}, {"name": " "}, {"revision": ""}])
def test_an_empty_field_is_refused(fields):
    with pytest.raises(ConfigError, match=rf"backbone\.{next(iter(fields))} is empty"):
        BackboneConfig(**fields)


def test_symbols_are_single_tokens_with_or_without_a_blank(backbone):
    assert backbone.token_text(backbone.token_id("7")) == "7"
    with pytest.raises(InputError, match="is not one token of"):
        backbone.token_id("xyz")


def test_a_blank_that_a_tokenizer_puts_before_a_word_is_not_counted(new_sentencepiece, new_llama):
    tokenizer = new_sentencepiece(vocab_size=70)
    slow = Backbone(new_llama(len(tokenizer)), tokenizer, "slow")
    assert len(tokenizer("7")["input_ids"]) == 2 and tokenizer.convert_ids_to_tokens(slow.token_id("7")) == "7"
    with pytest.raises(InputError, match="is not one token of slow"):
        slow.token_id("☺")  # Unknown.


def test_spans_of_a_tokenizer_without_offsets_are_read_and_impossible_ones_refused(new_sentencepiece, new_llama):
    tokenizer = new_sentencepiece(vocab_size=70)
    slow = Backbone(new_llama(len(tokenizer)), tokenizer, "slow")
    prompt = "🙂 ½: 3  4 7"
    encoded = slow.encode([prompt])
    (row,) = slow.read(slow.prepare([prompt], [[(prompt.index(c), prompt.index(c) + 1) for c in "347"]]))
    (every,) = slow.read(slow.prepare([prompt], None))
    places = [tokenizer.convert_ids_to_tokens(encoded[0].ids).index(c) for c in "347"]
    assert torch.equal(row, every[places])
    tokenizer.convert_tokens_to_string = lambda tokens: "?"  # Decodes to something else than it read.
    (unsure,) = slow.encode([prompt])
    assert unsure.offsets is None and len(slow.read(slow.prepare([prompt], None))[0]) == len(unsure.ids)
    with pytest.raises(InputError, match="gives no character offsets"):
        slow.prepare([prompt], [[(0, 1)]])


def test_output_rows_are_copies_of_the_output_matrix(backbone):
    matrix = backbone.model.get_output_embeddings().weight
    rows = backbone.output_rows([5, 3])
    assert torch.equal(rows, matrix[[5, 3]]) and torch.equal(backbone.output_rows(None), matrix)
    rows.zero_()
    assert matrix[5].abs().sum() > 0


def test_a_model_without_an_output_matrix_is_refused(backbone):
    bare = Backbone(backbone.model.model, backbone.tokenizer, "bare")
    with pytest.raises(ConfigError, match="use the classes decoder"):
        bare.output_rows(None)
    with torch.no_grad():  # The body alone can still be read.
        assert bare.hidden_states([[1, 2]])[0].shape == (1, 2, 3, 32)


def test_gradients_pass_through_the_backbone_where_they_are_asked_for(backbone):
    """As LoRA needs it: without `no_grad` the states keep their graph."""
    every = at(backbone, 0, 2)
    embeddings = backbone.model.get_input_embeddings().weight
    embeddings.requires_grad_(True)
    try:
        states, _ = every.hidden_states([[1, 2, 3]])
        assert torch.autograd.grad(states[:, :, 1].square().sum(), embeddings)[0].abs().sum() > 0
    finally:
        embeddings.requires_grad_(False)


@pytest.fixture
def half_folder(tmp_path, new_llama, new_tokenizer):
    tokenizer = new_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    new_llama(len(tokenizer)).bfloat16().save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("capabilities", "dtype"),
    [
        ({"architecture": "x86_64", "avx512_bf16": False, "amx_bf16": False}, torch.float32),
        ({"architecture": "x86_64", "avx512_bf16": True}, torch.bfloat16),
        ({"architecture": "aarch64"}, torch.bfloat16),
        ({}, torch.bfloat16),
    ],
)
def test_half_precision_is_kept_where_the_processor_has_units_for_it(half_folder, monkeypatch, capabilities, dtype):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert Backbone.load(BackboneConfig(str(half_folder))).dtype == dtype
    assert Backbone.load(BackboneConfig(str(half_folder), dtype="bfloat16")).dtype == torch.bfloat16


def test_a_head_is_loaded_with_the_precision_that_it_was_made_for(half_folder, config, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {}, raising=False)
    model = hybrid.attach(None, replace(config, backbone=BackboneConfig(str(half_folder), (0, 2))))
    model.save_pretrained(tmp_path / "head")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"architecture": "x86_64"}, raising=False)
    again = hybrid.HybridModel.from_pretrained(tmp_path / "head")
    assert again.backbone.dtype == torch.bfloat16 and again.config == model.config
