"""The lines that print(model) shows."""

from dataclasses import replace

import hybrid
from hybrid.adapters import Structured
from hybrid.layout import LayoutConfig
from hybrid.tuner import Lora


def test_the_parts_of_a_model_are_shown_with_their_sizes(model, tiny_folder):
    text = repr(model)
    trained, everything = model.get_nb_trainable_parameters()
    for line in (
        f"(backbone): {tiny_folder} (LlamaForCausalLM, float32 on cpu), 0.2 MB, layers 0, 2 of 3, 32 channels",
        "(encoder): aligned(max_positions=128)",
        "(reasoner): core trm, T = 2, n = 2, N = 3, width 16, halting learned",
        "(decoder): classes(), 10 symbols",
        "(tuner): none",
        f"(trainable): {trained:,} of {everything:,} parameters",
    ):
        assert line in text, text
    assert str(model.bfloat16()).count("bfloat16 on cpu") == 1


def test_quantisation_and_tuner_are_shown(config):
    own = replace(config.backbone, quantization="int8")
    text = repr(hybrid.attach(None, replace(config, backbone=own, tuner=Lora.Config(r=2))))
    assert "int8 with float32 on cpu)" in text and "(tuner): lora(r=2, alpha=16" in text


def test_a_model_without_a_language_model_is_shown_too(config):
    own = replace(config, encoder=Structured.Config(tuple("0123456789")), layout=LayoutConfig(num_answers=3, given=True))
    assert "(backbone): none, 10 symbols as numbers" in repr(hybrid.attach("none", own))
