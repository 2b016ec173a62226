"""What the readers of free text accept, refuse, and survive."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid.eval.tasks.answers import final_part, read_assignment, read_drawing, read_grid, read_sequence, read_text

DIGITS = [str(digit) for digit in range(10)]
TENS = [str(number) for number in range(10, 100)]
GRID = tuple("1234341221434321")
ROWS = ("1234", "3412", "2143", "4321")


@pytest.mark.parametrize(
    "text",
    [
        "Answer: 1 2 7",
        "**Answer:** 1, 2, 7",
        "**Answer**: 1 2 7.",
        "### Final answer\nAnswer:\n```text\n1 2 7\n```",
        "The answer is [1, 2, 7].",
        "the answer = \\boxed{1, 2, 7}",
        "First 2 1 7, then better.\nAnswer: 9 9 9\nNo. Answer: 1 < 2 < 7",
        "Answer: The 3 numbers in order are 1, 2 and 7. That is 3 numbers.",
        "- 1\n- 2\n- 7",
        "Answer: 127",
        "ANSWER: `1` -> `2` -> `7`",
        "Answer: <b>1 2 7</b>",
    ],
)
def test_a_sequence_is_read_from_many_ways_of_writing_it(text):
    assert read_sequence(text, DIGITS, 3) == ("1", "2", "7")


@pytest.mark.parametrize(
    "text",
    ["", "Answer:", "Answer: 1 2", "Answer: 1 2 7 8", "1 2 7 or maybe 1 7 2", "Answer: -1 2 7", "Answer: 1 2 77",
     "Answer: 1.2 7", "Answer: one two seven", "Answer: 1 2 7\nAnswer:", "\u0661 \u0662 \u0667"],
)  # fmt: skip
def test_an_incomplete_or_ambiguous_sequence_is_none(text):
    assert read_sequence(text, DIGITS, 3) is None


def test_a_restated_question_counts_only_where_nothing_else_stands():
    assert read_sequence("2 1 7 sorted is 1 2 7", DIGITS, 3, restated="217") == ("1", "2", "7")
    assert read_sequence("1 2 7", DIGITS, 3, restated="127") == ("1", "2", "7")
    assert read_sequence("2 1 7 sorted is 1 2 7", DIGITS, 3) is None


def test_two_digit_numbers_may_be_set_apart_or_run_together_but_not_mixed():
    assert read_sequence("Answer: 1 2 3 4", TENS, 2) == ("12", "34")
    assert read_sequence("Answer: 1234", TENS, 2) == ("12", "34")
    assert read_sequence("Answer: 1 23 4", TENS, 2) is None


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(ROWS),
        "Answer:\n" + "\n".join(" ".join(row) for row in ROWS),
        "Answer:\n" + "\n".join("| " + " | ".join(row) + " |" for row in ROWS),
        "Answer:\n| 1 2 | 3 4 |\n| 3 4 | 1 2 |\n|-----+-----|\n| 2 1 | 4 3 |\n| 4 3 | 2 1 |",
        "Answer:\n1 2 │ 3 4\n3 4 │ 1 2\n────┼────\n2 1 │ 4 3\n4 3 │ 2 1",
        "Answer:\n1234\n3412\n\n2143\n4321\n\nEach row holds 1 to 4.",
        "Answer: 1234341221434321",
        "Answer: 1234 3412 2143 4321",
        "Answer: [[1,2,3,4],\n[3,4,1,2],\n[2,1,4,3],\n[4,3,2,1]]",
        "Answer: [[1,2,3,4],[3,4,1,2],[2,1,4,3],[4,3,2,1]]",
        "**Answer:**\n```\n" + "\n".join(ROWS) + "\n```\nI hope this helps!",
        "The puzzle\n1000\n0010\n0000\n0001\nbecomes\n" + "\n".join(ROWS),
        "\n".join(f"Row {number}: {row}" for number, row in enumerate(ROWS, 1)),
        "\r\n".join(ROWS),
        "4321\n2143\n3412\n1234\nis wrong.\nAnswer:\n" + "\n".join(ROWS),
    ],
)
def test_a_grid_is_read_from_many_ways_of_writing_it(text):
    assert read_grid(text, 4) == GRID


@pytest.mark.parametrize(
    "text",
    [
        "Answer:",
        "Answer:\n1234\n3412\n2143",
        "Answer:\n1234\n3412\n2143\n4320",
        "Answer:\n1234\n3412\n2143\n4325",
        "Answer:\n1234\n3412\n2143\n4321\n4321",
        "\n".join(ROWS) + "\nor\n" + "\n".join(reversed(ROWS)),
        "\n".join(ROWS) + "\n\n" + "\n".join(reversed(ROWS)),
        "Answer:\n" + "\n".join(ROWS) + "\nAnswer:",
        "Answer: 1234\n3412\n2143\n4321 or 4312",
    ],
)
def test_an_incomplete_or_ambiguous_grid_is_none(text):
    assert read_grid(text, 4) is None


NAMES, COLOURS = ["Alice", "Bob", "Mary"], ["red", "blue", "green"]


@pytest.mark.parametrize(
    "text",
    [
        "Answer: blue red green",
        "Answer: blue, red, and green.",
        "Alice has blue, Bob has red and Mary has green.",
        "Answer: Mary holds the green ball; **Bob**: Red; alice: BLUE",
        "Answer:\n- Alice: blue\n- Bob: red\n- Mary: green",
        "Answer:\nAlice has red, no.\nAnswer: Alice blue, Bob red, Mary green",
    ],
)  # fmt: skip
def test_an_assignment_is_read_in_any_order_of_the_names(text):
    assert read_assignment(text, NAMES, COLOURS) == ("blue", "red", "green")


@pytest.mark.parametrize(
    "text",
    ["Answer: Alice blue, Bob red", "Alice has blue, Bob has red, Mary has green. Alice has red.", "Answer: blue red",
     "Alice, Bob and Mary hold blue, red and green", "blue red green or red blue green", "",
     "Answer:\n| Alice | Bob | Mary |\n"],
)  # fmt: skip
def test_an_incomplete_or_contradicting_assignment_is_none(text):
    assert read_assignment(text, NAMES, COLOURS) is None


def test_only_the_last_marker_counts():
    assert final_part("Answer: 1\nThe answer is: 2").strip() == "2"
    assert final_part("Answer: 1\nThis answer is correct").strip().startswith("1")
    assert final_part("The answer is 1, no, the answer is 2").strip() == "2"
    assert final_part("no marker") == "no marker"


@settings(max_examples=80, deadline=None)
@given(st.text() | st.text("Answer: 1234\n|,*`-[]{}\\\x00\ud800") | st.binary().map(lambda data: data.decode("latin-1")))
def test_no_string_makes_a_reader_raise(text):
    read_sequence(text, DIGITS, 3)
    read_sequence(text, COLOURS, 3)
    read_grid(text, 4)
    read_assignment(text, NAMES, COLOURS)


@pytest.mark.parametrize(
    "piece",
    [
        "1",
        "1 ",
        "answer",
        "answer \t",
        "Answer:",
        "\n",
        "\n \n",
        " ",
        "[",
        "- ",
        "Alice ",
        "Alice red",
        "and ",
        "1234\n",
        "_",
        "*a ",
        "**",
        "`",
    ],
)
def test_endless_texts_are_read_in_no_time(piece):
    text = piece * (2_000_000 // len(piece))
    started = time.process_time()
    read_sequence(text, DIGITS, 3)
    read_grid(text, 4)
    read_assignment(text, NAMES, COLOURS)
    read_text(text, ["a"], " ")
    assert time.process_time() - started < 2


@pytest.mark.parametrize("text", ["new york", "Answer: **New  York**.", 'So.\nAnswer: "New York"\nThat is it.', "New,York"])
def test_a_short_answer_is_read_whatever_its_marks(text):
    assert read_text(text, ["New", "York"], " ") == ("New", "York")


@pytest.mark.parametrize("text", ["York New", "New York City", "I think New York", "Newyork", ""])
def test_another_short_answer_is_another(text):
    assert read_text(text, ["New", "York"], " ") != ("New", "York")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Answer: 1,234", "1234"),
        ("Answer: 1,234,567.5 ", "1,234,567.5"),
        (r"Answer: \(42\)", "42"),
        (r"Answer: \[ \boxed{42} \]", "42"),
        (r"Answer: $10\,000$", "10000"),
        ("Answer: \u22125", "-5"),
        ("**Final answer: C#**", "C#"),
        ("## Answer:\n```python\nx_1 * 2\n```", "x_1 * 2"),
        ("Answer: _emphasis_", "emphasis"),
        ("*So the answer is 12.*", "12"),
        ("_So, the answer is Paris._", "Paris"),
        ("*Therefore, the answer is **12**.*", "12"),
        ("* The answer is 4**2", "4**2"),
        ("Answer: **_12_**", "12"),
        ("Answer: *$12$*", "12"),
        ("Answer: 5? No.\n<b>Answer</b>: 12", "12"),
        ("I first thought the answer is 5. **Answer **: 12", "12"),
        ("Maybe the answer is 4.\n****Answer****: 12", "12"),
    ],
)
def test_a_number_or_a_name_is_read_as_it_is_usually_written(text, answer):
    assert read_text(text, [answer], " ") == (answer,)


@pytest.mark.parametrize(
    ("text", "answer"),
    [("C#", "C"), ("2*3", "2 3"), ("#1", "1"), ("1,23", "123"), ("A*", "A"), ("snake_case", "snake case"), ("?5", "5")],
)
def test_marks_inside_an_answer_belong_to_it(text, answer):
    assert read_text(f"Answer: {text}", [answer], " ") != (answer,)


def test_two_numbers_are_not_one():
    assert read_text("Answer: 1,234", ["1", "234"], " ") == ("1", "234")
    assert read_text("Answer: 1234", ["1", "234"], ",") != ("1", "234")


def test_signs_points_and_marks_alone_tell_answers_apart():
    for one, other in (("-1", "1"), (".5", "5"), ("1.5", "15"), ("?", "!")):
        assert read_text(one, [other], "") != (other,) and read_text(one, [one], "") == (one,)


DRAWN = tuple("So#.oG#..")


@pytest.mark.parametrize(
    "text",
    [
        "S o #\n. o G\n# . .",
        "So#\n.oG\n#..",
        "So#.oG#..",
        "The maze was\nS . #\n. . G\n# . .\nand now\n\nS o #\n. o G\n# . .",
        "## Steps\nS . #\n**Answer:**\n```\nS o #\n. o G\n# . .\n```\nDone.",
        "Answer:\n| S | o | # |\n| . | o | G |\n| # | . | . |",
        "Answer:\nRow 1: S O #\nRow 2: . O G\nRow 3: # . .",
        "Answer: [['S', 'o', '#'],\n['.', 'o', 'G'],\n['#', '.', '.']]",
    ],
)
def test_a_drawing_is_read_from_many_ways_of_writing_it(text):
    assert read_drawing(text, 3, "#.SGo", "o") == DRAWN


@pytest.mark.parametrize(
    "text", ["", "S . #\n. . G\n# . .", "S o #\n. o G", "S o #\n. o G\n# . .\n\nS o #\no o G\n# . .", "S o # .\n. o G .\n# . . ."]
)
def test_a_drawing_without_a_mark_incomplete_or_ambiguous_is_none(text):
    assert read_drawing(text, 3, "#.SGo", "o") is None
