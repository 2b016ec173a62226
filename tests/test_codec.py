"""Codecs: what is kept of hidden states, and what comes back."""

import pytest
import torch
from torch.nn import functional as F

from hybrid.backbone import BackboneConfig
from hybrid.backbone.codec import CODECS, Int8, Projected, Raw
from hybrid.backbone.tuner import Lora
from hybrid.config import HybridConfig
from hybrid.errors import ConfigError
from hybrid.layout import LayoutConfig

STATES = torch.randn(40, 3, 16, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 50.0, 0.1])[:, None]


def back(codec, states=STATES):
    return codec.unpack(codec.pack(states), torch.float32)


def test_raw_states_come_back_as_they_are():
    assert back(Raw(Raw.Config())) is STATES


def test_eight_bits_keep_normalised_states_within_half_a_step():
    codec = Int8(Int8.Config())
    normal = F.layer_norm(STATES, (16,))
    step = normal.abs().amax(-1, keepdim=True) / 127
    assert ((back(codec) - normal).abs() <= 0.51 * step).all()
    assert codec.pack(STATES)["codes"].dtype == torch.int8


def test_the_projection_keeps_the_largest_components():
    wide = torch.randn(200, 2, 3) @ torch.randn(3, 16) + torch.randn(16)
    codec = Projected(Projected.Config(4))
    with pytest.raises(ConfigError, match="the projection is not fitted yet"):
        codec.pack(wide)
    codec.fit([wide[:100], wide[100:]])
    kept, normal = back(codec, wide), F.layer_norm(wide, (16,))
    assert kept.shape == (200, 2, 4) and codec.channels(16) == 4
    again = torch.einsum("pkc,khc->pkh", kept, codec.learned["components"]) + codec.learned["mean"]
    assert (again - normal).square().mean() < 0.01 * normal.square().mean()
    assert (kept[:, :, 0].var(0) > kept[:, :, 3].var(0)).all()


def test_a_narrow_model_keeps_all_its_channels_and_a_tuner_is_refused():
    assert (Projected(Projected.Config(99)).channels(16), Projected(Projected.Config(9)).channels(16)) == (16, 9)
    with pytest.raises(ConfigError, match="a tuner cannot be trained through rounded states"):
        HybridConfig(LayoutConfig(given=True), ("a", "b"), BackboneConfig("x", codec=Int8.Config()), tuner=Lora.Config())


def test_every_kind_is_told_apart_by_what_it_learned():
    codec = Projected(Projected.Config(4))
    before = codec.identity
    codec.fit([STATES])
    names = [str(CODECS.build(CODECS[kind].Config()).identity) for kind in CODECS]
    assert before != codec.identity and len(set(names)) == len(names) == 3
