"""Model cards, and the upload of a head with its card."""

from pathlib import Path

import huggingface_hub
import pytest
import yaml

import hybrid
from hybrid.card import model_card


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
