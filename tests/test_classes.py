"""The classes decoder: a learned matrix."""

import torch

from hybrid.adapters import Classes


def test_logits_are_the_learned_matrix_times_the_state(backbone):
    decoder = Classes(Classes.Config(), 16, ("a", "b", "c"), backbone)
    y = torch.randn(2, 5, 16)
    assert torch.equal(decoder(y), y @ decoder.out.weight.T) and decoder.out.weight.shape == (3, 16)
    assert decoder.text(2) == "c" and decoder.index("b") == 1
