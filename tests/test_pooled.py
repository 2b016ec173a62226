"""The pooled encoder: one mean for all slots."""

import torch

from hybrid.adapters import Features, Pooled


def test_every_slot_gets_the_same_mean_over_real_tokens():
    encoder = Pooled(Pooled.Config(max_answers=3), 2, 8, 16)
    rows = [torch.randn(4, 2, 8), torch.randn(2, 2, 8)]
    x = encoder(Features.pad(rows, [3, 3])).x
    for row, out in zip(rows, x, strict=True):
        torch.testing.assert_close(out, encoder.slots.table + encoder.mix(row).mean(0))


def test_it_does_not_know_where_a_token_stood():
    encoder = Pooled(Pooled.Config(max_answers=3), 2, 8, 16)
    states = torch.randn(5, 2, 8)
    torch.testing.assert_close(encoder(Features.pad([states], [3])).x, encoder(Features.pad([states.flip(0)], [3])).x)
