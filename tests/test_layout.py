"""Layouts: from prompts to spans, from symbols to text."""

import pytest

from hybrid.errors import ConfigError, InputError
from hybrid.layout import LayoutConfig, SpanPattern

GRID = LayoutConfig(answer=SpanPattern(r"(?m)^[0-4]{4}$", "[0-4]"), num_answers=8, separator="", row_length=4)
PAIRS = LayoutConfig(answer=SpanPattern("Ask:.*", r"\b([A-Z][a-z]+)\?"), context=SpanPattern(r"[^.]*\.", r"\w+ gave \w+"))


def texts(prompt, spans):
    return [prompt[start:end] for start, end in spans]


def test_spans_are_found_inside_regions_alone_and_left_to_right():
    prompt = "Fill 1 to 4.\n1004\n0020\nNow 3."
    answers, context = GRID.spans(prompt)
    assert texts(prompt, answers) == list("10040020") and context == ()
    assert list(answers) == sorted(answers)


def test_the_first_group_of_an_item_is_the_span():
    prompt = "Ann gave Bob. Bob gave Cid. Ask: Bob? Cid?"
    answers, context = PAIRS.spans(prompt)
    assert texts(prompt, answers) == ["Bob", "Cid"] and texts(prompt, context) == ["Ann gave Bob", "Bob gave Cid"]


def test_spans_count_characters_of_any_script():
    prompt = "Ask: 🙂🙂 Zoë? Ask: Bob?"
    assert texts(prompt, LayoutConfig(answer=SpanPattern("Ask:.*", r"(\w+)\?")).spans(prompt)[0]) == ["Zoë", "Bob"]


@pytest.mark.parametrize("prompt", ["", "  \n\t "])
def test_an_empty_prompt_is_refused(prompt):
    for layout in (GRID, LayoutConfig(num_answers=2)):
        with pytest.raises(InputError, match="the prompt is empty"):
            layout.spans(prompt)


def test_a_prompt_with_another_number_of_places_is_refused_with_both_numbers():
    with pytest.raises(InputError, match="holds 4 answer positions where this head expects 8"):
        GRID.spans("1004")
    with pytest.raises(InputError, match="holds 0 answer positions where this head expects at least 1"):
        PAIRS.spans("No question.")


def test_the_length_is_that_of_the_spans_or_the_fixed_one():
    assert PAIRS.length([(0, 1), (2, 3)]) == 2 and LayoutConfig(num_answers=5).length(()) == 5
    assert LayoutConfig(num_answers=5).spans("any text") == ((), ())


def test_symbols_are_written_in_rows():
    assert GRID.write("12344321") == "1234\n4321" and LayoutConfig(num_answers=3).write(("a", "b", "c")) == "a b c"
    assert LayoutConfig(num_answers=3, separator="").write(()) == ""


@pytest.mark.parametrize("fields", [{"num_answers": 0}, {"num_answers": 1, "row_length": 0}, {}])
def test_layouts_that_say_too_little_or_nonsense_are_refused(fields):
    with pytest.raises(ConfigError, match="layout"):
        LayoutConfig(**fields)


def test_a_broken_regular_expression_is_refused_with_its_fault():
    with pytest.raises(ConfigError, match=r"layout item '\(' is no regular expression: missing \)"):
        SpanPattern("a", "(")


def test_spans_that_come_with_a_problem_go_before_the_patterns():
    assert PAIRS.spans("Ask: Bob? Cid?", ((0, 3),)) == (((0, 3),), ())
    given = LayoutConfig(given=True)
    assert given.spans("two words", ((4, 9), (0, 3)))[0] == ((4, 9), (0, 3)) and given.length([(0, 1)]) == 1
    assert LayoutConfig(num_answers=2).spans("any text", ((0, 3),)) == ((), ())
    with pytest.raises(InputError, match="this head needs the answer's spans"):
        given.spans("two words")


@pytest.mark.parametrize("span", [(-1, 2), (3, 3), (3, 2), (3, 10)])
def test_spans_outside_the_prompt_are_refused(span):
    with pytest.raises(InputError, match="is outside the prompt of 9 characters"):
        LayoutConfig(given=True).spans("two words", (span,))
