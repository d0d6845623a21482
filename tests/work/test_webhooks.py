"""The receiver of webhooks, over HTTP: what each answer means to a provider."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.work import rig
from tests.work.refund_rig import Scripted, answered, drain, events, money, one_part, part_state
from worker.refunds.provider import News, Settled
from worker.refunds.webhooks import MAX_BODY_BYTES, Receiver

pytestmark = pytest.mark.heavy

SIGNED = {"Signature": "right"}


class Telling(Scripted):
    """Each body is news of one refund: `r1 failed`."""

    def news(self, headers, body):
        super().news(headers, body)
        provider_id, state = body.decode().split()
        return [News(answered(state, provider_id))]


@contextmanager
def receiving(engine, provider=None):
    server = Receiver("127.0.0.1", 0, engine, {"scripted": provider or Telling()})
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def post(port, body=b"r1 failed", *, path="/webhooks/scripted", headers=SIGNED, method="POST"):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def raw(port, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return connection.recv(100).split(b"\r\n", 1)[0]


@pytest.fixture
def part_id(engine):
    found = one_part(engine)
    drain(engine, Scripted(Settled("r1")))
    return found


def test_news_is_booked_before_it_is_answered(engine, part_id):
    """200: it is in the books; sent again it is 200 again, and changes nothing."""
    with receiving(engine) as port:
        assert post(port) == 200
        assert part_state(engine, part_id) == "failed"
        before = rig.dump(engine)
        assert post(port) == 200
        assert post(port, b"r7 settled") == 200, "none of ours"

    assert rig.dump(engine) == before


@pytest.mark.parametrize(
    ("status", "request_"),
    [
        (401, {"headers": {}}),
        (401, {"headers": {"Signature": "wrong"}}),
        (404, {"path": "/webhooks/unheard-of"}),
        (404, {"path": "/webhooks/"}),
        (404, {"path": "/"}),
        (405, {"method": "GET"}),
        (413, {"body": b"x" * (MAX_BODY_BYTES + 1)}),
        (500, {"body": b"bug"}),
    ],
)
def test_what_is_refused(engine, part_id, status, request_):
    """Each for its reason, and nothing is written."""
    del part_id
    before = rig.dump(engine)

    with receiving(engine) as port:
        assert post(port, **request_) == status

    assert rig.dump(engine) == before


@pytest.mark.parametrize("length", [b"", b"Content-Length: -1\r\n", b"Content-Length: x\r\n"])
def test_bodies_of_no_length(engine, length):
    """A length must be said, and be one."""
    with receiving(engine) as port:
        request = b"POST /webhooks/scripted HTTP/1.0\r\n" + length + b"\r\n"
        assert raw(port, request) == b"HTTP/1.0 400 Bad Request"


@pytest.mark.parametrize("digits", [8, 5000])
def test_a_length_beyond_all_measure(engine, digits):
    """However it is written, it is too much."""
    head = b"POST /webhooks/scripted HTTP/1.0\r\nContent-Length: " + b"9" * digits + b"\r\n\r\n"
    with receiving(engine) as port:
        assert raw(port, head) == b"HTTP/1.0 413 Request Entity Too Large"


def test_a_body_that_is_cut_off(engine, part_id):
    """Less than was announced is not news."""
    head = b"POST /webhooks/scripted HTTP/1.0\r\nSignature: right\r\nContent-Length: 90\r\n\r\n"
    with receiving(engine) as port:
        assert raw(port, head + b"r1 failed") == b"HTTP/1.0 400 Bad Request"

    assert part_state(engine, part_id) == "settled"


def test_a_part_in_other_hands(database_url, engine, part_id):
    """While somebody holds the order for longer than we wait, the provider is to send it again;
    nothing is lost or half done.
    """
    hurried = rig.other_engine(database_url, lock_timeout_ms=50)
    with receiving(hurried) as port:
        with rig.holding(engine, "O-1"):
            before = rig.dump(engine)
            assert post(port) == 503
            assert rig.dump(engine) == before
        assert post(port) == 200

    hurried.dispose()
    assert part_state(engine, part_id) == "failed"


def test_without_a_database(engine, part_id):
    """503 as well."""
    del part_id
    gone = rig.other_engine("postgresql://nobody@127.0.0.1:1/none")

    with receiving(gone) as port:
        assert post(port) == 503

    gone.dispose()
    assert money(engine) == [(100, 100)]


def test_many_at_once(engine, part_id):
    """More requests than threads: all are answered, the books have one end."""
    with receiving(engine) as port:
        assert rig.together(*[lambda: post(port)] * 20) == [200] * 20

    assert [name for name, _ in events(engine)] == ["refund_settled", "refund_failed"]
    assert part_state(engine, part_id) == "failed"


def test_the_command(engine, database_url, part_id, tmp_path):
    """`fulfillment webhooks` serves the providers of the settings and ends at SIGTERM."""
    (tmp_path / "till.py").write_text(
        "from tests.work.test_webhooks import Telling\ndef make(config): return Telling()\n"
    )
    rig.run(engine, "update refund_parts set provider = 'till:make'")
    environment = os.environ | {
        "DATABASE_URL": database_url,
        "REDIS_URL": "redis://127.0.0.1:1",
        "FULFILLMENT_REFUND_PROVIDERS": '{"*": "till:make"}',
        "PYTHONPATH": f"{tmp_path}:{Path.cwd()}",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "worker", "webhooks", "--port", "0"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        line = process.stdout.readline()
        assert line.startswith("listening on http://127.0.0.1:")
        assert line.endswith("/webhooks/till:make\n")
        port = int(line.split(":")[2].split("/")[0])
        assert post(port, path="/webhooks/till:make") == 200
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        process.stdout.close()

    assert part_state(engine, part_id) == "failed"
