"""The server: what clients may send, what they get, and that what was accepted is answered."""

import json
import threading
import time
from dataclasses import replace

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")
from fastapi.testclient import TestClient

import hybrid
from hybrid.adapters import Structured
from hybrid.cli.serve import ServeCommand
from hybrid.errors import EngineError, InputError
from hybrid.eval.engines import Engine
from hybrid.eval.text.generation import Generated
from hybrid.serve.app import build
from hybrid.serve.batcher import Batcher, QueueFull, Stopping
from hybrid.serve.server import Server

ASK = {"role": "user", "content": "Sort: 3 1 2"}

IMAGE = [{"type": "text", "text": "Sort: 3 1 2"}, {"type": "image_url", "image_url": {"url": "data:,"}}]


@pytest.fixture
def make(model):
    """Makes a batcher of one head that sorts; all are stopped at the end."""
    made = []

    def batcher(**options):
        made.append(Batcher({"sorter": model}, {"sorter": None}, **options))
        return made[-1]

    yield batcher
    for each in made:
        each.stop(seconds=5)


@pytest.fixture
def client(make):
    server = Server(make(), most_characters=100, timeout_seconds=20, examples={"sorter": ["Sort: 2 1"]})
    with TestClient(build(server), raise_server_exceptions=False) as client:
        yield client


def test_a_chat_completion_is_what_the_head_answers(client, model):
    expected = model.solve(["Sort: 3 1 2"])[0]
    data = client.post("/v1/chat/completions", json={"messages": [{"role": "system", "content": "hi"}, ASK]}).json()
    choice = data["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": expected.text} and choice["finish_reason"] == "stop"
    assert data["model"] == "sorter" and data["object"] == "chat.completion" and data["usage"]["completion_tokens"] == 3
    assert data["hybrid"]["confidence"] == pytest.approx(expected.confidence) and data["hybrid"]["answered_by"] == "head"


def test_a_stream_adds_up_to_the_same_text(client, model):
    body = {"messages": [ASK], "stream": True, "temperature": 0.7, "max_tokens": 5}
    lines = [line[6:] for line in client.post("/v1/chat/completions", json=body).text.splitlines() if line]
    deltas = [json.loads(line)["choices"][0] for line in lines[:-1]]
    assert lines[-1] == "[DONE]" and deltas[-1]["finish_reason"] == "stop"
    assert "".join(each["delta"].get("content", "") for each in deltas) == model.solve(["Sort: 3 1 2"])[0].text


def test_completions_take_one_prompt_or_several(client, model):
    texts = [solution.text for solution in model.solve(["Sort: 3 1 2", "Sort: 9 8"])]
    data = client.post("/v1/completions", json={"prompt": ["Sort: 3 1 2", "Sort: 9 8"]}).json()
    assert [choice["text"] for choice in data["choices"]] == texts
    lines = client.post("/v1/completions", json={"prompt": "Sort: 9 8", "stream": True}).text.splitlines()
    assert json.loads(lines[0][6:])["choices"][0]["text"] == texts[1]


def test_solve_tells_every_step(client):
    data = client.post("/v1/solve", json={"prompt": "Sort: 3 1 2", "num_steps": 3}).json()
    assert len(data["trajectory"]) == len(data["motion"]) == data["steps"] and data["verified"] is None
    assert data["confidences"][-1] == pytest.approx(data["confidence"]) and len(data["confidences"]) == data["steps"]
    both = client.post("/v1/solve", json={"context": "Sort:", "questions": ["3 1", "4 2"]}).json()
    assert len(both["answers"]) == 2 and both["answers"][0]["understood"] == "Sort: 3 1"


@pytest.mark.parametrize("form", ["{}\n", "\ufeff{}", "\n{}\r\n\r\n"])
def test_a_prompt_says_the_same_whatever_ends_its_lines(client, form):
    alone, other = (
        client.post("/v1/solve", json={"prompt": each}).json() for each in ("Sort: 3\n1", form.format("Sort: 3\r\n1"))
    )
    assert alone["understood"] == other["understood"] == "Sort: 3\n1" and alone["confidences"] == other["confidences"]


def test_the_rest_is_there(client):
    assert client.get("/health").json() == {"status": "ok", "waiting": 0, "models": ["sorter"]}
    assert [model["id"] for model in client.get("/v1/models").json()["data"]] == ["sorter"]
    assert client.get("/v1/examples").json() == {"sorter": ["Sort: 2 1"]}
    assert "<title>hybrid</title>" in client.get("/").text
    client.post("/v1/solve", json={"prompt": "Sort: 3 1 2"})
    metrics = client.get("/metrics").text
    assert 'hybrid_requests_total{path="/v1/solve",status="200"} 1' in metrics and 'hybrid_answers_total{by="head"} 1' in metrics


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        ("solve", {"prompt": "no list"}, 400, "answer positions"),
        ("solve", {"prompt": "x" * 101}, 413, "101 characters, the server takes 100"),
        ("solve", {}, 400, "give a prompt, or a context with questions"),
        ("solve", {"prompt": ""}, 400, "prompt: "),
        ("solve", {"prompt": 3}, 400, "prompt: "),
        ("solve", {"prompt": "Sort: 1 2", "num_steps": 0}, 400, "num_steps: "),
        ("solve", {"prompt": "Sort: 1 2", "model": "other"}, 404, "model 'other' is unknown; choose one of: sorter"),
        ("chat/completions", {"messages": []}, 400, "messages: "),
        ("chat/completions", {"messages": [{"role": "system", "content": "x"}]}, 400, "give one with role user"),
        (
            "chat/completions",
            {"messages": [{"role": "user", "content": None}]},
            400,
            "the last message of the user holds no text",
        ),
        ("chat/completions", {"messages": [ASK, {"role": "user", "content": " "}]}, 400, "the last message of the user holds no"),
        (
            "chat/completions",
            {"messages": [{"role": "user", "content": IMAGE}]},
            400,
            "a part of type 'image_url'; a head reads text",
        ),
        ("solve", {"prompt": "Sort: 1 \x00"}, 400, "holds a NUL character"),
        ("solve", {"prompt": " \r\n"}, 400, "the prompt is empty"),
        ("completions", {"prompt": []}, 400, "prompt"),
        ("nothing", {}, 404, "Not Found"),
    ],
)
def test_a_mistake_gets_openai_s_error_in_words(client, path, body, status, says):
    reply = client.post(f"/v1/{path}", json=body)
    error = reply.json()["error"]
    assert reply.status_code == status == error["code"] and says in error["message"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"messages": 7}', b'{"prompt": {"a": 1}}', b"9" * 5000]
)
def test_bytes_that_are_no_request_are_never_a_fault_of_the_server(client, body):
    for path in ("solve", "completions", "chat/completions"):
        reply = client.post(f"/v1/{path}", content=body, headers={"content-type": "application/json"})
        assert 400 <= reply.status_code < 500 and reply.json()["error"]["message"]


class Slow:
    """Lets a head's answers wait for `go`, and counts how many prompts it gets together."""

    def __init__(self, model, monkeypatch):
        self.go, self.sizes, own = threading.Event(), [], type(model).think

        def think(head, features, **options):
            self.go.wait(20)
            self.sizes.append(len(features.num_answers))
            return own(head, features, **options)

        monkeypatch.setattr(type(model), "think", think)


def test_what_waits_is_answered_together_and_the_queue_is_bounded(make, model, monkeypatch):
    slow = Slow(model, monkeypatch)
    batcher = make(most_waiting=6, most_together=4)
    (first,) = batcher.ask("sorter", "Sort: 3 1")
    while batcher.waiting:
        time.sleep(0.01)
    rest = [batcher.ask("sorter", f"Sort: {n} 1")[0] for n in range(6)]
    with pytest.raises(QueueFull, match="6 prompts wait already"):
        batcher.ask("sorter", "Sort: 1 2")
    slow.go.set()
    assert all(future.result(20).by == "head" for future in (first, *rest)) and slow.sizes == [1, 4, 2]


def test_a_server_that_stops_answers_what_it_accepted_and_takes_nothing_more(make, model, monkeypatch):
    slow = Slow(model, monkeypatch)
    batcher = make()
    asked = batcher.ask("sorter", *["Sort: 3 1"] * 3)
    batcher.stop(seconds=0.01)
    with pytest.raises(Stopping):
        batcher.ask("sorter", "Sort: 3 1")
    slow.go.set()
    assert [future.result(20).by for future in asked] == ["head"] * 3


def test_one_bad_prompt_does_not_harm_the_others_and_a_fault_ends_no_thread(make, model, monkeypatch):
    batcher = make()
    bad, good = batcher.ask("sorter", "no list", "Sort: 2 1")
    with pytest.raises(InputError):
        bad.result(20)
    assert good.result(20).by == "head"
    monkeypatch.setattr(type(model), "think", lambda self, *args, **options: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        batcher.ask("sorter", "Sort: 2 1")[0].result(20)
    monkeypatch.undo()
    assert batcher.ask("sorter", "Sort: 2 1")[0].result(20).by == "head" and batcher.counts["failed"] == 1


def test_a_fallback_answers_what_the_head_cannot_read_or_is_unsure_of(make):
    class Writer(Engine):
        flops = most_tokens = None

        def write(self, conversations, most):
            return [Generated(f"wrote {conversations[0][0]['content']}", 4, 9)]

    batcher = make(fallback=Writer(), least_confidence=1.0)
    unread, unsure = (each.result(20) for each in batcher.ask("sorter", "no list", "Sort: 2 1"))
    assert (unread.by, unread.text, unread.solution) == ("fallback", "wrote no list", None) and "positions" in unread.why
    assert unsure.by == "fallback" and unsure.solution is not None and "% sure" in unsure.why


def test_a_request_that_waits_too_long_and_a_full_queue_are_told_by_their_status(make, model, monkeypatch):
    slow = Slow(model, monkeypatch)
    server = Server(make(most_waiting=1), most_characters=100, timeout_seconds=0.3, examples={})
    with TestClient(build(server)) as client:
        late = client.post("/v1/solve", json={"prompt": "Sort: 2 1"})
        assert late.status_code == 504 and "no answer within 0.3 s" in late.json()["error"]["message"]
        server.batcher.ask("sorter", "Sort: 2 1")
        full = client.post("/v1/solve", json={"prompt": "Sort: 2 1"})
        assert full.status_code == 429 and full.headers["retry-after"] == "1"
        slow.go.set()


def test_one_that_breaks_a_batch_is_told_alone_and_the_others_are_answered(make, model, monkeypatch):
    own, go = type(model).read, threading.Event()

    def read(head, problems):
        go.wait(20)
        if any("9 9" in problem.prompt for problem in problems):
            raise InputError("900 positions, but there is room for 128")
        return own(head, problems)

    monkeypatch.setattr(type(model), "read", read)
    asked = make().ask("sorter", "Sort: 2 1", "Sort: 9 9", "Sort: 4 1")
    go.set()
    assert [asked[place].result(20).by for place in (0, 2)] == ["head"] * 2
    with pytest.raises(InputError, match="900 positions"):
        asked[1].result(20)


def test_a_request_of_many_prompts_is_taken_whole_or_not_at_all(make, model, monkeypatch):
    slow = Slow(model, monkeypatch)
    batcher = make(most_waiting=4)
    batcher.ask("sorter", "Sort: 3 1")
    while batcher.waiting:
        time.sleep(0.01)
    with pytest.raises(QueueFull):
        batcher.ask("sorter", *["Sort: 2 1"] * 5)
    assert batcher.waiting == 0
    late = batcher.ask("sorter", *["Sort: 2 1"] * 4)
    assert all(future.cancel() for future in late)
    assert len(batcher.ask("sorter", *["Sort: 2 1"] * 4)) == 4  # Those that nobody waits for any more make room.
    slow.go.set()


def test_a_fallback_that_is_down_is_not_the_client_s_fault_and_harms_nobody_else(make):
    class Down(Engine):
        flops = most_tokens = None
        elsewhere = True

        def write(self, conversations, most):
            raise EngineError("no answer from the other server")

    server = Server(make(fallback=Down()), most_characters=100, timeout_seconds=20, examples={})
    with TestClient(build(server)) as client:
        down = client.post("/v1/solve", json={"prompt": "no list"})
        assert down.status_code == 502 and "no answer" in down.json()["error"]["message"]
        assert client.get("/health").status_code == 200


def test_a_request_is_bounded_before_it_is_put_together(client):
    body = {"context": "x" * 90, "questions": ["y" * 20]}
    assert client.post("/v1/solve", json=body).status_code == 413
    huge = b'{"prompt": "' + b"x" * 200_000 + b'"}'
    assert client.post("/v1/completions", content=huge, headers={"content-type": "application/json"}).status_code == 413
    other = client.post(
        "/v1/solve", content=b'{"prompt": "Sort: 2 1", "model": "\\u00e9\\ud83d"}', headers={"content-type": "application/json"}
    )
    assert 400 <= other.status_code < 500


def test_heads_with_and_without_a_language_model_are_served_together(new_model, tmp_path):
    """Each finds its own: those of one language model share it, a head of symbols alone takes none of them."""
    config = new_model().config
    alone = replace(config, backbone=hybrid.BackboneConfig("none"), encoder=Structured.Config(tuple("0123456789")))
    for name, own in (("first", alone), ("second", config), ("third", alone), ("fourth", config)):
        model = hybrid.attach(None, own) if own is alone else new_model()
        model.save_pretrained(tmp_path / name)
    heads = ServeCommand(model=[str(tmp_path / name) for name in ("first", "second", "third", "fourth")]).heads()
    assert [model.backbone.runs for model in heads.values()] == [False, True, False, True]
    assert heads["fourth"].backbone.model is heads["second"].backbone.model
    for model in heads.values():
        assert len(model.solve(["Sort: 3 1 2"])[0].symbols) == 3
