"""The server as a process of its own: OpenAI's own client gets the head's answers, and a TERM answers what was accepted."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request

import pytest

import hybrid

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
PROMPT = "Sort: 3 1 2"


@pytest.fixture(scope="module")
def head(tiny_folder, config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served") / "sorter"
    hybrid.attach(None, config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def url(head, root):
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "hybrid", "serve", "--model", str(head), "--port", str(port), "--timeout_seconds", "20"]
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ)
    address = f"http://127.0.0.1:{port}"
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{address}/health", timeout=1)
            break
        except OSError:
            assert process.poll() is None, process.stdout.read()
            time.sleep(0.1)
    yield process, address
    process.kill()


def test_openai_s_client_gets_the_answer_whole_and_streamed(head, url):
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(base_url=f"{url[1]}/v1", api_key="none")
    expected = hybrid.HybridModel.from_pretrained(head).solve([PROMPT])[0].text
    messages = [{"role": "user", "content": PROMPT}]
    assert client.chat.completions.create(model="sorter", messages=messages).choices[0].message.content == expected
    stream = client.chat.completions.create(model="sorter", messages=messages, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == expected
    assert client.completions.create(model="sorter", prompt=PROMPT).choices[0].text == expected
    assert [model.id for model in client.models.list()] == ["sorter"] == [client.models.retrieve("sorter").id]
    counted = {"stream": True, "stream_options": {"include_usage": True}}
    *told, last = client.chat.completions.create(model="sorter", messages=messages, **counted)
    assert last.usage == client.chat.completions.create(model="sorter", messages=messages).usage and last.choices == []
    assert not any(chunk.usage for chunk in told)
    *_, last = client.completions.create(model="sorter", prompt=[PROMPT, PROMPT], **counted)
    assert last.usage.total_tokens == last.usage.prompt_tokens + last.usage.completion_tokens > 0
    with pytest.raises(openai.BadRequestError, match="answer positions"):
        client.chat.completions.create(model="sorter", messages=[{"role": "user", "content": "no list"}])
    with pytest.raises(openai.NotFoundError, match="choose one of: sorter"):
        client.chat.completions.create(model="other", messages=messages)
    with pytest.raises(openai.NotFoundError, match="choose one of: sorter"):
        client.models.retrieve("other")
    with pytest.raises(openai.BadRequestError, match="n: Input should be less than or equal to 1"):
        client.chat.completions.create(model="sorter", messages=messages, n=2)


def test_a_term_answers_what_was_accepted(url):
    process, address = url
    body, replies = re.sub("PROMPT", PROMPT, '{"prompt": "PROMPT", "num_steps": 300}').encode(), []

    def ask():
        request = urllib.request.Request(f"{address}/v1/solve", body, {"content-type": "application/json"})
        replies.append(urllib.request.urlopen(request, timeout=30).status)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join(30)
    process.wait(30)
    assert replies == [200] * 6
