"""A head's thoughts in its language model's voice: texts, and how likely texts are."""

from types import SimpleNamespace

import pytest
import torch

from hybrid.backbone.writing import prompt_tokens
from hybrid.errors import InputError
from hybrid.eval import other_texts, writing_cost
from hybrid.eval.harness import HybridAnswers
from hybrid.eval.text.generation import Sampling
from hybrid.eval.text.voice import Manner, Piece, continuation, likelihoods, running, write
from hybrid.problem import Problem

PROMPTS = ["Sort these numbers: 3 1 2", "red blue"]
PROBLEMS = [Problem(prompt, ()) for prompt in PROMPTS]


def ask(context, second):
    return SimpleNamespace(args=(context, second), doc=None)


def alone(writer, prompt, vectors, ids):
    """Return the log-probabilities of tokens behind a prompt and vectors, read as one text without a cache."""
    model = writer.backbone.model
    embed = model.get_input_embeddings()
    parts = [embed(torch.tensor(list(prompt))), *([] if vectors is None else [vectors]), embed(torch.tensor(ids))]
    logits = model(inputs_embeds=torch.cat(parts)[None]).logits[0].log_softmax(-1)
    return [float(logits[i - len(ids) - 1, token]) for i, token in enumerate(ids)]


def test_what_is_written_is_what_generate_writes(writer):
    texts = writer.generate(PROMPTS, max_new_tokens=9, do_sample=False)
    found = write(writer, PROBLEMS, Manner(9))
    assert [each.text for each in found] == texts and all(1 <= each.tokens <= 9 for each in found)
    assert [each.ended for each in found] == [False, True]
    assert [each.text for each in write(writer, PROBLEMS, Manner(9), latent_thoughts=False)] == writer.generate(
        PROMPTS, max_new_tokens=9, do_sample=False, latent_thoughts=False
    )


def test_a_text_ends_before_what_stops_it(writer):
    (whole,) = write(writer, PROBLEMS[:1], Manner(9))
    stop = whole.text[2:4]
    (found,) = write(writer, PROBLEMS[:1], Manner(9, until=(stop, "")))
    assert found.text == whole.text[: whole.text.find(stop)] and found.ended and found.tokens < 9


def test_a_drawn_text_is_the_same_beside_any_other(writer):
    drawn = Manner(6, Sampling(temperature=1.0, top_p=0.9, seed=3))
    together = [each.text for each in write(writer, PROBLEMS, drawn)]
    assert together == [write(writer, [problem], drawn)[0].text for problem in PROBLEMS]
    assert together != [each.text for each in write(writer, PROBLEMS, Manner(6, Sampling(1.0, 0.9, seed=4)))]


def test_a_prompt_that_fills_the_context_says_so(writer):
    with pytest.raises(InputError, match="the context holds 160; shorten it"):
        write(writer, [Problem("7 " * 77, ())], Manner())


@torch.no_grad()
def test_a_continuation_is_as_likely_as_the_language_model_finds_it_behind_the_thoughts(writer):
    texts = [" 1 2 3", "green", "the red"]
    problems = [PROBLEMS[0], PROBLEMS[1], PROBLEMS[0]]
    pieces = [continuation(writer, *each) for each in zip(problems, texts, strict=True)]
    for thinks in (True, False):
        for found, problem, text in zip(likelihoods(writer, pieces, latent_thoughts=thinks), problems, texts, strict=True):
            ids = writer.backbone.tokenizer(text.strip())["input_ids"]
            vectors = writer.soft_prompt([problem])[1][0] if thinks else None
            (prompt,) = prompt_tokens(writer.backbone.tokenizer, [problem.prompt])
            assert found.log_p == pytest.approx(sum(alone(writer, prompt, vectors, ids)), rel=1e-4)
            assert found.tokens == len(ids)
    (best,) = write(writer, PROBLEMS[:1], Manner(4))
    ids = [
        int(i) for i in writer.generate(PROMPTS[:1], max_new_tokens=4, do_sample=False, return_dict_in_generate=True).sequences[0]
    ]
    prompt = prompt_tokens(writer.backbone.tokenizer, PROMPTS[:1])[0]
    (likely, other) = likelihoods(writer, [Piece(prompt, ids, PROBLEMS[0]), Piece(prompt, [*ids[:-1], 7], PROBLEMS[0])])
    assert likely.greedy and not other.greedy and best.tokens == len(ids)


@torch.no_grad()
def test_a_running_text_without_thoughts_has_the_language_model_s_own_probability(writer, monkeypatch):
    tokenizer = writer.backbone.tokenizer
    text = "Sort the numbers red blue green"
    ids = tokenizer(text)["input_ids"]
    opens = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    request = ask(text, None)
    own = HybridAnswers(writer, latent_thoughts=False).loglikelihood_rolling([request, ask("", None)])
    assert own == pytest.approx([sum(alone(writer, [opens], None, ids)), 0.0], rel=1e-4)
    (thinking,) = HybridAnswers(writer).loglikelihood_rolling([request])
    first, second = running(writer, text)
    vectors = writer.soft_prompt([Problem(tokenizer.decode(first.text), ())])[1][0]
    behind = alone(writer, [opens, *first.text], vectors, second.text)
    assert thinking == pytest.approx(sum(alone(writer, [opens], None, first.text)) + sum(behind), rel=1e-4)
    monkeypatch.setattr("hybrid.eval.text.voice.MOST", 4)
    pieces = list(running(writer, text))
    assert [token for piece in pieces for token in piece.text] == ids and pieces[2].prompt == [ids[3]]


def test_lm_eval_is_answered_by_generate(writer):
    answers = HybridAnswers(writer, batch_size=2)
    options = [{"until": ["\n\n"], "max_gen_toks": 7}, {"until": [], "max_gen_toks": 3}, {"max_gen_toks": 7, "until": "\n\n"}]
    asked = [ask(prompt, own) for prompt, own in zip([*PROMPTS, PROMPTS[1]], options, strict=True)]
    first, short, third = answers.generate_until(asked)
    assert [first, third] == [each.text for each in write(writer, PROBLEMS, Manner(7, until=("\n\n",)))]
    assert short == write(writer, PROBLEMS[1:], Manner(3))[0].text
    drawn = [ask(PROMPTS[0], {"do_sample": True, "temperature": 0.8, "max_gen_toks": 5})]
    assert answers.generate_until(drawn) == [write(writer, PROBLEMS[:1], Manner(5, Sampling(0.8)))[0].text]
    (blank, full) = answers.loglikelihood([ask("", " red"), ask(PROMPTS[1], " red")])
    assert blank[0] < 0 and full[0] < 0 and blank != full


def test_the_loss_on_other_texts_is_told_with_thoughts_and_without(writer, backbone, tmp_path, monkeypatch, capsys):
    texts = ["Sort the numbers red blue green", "red blue green Sort these", "a"]
    found = other_texts.rise(writer, texts)
    pieces = [piece for text in texts for piece in running(writer, text) if piece.about]
    own, thinking = (-sum(e.log_p for e in likelihoods(writer, pieces, latent_thoughts=each)) for each in (False, True))
    assert found.texts == len(pieces) == 2 and found.tokens == sum(len(piece.text) for piece in pieces)
    assert found.own == pytest.approx(own / found.tokens) and found.thinking == pytest.approx(thinking / found.tokens)
    assert found.share[0] == pytest.approx(thinking / own - 1) and found.share[1] <= found.share[0] <= found.share[2]
    with pytest.raises(InputError, match="no text has a first half"):
        other_texts.rise(writer, ["a"])
    (tmp_path / "other.txt").write_text("\n\n".join(texts))
    monkeypatch.setattr(other_texts.HybridModel, "from_pretrained", lambda folder: writer)
    other_texts.main(["--model", "x", "--texts", str(tmp_path / "other.txt")])
    assert capsys.readouterr().out.startswith("2 texts, ")


def test_the_cost_of_a_step_is_told_by_what_is_kept(backbone, tiny_folder, monkeypatch, capsys):
    monkeypatch.setattr(writing_cost, "alone", lambda work, cells: [work(*cell) for cell in cells])
    writing_cost.main(["--backbone", str(tiny_folder), "--steps", "1", "--tokens", "20", "--batch", "2"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines if ": " in line][-4:] == ["N = 1", "kept", "read anew", "one pass"]
