"""The layer mix: each layer normalised by itself, weighed, projected."""

import torch

from hybrid.adapters.layer_mix import LayerMix


def test_at_first_every_layer_weighs_alike_after_its_own_norm():
    mix = LayerMix(3, 8, 5)
    states = torch.randn(2, 4, 3, 8) * torch.tensor([1.0, 100.0, 0.2])[:, None] + 7
    normal = (states - states.mean(-1, keepdim=True)) / states.std(-1, keepdim=True, unbiased=False)
    torch.testing.assert_close(mix(states), normal.mean(2) @ mix.project.weight.T, rtol=1e-3, atol=1e-3)


def test_no_layer_drowns_the_others():
    mix = LayerMix(2, 8, 5)
    states = torch.randn(1, 1, 2, 8)
    loud = states * torch.tensor([1.0, 1e4])[:, None]
    torch.testing.assert_close(mix(states), mix(loud), rtol=0, atol=1e-3)


def test_weights_choose_a_layer():
    mix = LayerMix(2, 8, 5)
    states = torch.randn(1, 3, 2, 8)
    with torch.no_grad():
        mix.weights.copy_(torch.tensor([50.0, -50.0]))
    other = states.clone()
    other[:, :, 1] = torch.randn(1, 3, 8)
    torch.testing.assert_close(mix(states), mix(other))


def test_half_precision_states_are_read_in_the_heads_precision():
    assert LayerMix(2, 8, 5)(torch.randn(1, 3, 2, 8).bfloat16()).dtype == torch.float32
