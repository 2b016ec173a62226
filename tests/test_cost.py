"""Costs: FLOPs against closed forms and against counting token by token, seconds, memory."""

import gc
import os
import re
import time
import weakref
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from hybrid import Backbone, BackboneConfig
from hybrid.errors import ConfigError
from hybrid.eval.measures import cost
from hybrid.eval.measures.cost import ByLength, PeakMemory, TextCost, count_flops, seconds_each, seconds_of, stopwatch, text_cost


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


def small(kind, **sizes):
    """Return a backbone around a tiny random model of a family; only its sizes are needed."""
    import transformers

    cls = getattr(transformers, kind)
    config = dict(vocab_size=300, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=0)
    torch.manual_seed(0)
    return Backbone(cls(cls.config_class(**config, **sizes)), None, kind)


def t5():
    return small("T5ForConditionalGeneration", d_model=32, num_layers=3, num_decoder_layers=3, num_heads=4, d_kv=8, d_ff=64)


def bart():
    layers = dict(encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4)
    return small(
        "BartForConditionalGeneration", d_model=32, encoder_ffn_dim=64, decoder_ffn_dim=48, max_position_embeddings=160, **layers
    )


@pytest.mark.parametrize("make", [t5, bart])
@pytest.mark.parametrize(("prompt", "new"), [(20, 1), (60, 9)])
def test_an_encoder_decoder_costs_what_is_counted_while_it_writes(make, prompt, new):
    found = make()
    options = dict(max_new_tokens=new, min_new_tokens=new, do_sample=False, num_beams=1)
    counted = count_flops(lambda: found.model.generate(input_ids=ids(1, prompt), attention_mask=ids(1, prompt), **options))
    assert text_cost(found).flops(prompt, new) == pytest.approx(counted, rel=0.02)


def mamba():
    return small("MambaForCausalLM", hidden_size=32, num_hidden_layers=2, state_size=8)


def mamba_2():
    sizes = dict(hidden_size=32, num_hidden_layers=2, num_heads=8, head_dim=8, n_groups=1, state_size=8)
    return small("Mamba2ForCausalLM", **sizes)


@pytest.mark.parametrize("make", [mamba, mamba_2])
def test_a_recurrent_model_costs_as_much_for_every_further_token(make):
    found = text_cost(make())
    each = [found.flops(100, new + 1) - found.flops(100, new) for new in (1, 50, 200)]
    assert min(each) > 0 and max(each) == pytest.approx(min(each), rel=0.02)
    counted = count_flops(lambda: make().body(input_ids=ids(1, 96), use_cache=False))
    assert found.flops(96, 0) == pytest.approx(counted, rel=0.02)


def test_a_model_that_writes_no_text_says_so():
    reads = small("BertModel", hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)
    with pytest.raises(ConfigError, match="BertModel has no output matrix, so it writes no text; leave out the methods"):
        text_cost(reads)


def test_costs_are_kept_no_longer_than_their_model(shared_backbone):
    other = Backbone(shared_backbone.model, shared_backbone.tokenizer, "other", (0, 2))
    text_cost(other)
    gone = weakref.ref(other)
    del other
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize(("longest", "form"), [(1, (0, 0, 9)), (2, (5, 0, 4)), (3, (1, 2, 3)), (48, (1, 2, 3))])
def test_a_cost_by_length_passes_through_what_was_counted(longest, form):
    linear, quadratic, fixed = form
    found = ByLength.through(lambda n: fixed + linear * n + quadratic * n * n, longest)
    assert found == ByLength(*form)
    assert found.flops(1000) == fixed + linear * 1000 + quadratic * 1000**2


def test_every_item_is_timed_once_and_the_warm_up_is_not(monkeypatch):
    clock, seen = SimpleNamespace(now=0.0), []

    def work(item):
        seen.append(item)
        clock.now += item

    monkeypatch.setattr(cost.time, "perf_counter", lambda: clock.now)
    assert seconds_each(work, [3.0, 1.0, 2.0], warmup=2) == [3.0, 1.0, 2.0]
    assert seen == [3.0, 3.0, 3.0, 1.0, 2.0]
    assert seconds_each(work, []) == []


def test_seconds_are_the_median_of_enough_runs_after_one_uncounted(monkeypatch):
    clock, takes = SimpleNamespace(now=0.0), iter([100.0, 1.0, 5.0, 2.0, 4.0, 3.0])

    def work():
        clock.now += next(takes)

    monkeypatch.setattr(cost.time, "perf_counter", lambda: clock.now)
    assert seconds_of(work, least_seconds=15.0) == 3.0
    takes = iter([100.0, 9.0, 7.0, 8.0])
    assert seconds_of(work, least_seconds=1.0, least_runs=3) == 8.0


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
    prompts = plain.prepare(["Sort: 3 1 2", "Sort: 4 4"], None)
    with torch.no_grad():
        assert count_flops(lambda: packed.read(prompts)) == count_flops(lambda: plain.read(prompts))


@pytest.mark.skipif(torch.cuda.is_available(), reason="reads the memory of the process")
def test_peak_memory_leaves_out_what_earlier_work_freed():
    """Blocks under the size from which glibc asks the system: after they are freed, it keeps them."""
    if (
        not high_water_mark_can_be_reset()
        or not os.path.exists("/proc/self/maps")
        or "libc.so.6" not in Path("/proc/self/maps").read_text()
    ):
        pytest.skip("neither Linux nor glibc")

    def peak():
        with PeakMemory() as memory:
            pass
        return memory.bytes

    before = peak()
    blocks = [bytearray(60_000) for _ in range(3000)]
    held, kept = peak(), blocks[-1:]  # The last one holds the heap's end where it is.
    del blocks
    assert held - before > 150e6 and peak() - before < 60e6 and kept


def test_memory_on_gpus_is_of_tensors_on_all_of_them_since_the_reset(monkeypatch):
    asked = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", asked.append)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda index: (index + 1) * 1000)
    with PeakMemory() as memory:
        assert asked == [0, 1]
    assert memory.bytes == 3000


def test_a_block_that_breaks_is_measured_all_the_same():
    with pytest.raises(RuntimeError), PeakMemory() as memory:
        raise RuntimeError
    assert memory.bytes > 1e6
