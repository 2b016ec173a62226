"""Texts that begin alike are read once, to the same states."""

import random

import pytest
import torch

from hybrid.backbone import prefix
from hybrid.backbone.prefix import LEAST_TOKENS, Alike, alike
from hybrid.errors import InputError

STORY = "Zoe met Max at noon and then they went on to the old harbour. "


def test_every_text_is_in_one_group_and_groups_share_what_they_say():
    rng = random.Random(0)
    stories = [[rng.randrange(50) for _ in range(rng.randrange(20, 90))] for _ in range(12)]
    ids = [[*rng.choice(stories), *(rng.randrange(50) for _ in range(rng.randrange(1, 30)))] for _ in range(60)]
    groups = list(alike(ids))
    assert sorted(place for group in groups for place in group.places) == list(range(60))
    for shared, places in groups:
        assert (shared == 0) == (len(places) == 1)
        assert all(ids[place][:shared] == ids[places[0]][:shared] and len(ids[place]) > shared for place in places)
        assert shared == 0 or shared >= LEAST_TOKENS
    assert any(group.shared for group in groups)


def test_the_same_text_twice_is_read_on_by_one_token():
    assert list(alike([[1] * 50, [1] * 50])) == [Alike(49, [0, 1])]
    assert list(alike([[1] * 10, [1] * 10])) == [Alike(0, [0]), Alike(0, [1])]


def test_one_story_and_many_questions_give_the_states_of_whole_prompts(backbone, monkeypatch):
    prompts = [STORY + question for question in ("Where is Zoe?", "Who met Max at noon?", "When?")] + ["Sort 3 1 2."]
    prepared = backbone.prepare(prompts, None)
    assert backbone.goes_on
    calls, own = [], type(backbone).continued
    monkeypatch.setattr(type(backbone), "continued", lambda self, *args: calls.append(args) or own(self, *args))
    with torch.no_grad():
        shared = backbone.read(prepared)
        assert len(calls) == 1 and len(calls[0][1]) == 3
        monkeypatch.setattr(prefix, "LEAST_TOKENS", 10**6)
        for found, expected in zip(shared, backbone.read(prepared), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_model_that_reads_both_ways_or_breaks_is_read_whole():
    whole = torch.randn(24, 2, 8)
    assert prefix.goes_on(lambda ids: whole, lambda a, b: whole.clone(), 99)
    assert not prefix.goes_on(lambda ids: whole, lambda a, b: whole + torch.randn(24, 2, 8), 99)

    def broken(a, b):
        raise KeyError("cache")

    assert not prefix.goes_on(lambda ids: whole, broken, 99)


@pytest.mark.parametrize("tokens", [60, 4096])
def test_small_batches_give_the_same(backbone, tokens):
    prepared = backbone.prepare([STORY + str(number) for number in range(5)], "words")
    with torch.no_grad():
        many, one = backbone.pack(prepared, tokens_a_batch=tokens), [backbone.pack([each])[0] for each in prepared]
    for a, b in zip(many, one, strict=True):
        torch.testing.assert_close(a["states"], b["states"], rtol=1e-4, atol=1e-5)


def test_many_questions_of_one_context_are_answered_as_whole_prompts_are(new_model):
    model = new_model()
    questions = ["Sort: 3 1", "Sort: 2 5"]
    whole = model.solve([f"{STORY.rstrip()} {question}" for question in questions])
    assert [s.symbols for s in model.solve(context=STORY, questions=questions)] == [s.symbols for s in whole]
    with pytest.raises(InputError, match="give one of the two"):
        model.solve(["a"], context="b", questions=["c"])
    with pytest.raises(InputError, match="give one of the two"):
        model.solve(context="b")
    with pytest.raises(InputError, match=r"give \[prompt\]"):
        model.solve(context="b", questions="c")
