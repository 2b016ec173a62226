"""Blocks: padding changes nothing, masked positions are never read, rotary positions as in the formula."""

import pytest
import torch

from hybrid.errors import ConfigError
from hybrid.recursion.block import (
    BLOCKS,
    SHORT,
    AttentionBlock,
    MLPBlock,
    Network,
    Rotary,
    SwiGLU,
    attention,
    initialise,
    linear,
    rms_norm,
)

CONFIGS = {
    "attention": AttentionBlock.Config(num_heads=2),
    "attention without positions": AttentionBlock.Config(num_heads=2, positions="none"),
    "mlp": MLPBlock.Config(num_positions=9),
}


@pytest.fixture(params=CONFIGS)
def block(request):
    return BLOCKS.build(CONFIGS[request.param], 16).double()


def test_a_padded_row_gives_the_same_result_as_the_unpadded_one(block):
    x = torch.randn(2, 5, 16, dtype=torch.float64)
    padded = torch.cat([x, torch.randn(2, 3, 16, dtype=torch.float64) * 50], dim=1)
    mask = torch.arange(8).expand(2, 8) < 5
    torch.testing.assert_close(block(padded, mask)[:, :5], block(x), rtol=0, atol=1e-12)


def test_masked_positions_never_influence_others_even_in_the_middle(block):
    x = torch.randn(3, 6, 16, dtype=torch.float64)
    mask = torch.tensor([[1, 0, 1, 1, 0, 1], [1, 1, 1, 1, 1, 1], [0, 0, 0, 1, 0, 0]]).bool()
    other = torch.where(mask[..., None], x, torch.randn_like(x) * 100)
    assert not torch.equal(x, other)
    assert torch.equal(block(x, mask)[mask], block(other, mask)[mask])


def test_no_gradient_reaches_masked_positions(block):
    x = torch.randn(1, 4, 16, dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[True, True, False, True]])
    block(x, mask)[mask].square().sum().backward()
    assert torch.equal(x.grad[0, 2], torch.zeros(16, dtype=torch.float64)) and x.grad[0, 0].abs().sum() > 0


def test_without_padding_every_position_reads_every_other(block):
    x = torch.randn(1, 5, 16, dtype=torch.float64, requires_grad=True)
    for place in (0, 4):  # Non-causal: the first position reads the last.
        gradient = torch.autograd.grad(block(x)[0, place, 0], x)[0]
        assert (gradient[0].abs().sum(-1) > 0).all()


def test_a_mask_without_padding_is_the_same_as_no_mask(block):
    x = torch.randn(2, 4, 16, dtype=torch.float64)
    torch.testing.assert_close(block(x, torch.ones(2, 4, dtype=torch.bool)), block(x), rtol=0, atol=1e-12)


def test_outputs_have_root_mean_square_one(block):
    out = block(torch.randn(2, 4, 16, dtype=torch.float64) * 30)
    torch.testing.assert_close(out.square().mean(-1), torch.ones(2, 4, dtype=torch.float64), rtol=0, atol=1e-3)


def test_rotary_equals_the_naive_rotation_of_halves():
    x = torch.randn(2, 7, 3, 8, dtype=torch.float64)
    expected = torch.empty_like(x)
    for position in range(7):
        for i in range(4):
            angle = torch.tensor(position * 10_000.0 ** (-2 * i / 8), dtype=torch.float64)
            first, second = x[:, position, :, i], x[:, position, :, i + 4]
            expected[:, position, :, i] = first * angle.cos() - second * angle.sin()
            expected[:, position, :, i + 4] = second * angle.cos() + first * angle.sin()
    torch.testing.assert_close(Rotary(8, 7).double()(x), expected, rtol=0, atol=1e-6)


def test_rotated_products_depend_on_the_distance_alone():
    rotary = Rotary(8, 32)
    q, k = torch.randn(8), torch.randn(8)
    at = lambda x, place: rotary(x.expand(1, 32, 1, 8))[0, place, 0]  # noqa: E731
    torch.testing.assert_close(at(q, 5) @ at(k, 2), at(q, 25) @ at(k, 22), rtol=0, atol=1e-4)


def test_attention_equals_a_naive_softmax_over_heads():
    block = AttentionBlock(AttentionBlock.Config(num_heads=2, positions="none"), 8)
    x = torch.randn(1, 5, 8)
    q, k, v = (x[0] @ w.T for w in block.qkv.weight.chunk(3))
    heads = [((q[:, cut] @ k[:, cut].T) / 4**0.5).softmax(-1) @ v[:, cut] for cut in (slice(0, 4), slice(4, 8))]
    torch.testing.assert_close(block.attend(x, None)[0], torch.cat(heads, -1) @ block.out.weight.T, rtol=0, atol=1e-5)


def test_a_workspace_longer_than_the_tables_is_refused_in_words():
    with pytest.raises(ConfigError, match=r"6 positions.*block\.max_positions"):
        AttentionBlock(AttentionBlock.Config(num_heads=2, max_positions=5), 16)(torch.randn(1, 6, 16))
    with pytest.raises(ConfigError, match=r"10 positions.*block\.num_positions"):
        MLPBlock(CONFIGS["mlp"], 16)(torch.randn(1, 10, 16))


def test_the_width_must_split_into_heads_of_even_width():
    with pytest.raises(ConfigError, match="width 12 does not split into 4 heads"):
        AttentionBlock(AttentionBlock.Config(num_heads=4), 12)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (AttentionBlock, {"num_heads": 0}),
        (AttentionBlock, {"expansion": 0.0}),
        (AttentionBlock, {"multiple_of": 0}),
        (AttentionBlock, {"max_positions": 0}),
        (MLPBlock, {"num_positions": 0}),
        (MLPBlock, {"expansion": -1.0}),
        (MLPBlock, {"multiple_of": 0}),
    ],
)
def test_sizes_out_of_range_are_refused_by_name(kind, fields):
    with pytest.raises(ConfigError, match=rf"block\.{next(iter(fields))}"):
        kind.Config(**fields)


def test_rms_norm_is_computed_in_float32_and_returned_in_the_own_dtype():
    x = torch.full((1, 4), 3e4, dtype=torch.float16)  # Its square is no float16.
    assert rms_norm(x).dtype == torch.float16 and torch.equal(rms_norm(x), torch.ones(1, 4, dtype=torch.float16))


def test_swiglu_is_the_gated_product_with_a_rounded_inner_width():
    layer = SwiGLU(12, 4.0, 32)
    assert layer.gate_up.weight.shape == (64, 12) and layer.down.bias is None
    x = torch.randn(3, 12)
    gate, up = x @ layer.gate_up.weight[:32].T, x @ layer.gate_up.weight[32:].T
    torch.testing.assert_close(layer(x), (gate * gate.sigmoid() * up) @ layer.down.weight.T)


def test_weights_start_within_two_deviations_of_one_over_root_width():
    weight = torch.empty(400, 100)
    initialise(weight)
    assert weight.abs().max() <= 0.2 and 0.08 < weight.std() < 0.1
    assert linear(4, 2).bias is None


def test_a_network_applies_its_layers_in_turn():
    network = Network(CONFIGS["attention"], 16, 3)
    x = torch.randn(1, 4, 16)
    expected = x
    for layer in network.layers:
        expected = layer(expected)
    assert len(network.layers) == 3 and torch.equal(network(x), expected)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("length", [7, SHORT + 1])
def test_attention_in_half_precision_is_near_that_in_float32(length, masked):
    q, k, v = (torch.randn(2, 3, length, 16) for _ in range(3))
    mask = (torch.rand(2, length) > 0.4) | (torch.arange(length) == 0) if masked else None
    wide = attention(q, k, v, mask)
    half = attention(q.bfloat16(), k.bfloat16(), v.bfloat16(), mask)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), wide, rtol=0, atol=0.05)


def test_attention_in_half_precision_never_reads_masked_positions():
    q, k, v = (torch.randn(1, 2, 6, 8).bfloat16() for _ in range(3))
    mask = torch.tensor([[True, True, False, True, False, True]])
    hidden = ~mask[0]
    before = attention(q, k, v, mask)
    k[:, :, hidden], v[:, :, hidden] = 100.0, -100.0
    assert torch.equal(before, attention(q, k, v, mask))
