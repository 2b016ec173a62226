"""The structured encoder: symbols straight into the recursion."""

import math

import pytest
import torch

from hybrid.adapters import Features, Structured
from hybrid.errors import ConfigError, InputError


def build(**fields):
    return Structured(Structured.Config(vocabulary=tuple("abc"), **fields), 1, 1, 4)


def features(*rows):
    return Features.pad([torch.tensor(row, dtype=torch.uint8)[:, None, None] for row in rows], [len(row) for row in rows])


def test_the_workspace_is_scaled_embeddings_behind_a_prefix():
    encoder = build(num_prefix=2, num_puzzles=1, puzzle_width=5)
    torch.nn.init.normal_(encoder.puzzles)
    x, mask = (found := encoder(features([2, 0, 1]))).x, found.mask
    torch.testing.assert_close(x[0, 2:], 2 * encoder.embedding[[2, 0, 1]])
    torch.testing.assert_close(x[0, :2].flatten(), 2 * torch.cat([encoder.puzzles[0], torch.zeros(3)]))
    assert mask is None and found.num_prefix == 2 and not encoder.normalise


def test_learned_positions_keep_the_variance():
    encoder = build(max_positions=3)
    x = encoder(features([1, 1])).x
    expected = (encoder.embedding[[1, 1]] + encoder.positions[:2]) * math.sqrt(0.5) * 2
    torch.testing.assert_close(x[0], expected)


def test_a_puzzle_table_is_as_wide_as_the_model_where_no_width_is_given():
    assert build(num_prefix=2, num_puzzles=1).puzzles.shape == (1, 4) and build(num_prefix=2).puzzles is None


def test_padding_is_masked_and_the_prefix_is_not():
    mask = build(num_prefix=1)(features([0, 1, 2], [1])).mask
    assert mask.tolist() == [[True] * 4, [True, True, False, False]]


def test_a_workspace_longer_than_the_table_is_refused_in_words():
    with pytest.raises(InputError, match=r"5 positions, but encoder\.max_positions is 4"):
        build(num_prefix=2, max_positions=4)(features([0, 1, 2]))


@pytest.mark.parametrize("fields", [{"num_prefix": -1}, {"puzzle_width": 9}, {"max_positions": -1}])
def test_sizes_that_do_not_fit_are_refused(fields):
    with pytest.raises(ConfigError, match=rf"encoder\.{next(iter(fields))}"):
        build(**fields)
