"""A prompt read sentence by sentence: no state knows of another sentence, and one that comes again is read once."""

import pytest
import torch

from hybrid.adapters import Words
from hybrid.backbone import reading
from hybrid.backbone.reading import Reading
from hybrid.train.feature_cache import cached_features, missing_readings

PROMPTS = ["Ann is left of Bob. Bob is above Cid.\nWho is below Bob?", "Bob is above Cid. Who is below Bob?"]


def test_each_word_has_the_states_of_its_sentence_alone(backbone):
    whole, again = backbone.prepare(PROMPTS, "sentences")
    assert len(whole.cuts) == 3 and whole.cuts[0] == 0 and len(whole) == 16
    with torch.no_grad():
        first, second = backbone.read([whole, again])
    assert len(first) == 6 + 5 + 5 and len(second) == 5 + 5
    torch.testing.assert_close(first[-5:], second[-5:], rtol=1e-4, atol=1e-5)
    plain = backbone.read(backbone.prepare(PROMPTS[:1], "words"))[0]
    assert not torch.allclose(plain[-5:, 1:], first[-5:, 1:], rtol=1e-2, atol=1e-2)


def test_a_sentence_that_comes_again_is_not_read_again(backbone, monkeypatch):
    prepared = backbone.prepare(PROMPTS[:1] * 3, "sentences")
    calls, own = [], type(backbone).hidden_states
    monkeypatch.setattr(type(backbone), "hidden_states", lambda self, ids: calls.extend(ids) or own(self, ids))
    monkeypatch.setattr(backbone, "_told", {})
    with torch.no_grad():
        one = backbone.read(prepared)
        assert len(calls) == 3
        two = backbone.read(prepared[:1])
    assert len(calls) == 3 and torch.equal(one[0], two[0]) and torch.equal(one[0], one[2])


def test_those_asked_for_last_are_kept(backbone, monkeypatch):
    monkeypatch.setattr(reading, "MOST_TOLD", 2)
    monkeypatch.setattr(backbone, "_told", {})
    with torch.no_grad():
        for text in ("One. Two.", "One. Three.", "One. Four."):
            backbone.read(backbone.prepare([text], "sentences"))
    kept = [backbone.tokenizer.decode(ids).strip() for ids in backbone._told]
    assert kept == ["One.", "Four."]


def test_the_cache_tells_both_ways_of_reading_apart(backbone, tmp_path):
    by_sentence = backbone.prepare(PROMPTS, "sentences")
    cached_features(backbone, backbone.prepare(PROMPTS, "words"), folder=tmp_path)
    assert missing_readings(backbone, by_sentence, tmp_path) == by_sentence
    kept = cached_features(backbone, by_sentence, folder=tmp_path)
    with torch.no_grad():
        for found, expected in zip(kept.rows([0, 1]), backbone.read(by_sentence), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("context", ["prompt", "sentence"])
def test_the_encoder_says_what_it_reads(context):
    assert Words(Words.Config(context=context), 1, 8, 16).reads == {"prompt": "words", "sentence": "sentences"}[context]


def test_a_text_of_one_sentence_is_one_cut(backbone):
    reading = backbone.prepare(["Who is it"], "sentences")[0]
    assert isinstance(reading, Reading) and reading.cuts == (0,)
