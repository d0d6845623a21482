"""The HTTP door in this process: the application over ASGI, the database real, no server."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from sqlalchemy import Engine
from starlette.testclient import TestClient

from tests.web.application import application
from worker.orders.rules import decide
from worker.settings import Settings
from worker.store.engine import make_engine
from worker.web import keys
from worker.web.door import CALL_S, POOL_SIZE, Door


@pytest.fixture(autouse=True)
def logs() -> Iterator[list]:
    """What is logged; unconfigured, structlog prints."""
    with structlog.testing.capture_logs() as captured:
        yield captured


@pytest.fixture
def database_url(emptied: Callable[..., str]) -> str:
    """The folder's database, empty but for the carriers that every shop knows."""
    return emptied("web")


class Hints:
    """Counts hints."""

    def __init__(self) -> None:
        self.sent = 0

    def send(self, route: str = "commands") -> bool:
        self.sent += 1
        return True


@pytest.fixture
def hints() -> Hints:
    return Hints()


@pytest.fixture
def make_door(database_url: str, hints: Hints) -> Iterator[Callable[..., Door]]:
    """Makes a door; with other settings than by default, or to another database."""
    engines: list[Engine] = []

    def made(
        *, url: str = database_url, has_keys: bool = True, call_s: float = CALL_S, **settings: Any
    ) -> Door:
        config = Settings(**settings)
        engines.append(make_engine(url, config, pool_size=POOL_SIZE))
        return Door(config, engines[-1], hints, decide, has_keys=has_keys, call_s=call_s)

    yield made
    for engine in engines:
        engine.dispose()


@pytest.fixture
def make_client(make_door: Callable[..., Door]) -> Iterator[Callable[..., TestClient]]:
    """Makes a client of a door of its own; `key` is sent with each request."""
    opened: list[TestClient] = []

    def made(
        key: str | None = None, *, base_url: str = "http://door.example", **options: Any
    ) -> TestClient:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        app = application(make_door(**options))
        client = TestClient(app, base_url, headers=headers, raise_server_exceptions=False)
        opened.append(client)
        return client.__enter__()

    yield made
    for client in opened:
        client.__exit__(None, None, None)


@pytest.fixture
def add_key(engine: Engine) -> Callable[..., str]:
    """Makes a key; by default one for everything."""

    def added(*kinds: str, may_read: bool = False, rate_per_minute: int | None = None) -> str:
        with engine.begin() as connection:
            return keys.add(
                connection,
                "test",
                "a system",
                kinds=kinds,
                may_read=may_read,
                rate_per_minute=rate_per_minute,
            )

    return added


@pytest.fixture
def everything(add_key: Callable[..., str]) -> str:
    """A key for everything."""
    return add_key(*keys.ANYTHING.kinds, may_read=True)


@pytest.fixture
def client(make_client: Callable[..., TestClient], everything: str) -> TestClient:
    """A client with a key for everything."""
    return make_client(everything)
