"""What all decoders promise: symbols and places are each other's inverse."""

import pytest
import torch

from hybrid.adapters import DECODERS
from hybrid.errors import InputError
from hybrid.layout import END

SYMBOLS = tuple("3012")
OF_SYMBOLS = [kind for kind in DECODERS if not DECODERS[kind].writes]


@pytest.mark.parametrize("kind", OF_SYMBOLS)
def test_symbols_and_places_are_each_others_inverse(kind, backbone):
    decoder = DECODERS.build(DECODERS[kind].Config(), 16, SYMBOLS, backbone)
    assert [decoder.text(decoder.index(symbol)) for symbol in SYMBOLS] == list(SYMBOLS)
    assert decoder(torch.randn(2, 3, 16)).shape == (2, 3, 4)


@pytest.mark.parametrize("kind", OF_SYMBOLS)
def test_a_symbol_that_the_head_does_not_know_is_refused(kind, backbone):
    with pytest.raises(InputError, match='answer symbol "9" is not among the 4 symbols of this head: 3, 0, 1, 2'):
        DECODERS.build(DECODERS[kind].Config(), 16, SYMBOLS, backbone).index("9")


@pytest.mark.parametrize("kind", OF_SYMBOLS)
def test_an_answer_goes_up_to_the_first_end(kind, backbone):
    decoder = DECODERS.build(DECODERS[kind].Config(), 16, (*SYMBOLS, END), backbone)
    assert decoder.end == 4 and decoder.labels("12") == [2, 3]
    assert decoder.answer([2, 3, 4, 1, 4]) == ("1", "2") and decoder.answer([4]) == () and decoder.answer([2]) == ("1",)
    plain = DECODERS.build(DECODERS[kind].Config(), 16, SYMBOLS, backbone)
    assert plain.end is None and plain.answer([2, 3]) == ("1", "2")
