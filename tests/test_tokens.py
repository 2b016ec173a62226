"""The tokens decoder: through the backbone's own output rows, which are neither trained nor saved."""

import pytest
import torch

from hybrid.adapters import Tokens
from hybrid.errors import InputError


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
