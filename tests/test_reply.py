"""Replies: whatever a server sends is a text or a named fault, and never an exception."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid.eval.engines.client import MOST_TOKENS, is_json, read_reply


def reply(content="1 2 3", usage=(40, 5), finish="stop", **message):
    choice = {"index": 0, "message": {"role": "assistant", "content": content} | message, "finish_reason": finish}
    data = {"choices": [choice], "usage": {"prompt_tokens": usage[0], "completion_tokens": usage[1]}}
    return json.dumps(data).encode()


def test_a_plain_reply_is_its_text_and_its_tokens():
    out = read_reply(reply())
    assert (out.text, out.tokens, out.prompt_tokens, out.fault) == ("1 2 3", 5, 40, "")


FAULTS = [
    (b"", "malformed"),
    (b"{", "malformed"),
    (b"[" * 100_000, "malformed"),
    (b"null", "malformed"),
    (b"[]", "malformed"),
    (b'{"choices": null}', "malformed"),
    (b'{"choices": [5]}', "malformed"),
    (b'{"choices": [{"message": "x"}]}', "malformed"),
    (b'{"choices": []}', "empty"),
    (reply(None), "empty"),
    (reply(" \n\t"), "empty"),
    (reply(5), "malformed"),
    (reply(None, refusal="I cannot help with that."), "refused"),
    (reply("", finish="content_filter"), "refused"),
    (b'{"choices": [{"message": {"content": "\xff"}}]}', "not UTF-8"),
    (b"\x1f\x8b\x08\x00", "not UTF-8"),
]


@pytest.mark.parametrize(("body", "fault"), FAULTS)
def test_what_cannot_be_read_has_no_text_and_a_named_fault(body, fault):
    out = read_reply(body)
    assert (out.text, out.fault) == ("", fault)


def test_a_reply_that_was_not_read_to_its_end_is_too_long():
    assert read_reply(None).fault == "too long"


def test_a_reply_in_parts_is_their_text():
    assert read_reply(reply([{"type": "text", "text": "1 "}, {"type": "x"}, {"text": "2"}])).text == "1 2"


def test_half_a_character_becomes_a_question_mark_that_a_file_can_hold():
    body = b'{"choices": [{"message": {"content": "a\\ud800b"}}]}'
    assert read_reply(body).text == "a?b"


@pytest.mark.parametrize("count", [-1, 1.5, True, "7", None, MOST_TOKENS + 1, 10**30])
def test_a_count_that_is_none_is_minus_one(count):
    out = read_reply(reply(usage=(count, count)))
    assert (out.tokens, out.prompt_tokens) == (-1, -1)


@pytest.mark.parametrize("usage", [b"null", b"3", b"[]", b"{}"])
def test_a_reply_without_usage_still_has_its_text(usage):
    out = read_reply(b'{"choices": [{"message": {"content": "1"}}], "usage": ' + usage + b"}")
    assert (out.text, out.tokens) == ("1", -1)


def test_a_body_is_whole_json_or_it_is_not():
    assert is_json(reply()) and not is_json(reply()[:-1]) and not is_json(b"") and not is_json(b"\xff")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["choices", "message", "content", "usage", "refusal"]), inner)
    ),
)


@settings(max_examples=25, deadline=None)
@given(VALUES, st.binary(max_size=40), st.integers(0, 200))
def test_no_bytes_raise(value, noise, place):
    for body in (json.dumps(value).encode(), json.dumps({"choices": [value]}).encode(), noise, reply()[:place] + noise):
        out = read_reply(body)
        out.text.encode()
        assert bool(out.text) != bool(out.fault) and out.tokens >= -1
