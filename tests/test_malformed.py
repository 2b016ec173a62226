"""Malformed requests, drawn from the server's own OpenAPI document: never a fault of the server, never a traceback.

As many as MALFORMED_REQUESTS says: `MALFORMED_REQUESTS=1000 pytest tests/test_malformed.py`.
"""

import json
import os

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hybrid
from hybrid.serve.app import build
from hybrid.serve.batcher import Batcher
from hybrid.serve.server import Server

REQUESTS = int(os.environ.get("MALFORMED_REQUESTS", "40"))
WORDS = st.one_of(st.text(max_size=12), st.sampled_from(["Sort: 3 1 2", "sorter", "user", "Sort: 1 2", " ", "x" * 120]))
ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
HEADERS = st.sampled_from(
    [*["application/json"] * 4, "text/plain", "application/json; charset=utf-16", "multipart/form-data", ""]
)


def almost(fits):
    """Return what fits, and one time in eight anything at all."""
    return st.integers(0, 7).flatmap(lambda drawn: ANYTHING if drawn == 7 else fits)


def fitting(schema, document):
    """Return what fits a schema, or almost does: bounds are passed over, and now and then anything stands in its place."""
    if "$ref" in schema:
        return fitting(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document)
    if "anyOf" in schema:
        return st.one_of(*(fitting(each, document) for each in schema["anyOf"]))
    kind = schema.get("type")
    if kind == "object":
        own = {name: fitting(each, document) for name, each in schema.get("properties", {}).items()}
        needed = {name: own.pop(name) for name in schema.get("required", ())}
        return almost(st.fixed_dictionaries(needed, optional=own | {"temperature": ANYTHING}))
    if kind == "array":
        return almost(st.lists(fitting(schema.get("items", {}), document), max_size=3))
    simple = {"string": WORDS, "boolean": st.booleans(), "integer": st.integers(-2, 5), "null": st.none()}
    return almost(simple.get(kind, ANYTHING))


def requests(document):
    """Return requests for all routes of an OpenAPI document: methods, bodies as JSON or cut and spoilt bytes, headers."""
    routes = {
        (method.upper(), path): st.tuples(st.just(method.upper()), st.just(path), _bodies(route, document), HEADERS)
        for path, methods in document["paths"].items()
        for method, route in methods.items()
    }
    strange = st.tuples(
        st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH"]),
        st.sampled_from([*document["paths"], "/page/../app.py", "/page/%2e%2e/app.py", "/page/none", "/v1/\ufffd", "//"]),
        st.binary(max_size=40),
        HEADERS,
    )
    asks = [each for (method, _), each in routes.items() if method == "POST"]  # What has a body has most to get wrong.
    return st.integers(0, 5).flatmap(lambda drawn: st.one_of(*routes.values(), strange) if drawn == 5 else st.one_of(*asks))


def _bodies(route, document):
    if "requestBody" not in route:
        return st.just(b"")
    (content,) = route["requestBody"]["content"].values()
    whole = fitting(content["schema"], document).map(lambda data: json.dumps(data).encode())
    spoilt = st.builds(
        lambda data, place, byte: data[:place] + byte + data[place + 1 :], whole, st.integers(0, 80), st.binary(max_size=2)
    )
    return st.integers(0, 3).flatmap(lambda drawn: spoilt if drawn == 3 else whole)


@pytest.fixture(scope="module")
def served(shared_backbone, config):
    """A client of a server, and its OpenAPI document."""
    batcher = Batcher({"sorter": hybrid.attach(shared_backbone, config)}, {"sorter": None})
    server = Server(batcher, most_characters=100, timeout_seconds=20, examples={}, chain_tokens=3)
    with TestClient(build(server), raise_server_exceptions=False) as client:
        yield client, client.get("/openapi.json").json()


def test_no_request_is_a_fault_of_the_server(served):
    client, document = served
    seen = set()

    @settings(max_examples=REQUESTS, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(requests(document))
    def ask(request):
        method, path, body, kind = request
        reply = client.request(method, path, content=body, headers={"content-type": kind} if kind else {})
        seen.add(reply.status_code)
        assert reply.status_code < 500 and "Traceback" not in reply.text, (reply.status_code, reply.text)
        assert "app.py" not in path or reply.status_code in (404, 405)
        if reply.status_code >= 400:
            error = reply.json()["error"]
            assert error["message"] and error["code"] == reply.status_code

    ask()
    assert {200, 400} <= seen and client.post("/v1/solve", json={"prompt": "Sort: 3 1 2"}).status_code == 200


def test_every_route_and_fault_stands_in_the_document(served):
    paths = served[1]["paths"]
    assert {"/v1/solve", "/v1/chat/completions", "/v1/completions", "/v1/chain_of_thought", "/health", "/metrics"} <= set(paths)
    assert all({"4XX", "5XX"} <= set(route["responses"]) for methods in paths.values() for route in methods.values())
