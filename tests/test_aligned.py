"""The aligned encoder: one workspace position a span."""

import torch

from hybrid.adapters import Aligned, Features


def test_a_position_is_the_mix_of_its_own_span_its_place_and_its_role():
    encoder = Aligned(Aligned.Config(max_positions=8), 2, 8, 16)
    states = torch.randn(1, 5, 2, 8)
    x, mask = (found := encoder(Features.of(states, [5], [3]))).x, found.mask
    expected = encoder.mix(states) + encoder.positions.table[:5]
    expected[:, :3] += encoder.roles[0]
    expected[:, 3:] += encoder.roles[1]
    torch.testing.assert_close(x, expected)
    assert mask is None and encoder.reads == "spans"


def test_tokens_are_kept_apart():
    encoder = Aligned(Aligned.Config(), 2, 8, 16)
    states = torch.randn(1, 5, 2, 8)
    features = Features.of(states, [5], [5])
    before = encoder(features).x
    states[0, 2] = torch.randn(2, 8)
    after = encoder(features).x
    changed = (before != after).any(-1)[0]
    assert changed.tolist() == [False, False, True, False, False]
