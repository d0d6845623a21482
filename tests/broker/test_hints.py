"""Hints: bounded in time and number, and never an error."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import redis

from messages import wire
from tests.broker.broker_rig import NAMESPACE, QUEUE, Rig, until
from worker.broker.hints import Hints
from worker.embedded.server import Server


class Clock:
    """A clock that stands."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def hints(server: Server) -> Iterator[Hints]:
    """At most two may wait."""
    hints = Hints(server.url, namespace=NAMESPACE, limit=2)
    yield hints
    hints.close()


@pytest.fixture
def black_hole() -> Iterator[str]:
    """The address of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"


def test_a_hint_runs_the_routes_drain(hints: Hints, ours: Callable[..., Rig]):
    """Our consumer reads the message and calls the actor without arguments."""
    rig = ours()
    drained = threading.Event()
    rig.actor(drained.set, wire.drain_actor(QUEUE))

    assert hints.send(QUEUE) is True
    rig.start()
    until(drained.is_set)
    until(lambda: not rig.bodies())


def test_dramatiqs_consumer_reads_a_hint(hints: Hints, stock: Callable[..., Rig]):
    """An operator may run the stock broker."""
    rig = stock()
    drained = threading.Event()
    rig.actor(drained.set, wire.drain_actor(QUEUE))

    assert hints.send(QUEUE) is True
    rig.start()
    until(drained.is_set)
    until(lambda: not rig.bodies())


def test_no_more_hints_wait_than_are_of_use(hints: Hints, admin: redis.Redis):
    """The third is not sent and is no failure; each route counts its own."""
    assert [hints.send("labels") for _ in range(3)] == [True, True, True]
    assert hints.send("emails") is True

    assert admin.llen(f"{NAMESPACE}:labels") == 2
    assert admin.hlen(f"{NAMESPACE}:labels.msgs") == 2
    assert admin.llen(f"{NAMESPACE}:emails") == 1


def test_the_limit_may_be_asked_each_time(server: Server, admin: redis.Redis):
    """The number of processes may change."""
    limits = iter([1, 1, 2])
    hints = Hints(server.url, namespace=NAMESPACE, limit=lambda: next(limits))

    waiting = [hints.send("labels") and admin.llen(f"{NAMESPACE}:labels") for _ in range(3)]

    assert waiting == [1, 1, 2]
    hints.close()


def test_a_black_hole_costs_a_quarter_of_a_second_once(black_hole: str):
    """The second hint is not tried, until five seconds have passed."""
    clock = Clock()
    hints = Hints(black_hole, limit=2, clock=clock)
    started = time.monotonic()

    assert hints.send("labels") is False
    assert time.monotonic() - started < 1  # 0.25 s, generously
    threads = threading.active_count()
    clock.now += 4.9
    assert [hints.send("labels") for _ in range(1000)] == [False] * 1000
    assert threading.active_count() == threads
    hints.close()


def test_a_name_that_is_never_found_costs_no_more(monkeypatch: pytest.MonkeyPatch):
    """No time-out of a socket bounds the look-up of a name."""
    go, found = threading.Event(), threading.Event()

    def look_up(*_: object, **__: object) -> list[object]:
        go.wait(5)
        found.set()
        return []

    # The standard library's, because no name server can be made to hang here.
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    hints = Hints("redis://slow.test/0", limit=2)

    assert hints.send("labels") is False

    assert not found.is_set()
    go.set()
    hints.close()


def test_hints_are_tried_again_after_five_seconds(server: Server, admin: redis.Redis):
    """A refused hint makes quiet; when it is over the next one goes through."""
    clock = Clock()
    hints = Hints(server.url, namespace=NAMESPACE, limit=2, clock=clock)
    admin.config_set("maxmemory", 1)
    assert hints.send("labels") is False
    admin.config_set("maxmemory", 0)

    assert hints.send("labels") is False
    assert admin.llen(f"{NAMESPACE}:labels") == 0
    clock.now += 5
    assert hints.send("labels") is True

    assert admin.llen(f"{NAMESPACE}:labels") == 1
    hints.close()


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "redis://no.such.host.invalid/0", "junk"])
def test_no_address_makes_an_error(url: str):
    """Refused, unknown, senseless: the work is in PostgreSQL."""
    hints = Hints(url, limit=2)

    assert hints.send("labels") is False

    hints.close()


def test_a_limit_that_fails_makes_no_error(server: Server):
    """A hint is not worth an error."""
    hints = Hints(server.url, limit=lambda: 1 // 0)

    assert hints.send("labels") is False

    hints.close()


def test_many_threads_share_hints(server: Server, admin: redis.Redis):
    """Each of 8 threads sends 20; all are there, each with its body."""
    hints = Hints(server.url, namespace=NAMESPACE, limit=1000)
    sent: list[bool] = []
    threads = [
        threading.Thread(target=lambda: sent.extend(hints.send("labels") for _ in range(20)))
        for _ in range(8)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sent == [True] * 160
    assert admin.llen(f"{NAMESPACE}:labels") == admin.hlen(f"{NAMESPACE}:labels.msgs") == 160
    hints.close()


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # that is the point
def test_a_forked_child_has_its_own_connection(hints: Hints, admin: redis.Redis):
    """The parent's thread is not in the child; the child's hint arrives all the same."""
    assert hints.send("labels") is True

    child = os.fork()
    if child == 0:
        os._exit(0 if hints.send("emails") else 1)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert admin.llen(f"{NAMESPACE}:emails") == 1
    assert hints.send("labels") is True
