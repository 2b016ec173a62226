"""The lines that print(model) shows, model cards, and the upload of a head with its card."""

from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest
import yaml

import hybrid
from hybrid.adapters import Structured
from hybrid.backbone.tuner import Lora
from hybrid.card import model_card
from hybrid.layout import LayoutConfig


def header(card):
    return yaml.safe_load(card.split("---\n")[1])


def card_of(model, **options):
    weights = model.get_nb_trainable_parameters()
    return model_card("me/mine", model.config, backbone=model.backbone, weights=weights, **options)


def test_a_card_names_the_language_model_the_sizes_and_the_figures_given(model):
    card = card_of(model, figures={"exact match": "98.6%"}, license="apache-2.0")
    assert header(card)["license"] == "apache-2.0" and "hybrid" in header(card)["tags"]
    assert "| exact match | 98.6% |" in card and f"{model.num_trainable_parameters():,} of" in card
    assert 'from_pretrained("me/mine")' in card and "# mine\n" in card


def test_a_card_makes_nothing_up(model):
    card = card_of(model)
    assert "license" not in header(card) and "base_model" not in header(card) and "exact" not in card


@pytest.mark.parametrize(
    ("name", "said", "base"),
    [("/home/me/models/own", "own", None), ("/x/hub/models--owner--name/snapshots/0a1b", "owner/name", "owner/name")],
)
def test_a_card_tells_no_folder_of_this_machine(model, monkeypatch, name, said, base):
    monkeypatch.setattr(model.backbone, "name", name)
    card = card_of(model)
    assert f"| {said}, layers" in card and name not in card and header(card).get("base_model") == base


@pytest.mark.parametrize("private", [None, True])
def test_a_head_is_uploaded_with_its_card_and_without_the_language_model(model, monkeypatch, problems, private):
    calls = {}

    class Hub:
        def __init__(self, token=None):
            calls["token"] = token

        def create_repo(self, repository, *, private, exist_ok):
            calls["made"] = (repository, private, exist_ok)

        def upload_folder(self, *, repo_id, folder_path, commit_message):
            calls["files"] = {path.name for path in Path(folder_path).iterdir()}
            again = hybrid.HybridModel.from_pretrained(folder_path)
            calls["same"] = again.config == model.config
            return f"https://hub/{repo_id}"

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    assert model.push_to_hub("me/mine", private=private, token="t") == "https://hub/me/mine"
    assert calls["made"] == ("me/mine", private, True) and calls["token"] == "t" and calls["same"]
    assert calls["files"] == {"config.json", "head.safetensors", "README.md"}


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
