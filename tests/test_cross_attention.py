"""The cross-attention encoder: slots and tokens read each other."""

import pytest
import torch

from hybrid.adapters import CrossAttention, Features
from hybrid.adapters.cross_attention import Read
from hybrid.errors import ConfigError


def features(states, answers=3):
    return Features.of(states, [states.shape[1]] * len(states), [answers] * len(states))


def test_the_workspace_is_the_slots_alone():
    found = CrossAttention(CrossAttention.Config(max_answers=4), 2, 8, 16)(features(torch.randn(2, 7, 2, 8)))
    assert found.x.shape == (2, 4, 16) and found.mask.sum(1).tolist() == [3, 3]
    assert found.memory.states.shape == (2, 7, 16) and found.memory.mask is None


def test_every_slot_reads_every_token_and_knows_its_place():
    encoder = CrossAttention(CrossAttention.Config(max_answers=3), 2, 8, 16)
    states = torch.randn(1, 5, 2, 8, requires_grad=True)
    x = encoder(features(states)).x
    for slot in range(3):
        gradient = torch.autograd.grad(x[0, slot, 0], states, retain_graph=True)[0]
        assert (gradient[0].abs().sum((1, 2)) > 0).all()
    assert not torch.allclose(x[0, 0], x[0, 1])


def test_the_order_of_tokens_matters():
    encoder = CrossAttention(CrossAttention.Config(max_answers=3), 2, 8, 16)
    states = torch.randn(1, 5, 2, 8)
    assert not torch.allclose(encoder(features(states)).x, encoder(features(states.flip(1))).x, atol=1e-3)


def test_surplus_slots_are_not_read_by_tokens():
    encoder = CrossAttention(CrossAttention.Config(max_answers=6), 2, 8, 16)
    states = torch.randn(1, 5, 2, 8)
    before = encoder(features(states)).x
    with torch.no_grad():
        encoder.slots.table[3:] = 50.0
    torch.testing.assert_close(encoder(features(states)).x[:, :3], before[:, :3])


def test_reading_keeps_the_reader_where_nothing_is_written():
    read = Read(16, 2)
    torch.nn.init.zeros_(read.out.weight)
    torch.nn.init.zeros_(read.mlp.down.weight)
    reader = torch.randn(1, 3, 16)
    assert torch.equal(read(reader, torch.randn(1, 4, 16), None), reader)


def test_the_width_must_be_a_multiple_of_the_heads():
    with pytest.raises(ConfigError, match=r"width 10 is no multiple of encoder\.num_heads 4"):
        CrossAttention(CrossAttention.Config(), 2, 8, 10)
