"""A frozen language model that writes behind the states of the recursion."""

import json
from dataclasses import replace

import pytest
import torch

import hybrid
from hybrid.adapters import SoftPrompt, Tokens, Words
from hybrid.backbone.writing import Writer, padded, prompt_tokens
from hybrid.errors import ConfigError
from hybrid.layout import END
from hybrid.problem import Problem
from hybrid.recursion.halting import Fixed
from hybrid.recursion.losses import Softmax
from hybrid.train import TrainConfig, train
from hybrid.train.dataset import Dataset
from hybrid.train.optimizer import AdamW

PROMPTS = ["Sort these numbers: 3 1 2", "red blue"]


@pytest.fixture
def model(writer):
    return writer


def by_hand(backbone, prompt, vectors, most):
    """Write one text with no cache, no padding, no batch."""
    model, tokenizer = backbone.model, backbone.tokenizer
    embeds = model.get_input_embeddings()(torch.tensor(tokenizer(prompt)["input_ids"]))[None]
    embeds = embeds if vectors is None else torch.cat([embeds, vectors[None]], 1)
    written = []
    while len(written) < most:
        best = int(model(inputs_embeds=embeds).logits[0, -1].argmax())
        written.append(best)
        if best == tokenizer.eos_token_id:
            break
        embeds = torch.cat([embeds, model.get_input_embeddings()(torch.tensor([[best]]))], 1)
    return written


@torch.no_grad()
def test_prompts_of_any_length_are_continued_as_each_alone(model, backbone):
    writer, vectors = Writer(backbone), torch.randn(2, 3, backbone.hidden_size)
    prompt = padded(prompt_tokens(backbone.tokenizer, PROMPTS))
    expected = [by_hand(backbone, text, row, 8) for text, row in zip(PROMPTS, vectors, strict=True)]
    for row, own in zip(writer.greedy(prompt, vectors, backbone.tokenizer.eos_token_id, 8).tolist(), expected, strict=True):
        assert row[: len(own)] == own and set(row[len(own) :]) <= {backbone.tokenizer.eos_token_id}
    texts = writer.continued(prompt, vectors, max_new_tokens=8, do_sample=False)
    assert [row[: len(own)] for row, own in zip(texts.tolist(), expected, strict=True)] == expected


@torch.no_grad()
def test_logits_of_an_answer_are_those_of_one_long_text(backbone):
    vectors, answer = torch.randn(2, 3, backbone.hidden_size), torch.tensor([[5, 6, 7], [8, 9, -100]])
    found = Writer(backbone).logits(padded(prompt_tokens(backbone.tokenizer, PROMPTS)), vectors, answer)
    embed = backbone.model.get_input_embeddings()
    for row, (text, own, said) in enumerate(zip(PROMPTS, vectors, answer.clamp(min=0), strict=True)):
        before = embed(torch.tensor(backbone.tokenizer(text)["input_ids"]))
        whole = backbone.model(inputs_embeds=torch.cat([before, own, embed(said[:-1])])[None]).logits[0]
        torch.testing.assert_close(found[row], whole[-3:], rtol=1e-4, atol=1e-4)


def test_the_output_matrix_gets_its_states_in_one_piece(backbone, monkeypatch):
    output, seen = backbone.model.get_output_embeddings(), []
    forward = output.forward
    monkeypatch.setattr(output, "forward", lambda states: (seen.append(states), forward(states))[1])
    Writer(backbone.reading((0,))).continued(padded(prompt_tokens(backbone.tokenizer, PROMPTS)), None, max_new_tokens=1)
    assert len(output._forward_pre_hooks) == 1 and seen[0].shape[:2] == (2, 1) and seen[0].is_contiguous()


def test_gradient_reaches_the_head_and_nothing_of_the_language_model(model, backbone):
    data = Dataset(model, [Problem(text, ("Sort",)) for text in PROMPTS], cache=False)
    batch = data.batch([0, 1])
    state = model.head.start(batch.features)
    out = model.head(batch.features, state, batch.targets.at(torch.ones(2, dtype=torch.int64)), Softmax(Softmax.Config()))
    out.loss.mean().backward()
    assert float(model.head.decoder.out.weight.grad.norm()) > 0
    assert all(parameter.grad is None for parameter in backbone.model.parameters())


def test_a_head_that_writes_is_trained_kept_and_loaded(model, backbone, tmp_path):
    problems = [Problem(f"red {i} blue", ("Sort",)) if i % 2 else Problem(f"green {i} blue", ("numbers",)) for i in range(4)]
    config = TrainConfig(num_steps=20, batch_size=4, optimizer=AdamW.Config(learning_rate=1e-2), mixed_precision="no")
    train(model, problems, problems, config, tmp_path, show=False)
    told = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in told if "loss" in line]
    assert losses[-1] < 0.9 * losses[0]
    again = hybrid.HybridModel.from_pretrained(tmp_path, backbone=backbone)
    prompts = [problem.prompt for problem in problems]
    assert "rows" not in again.head.decoder.state_dict()
    assert [s.text for s in again.solve(prompts, halting=Fixed.Config())] == [
        text.strip() for text in model.generate(prompts, halting=Fixed.Config(), max_new_tokens=6, do_sample=False)
    ]


def test_a_head_of_symbols_begins_to_write(backbone, model, tmp_path):
    layout, kind = hybrid.LayoutConfig(num_answers=1), Words.Config(max_answers=1)
    sizes = replace(model.config.reasoner, num_supervision_steps=1)
    symbols = hybrid.attach(backbone, hybrid.HybridConfig(layout, ("a", "b"), encoder=kind, reasoner=sizes))
    symbols.save_pretrained(tmp_path)
    more = hybrid.HybridConfig(
        replace(layout, num_answers=6), (), encoder=replace(kind, max_answers=6), reasoner=sizes, decoder=SoftPrompt.Config()
    )
    writer = hybrid.attach(backbone, more)
    fresh = writer.head.state_dict()["encoder.slots.table"].clone()
    writer.start_from(tmp_path)
    taken, given = writer.head.state_dict(), symbols.head.state_dict()
    assert torch.equal(taken["encoder.slots.table"], torch.cat([given["encoder.slots.table"], fresh[1:]]))
    assert torch.equal(taken["encoder.project.weight"], given["encoder.project.weight"])
    drafts = hybrid.attach(backbone, replace(more, decoder=Tokens.Config(whole=True)))
    drafts.save_pretrained(tmp_path / "draft")
    writer.start_from(tmp_path / "draft")
    assert all(torch.equal(tensor, drafts.head.state_dict()[name]) for name, tensor in writer.head.state_dict().items())


def test_a_draft_is_told_in_the_embeddings_of_its_tokens_with_a_cue_behind(backbone, model, tmp_path):
    layout, kind = hybrid.LayoutConfig(num_answers=4), Words.Config(max_answers=4)
    sizes, symbols = replace(model.config.reasoner, num_supervision_steps=1), ("a", "b", END)
    drafts = hybrid.attach(backbone, hybrid.HybridConfig(layout, symbols, encoder=kind, reasoner=sizes, decoder=Tokens.Config()))
    drafts.save_pretrained(tmp_path)
    own = SoftPrompt.Config(draft=symbols, cue=2)
    writer = hybrid.attach(backbone, hybrid.HybridConfig(layout, (), encoder=kind, reasoner=sizes, decoder=own))
    cue = writer.head.decoder.cue.detach().clone()
    writer.start_from(tmp_path)
    assert torch.equal(writer.head.decoder.cue, cue) and torch.equal(
        writer.head.decoder.out.weight, drafts.head.decoder.out.weight
    )
    ids = [backbone.token_id("a"), backbone.token_id("b"), backbone.tokenizer.eos_token_id]
    states = torch.linalg.lstsq(drafts.head.decoder.out.weight, drafts.head.decoder.rows.T[:, [1, 0, 2, 0]]).solution.T[None]
    found = writer.head.decoder.vectors(1e4 * states)
    table = backbone.model.get_input_embeddings().weight
    assert torch.allclose(found[0, :4], table[[ids[1], ids[0], ids[2], ids[2]]], atol=1e-4) and torch.equal(found[0, 4:], cue)
    writer.save_pretrained(tmp_path / "writer")
    again = hybrid.HybridModel.from_pretrained(tmp_path / "writer", backbone=backbone)
    assert torch.equal(again.head.decoder.vectors(states), writer.head.decoder.vectors(states))
    assert writer.soft_prompt(["a b c"])[1].shape == (1, 6, table.shape[1])
    with pytest.raises(ConfigError, match="soft_prompt.cue is -1"):
        SoftPrompt.Config(cue=-1)
    with pytest.raises(ConfigError, match="soft_prompt.draft has no"):
        hybrid.attach(
            backbone, hybrid.HybridConfig(layout, (), encoder=kind, reasoner=sizes, decoder=SoftPrompt.Config(draft=("a",)))
        )


@torch.no_grad()
def test_without_latent_thoughts_the_language_model_writes_as_ever(model, backbone):
    ids = torch.tensor([backbone.tokenizer(PROMPTS[0])["input_ids"]])
    own = backbone.model.generate(input_ids=ids, max_new_tokens=5, do_sample=False, pad_token_id=0)[:, ids.shape[1] :]
    found = model.generate(PROMPTS[0], latent_thoughts=False, max_new_tokens=5, do_sample=False)
    assert found == backbone.tokenizer.batch_decode(own, skip_special_tokens=True)


@torch.no_grad()
def test_without_latent_thoughts_the_logits_are_the_language_model_s_own_to_the_bit(model, backbone):
    ids = torch.tensor([backbone.tokenizer(PROMPTS[0])["input_ids"]])
    told = {"max_new_tokens": 5, "do_sample": False, "return_dict_in_generate": True, "output_logits": True}
    own = backbone.model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), pad_token_id=0, **told)
    found = model.generate(PROMPTS[0], latent_thoughts=False, **told)
    assert all(torch.equal(one, other) for one, other in zip(own.logits, found.logits, strict=True))
    thinking = model.generate(PROMPTS[0], **told)
    assert not torch.equal(thinking.logits[0], own.logits[0])
    again = model.generate(PROMPTS[0], vectors=model.soft_prompt(PROMPTS[:1])[1], **told)
    assert torch.equal(again.logits[0], thinking.logits[0])


def test_what_was_read_of_a_batch_is_kept_until_another_comes(backbone):
    prompts = [padded(prompt_tokens(backbone.tokenizer, texts)) for texts in (PROMPTS, PROMPTS[::-1])]
    answer, kept, reads = torch.tensor([[5, 6, 7], [8, 9, 1]]), Writer(backbone, keep=True), []
    read = kept._read
    kept._read = lambda *given: (reads.append(1), read(*given))
    for prompt, count in ((prompts[0], 1), (prompts[0], 1), (prompts[1], 2), (prompts[0], 3)):
        vectors = torch.randn(2, 3, backbone.hidden_size, requires_grad=True)
        ways = [writer.logits(prompt, vectors, answer) for writer in (kept, Writer(backbone))]
        assert torch.equal(*ways) and len(reads) == count
        grads = [torch.autograd.grad(way.logsumexp(-1).sum(), vectors)[0] for way in ways]
        assert torch.equal(*grads)


def test_the_options_of_generate_are_transformers_own(model):
    told = model.generate(PROMPTS, max_new_tokens=3, num_beams=2, return_dict_in_generate=True, output_scores=True)
    assert told.sequences.shape[0] == 2 and len(told.scores) >= 1
    assert len(model.generate(PROMPTS, max_new_tokens=3, do_sample=True, num_return_sequences=2)) == 4


def test_heads_of_symbols_and_symbols_for_writers_are_refused(new_model, backbone):
    with pytest.raises(ConfigError, match="this head answers with symbols"):
        new_model().generate("a")
    with pytest.raises(ConfigError, match="leave out the symbols"):
        SoftPrompt(SoftPrompt.Config(), 16, ("a", "b"), backbone)
