"""Whatever goes wrong is a problem (RFC 9457), and says nothing that it must not."""

import pytest
from starlette.testclient import TestClient

from tests import factories as make
from tests.work import rig
from worker.web.app import make_app

MEMBERS = {"type", "title", "status", "detail", "request_id", "errors"}


def problem(answer):
    """What the problem says; it must be one, whole."""
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert told.keys() >= MEMBERS
    assert told["status"] == answer.status_code
    assert told["request_id"] == answer.headers["x-request-id"]
    return told["type"]


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/nowhere", "/problems/not-found"),
        ("GET", "/v1/orders/", "/problems/not-found"),
        ("GET", "/docs", "/problems/not-found"),
        ("DELETE", "/v1/orders", "/problems/method-not-allowed"),
        ("GET", "/v1/commands/7", "/problems/invalid"),
        ("GET", "/v1/orders/a%20b", "/problems/invalid"),
        ("GET", "/v1/orders?limit=0", "/problems/invalid"),
        ("GET", "/v1/orders?placed_from=yesterday", "/problems/invalid"),
        ("GET", "/v1/orders?status=nice", "/problems/invalid"),
        ("GET", "/v1/orders?after=O-9", "/problems/not-found"),
        ("GET", "/v1/orders/O-9", "/problems/not-found"),
        ("GET", "/v1/orders/O-9/explain", "/problems/not-found"),
    ],
)
def test_what_is_not_there_or_not_allowed(client, method, path, expected):
    """A problem of the expected type, as for everything else."""
    assert problem(client.request(method, path)) == expected


def test_allow_names_every_method_of_a_path(client):
    """405 says what is possible there."""
    assert client.delete("/v1/orders").headers["allow"] == "GET, POST"
    assert client.get("/v1/preview").headers["allow"] == "POST"


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": ""},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
)
def test_a_body_in_another_format(client, engine, headers):
    """415, and nothing is written: a web page's form cannot send a command."""
    content = make.ship().model_dump_json(exclude_defaults=True)

    answer = client.post("/v1/commands", content=content, headers=headers)

    assert problem(answer) == "/problems/unsupported-media-type"
    assert rig.count(engine, "commands") == 0


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"a": NaN}', b"[" * 2000, b"7", b'"x"'])
def test_a_body_that_is_no_command(client, engine, content):
    """422, and nothing is written."""
    headers = {"Content-Type": "application/json"}

    assert problem(client.post("/v1/commands", content=content, headers=headers)) == (
        "/problems/invalid"
    )
    assert rig.count(engine, "commands") == 0


def test_a_body_that_is_too_large_is_not_read_to_its_end(make_client, everything, engine):
    """413 by what Content-Length says, before a byte; without one, as soon as it is too much."""
    client = make_client(everything, web_max_body_bytes=1024)
    read = []

    def chunks():
        for n in range(100):
            read.append(n)
            yield b" " * 1000

    headers = {"Content-Type": "application/json"}
    said = client.post("/v1/commands", content=b" " * 1025, headers=headers)
    unsaid = client.post("/v1/commands", content=chunks(), headers=headers)

    assert problem(said) == problem(unsaid) == "/problems/too-large"
    assert rig.count(engine, "commands") == 0


def test_a_bug_is_a_500_without_its_words(make_door, everything, logs):
    """The client hears an id, the log has the rest under the same id."""
    app = make_app(make_door())

    @app.get("/broken")
    async def broken():
        raise RuntimeError("Jane Doe, 1 Example Street")

    with TestClient(app, raise_server_exceptions=False) as client:
        answer = client.get("/broken", headers={"X-Request-ID": "abc-1"})

    assert problem(answer) == "/problems/internal-error"
    assert "Jane" not in answer.text
    assert [one["event"] for one in logs] == ["request_failed", "request"]
    assert logs[0]["reason"] == "RuntimeError"


@pytest.mark.parametrize(
    ("sent", "is_taken"),
    [("abc-1:2.3_x", True), ("a" * 64, True), ("a" * 65, False), ("a b", False), ("é", False)],
)
def test_a_request_has_an_id(client, sent, is_taken):
    """The client's own if it is short and clean, else a new one."""
    answer = client.get("/livez", headers={"X-Request-ID": sent.encode()})

    assert (answer.headers["x-request-id"] == sent) is is_taken
    assert len(answer.headers["x-request-id"]) in {11, 36, 64}


def test_each_request_is_a_line_in_the_log(client, logs):
    """Method, the operation's path and not what stands in it, status, duration, the key's id."""
    client.get("/v1/orders/O-9?search=Jane")

    (line,) = [one for one in logs if one["event"] == "request"]
    assert (line["method"], line["route"], line["status"]) == ("GET", "/v1/orders/{order_id}", 404)
    assert len(line["key"]) == 12
    assert "Jane" not in str(line)


def test_what_every_answer_has(client):
    """No guessing of types, no copies in caches, no other site's scripts."""
    answer = client.get("/v1/orders", headers={"Origin": "https://elsewhere.example"})

    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert [name for name in answer.headers if name.startswith("access-control")] == []


def test_health(client, make_client):
    """Live as long as it turns; ready only with a database of this version."""
    assert client.get("/livez").json() == {"status": "live"}
    assert client.get("/readyz").json() == {"status": "ready"}

    away = make_client(url="postgresql://postgres@127.0.0.1:1/nothing")

    assert away.get("/livez").status_code == 200
    assert problem(away.get("/readyz")) == "/problems/unavailable"
