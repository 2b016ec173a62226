"""The concat encoder: answer slots in front of all tokens."""

import torch

from hybrid.adapters import Concat, Features


def test_the_workspace_is_slots_then_tokens_with_the_surplus_slots_masked():
    encoder = Concat(Concat.Config(max_answers=4, max_tokens=8), 2, 8, 16)
    states = torch.randn(1, 5, 2, 8)
    x, mask = (found := encoder(Features.of(states, [5], [3]))).x, found.mask
    assert x.shape == (1, 9, 16) and mask.int().tolist() == [[1, 1, 1, 0, 1, 1, 1, 1, 1]]
    torch.testing.assert_close(x[0, :4], encoder.slots.table)
    torch.testing.assert_close(x[:, 4:], encoder.mix(states) + encoder.tokens.table[:5])


def test_it_needs_no_spans():
    assert Concat.reads == "tokens"
