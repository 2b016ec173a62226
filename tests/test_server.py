"""The engine `server` against one in this process that misbehaves in every way: nothing lost, nothing counted twice."""

import http.server
import json
import socket
import threading
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from hybrid.cli.bench import BenchCommand
from hybrid.errors import ConfigError, EngineError, HybridError, InputError
from hybrid.eval.engines import ENGINES, ServerEngine
from hybrid.eval.engines.client import _retry_after
from hybrid.eval.engines.server import JOURNAL
from hybrid.eval.tasks import Sort
from hybrid.eval.text.generation import GREEDY, Sampling

TASK = Sort(Sort.Config(length=3))


def completion(text="1 2 3", **more):
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return json.dumps({"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 4}} | more).encode()


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as the next of `behaviour` says, and rightly when there is none left."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.asked.append(request | {"headers": dict(self.headers), "path": self.path})
            behave = self.server.behaviour.pop(0) if self.server.behaviour else None
            self.server.running += 1
            self.server.most_running = max(self.server.most_running, self.server.running)
        try:
            if behave is None:
                time.sleep(self.server.seconds)
                self.send(completion("re: " + request["messages"][-1]["content"]))
            else:
                behave(self)
        except OSError:
            self.close_connection = True
        finally:
            with self.server.lock:
                self.server.running -= 1

    def send(self, body, status=200, headers=(), length=True):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if length:
            self.send_header("Content-Length", str(len(body)))
        else:
            self.close_connection = True
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def drop(self):
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


class Server(http.server.ThreadingHTTPServer):
    """A chat server on loopback."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port=0):
        self.behaviour, self.asked, self.seconds = [], [], 0.0
        self.running = self.most_running = 0
        self.lock = threading.Lock()
        self.open = []
        super().__init__(("127.0.0.1", port), Handler)
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    def get_request(self):
        connection, address = super().get_request()
        self.open.append(connection)
        return connection, address

    def handle_error(self, *args):
        pass

    @property
    def port(self):
        return self.server_address[1]

    def kill(self):
        """Stop at once, in the middle of what is being said."""
        self.shutdown()
        self.server_close()
        for connection in self.open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


@pytest.fixture
def server():
    server = Server()
    yield server
    server.kill()


@pytest.fixture
def new_engine(server, backbone, tmp_path):
    """Makes an engine of the server whose journal is in tmp_path: (config fields)."""

    def make(folder=tmp_path, **fields):
        usual = dict(url=f"http://127.0.0.1:{server.port}/v1", model="m", backoff_seconds=0.001, timeout_seconds=5.0, retries=3)
        return ServerEngine(ServerEngine.Config(**(usual | fields)), backbone, folder)

    return make


def ask(*texts):
    return [[{"role": "user", "content": text}] for text in texts]


def write(engine, *texts, **options):
    return engine.write(ask(*texts), 32, **options)


def half(handler):
    """Send half of what was announced."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(completion()[:40])
    handler.wfile.flush()
    handler.drop()


def half_without_length(handler):
    handler.send(completion()[:40], length=False)


def endless(handler):
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    while True:
        handler.wfile.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")


def drip(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    while True:
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.02)


def status(code, *headers, body=b"why not"):
    return lambda handler: handler.send(body, code, headers)


def sends(body, **options):
    return lambda handler: handler.send(body, **options)


def test_answers_come_in_order_with_the_servers_own_token_counts(server, new_engine):
    outs = write(new_engine(), "a", "b", "c")
    assert [(o.text, o.tokens, o.prompt_tokens, o.fault) for o in outs] == [(f"re: {x}", 4, 9, "") for x in "abc"]


def test_what_is_asked_is_the_conversation_and_the_sampling(server, new_engine):
    write(new_engine(), "a", sampling=Sampling(0.7, 0.9, seed=5, sample=2))
    (asked,) = server.asked
    assert asked["path"] == "/v1/chat/completions" and asked["messages"] == ask("a")[0] and asked["model"] == "m"
    assert (asked["temperature"], asked["top_p"], asked["max_tokens"], asked["stream"]) == (0.7, 0.9, 32, False)
    assert "Authorization" not in asked["headers"]


def test_extra_fields_are_sent_and_make_another_answer(server, new_engine):
    write(new_engine(extra='{"repeat_penalty": 1.0}'), "a")
    write(new_engine(), "a")
    assert [asked.get("repeat_penalty") for asked in server.asked] == [1.0, None]


def test_a_key_is_read_from_the_environment_and_sent(server, new_engine, monkeypatch):
    monkeypatch.setenv("MY_KEY", "s3cret")
    write(new_engine(key_variable="MY_KEY"), "a")
    assert server.asked[0]["headers"]["Authorization"] == "Bearer s3cret"


TRANSIENT = {
    "drops half way": half,
    "drops half way, length untold": half_without_length,
    "drops at once": Handler.drop,
    "500": status(500),
    "503": status(503, body=b"\xff\xfe"),
    "429 with Retry-After": status(429, ("Retry-After", "0")),
    "429 with nonsense": status(429, ("Retry-After", "soon")),
}


@pytest.mark.parametrize("behave", TRANSIENT.values(), ids=TRANSIENT)
def test_what_may_pass_is_tried_again(server, new_engine, behave):
    server.behaviour = [behave, behave]
    (out,) = write(new_engine(), "a")
    assert out.text == "re: a" and len(server.asked) == 3


def test_half_an_answer_of_untold_length_counts_as_malformed_after_the_last_try(server, new_engine):
    server.behaviour = [half_without_length] * 4
    assert write(new_engine(), "a")[0].fault == "malformed" and len(server.asked) == 4


@pytest.mark.parametrize("behave", [half, Handler.drop, status(500), status(429, ("Retry-After", "0"))])
def test_what_does_not_pass_is_an_error_that_says_what_to_do(server, new_engine, behave):
    server.behaviour = [behave] * 4
    with pytest.raises(EngineError, match=r"no answer from http.* after 4 tries .*give the same command again"):
        write(new_engine(), "a")
    assert len(server.asked) == 4


def test_a_server_that_is_not_there_is_an_error_that_names_its_url(new_engine):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(
        EngineError, match=rf"no answer from http://127.0.0.1:{port}/v1/chat/completions after 4 tries \(ConnectError"
    ):
        write(new_engine(url=f"http://127.0.0.1:{port}/v1"), "a")


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [
        (400, InputError, "status 400: why not; use fewer shots"),
        (401, EngineError, "engine.key_variable"),
        (404, EngineError, "check engine.url"),
        (302, EngineError, "status 302"),
        (418, EngineError, "server's own log"),
    ],
)
def test_a_request_that_is_refused_is_not_tried_again(server, new_engine, code, kind, message):
    server.behaviour = [status(code)]
    with pytest.raises(kind, match=message) as caught:
        write(new_engine(), "a")
    assert len(server.asked) == 1 and isinstance(caught.value, HybridError)


FAULTY = {
    "malformed": sends(b"{"),
    "empty": sends(b'{"choices": []}'),
    "not UTF-8": sends(b'{"choices": "\xff"}'),
    "refused": sends(completion(None).replace(b'"content": null', b'"content": null, "refusal": "No."')),
    "too long": endless,
}


@pytest.mark.parametrize("fault", FAULTY)
def test_an_answer_that_cannot_be_read_is_counted_and_not_asked_for_again(server, new_engine, fault):
    server.behaviour = [FAULTY[fault]]
    engine = new_engine(concurrency=1, most_bytes=50_000)
    outs = write(engine, "a", "b")
    assert [(o.text, o.fault) for o in outs] == [("", fault), ("re: b", "")]
    assert f"scored as wrong: 1 {fault}." in " ".join(engine.notes())
    assert write(new_engine(), "a", "b") == outs and len(server.asked) == 2


def test_a_huge_answer_is_read_no_further_than_allowed(server, new_engine):
    server.behaviour = [sends(completion("x" * 300_000)), sends(completion("y" * 20_000))]
    outs = write(new_engine(most_bytes=100_000, concurrency=1), "a", "b")
    assert outs[0].fault == "too long" and outs[1].text == "y" * 20_000


@pytest.mark.slow
def test_a_drop_by_drop_answer_ends_with_the_time_for_a_try(server, new_engine):
    server.behaviour = [drip]
    began = time.monotonic()
    assert write(new_engine(timeout_seconds=0.3), "a")[0].text == "re: a"
    assert time.monotonic() - began < 3


@pytest.mark.slow
def test_a_server_that_says_nothing_ends_with_the_time_for_a_try(server, new_engine):
    server.behaviour = [lambda handler: time.sleep(0.6)]
    assert write(new_engine(timeout_seconds=0.2), "a")[0].text == "re: a"


def test_waits_double_and_are_uneven_and_the_servers_wish_goes_before(server, new_engine, monkeypatch):
    engine, waits = new_engine(backoff_seconds=8.0, retries=5), []
    monkeypatch.setattr(engine._client.stopped, "wait", waits.append)
    server.behaviour = [
        status(500),
        status(500),
        status(429, ("Retry-After", "7")),
        status(500),
        status(503, ("Retry-After", "9999")),
    ]
    write(engine, "a")
    assert 4 <= waits[0] <= 8 and 8 <= waits[1] <= 16 and waits[2] == 7 and 32 <= waits[3] <= 60 and waits[4] == 60


def test_retry_after_is_seconds_or_a_date():
    soon = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=90), usegmt=True)
    assert 60 < _retry_after(soon) < 91 and _retry_after("12") == 12
    past = format_datetime(datetime.now(timezone.utc) - timedelta(seconds=90), usegmt=True)
    assert _retry_after(past) == 0 and [_retry_after(text) for text in (None, "", "soon", "-1", "²")] == [None] * 5


def test_no_more_requests_run_at_once_than_allowed(server, new_engine):
    server.seconds = 0.05
    write(new_engine(concurrency=3), *map(str, range(9)))
    assert server.most_running == 3 and len(server.asked) == 9


def test_equal_requests_are_asked_once(server, new_engine):
    assert [o.text for o in write(new_engine(), "a", "b", "a")] == ["re: a", "re: b", "re: a"] and len(server.asked) == 2


def test_another_model_sampling_or_length_is_another_answer(server, new_engine):
    write(new_engine(), "a")
    write(new_engine(model="other"), "a")
    for sampling in (Sampling(0.5), Sampling(0.5, seed=1), Sampling(0.5, sample=1), Sampling(0.5, top_p=0.5), GREEDY):
        write(new_engine(), "a", sampling=sampling)
    new_engine().write(ask("a"), 33)
    assert len(server.asked) == 7


def test_a_server_killed_during_a_run_and_started_again_loses_and_repeats_nothing(server, new_engine, backbone, tmp_path):
    texts, kept = list(map(str, range(24))), tmp_path / JOURNAL
    server.seconds = 0.02
    killer = threading.Thread(target=lambda: (wait_for(lambda: len(server.asked) >= 9), server.kill()))
    killer.start()
    with pytest.raises(EngineError, match="give the same command again"):
        write(new_engine(concurrency=4), *texts)
    killer.join()
    before = kept.read_text().splitlines()
    assert 0 < len(before) < 24
    again = Server(server.port)
    try:
        engine = new_engine(concurrency=4)
        outs = write(engine, *texts)
        assert [o.text for o in outs] == [f"re: {text}" for text in texts]
        assert len(again.asked) == 24 - len(before)  # What was answered is not asked for again.
        lines = kept.read_text().splitlines()
        assert lines[: len(before)] == before and len({json.loads(line)["key"] for line in lines}) == 24 == len(lines)
        assert f"{len(before)} answers were given to an earlier run" in " ".join(engine.notes())
    finally:
        again.kill()


def test_a_server_that_comes_back_in_time_is_no_error(server, new_engine):
    texts = list(map(str, range(12)))
    server.seconds = 0.02
    came = []

    def restart():
        wait_for(lambda: len(server.asked) >= 5)
        server.kill()
        time.sleep(0.1)
        came.append(Server(server.port))

    restarter = threading.Thread(target=restart)
    restarter.start()
    outs = write(new_engine(concurrency=2, retries=8, backoff_seconds=0.02), *texts)
    restarter.join()
    came[0].kill()
    assert [o.text for o in outs] == [f"re: {text}" for text in texts] and came[0].asked


def wait_for(condition):
    end = time.monotonic() + 10
    while not condition() and time.monotonic() < end:
        time.sleep(0.002)


def test_a_torn_last_line_is_asked_for_again(server, new_engine, tmp_path):
    write(new_engine(concurrency=1), "a", "b")
    journal = tmp_path / JOURNAL
    journal.write_bytes(journal.read_bytes()[:-5])
    assert [o.text for o in write(new_engine(), "a", "b")] == ["re: a", "re: b"]
    assert len(server.asked) == 3 and len(journal.read_text().splitlines()) == 2


def test_a_failure_keeps_the_answers_of_the_others(server, new_engine, tmp_path):
    server.behaviour = [None, None, status(404)]
    with pytest.raises(EngineError, match="404"):
        write(new_engine(concurrency=1), *"abcdef")
    assert len((tmp_path / JOURNAL).read_text().splitlines()) == 2 and len(server.asked) == 3


def test_an_answer_from_the_journal_keeps_the_seconds_that_it_took(server, new_engine):
    server.seconds = 0.1
    first = new_engine(concurrency=1)
    write(first, "a")
    assert first.recalled_seconds == 0
    again = new_engine(concurrency=1)
    write(again, "a")
    assert 0.1 <= again.recalled_seconds < 2


def test_without_a_folder_nothing_is_written_and_nothing_asked_twice(server, new_engine, tmp_path):
    engine = new_engine(folder=None)
    assert write(engine, "a") == write(engine, "a") and len(server.asked) == 1 and list(tmp_path.iterdir()) == []


def test_text_after_the_answer_is_cut_and_its_tokens_count(server, new_engine):
    server.behaviour = [sends(completion("Answer: 1\nNext: 2\n"))]
    (out,) = write(new_engine(), "a", ends=[lambda text: "Answer" in text])
    assert (out.text, out.tokens) == ("Answer: 1\n", 4)


def test_flops_are_unknown_unless_the_server_runs_the_backbone(new_engine):
    engine, own = new_engine(), new_engine(same_backbone=True)
    (out,) = write(engine, "a")
    assert engine.flops(out) == 0 and not engine.knows_flops and "its FLOPs are not known" in " ".join(engine.notes())
    assert own.flops(out) > own.flops(replace(out, tokens=1)) > 0 and own.knows_flops


def test_a_server_that_counts_other_prompt_tokens_than_the_backbone_is_told(server, new_engine, backbone):
    own = len(backbone.tokenizer("a\n\n", add_special_tokens=False)["input_ids"])
    server.behaviour = [sends(completion("x", usage={"prompt_tokens": own, "completion_tokens": 1}))]
    engine = new_engine(same_backbone=True, concurrency=1)
    write(engine, "a")
    assert "another number of tokens" not in " ".join(engine.notes())
    write(engine, "b")
    assert "1 prompts have another number of tokens" in " ".join(engine.notes())


def test_tokens_that_the_server_does_not_count_are_the_backbones(server, new_engine, backbone):
    server.behaviour = [sends(completion("red blue", usage=None))]
    engine = new_engine()
    (out,) = write(engine, "a")
    length = [len(backbone.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in ("red blue", "a\n\n")]
    assert [out.tokens, out.prompt_tokens] == length and "1 answers are counted by the tokenizer" in " ".join(engine.notes())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": ""}, "engine.model is missing"),
        ({"url": "localhost:8000"}, "engine.url is 'localhost:8000'"),
        ({"concurrency": 0}, "engine.concurrency is 0"),
        ({"retries": -1}, "engine.retries is -1"),
        ({"timeout_seconds": 0.0}, "engine.timeout_seconds is 0"),
        ({"most_bytes": 0}, "engine.most_bytes is 0"),
        ({"extra": "[1]"}, r"engine.extra is '\[1\]'; give a JSON object"),
        ({"extra": "{"}, "engine.extra is '{'"),
        ({"key_variable": "NO_SUCH_VARIABLE"}, "NO_SUCH_VARIABLE, which is not set"),
    ],
)
def test_a_config_that_cannot_work_is_refused_by_name(fields, message):
    with pytest.raises(ConfigError, match=message):
        ServerEngine.Config(**({"model": "m"} | fields))


def test_a_config_finds_its_kind_again():
    config = ServerEngine.Config(model="m", concurrency=2)
    assert ENGINES.from_dict(ENGINES.to_dict(config)) == config and list(ENGINES) == ["transformers", "server"]


def test_bench_with_a_server_writes_its_figures_and_the_same_command_asks_nothing_again(server, new_model, tmp_path, capsys):
    new_model(layout=TASK.layout, symbols=TASK.symbols).save_pretrained(tmp_path / "head")
    engine = ServerEngine.Config(url=f"http://127.0.0.1:{server.port}/v1", model="m", backoff_seconds=0.001)
    command = BenchCommand(
        model=str(tmp_path / "head"),
        output=str(tmp_path / "bench"),
        task=TASK.config,
        methods=("direct", "self_consistency"),
        num_problems=6,
        num_text_problems=3,
        engine=engine,
    )
    command.run()
    first = json.loads((tmp_path / "bench" / "results.json").read_text())
    assert [record["method"] for record in first] == ["direct, 3 shots, m", "self consistency, 2 shots, 5 samples, m"]
    assert [record["tokens_generated_mean"] for record in first] == [4, 20] and first[0]["flops_mean"] == 0
    assert "m at http" in (tmp_path / "bench" / "report.html").read_text()
    asked = len(server.asked)
    assert asked == 3 + 3 * 5
    command.run()
    assert len(server.asked) == asked and "18 answers were given to an earlier run" in capsys.readouterr().err.replace("\n", " ")
    again = json.loads((tmp_path / "bench" / "results.json").read_text())
    assert [record["exact"] for record in again] == [record["exact"] for record in first]
    assert all(record["latency_p50_seconds"] > 0.0005 for record in again)
