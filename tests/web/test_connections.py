"""Connections when the door closes: no request runs into one that is closing."""

import asyncio
import socket
from http.client import HTTPConnection

import pytest
from uvicorn.server import ServerState

from tests import factories as make
from tests.web.served import serving
from tests.work import rig
from worker.web.connections import Connection
from worker.web.serve import KEEP_ALIVE_S, Server


@pytest.fixture
def listening():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture
def connect(listening):
    """Makes clients that have one connection and try nothing a second time."""
    made = []

    def connected():
        made.append(HTTPConnection(*listening.getsockname(), timeout=20))
        made[-1].connect()
        return made[-1]

    yield connected
    for one in made:
        one.close()


def asked(client, path="/livez"):
    """The status of an answer, and what it says of its connection."""
    client.request("GET", path)
    answer = client.getresponse()
    answer.read()
    return answer.status, answer.headers["Connection"]


def test_each_connection_has_a_last_answer(make_door, engine, listening, connect):
    """When the server ends, who waits is answered, and so is the next request of each connection
    that is open; each is told that it was the last. Then the server is gone, and who connected
    meanwhile is answered by another on the same socket.
    """
    door = make_door(has_keys=False)
    command = make.ship()
    rig.accepted(engine, command)
    told = []
    with serving(door, listening) as server:
        used, unused, waiting = connect(), connect(), connect()
        assert asked(used) == (200, None)
        path = f"/v1/commands/{command.command_id}?wait=50"
        with rig.running(lambda: told.append(asked(waiting, path))):
            rig.until(lambda: door.waiting._waiting and len(server.server_state.connections) == 3)
            server.should_exit = True
            rig.until(lambda: not server.servers[0].sockets)
            later = connect()
        assert told == [(200, "close")]
        assert asked(used) == (200, "close")
        assert asked(unused) == (200, "close")

    with serving(make_door(has_keys=False), listening):
        assert asked(later) == (200, None)
        later.close()


@pytest.mark.parametrize(
    ("idle_s", "closed_in_s"), [(None, 6), (0, 6), (2, 4), (7, 0)]
)  # fmt: skip
def test_what_is_not_used_is_closed(make_door, idle_s, closed_in_s):
    """A connection of which nothing comes is closed when it was idle for six seconds: clients have
    forgotten it by then. One that was never used counts from the end on.
    """
    loop = Clock()
    config = Server(make_door(has_keys=False)).config
    config.load()
    connection = Connection(config, ServerState(), {}, loop)
    if idle_s is not None:
        connection.timeout_keep_alive_task = loop.call_later(KEEP_ALIVE_S, lambda: None)
        loop.now += idle_s

    connection.shutdown()

    assert connection.timeout_keep_alive_task.when() - loop.now == closed_in_s
    assert connection.timeout_keep_alive_task._callback == connection.timeout_keep_alive_handler


class Clock:
    """A loop whose time we tell."""

    now = 1000

    def time(self):
        return self.now

    def call_later(self, delay, callback):
        return asyncio.TimerHandle(self.now + delay, callback, (), self)

    def get_debug(self):
        return False

    def _timer_handle_cancelled(self, handle):
        pass
