"""The chain of thought beside an answer: the same text as the benchmark's, heads first, an end when nobody reads."""

import json
import threading
import time

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")
pytest.importorskip("uvicorn")
import httpx

import hybrid
from hybrid.adapters import Structured
from hybrid.errors import InputError
from hybrid.eval.tasks import TASKS
from hybrid.eval.tasks.sort import Sort
from hybrid.eval.tasks.sudoku import Sudoku
from hybrid.eval.text.generation import generate
from hybrid.serve import by_token
from hybrid.serve.batcher import MOST_WRITINGS, Batcher, QueueFull, Stopping
from hybrid.serve.by_token import check_writes, read_and_write
from hybrid.serve.chain import Chain, worked_examples
from hybrid.serve.writing import Writing

BODY = {"prompt": "Sort: 3 1 2", "max_tokens": 8}


@pytest.fixture(scope="module")
def served(serving):
    """A server of one head in this process: its address and its batcher."""
    return serving(examples={}, chain_tokens=100)


def ask(address, **changes):
    """Return the events of a chain of thought."""
    text = httpx.post(f"{address}/v1/chain_of_thought", json=BODY | changes).text
    lines = [line[6:] for line in text.splitlines() if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def test_token_by_token_it_writes_what_the_benchmark_writes(shared_backbone, monkeypatch):
    monkeypatch.setattr(by_token, "READ_TOGETHER", 7)
    text = "Sort these numbers: 3 1 2 in ascending order, and say why."
    ids = shared_backbone.tokenizer(text)["input_ids"]
    (wanted,) = generate(shared_backbone, [text], 12)
    found = list(read_and_write(shared_backbone, ids, 12))
    assert found[: -(-(len(ids) - 1) // 7)] == [None] * -(-(len(ids) - 1) // 7)
    written = [token for token in found if token is not None]
    assert len(written) == wanted.tokens
    assert shared_backbone.tokenizer.decode(written, skip_special_tokens=True) == wanted.text
    with pytest.raises(InputError, match="the context holds 160; shorten it"):
        next(read_and_write(shared_backbone, ids * 20, 5))


def test_a_chain_is_shown_worked_steps_though_the_head_learned_without_them():
    without, those = (TASKS.build(Sudoku.Config(size=4, worked=worked)) for worked in (False, True))
    assert worked_examples(without) == worked_examples(those) and ", so " in worked_examples(without)[0][1]
    assert worked_examples(None) == ()


def test_a_chain_is_bounded_and_its_pieces_add_up(shared_backbone):
    *pieces, last = Chain(shared_backbone, None, "Sort: 3 1 2", 9).pieces()
    assert last["tokens"] <= 9 and last["prompt_tokens"] > 10 and last["ended"] in ("stop", "length")
    assert [each["tokens"] for each in pieces] == sorted(each["tokens"] for each in pieces) and last["seconds"] > 0
    assert last["answer"] is None and last["same"] is None


@pytest.mark.parametrize(
    ("writes", "answer", "verified", "same"),
    [("Answer: 1 2 3\nmore", "1 2 3", True, True), ("Answer: 3 1 2\n", "3 1 2", False, False), ("Hm.", None, None, False)],
)
def test_its_answer_is_read_checked_and_compared_and_nothing_is_written_behind_it(
    shared_backbone, monkeypatch, writes, answer, verified, same
):
    task = TASKS.build(Sort.Config(length=3))
    ids = shared_backbone.tokenizer(writes, add_special_tokens=False)["input_ids"]
    monkeypatch.setattr("hybrid.serve.chain.read_and_write", lambda *args: iter(ids))
    prompt = task.understood("please sort 3; 1; 2")
    *pieces, last = Chain(shared_backbone, task, prompt, 99, ("1", "2", "3")).pieces()
    assert (last["answer"], last["verified"], last["same"]) == (answer, verified, same)
    assert "".join(each["text"] for each in pieces) == writes.removesuffix("more")


def test_it_is_streamed_and_ends_with_what_it_answers(served):
    *pieces, last = ask(served[0], answer=["1", "2", "3"])
    assert 0 < last["tokens"] <= 8 and last["answer"] is None and all("text" in piece for piece in pieces)
    models = httpx.get(f"{served[0]}/v1/models").json()["data"]
    assert models[0]["chain_tokens"] == 100


@pytest.mark.parametrize(
    ("changes", "status"),
    [({"max_tokens": 0}, 400), ({"prompt": "x" * 100}, 413), ({"model": "other"}, 404), ({"prompt": " "}, 400)],
)
def test_a_mistake_is_told_before_anything_is_written(served, changes, status):
    reply = httpx.post(f"{served[0]}/v1/chain_of_thought", json=BODY | changes)
    assert reply.status_code == status == reply.json()["error"]["code"]


def test_a_head_without_a_language_model_writes_none(serving):
    task = TASKS.build(Sort.Config(length=3))
    parts = {"backbone": hybrid.BackboneConfig("none"), "encoder": Structured.Config(tuple("0123456789"))}
    config = hybrid.HybridConfig(task.layout, task.symbols, reasoner=hybrid.ReasonerConfig(width=16), **parts)
    served = serving(hybrid.attach(None, config), examples={}, chain_tokens=100)
    reply = httpx.post(f"{served[0]}/v1/chain_of_thought", json=BODY)
    assert reply.status_code == 400 and "there is no language model to write" in reply.json()["error"]["message"]
    assert httpx.get(f"{served[0]}/v1/models").json()["data"][0]["chain_tokens"] == 0


def test_a_fault_in_the_middle_is_told_in_the_stream(served, monkeypatch):
    monkeypatch.setattr("hybrid.serve.chain.read_and_write", lambda *args: 1 / 0)
    assert ask(served[0])[-1]["error"]["message"].startswith("ZeroDivisionError")


def test_writing_ends_when_the_reader_goes_away(served, monkeypatch):
    wrote = []

    def slowly(*args):
        for number in range(2000):
            time.sleep(0.005)
            wrote.append(number)
            yield 5

    monkeypatch.setattr("hybrid.serve.chain.read_and_write", slowly)
    with httpx.stream("POST", f"{served[0]}/v1/chain_of_thought", json=BODY) as reply:
        next(reply.iter_lines())
    deadline = time.monotonic() + 5
    while served[1]._writings and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not served[1]._writings and 0 < len(wrote) < 1000


def test_heads_answer_between_two_pieces_and_texts_wait_for_one_another(model):
    batcher, told = Batcher({"sorter": model}, {"sorter": None}), []
    begun, go = threading.Event(), threading.Event()

    def pieces(name):
        for number in range(3):
            begun.set()
            go.wait(20)
            yield f"{name}{number}"

    first, second = Writing(pieces("a"), told.append), Writing(pieces("b"), told.append)
    batcher.write(first)
    batcher.write(second)
    assert begun.wait(10)
    (answer,) = batcher.ask("sorter", "Sort: 3 1 2")
    answer.add_done_callback(lambda _: told.append("head"))
    for _ in range(MOST_WRITINGS - 2):
        batcher.write(left := Writing(pieces("never"), told.append))
        left.leave()
    go.set()
    deadline = time.monotonic() + 10
    while told.count(None) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert told == ["a0", "head", "a1", "a2", None, "b0", "b1", "b2", None]
    batcher.stop(seconds=5)
    with pytest.raises(Stopping):
        batcher.write(first)


def test_only_some_texts_may_wait_and_a_stop_tells_those_who_read(model):
    batcher, told, go = Batcher({"sorter": model}, {"sorter": None}), [], threading.Event()
    for _ in range(MOST_WRITINGS):
        batcher.write(Writing(iter(lambda: go.wait(20), None), told.append))
    with pytest.raises(QueueFull, match="8 texts wait already"):
        batcher.write(Writing(iter(()), told.append))
    threading.Timer(0.05, go.set).start()
    batcher.stop(seconds=5)
    assert sum(isinstance(each, Stopping) for each in told) == MOST_WRITINGS


def test_a_model_without_words_is_refused(shared_backbone):
    plain = hybrid.Backbone(shared_backbone.model, None, "numbers", (0, 2))
    with pytest.raises(InputError, match="numbers writes no text token by token"):
        check_writes(plain)
