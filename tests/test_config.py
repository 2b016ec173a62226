"""The whole config, to JSON and back."""

import json
from dataclasses import replace

import pytest

from hybrid.adapters import CrossAttention, Tokens
from hybrid.config import HybridConfig
from hybrid.errors import ConfigError
from hybrid.layout import END, LayoutConfig
from hybrid.recursion.halting import Converged
from hybrid.recursion.reasoner import ReasonerConfig


def test_a_config_comes_back_from_json_as_it_was(config):
    changed = replace(
        config,
        encoder=CrossAttention.Config(max_answers=3),
        decoder=Tokens.Config(whole=True),
        reasoner=ReasonerConfig(width=32, halting=Converged.Config(0.1)),
        task={"kind": "sort", "length": 3},
    )
    for each in (config, changed):
        assert HybridConfig.from_dict(json.loads(json.dumps(each.to_dict()))) == each


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"symbols": ("a",)}, "symbols has 1 entries"),
        ({"symbols": ("a", "b", "a")}, "symbols repeats an entry"),
        ({"layout": LayoutConfig(num_answers=3)}, "the aligned encoder needs layout.answer"),
    ],
)
def test_what_does_not_go_together_is_refused(config, change, message):
    with pytest.raises(ConfigError, match=message):
        replace(config, **change)


def test_encoders_of_tokens_need_no_spans(config):
    replace(config, layout=LayoutConfig(num_answers=3), encoder=CrossAttention.Config())


def test_unknown_and_ill_typed_fields_are_refused_with_their_place(config):
    data = config.to_dict()
    with pytest.raises(ConfigError, match='config.reasoner has no field "widht"; did you mean "width"'):
        HybridConfig.from_dict(data | {"reasoner": {"widht": 3}})
    with pytest.raises(ConfigError, match="backbone.layers"):
        HybridConfig.from_dict(data | {"backbone": {"layers": ["first"]}})


def test_an_open_vocabulary_needs_the_tokens_decoder(config):
    slots = replace(config, layout=LayoutConfig(num_answers=3), encoder=CrossAttention.Config())
    assert replace(slots, symbols=(), decoder=Tokens.Config(whole=True)).symbols == ()
    for decoder in (config.decoder, Tokens.Config()):
        with pytest.raises(ConfigError, match="symbols has 0 entries.*give the decoder tokens with whole"):
            replace(slots, symbols=(), decoder=decoder)


def test_answers_that_end_early_need_slots(config):
    with pytest.raises(ConfigError, match="answers that end early need slots"):
        replace(config, symbols=(*config.symbols, END))


def test_given_spans_are_enough_for_the_aligned_encoder(config):
    replace(config, layout=LayoutConfig(given=True))


def test_more_slots_than_the_encoder_has_are_refused_at_once(config):
    with pytest.raises(ConfigError, match=r"the answer has 9 places, but encoder.max_answers is 8; attach with a larger one"):
        replace(config, layout=LayoutConfig(num_answers=9), encoder=CrossAttention.Config(max_answers=8))
