"""Costs: FLOPs against closed forms and against counting token by token, seconds, memory, percentiles."""

import os
import re
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from hybrid import Backbone, BackboneConfig
from hybrid.eval import cost
from hybrid.eval.cost import PeakMemory, TextCost, count_flops, percentile, seconds_each, stopwatch, text_cost


def llama_flops(model, tokens):
    """FLOPs of the body of a Llama on one prompt: twice the weights for each token, and two products of attention."""
    config = model.config
    weights = sum(p.numel() for name, p in model.model.named_parameters() if p.ndim == 2 and "embed" not in name)
    return 2 * weights * tokens + config.num_hidden_layers * 4 * tokens**2 * config.hidden_size


def ids(*shape):
    return torch.ones(shape, dtype=torch.int64)


@pytest.mark.parametrize("tokens", [7, 150])
def test_a_prefill_is_counted_as_its_closed_form_says(backbone, tokens):
    body = backbone.model.base_model
    counted = count_flops(lambda: body(input_ids=ids(1, tokens), use_cache=False))
    assert counted == pytest.approx(llama_flops(backbone.model, tokens), rel=0.02)
    logits = count_flops(lambda: backbone.model(input_ids=ids(1, tokens), use_cache=False)) - counted
    assert logits == 2 * tokens * backbone.model.config.vocab_size * 32


def test_counting_leaves_no_graph_and_takes_a_batch_as_so_many_rows(backbone):
    body, seen = backbone.model.base_model, []
    one = count_flops(lambda: body(input_ids=ids(1, 9), use_cache=False))
    assert count_flops(lambda: seen.append(body(input_ids=ids(3, 9), use_cache=False))) == pytest.approx(3 * one, rel=1e-3)
    assert not seen[0].last_hidden_state.requires_grad
    assert count_flops(lambda: None) == 0


def test_the_formula_is_exact_at_lengths_that_were_not_counted(backbone):
    found, body = text_cost(backbone), backbone.model.base_model
    for tokens in (3, 50, 130):
        counted = count_flops(lambda tokens=tokens: body(input_ids=ids(1, tokens), use_cache=False))
        assert found.linear * tokens + found.quadratic * tokens**2 == pytest.approx(counted, rel=1e-9)


@pytest.mark.parametrize(("prompt", "new"), [(20, 1), (20, 2), (5, 40), (60, 12)])
def test_reading_and_writing_cost_what_is_counted_token_by_token(backbone, prompt, new):
    """The model reads the prompt, then every token that it wrote but the last, with its cache."""
    model, total, cache = backbone.model, 0, None
    for length in [prompt] + [1] * (new - 1):
        kept = {}

        def step(length=length, kept=kept, cache=cache):
            kept["out"] = model(input_ids=ids(1, length), past_key_values=cache, use_cache=True, logits_to_keep=1)

        total += count_flops(step)
        cache = kept["out"].past_key_values
    assert text_cost(backbone).flops(prompt, new) == pytest.approx(total, rel=1e-9)


def test_generation_through_transformers_costs_what_the_formula_says(backbone):
    def work():
        backbone.model.generate(
            input_ids=ids(1, 30), attention_mask=ids(1, 30), max_new_tokens=20, do_sample=False, eos_token_id=None
        )

    assert text_cost(backbone).flops(30, 20) == pytest.approx(count_flops(work), rel=0.01)


def test_the_formula_is_made_once_for_a_backbone(backbone, shared_backbone):
    assert text_cost(backbone) is text_cost(backbone)
    other = Backbone(shared_backbone.model, shared_backbone.tokenizer, "other", (0, 2))
    assert text_cost(other) == text_cost(backbone)


def test_costs_grow_with_both_lengths_and_start_with_the_prompt():
    formula = TextCost(linear=10.0, quadratic=1.0, head=100.0)
    assert formula.flops(4, 0) == 4 * 10 + 16
    assert formula.flops(4, 1) == 4 * 10 + 16 + 100
    assert formula.flops(4, 3) == (4 * 10 + 16 + 100) + (10 + 5 + 100) + (10 + 6 + 100)
    assert formula.flops(5, 3) > formula.flops(4, 3)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([5.0], 0.95, 5.0),
        ([3.0, 1.0, 2.0], 0.5, 2.0),
        ([4.0, 1.0, 2.0, 3.0], 0.5, 2.5),
        ([1.0, 2.0], 0.95, 1.95),
        ([1.0, 9.0], 0.0, 1.0),
        ([1.0, 9.0], 1.0, 9.0),
    ],
)
def test_percentiles_are_interpolated(values, share, expected):
    assert percentile(values, share) == pytest.approx(expected)


def test_percentiles_are_those_of_torch():
    values = torch.rand(37, dtype=torch.float64)
    for share in (0.0, 0.05, 0.5, 0.77, 0.95, 1.0):
        assert percentile(values.tolist(), share) == pytest.approx(float(values.quantile(share)))


def test_every_item_is_timed_once_and_the_warm_up_is_not(monkeypatch):
    clock, seen = SimpleNamespace(now=0.0), []

    def work(item):
        seen.append(item)
        clock.now += item

    monkeypatch.setattr(cost.time, "perf_counter", lambda: clock.now)
    assert seconds_each(work, [3.0, 1.0, 2.0], warmup=2) == [3.0, 1.0, 2.0]
    assert seen == [3.0, 3.0, 3.0, 1.0, 2.0]
    assert seconds_each(work, []) == []


def test_the_stopwatch_tells_the_seconds_of_its_block():
    with stopwatch() as seconds:
        time.sleep(0.02)
    assert len(seconds) == 1 and 0.02 <= seconds[0] < 5


def high_water_mark_can_be_reset():
    """Say whether this kernel lowers a process's high-water mark when asked."""
    status, refs = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not status.is_file() or not os.access(refs, os.W_OK):
        return False
    torch.ones(50_000_000).sum()
    marks = []
    for _ in range(2):
        marks.append(int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1]))
        refs.write_text("5")
    return marks[0] - marks[1] > 100_000


@pytest.mark.skipif(torch.cuda.is_available(), reason="reads the memory of the process")
def test_peak_memory_sees_a_large_tensor_of_its_own_block_only():
    def peak(work):
        with PeakMemory() as memory:
            work()
        return memory.bytes

    resets = high_water_mark_can_be_reset()
    before = peak(lambda: None)
    during = peak(lambda: torch.ones(50_000_000).sum())
    after = peak(lambda: None)
    if resets:
        assert during - before > 150e6 and abs(after - before) < 50e6
    else:
        assert during >= before > 1e7


@pytest.mark.parametrize("name", ["int8", "nf4"])
def test_quantised_layers_count_as_plain_ones(wide_folder, name):
    plain, packed = (Backbone.load(BackboneConfig(str(wide_folder), quantization=each)) for each in (None, name))
    assert text_cost(packed) == text_cost(plain) and text_cost(plain).linear > 0
    prompts = plain.encode(["Sort: 3 1 2", "Sort: 4 4"])
    with torch.no_grad():
        assert count_flops(lambda: packed.features(prompts, None)) == count_flops(lambda: plain.features(prompts, None))
