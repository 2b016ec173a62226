"""What all encoders promise: padding and other rows change nothing, sizes are checked."""

import pytest
import torch

from hybrid.adapters import ENCODERS, Features
from hybrid.adapters.encoder import Positions
from hybrid.errors import ConfigError, InputError

K, H, D = 2, 8, 16
KINDS = [kind for kind in ENCODERS if kind != "structured"]
"""Encoders of hidden states; the structured one reads symbols."""


def build(kind, **fields):
    torch.manual_seed(0)
    return ENCODERS.build(ENCODERS[kind].Config(**fields), K, H, D)


def rows(*lengths):
    return [torch.randn(length, K, H, generator=torch.Generator().manual_seed(length)) for length in lengths]


@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_nothing(kind):
    encoder = build(kind)
    short, padded = Features.pad(rows(4), [3]), Features.pad(rows(4), [3], 9)
    padded.states[:, 4:] = 99.0
    (x, mask), (y, other) = ((w.x, w.mask) for w in (encoder(short), encoder(padded)))
    mask = torch.ones(x.shape[:2], dtype=torch.bool) if mask is None else mask
    other = torch.ones(y.shape[:2], dtype=torch.bool) if other is None else other
    torch.testing.assert_close(x[mask], y[other], rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_is_encoded_alike_alone_and_in_a_batch(kind):
    encoder = build(kind)
    alone, whole = encoder(Features.pad(rows(4), [3])).x, encoder(Features.pad(rows(6, 4), [5, 3]))
    batch, mask = whole.x, whole.mask
    length = min(alone.shape[1], 4)
    torch.testing.assert_close(alone[0, :3], batch[1, :3], rtol=0, atol=1e-5)
    assert mask is not None and mask[1, :3].all() and length


@pytest.mark.parametrize("kind", KINDS)
def test_answer_positions_come_first_and_are_all_there(kind):
    mask = build(kind)(Features.pad(rows(4, 6), [2, 5])).mask
    assert mask[0, :2].all() and mask[1, :5].all()


@pytest.mark.parametrize("kind", KINDS)
def test_every_weight_gets_a_gradient(kind):
    encoder = build(kind)
    workspace = encoder(Features.pad(rows(4, 6), [3, 5]))
    x, mask = workspace.x, workspace.mask
    mask = torch.ones(x.shape[:2], dtype=torch.bool) if mask is None else mask
    (x[mask] * torch.randn(D)).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters())


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("aligned", "max_positions"),
        ("concat", "max_tokens"),
        ("concat", "max_answers"),
        ("cross_attention", "max_tokens"),
        ("cross_attention", "max_answers"),
        ("pooled", "max_answers"),
        ("words", "max_words"),
        ("words", "max_answers"),
        ("segments", "max_words"),
        ("segments", "max_answers"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_field_to_raise(kind, field):
    with pytest.raises(InputError, match=rf"encoder\.{field} is 4; attach with a larger one"):
        build(kind, **{field: 4})(Features.pad(rows(6), [5]))


@pytest.mark.parametrize("kind", KINDS)
def test_counts_below_one_are_refused(kind):
    config = ENCODERS[kind].Config
    for field in vars(config()):
        if field == "num_thoughts":
            continue  # None are the usual.
        with pytest.raises(ConfigError, match=rf"encoder\.{field} is 0"):
            config(**{field: 0})


def test_positions_are_the_first_of_a_table():
    table = Positions(5, 4, "max_things")
    assert torch.equal(table.first(3), table.table[:3])
    with pytest.raises(InputError, match=r"6 positions, but encoder\.max_things is 5"):
        table.first(6)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_masked_where_nothing_is_padded(kind):
    config = ENCODERS[kind].Config
    fields = {"max_answers": 3} if "max_answers" in vars(config()) else {}
    assert build(kind, **fields)(Features.pad(rows(4, 4), [3, 3])).mask is None


def test_an_encoder_says_itself_what_it_cannot_take():
    config = ENCODERS["concat"].Config(max_answers=4, max_tokens=9)
    shortage = ENCODERS["concat"].shortage
    assert shortage(config, 9, 4) == "" == ENCODERS["structured"].shortage(ENCODERS["structured"].Config(), 10**6, 10**6)
    assert shortage(config, 10, 4) == "the prompt has 10 positions, but encoder.max_tokens is 9; attach with a larger one"
    assert shortage(config, 9, 5) == "the answer has 5 places, but encoder.max_answers is 4; attach with a larger one"
