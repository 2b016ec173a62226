"""A server under load: what is counted, on a server in this process."""

import json

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")
from fastapi.testclient import TestClient

from hybrid.errors import EngineError, InputError
from hybrid.eval import load
from hybrid.eval.load import LoadCommand, measure
from hybrid.serve.app import build
from hybrid.serve.batcher import Batcher
from hybrid.serve.server import Server


@pytest.mark.parametrize("examples", [["Sort: 2 1", "Sort: 3 1 2"], []])
def test_every_request_is_counted_and_the_memory_told(model, monkeypatch, tmp_path, capsys, examples):
    batcher = Batcher({"sorter": model}, {"sorter": None}, most_waiting=1)
    server = Server(batcher, most_characters=99, timeout_seconds=20, examples={"sorter": examples})
    with TestClient(build(server)) as client:
        monkeypatch.setattr(load.http, "Client", lambda **options: client)
        monkeypatch.setattr(load, "PATIENCE_SECONDS", 0.01)
        monkeypatch.setattr(TestClient, "__exit__", lambda *args: None)
        if not examples:
            with pytest.raises(InputError, match="offers no examples"):
                measure("http://here", 20, 4)
            monkeypatch.undo()
            return
        LoadCommand("http://here", 10, 4, str(tmp_path / "load.json")).run()
        monkeypatch.undo()
    found = json.loads((tmp_path / "load.json").read_text())
    assert found == json.loads(capsys.readouterr().out) and found["statuses"]["200"] == 10
    assert set(found["statuses"]) <= {"200", "429"} and found["p50_seconds"] <= found["p95_seconds"]
    assert found["grew_percent"] == load.grown(found["resident_mb"]) and load.grown([700.0, 800.0, 880.0]) == 10
    assert len(found["resident_mb"]) in (0, 11) and all(each > 50 for each in found["resident_mb"])


def test_a_server_that_is_not_there_is_one_line():
    with pytest.raises(EngineError, match="see whether the server runs"):
        measure("http://127.0.0.1:9", 10, 1)
