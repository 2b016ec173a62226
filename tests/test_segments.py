"""The segments encoder: a few role slots a sentence."""

import torch

from hybrid.adapters import Features, Segments

LINKS = [[1, 0, 2, 0, 3, 1, 1, 1, 4, 1], [5, 0, 6, 0]]


def features():
    torch.manual_seed(1)
    return Features.pad([torch.randn(5, 2, 8), torch.randn(2, 2, 8)], [2, 2], links=LINKS)


def build(**fields):
    torch.manual_seed(0)
    return Segments(Segments.Config(max_answers=2, num_roles=3, num_heads=2, **fields), 2, 8, 16)


def test_the_workspace_is_slots_then_roles_of_each_sentence():
    found = build()(features())
    assert found.x.shape == (2, 2 + 2 * 3, 16)
    assert found.mask.int().tolist() == [[1] * 8, [1] * 5 + [0] * 3]
    assert found.links[..., 1].tolist() == [[-1, -1, 0, 0, 0, 1, 1, 1], [-1, -1, 0, 0, 0, -1, -1, -1]]


def test_a_role_reads_its_own_sentence_alone():
    encoder, own = build(), features()
    before = encoder(own).x
    own.states[0, 3] = torch.randn(2, 8)  # In the second sentence.
    after = encoder(own).x
    torch.testing.assert_close(after[0, :5], before[0, :5])
    assert not torch.allclose(after[0, 5:], before[0, 5:]) and torch.equal(after[1], before[1])


def test_a_long_sentence_is_cut():
    found = build(max_places=2)(features())
    assert found.x.shape[1] == 2 + 3 * 3 and found.mask[1].int().tolist() == [1] * 5 + [0] * 6
