"""The tokens decoder: through the backbone's own output rows, which are neither trained nor saved."""

import pytest
import torch

from hybrid.adapters import Tokens
from hybrid.errors import ConfigError, InputError
from hybrid.layout import END


def test_logits_are_products_with_unit_rows_of_the_output_matrix(backbone):
    decoder = Tokens(Tokens.Config(), 16, tuple("012"), backbone)
    rows = backbone.model.get_output_embeddings().weight[[backbone.token_id(s) for s in "012"]]
    y = torch.randn(2, 3, 16)
    torch.testing.assert_close(decoder(y), decoder.out(y) @ torch.nn.functional.normalize(rows, dim=-1).T)


def test_the_rows_are_neither_trained_nor_saved(backbone):
    decoder = Tokens(Tokens.Config(), 16, tuple("012"), backbone)
    assert list(decoder.state_dict()) == ["out.weight"] == [name for name, _ in decoder.named_parameters()]


def test_the_whole_vocabulary_is_scored_by_token_id_where_asked_for(backbone):
    decoder = Tokens(Tokens.Config(whole=True), 16, tuple("012"), backbone)
    assert decoder(torch.randn(1, 2, 16)).shape == (1, 2, len(backbone.tokenizer))
    assert decoder.index("1") == backbone.token_id("1") and decoder.text(backbone.token_id("2")) == "2"


def test_a_symbol_of_several_tokens_is_refused(backbone):
    with pytest.raises(InputError, match='symbol "xyz" is not one token'):
        Tokens(Tokens.Config(), 16, ("0", "xyz"), backbone)


def test_gradient_passes_the_frozen_rows(backbone):
    decoder = Tokens(Tokens.Config(), 16, tuple("012"), backbone)
    y = torch.randn(1, 2, 16, requires_grad=True)
    decoder(y)[..., 1].sum().backward()
    assert y.grad.abs().sum() > 0 and decoder.out.weight.grad.abs().sum() > 0


def test_without_symbols_an_answer_is_any_text_in_tokens(backbone):
    decoder = Tokens(Tokens.Config(whole=True), 16, (), backbone)
    labels = decoder.labels(("red and 42 Zoë",))
    assert len(labels) > 5 and decoder.end == backbone.tokenizer.eos_token_id
    assert decoder.answer([*labels, decoder.end, 7]) == ("red and 42 Zoë",) and decoder.answer([decoder.end]) == ("",)


def test_text_that_the_tokens_do_not_give_back_is_refused(backbone, monkeypatch):
    decoder = Tokens(Tokens.Config(whole=True), 16, (), backbone)
    monkeypatch.setattr(type(backbone.tokenizer), "decode", lambda *args, **options: "other")
    with pytest.raises(InputError, match="write 'red' as 'other'"):
        decoder.labels(("red",))


def test_text_that_holds_the_end_itself_is_refused(backbone):
    with pytest.raises(InputError, match="holds the token that ends a text"):
        Tokens(Tokens.Config(whole=True), 16, (), backbone).labels((f"red{backbone.tokenizer.eos_token}blue",))


def test_the_end_of_a_shorter_answer_is_the_models_own(backbone):
    decoder = Tokens(Tokens.Config(whole=True), 16, (*"012", END), backbone)
    assert decoder.index(END) == decoder.end == backbone.tokenizer.eos_token_id
    assert decoder.answer([backbone.token_id("1"), decoder.end, 9]) == ("1",)


def test_a_model_without_an_end_is_refused():
    class Endless:
        tokenizer = None

    with pytest.raises(ConfigError, match="no token that ends a text"):
        Tokens(Tokens.Config(whole=True), 16, (), Endless())
