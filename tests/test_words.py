"""Words of a text, their links, the encoder that reads them and the heads that follow them."""

import pytest
import torch

import hybrid
from hybrid.adapters import Features, Words
from hybrid.adapters.words import places
from hybrid.backbone import words
from hybrid.errors import ConfigError, InputError
from hybrid.inference.search import SearchConfig
from hybrid.recursion.block import AttentionBlock
from hybrid.recursion.sight import sight

TEXT = "Ann sees Bob. Bob is tall!\nWhere is ann?"


def texts(prompt):
    return [prompt[start:end] for start, end in words.spans(prompt)]


def test_words_are_runs_of_letters_and_single_marks():
    assert texts("Ann's 3.5 cats: [Bob]") == ["Ann", "'", "s", "3", ".", "5", "cats", ":", "[", "Bob", "]"]
    assert texts("猫が好き。ok") == ["猫", "が", "好", "き", "。", "ok"] and texts(" \n") == []


def test_links_say_which_words_are_the_same_and_which_share_a_sentence():
    linked = words.links(TEXT, words.spans(TEXT))
    identity = dict(zip(texts(TEXT.casefold()), linked[::2], strict=True))
    assert len(set(linked[::2])) == len(identity) == 9 and linked[0] == linked[-4]
    assert list(linked[1::2]) == [0] * 4 + [1] * 4 + [2] * 4
    assert list(words.links("3.5 is 4", words.spans("3.5 is 4")))[1::2] == [0] * 5  # No sentence ends within a number.


def test_a_linked_head_looks_at_other_places_of_its_word_and_at_its_sentence_alone():
    links = torch.tensor([[[-1, -1], [7, 0], [8, 0], [7, 1], [-1, -1]]], dtype=torch.int32)
    mask = torch.tensor([[True, True, True, True, False]])
    word, sentence, free = sight(links, mask, (1, 1), 3)[0].int().tolist()
    everything = [1, 1, 1, 1, 0]
    assert word == [everything, [0, 0, 0, 1, 0], everything, [0, 1, 0, 0, 0], everything]
    assert sentence == [everything, [0, 1, 1, 0, 0], [0, 1, 1, 0, 0], [0, 0, 0, 1, 0], everything]
    assert free == [everything] * 5


def test_places_are_counted_within_each_sentence():
    assert places(torch.tensor([[0, 0, 0, 1, 1, 2]])).tolist() == [[0, 1, 2, 0, 1, 0]]


def test_the_workspace_is_slots_then_words_with_their_links():
    encoder = Words(Words.Config(max_answers=2, max_words=9), 2, 8, 16)
    rows = [torch.randn(3, 2, 8), torch.randn(2, 2, 8)]
    found = encoder(Features.pad(rows, [2, 1], links=[[5, 0, 6, 0, 5, 1], [9, 0, 9, 1]]))
    assert found.x.shape == (2, 5, 16) and found.mask.int().tolist() == [[1, 1, 1, 1, 1], [1, 0, 1, 1, 0]]
    assert found.links[..., 0].tolist() == [[-1, -1, 5, 6, 5], [-1, -1, 9, 9, -1]]


def test_rows_follow_their_links_and_not_those_of_the_batch():
    torch.manual_seed(0)
    block = AttentionBlock(AttentionBlock.Config(num_heads=2, word_heads=1, sentence_heads=1), 16)
    x, links = torch.randn(1, 4, 16), torch.tensor([[[5, 0], [6, 0], [5, 1], [7, 1]]], dtype=torch.int32)
    moved = x.clone()
    moved[0, 3] += 1.0  # Neither of the first word's kind nor in its sentence.
    assert torch.equal(block(x, None, None, links)[0, 0], block(moved, None, None, links)[0, 0])
    padded = torch.cat([x, torch.full((1, 2, 16), 9.0)], 1)
    behind = torch.cat([links, torch.full((1, 2, 2), -1, dtype=torch.int32)], 1)
    mask = torch.tensor([[True] * 4 + [False] * 2])
    torch.testing.assert_close(block(padded, mask, None, behind)[:, :4], block(x, None, None, links), rtol=0, atol=1e-5)


def config(encoder, **block):
    reasoner = hybrid.ReasonerConfig(width=16, num_supervision_steps=2, block=AttentionBlock.Config(num_heads=2, **block))
    layout = hybrid.LayoutConfig(num_answers=1)
    return hybrid.HybridConfig(layout, ("yes", "no"), encoder=encoder, reasoner=reasoner)


def test_heads_that_follow_links_need_an_encoder_that_gives_them():
    from hybrid.adapters import Concat

    with pytest.raises(ConfigError, match="which the encoder concat does not give; choose words"):
        config(Concat.Config(), word_heads=1)
    with pytest.raises(ConfigError, match="are 2 and 1 of 2 heads"):
        AttentionBlock.Config(num_heads=2, word_heads=2, sentence_heads=1)


def test_a_prompt_is_read_by_its_words(backbone):
    model = hybrid.attach(backbone, config(Words.Config(max_answers=1, max_words=14), word_heads=1, sentence_heads=1))
    features = model.read([TEXT, "Ann is."])
    assert features.states.shape[1] == 12 and features.links.shape == (2, 12, 2) and features.links[1, 3:].eq(-1).all()
    assert model.solve([TEXT])[0].text in ("yes", "no")
    alone, together = model.logits([TEXT]), model.logits([TEXT, "Ann is."])[:1]
    torch.testing.assert_close(alone, together, rtol=0, atol=1e-4)
    with pytest.raises(InputError, match=r"15 positions, but encoder.max_words is 14"):
        model.solve(["a b c d e f g h i j k l m n o"])


def test_thoughts_stand_right_behind_each_row_s_answers_and_are_taught_its_path(backbone):
    from dataclasses import replace

    from hybrid.problem import Problem
    from hybrid.train.dataset import Dataset

    encoder = Words(Words.Config(max_answers=3, num_thoughts=2), 2, 8, 16)
    found = encoder(Features.pad([torch.randn(2, 2, 8)] * 2, [3, 1]))
    table = torch.cat([encoder.slots.table, encoder.thoughts])
    assert torch.equal(found.x[0, :5], table) and torch.equal(found.x[1, :3], table[[0, 3, 4]])
    assert found.mask[1].int().tolist() == [1, 1, 1, 0, 0, 1, 1]

    own = config(Words.Config(max_answers=1, num_thoughts=3), word_heads=1)
    model = hybrid.attach(backbone, replace(own, symbols=("yes", "no", "so")))
    problems = [Problem("Is it?", ("no",), path=("so", "yes")), Problem("Is Ann?", ("yes",), path=("yes", "so", "no"))]
    targets = Dataset(model, problems).batch([0, 1]).targets
    assert targets.labels[:, -1].tolist() == [[1, 2, 0, -100], [0, 0, 2, 1]]
    assert targets.answer.tolist() == [[1, -100, -100, -100], [0, -100, -100, -100]]
    long = Problem("Is Bob?", ("no",), path=("so",) * 4)
    with pytest.raises(InputError, match="there are 4 path symbols where the workspace has room for 3"):
        Dataset(model, [long])


def test_thoughts_are_told_with_the_solution(new_model, problems):
    layout = hybrid.LayoutConfig(num_answers=3)
    model = new_model(layout=layout, encoder=Words.Config(max_answers=3, num_thoughts=2))
    solution = model.solve([problems(1)[0].prompt, "Sort: 1 2 3 4 5"], num_steps=4)[1]
    assert len(solution.thoughts) == solution.steps and all(len(thought) == 2 for thought in solution.thoughts)
    assert new_model(layout=layout, encoder=Words.Config(max_answers=3)).solve(["Sort: 3 1 2"])[0].thoughts == ()
    assert model.solve(["Sort: 1 2"], search=SearchConfig(num_trajectories=3))[0].thoughts


def test_words_left_out_have_no_position_and_say_nothing():
    torch.manual_seed(0)
    prompts = ["Ann is big. Is Bob?", "Bob is"]
    found = [words.links(prompt, words.spans(prompt)) for prompt in prompts]
    rows = [torch.randn(len(links) // 2, 2, 8) for links in found]
    encoder = Words(Words.Config(max_answers=1, left_out=("is", ".")), 2, 8, 16)
    workspace = encoder(Features.pad(rows, [1, 1], links=found))
    assert workspace.x.shape == (2, 1 + 4, 16) and workspace.mask.sum(1).tolist() == [5, 2]
    assert workspace.links[0, 1:].flatten().tolist() == list(found[0][0:2] + found[0][4:6] + found[0][10:14])
    assert workspace.links[1, 1].tolist() == list(found[1][:2])
    for row in rows:
        row[1] = 0.0  # Both have "is" there.
    again = encoder(Features.pad(rows, [1, 1], links=found))
    assert torch.equal(again.x[again.mask], workspace.x[workspace.mask])


def test_words_of_nearly_every_sentence_are_common_but_numbers_and_short_texts_have_none():
    text = "The cat is 3. The dog is 3. What is the cow?"
    assert words.common([text]) == ["is", "the"] and words.common(["1 2 3 4 a", "1 2 3 4 a"]) == []


def test_channels_are_left_out_while_gradients_are_on_alone():
    features = Features.pad([torch.randn(3, 2, 8)], [1], links=[[5, 0, 6, 0, 7, 0]])
    encoder = Words(Words.Config(max_answers=1, dropout=0.5), 2, 8, 16)
    with torch.no_grad():
        assert torch.equal(encoder(features).x, encoder(features).x)
    assert not torch.equal(encoder(features).x, encoder(features).x)
    with pytest.raises(ConfigError, match=r"encoder\.dropout is 1\.0; give a share in \[0, 1\)"):
        Words.Config(dropout=1.0)
