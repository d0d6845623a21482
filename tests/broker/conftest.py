"""A real, empty Valkey for each test, and dramatiq's worker on it: our broker's or its own."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import dramatiq.worker
import pytest
import redis
from dramatiq import Middleware
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import CurrentMessage, default_middleware

from tests.broker.broker_rig import NAMESPACE, QUEUE, Rig
from worker.broker.client import connect
from worker.broker.redis import HardenedRedisBroker
from worker.embedded import valkey
from worker.embedded.server import Server


@pytest.fixture(autouse=True)
def _quick_restarts(monkeypatch: pytest.MonkeyPatch) -> None:
    # dramatiq's constants, not ours; it reads the environment at import, which may be long past.
    monkeypatch.setattr(dramatiq.worker, "CONSUMER_RESTART_DELAY_SECS", 0.02)
    monkeypatch.setattr(dramatiq.worker, "POST_PROCESS_MESSAGE_RETRY_DELAY_SECS", 0.02)


class Cellar:
    """The one Valkey of a session; tests kill it, freeze it and fill it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = valkey.start(folder)

    def start(self) -> None:
        """Start it again, with its data, at its address."""
        self.server = valkey.start(self.folder, port=self.server.port)

    def crash(self) -> Callable[[], None]:
        """Kill it; gives what starts it again."""
        self.server.stop("immediate")
        return self.start

    def clean(self) -> Server:
        """As if it were new."""
        if self.server.process.poll() is not None:
            self.start()
        self.server.process.send_signal(signal.SIGCONT)
        with connect(self.server.url, timeout_s=5, connect_timeout_s=5) as client:
            client.replicaof("NO", "ONE")
            client.config_set("maxmemory", 0)
            client.flushall()
            client.config_resetstat()
        return self.server


@pytest.fixture(scope="session")
def cellar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cellar]:
    cellar = Cellar(tmp_path_factory.mktemp("valkey"))
    yield cellar
    cellar.server.stop("immediate")


@pytest.fixture
def server(cellar: Cellar) -> Server:
    """An empty Valkey."""
    return cellar.clean()


@pytest.fixture
def crash(server: Server, cellar: Cellar) -> Callable[[], Callable[[], None]]:
    """Kills the server and gives what starts it again, with its data, at its address."""
    return cellar.crash


@pytest.fixture
def admin(server: Server) -> Iterator[redis.Redis]:
    """The test's own client."""
    with connect(server.url, timeout_s=5, connect_timeout_s=5) as client:
        yield client


@pytest.fixture
def ours(server: Server, admin: redis.Redis) -> Iterator[Callable[..., Rig]]:
    """Makes rigs on our broker."""
    rigs: list[Rig] = []

    def make(*middleware: Middleware, timeout_s: float = 3) -> Rig:
        client = connect(server.url, timeout_s=timeout_s, connect_timeout_s=1)
        broker = HardenedRedisBroker(
            client=client, middleware=middleware, namespace=NAMESPACE, block_s=0.03
        )
        rigs.append(Rig(broker, admin))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.stop()


@pytest.fixture
def stock(server: Server, admin: redis.Redis) -> Iterator[Callable[..., Rig]]:
    """Makes rigs on dramatiq's own broker, as its documentation makes it."""
    rigs: list[Rig] = []

    def make(*, timeout_s: float = 3) -> Rig:
        middleware = [kind() for kind in default_middleware]
        url = f"{server.url}?socket_timeout={timeout_s}"
        broker = RedisBroker(
            url=url, middleware=[*middleware, CurrentMessage()], namespace=NAMESPACE
        )
        broker.do_qsize(QUEUE)  # finds out the depth of Lua's stack, once in a process
        rigs.append(Rig(broker, admin))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.stop()
