"""Reading: hidden states as features, kept by a codec."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

import hybrid
from hybrid.adapters import Concat
from hybrid.backbone.codec import Int8, Projected
from hybrid.layout import LayoutConfig
from hybrid.train import TrainConfig, train

PROMPTS = ["Sort: 3 1 2", "Sort: 9 8"]


def test_the_embedding_layer_of_whole_prompts_is_kept_as_token_ids(backbone):
    packed = backbone.reading(None, Int8.Config())
    (kept, _), (plain, _) = packed.pack(packed.prepare(PROMPTS, None)), backbone.read(backbone.prepare(PROMPTS, None))
    assert set(kept) == {"ids", "codes", "scales"} and kept["codes"].shape[1] == 1
    features = packed.unpack(kept)
    torch.testing.assert_close(features[:, 0], F.layer_norm(plain[:, 0], (32,)), rtol=0, atol=1e-5)
    torch.testing.assert_close(features[:, 1], F.layer_norm(plain[:, 1], (32,)), rtol=0, atol=0.02)


def test_spans_are_kept_in_all_layers(backbone):
    packed = backbone.reading(None, Int8.Config())
    (kept,) = packed.pack(packed.prepare(PROMPTS[:1], [[(6, 7), (8, 11)]]))
    assert set(kept) == {"codes", "scales"} and kept["codes"].shape == (2, 2, 32)


def test_an_embedding_layer_that_adds_positions_is_no_look_up(new_tokenizer):
    from transformers import GPT2Config, GPT2LMHeadModel

    tokenizer = new_tokenizer()
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=2, n_positions=64))
    packed = hybrid.Backbone(model, tokenizer, "tiny", (0, 1)).reading(None, Int8.Config())
    assert "ids" not in packed.pack(packed.prepare(PROMPTS, None))[0]


@pytest.mark.parametrize("codec", [Int8.Config(), Projected.Config(8)])
def test_a_head_on_packed_states_trains_saves_and_answers_alike_after_a_reload(new_model, config, problems, tmp_path, codec):
    own = replace(config.backbone, codec=codec)
    model = hybrid.attach(
        str(config.backbone.name), replace(config, backbone=own, encoder=Concat.Config(4, 64), layout=LayoutConfig(num_answers=3))
    )
    train(model, problems(12), problems(4), TrainConfig(num_steps=3, batch_size=4), tmp_path, show=False)
    again = hybrid.HybridModel.from_pretrained(tmp_path)
    assert again.config.backbone.codec == codec
    assert torch.equal(again.logits(PROMPTS), model.logits(PROMPTS))
    assert model.head.encoder.mix.project.in_features == (8 if isinstance(codec, Projected.Config) else 32)


def test_another_projection_is_unpacked_with_its_own_table(backbone):
    packed = backbone.reading(None, Projected.Config(4))
    prepared = packed.prepare(PROMPTS, None)
    packed.fit(prepared)
    before = packed.read(prepared)[0]
    packed.codec.learned = {name: -tensor for name, tensor in packed.codec.learned.items()} | {
        "mean": packed.codec.learned["mean"]
    }
    torch.testing.assert_close(packed.read(prepared)[0], -before)
