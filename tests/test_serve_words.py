"""The server of a head that writes: its language model's words, whole, bounded, drawn and streamed."""

import json

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")
from fastapi.testclient import TestClient

from hybrid.eval.text.generation import Sampling
from hybrid.eval.text.voice import Manner, write
from hybrid.problem import Problem
from hybrid.serve.app import build
from hybrid.serve.batcher import Batcher
from hybrid.serve.server import Server
from hybrid.serve.spoken import spoken
from hybrid.serve.writing import Writing

PROMPT = "Sort these numbers: 3 1 2"
CHAT = {"messages": [{"role": "user", "content": PROMPT}]}


def wrote(writer, *manner):
    return write(writer, [Problem(PROMPT, ())], Manner(*manner))[0]


@pytest.fixture
def client(writer):
    batcher = Batcher({"writer": writer, "other": writer}, {"writer": None, "other": None})
    server = Server(batcher, most_characters=100, timeout_seconds=20, examples={}, text_tokens=9)
    with TestClient(build(server), raise_server_exceptions=False) as client:
        yield client
    batcher.stop(seconds=5)


def chunks(client, path, body):
    lines = [line[6:] for line in client.post(f"/v1/{path}", json=body | {"stream": True}).text.splitlines() if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line)["choices"][0] for line in lines[:-1]]


def test_a_chat_is_answered_in_the_language_model_s_words(client, writer):
    own = wrote(writer, 9)
    data = client.post("/v1/chat/completions", json=CHAT).json()
    choice = data["choices"][0]
    assert choice["message"]["content"] == own.text and choice["finish_reason"] == ("stop" if own.ended else "length")
    assert data["usage"]["completion_tokens"] == own.tokens and data["hybrid"]["answered_by"] == "head"
    short = client.post("/v1/chat/completions", json=CHAT | {"max_tokens": 2}).json()
    assert short["choices"][0]["message"]["content"] == wrote(writer, 2).text
    assert short["choices"][0]["finish_reason"] == "length" and short["usage"]["completion_tokens"] == 2


def test_a_text_is_drawn_by_its_seed_and_ends_at_a_stop(client, writer):
    drawn = {"prompt": [PROMPT, "red blue"], "temperature": 0.9, "seed": 5}
    texts = [choice["text"] for choice in client.post("/v1/completions", json=drawn).json()["choices"]]
    assert texts[0] == wrote(writer, 9, Sampling(0.9, seed=5)).text and len(texts) == 2
    stop = wrote(writer, 9).text[3:5]
    ended = client.post("/v1/completions", json={"prompt": PROMPT, "stop": stop}).json()["choices"][0]
    assert ended["text"] == wrote(writer, 9, Sampling(), (stop,)).text and ended["finish_reason"] == "stop"


@pytest.mark.parametrize("stop", [None, 3])
def test_a_stream_adds_up_to_the_same_words(client, writer, stop):
    text = wrote(writer, 9).text
    until = () if stop is None else (text[stop : stop + 2],)
    own = wrote(writer, 9, Sampling(), until)
    first, *deltas, last = chunks(client, "chat/completions", CHAT | {"stop": list(until)})
    assert first["delta"] == {"role": "assistant", "content": ""} and last["finish_reason"] == ("stop" if own.ended else "length")
    assert "".join(each["delta"]["content"] for each in deltas) == own.text
    told = chunks(client, "completions", {"prompt": PROMPT, "stop": list(until)})
    assert "".join(each["text"] for each in told) == own.text and told[-1]["finish_reason"]
    counted = {"stop": list(until), "stream": True, "stream_options": {"include_usage": True}}
    for path, body in (("chat/completions", CHAT), ("completions", {"prompt": PROMPT})):
        *_, last, done = client.post(f"/v1/{path}", json=body | counted).text.split("\n\n")[:-1]
        assert done == "data: [DONE]" and json.loads(last[6:])["choices"] == []
        assert json.loads(last[6:])["usage"]["completion_tokens"] == own.tokens
    both = chunks(client, "completions", {"prompt": [PROMPT, PROMPT], "stop": list(until)})
    assert "".join(each["text"] for each in both if each["index"]) == own.text


def test_faults_of_a_stream_are_told(client):
    long = client.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": "x" * 101}], "stream": True})
    assert long.status_code == 413 and long.json()["error"]["message"].startswith("the prompt has 101")
    assert client.post("/v1/completions", json={"prompt": PROMPT, "temperature": 3}).status_code == 400
    assert client.post("/v1/solve", json={"prompt": PROMPT}).json()["answered_by"] == "head"


def test_nothing_is_written_when_nobody_reads(writer):
    writing = Writing(iter(()), lambda piece: None)
    writing.leave()
    (last,) = spoken(writer, Problem(PROMPT, ()), Manner(9), None, writing)
    assert len(last["text"]) < len(wrote(writer, 9).text)
