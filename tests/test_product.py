"""Products by oneDNN: the values and gradients of torch's own."""

import pytest
import torch
from torch.nn import functional as F

from hybrid.eval.measures.cost import count_flops
from hybrid.recursion import product
from hybrid.recursion.product import FEWEST_ROWS, Linear, by_onednn, onednn_product

needs_onednn = pytest.mark.skipif(not hasattr(torch.ops.mkldnn, "_linear_pointwise"), reason="torch without oneDNN")


@needs_onednn
@pytest.mark.parametrize("shape", [(40, 24), (5, 8, 24)])
def test_values_and_gradients_are_those_of_a_linear_layer(shape):
    results = []
    for way in (onednn_product, F.linear):
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(shape, generator=generator).requires_grad_()
        weight = torch.randn(16, 24, generator=generator).requires_grad_()
        out = way(x, weight)
        results.append((out, *torch.autograd.grad(out.sin().sum(), (x, weight))))
    for mine, theirs in zip(*results, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)


@needs_onednn
def test_rows_that_do_not_lie_one_behind_the_other_are_read_as_they_are():
    x, weight = torch.randn(6, 24, 10), torch.randn(16, 24)
    torch.testing.assert_close(onednn_product(x.transpose(1, 2), weight), F.linear(x.transpose(1, 2), weight))


@needs_onednn
def test_gradients_of_gradients_are_those_of_a_linear_layer():
    results = []
    for way in (onednn_product, F.linear):
        generator = torch.Generator().manual_seed(0)
        x, weight = (torch.randn(9, 9, generator=generator).requires_grad_() for _ in range(2))
        slope = torch.autograd.grad(way(x, weight).sin().sum(), x, create_graph=True)[0]
        results.append(torch.autograd.grad(slope.square().sum(), (x, weight)))
    for mine, theirs in zip(*results, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


@needs_onednn
def test_only_the_gradients_that_are_wanted_are_computed():
    x, weight = torch.randn(9, 9), torch.randn(9, 9).requires_grad_()
    onednn_product(x, weight).sum().backward()
    assert weight.grad is not None and x.grad is None


def test_only_many_rows_in_float32_on_a_processor_that_profits_go_to_onednn(monkeypatch):
    monkeypatch.setattr(product, "FASTER", True)
    many = torch.randn(2, FEWEST_ROWS // 2, 8)
    assert by_onednn(many)
    assert not by_onednn(many[:1]) and not by_onednn(many.double()) and not by_onednn(many.bfloat16())
    with torch.autocast("cpu", torch.bfloat16):
        assert not by_onednn(many)
    monkeypatch.setattr(product, "FASTER", False)
    assert not by_onednn(many)


@pytest.mark.parametrize(
    ("can", "faster"),
    [
        ({"cpu_name": "AMD EPYC", "avx512_f": True}, True),
        ({"cpu_name": "AMD EPYC", "avx512_f": False}, False),
        ({"cpu_name": "Intel Xeon", "avx512_f": True}, False),
        ({}, False),
    ],
)
def test_the_processor_decides(monkeypatch, can, faster):
    there = torch.backends.mkldnn.enabled and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: can, raising=False)
    assert product.onednn_is_faster() == (faster and there)


@needs_onednn
def test_its_flops_are_counted(monkeypatch):
    layer, x = Linear(24, 16), torch.randn(FEWEST_ROWS, 24)
    counts = []
    for faster in (True, False):
        monkeypatch.setattr(product, "FASTER", faster)
        counts.append(count_flops(lambda: layer(x)))
    assert counts == [2 * FEWEST_ROWS * 24 * 16] * 2
