"""The console in this process: over ASGI, the database real; for a browser, on a port."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import Engine
from starlette.testclient import TestClient
from typer.testing import CliRunner

from tests.console.browser import Browser, chromium
from tests.web.application import application
from tests.web.served import served
from worker.cli.root import app
from worker.console import sessions, users
from worker.console.visit import SESSION
from worker.orders.rules import decide
from worker.settings import Settings
from worker.store.engine import make_engine
from worker.web import keys
from worker.web.door import CALL_S, POOL_SIZE, Door

ADDRESS = "http://console.example"


@pytest.fixture(autouse=True)
def logs() -> Iterator[list]:
    """What is logged; unconfigured, structlog prints."""
    with structlog.testing.capture_logs() as captured:
        yield captured


@pytest.fixture
def database_url(emptied: Callable[..., str]) -> str:
    """The folder's database, empty but for the carriers that every shop knows."""
    return emptied("console")


class Hints:
    """Wakes nobody."""

    def send(self, route: str = "commands") -> bool:
        return True


@pytest.fixture
def make_door(database_url: str) -> Iterator[Callable[..., Door]]:
    """Makes a door; with other settings than by default, or to another database."""
    engines: list[Engine] = []

    def made(
        *,
        url: str = database_url,
        call_s: float = CALL_S,
        **settings: Any,
    ) -> Door:
        config = Settings(**settings)
        engines.append(make_engine(url, config, pool_size=POOL_SIZE))
        return Door(config, engines[-1], Hints(), decide, call_s=call_s)

    yield made
    for engine in engines:
        engine.dispose()


@pytest.fixture
def make_client(make_door: Callable[..., Door]) -> Iterator[Callable[..., TestClient]]:
    """Makes a browser of a door of its own, as far as there is one without a screen."""
    opened: list[TestClient] = []

    def made(*, base_url: str = ADDRESS, **options: Any) -> TestClient:
        client = TestClient(
            application(make_door(**options)),
            base_url,
            headers={"Accept": "text/html"},
            follow_redirects=False,
            raise_server_exceptions=False,
        )
        opened.append(client)
        return client.__enter__()

    yield made
    for client in opened:
        client.__exit__(None, None, None)


@pytest.fixture
def client(make_client: Callable[..., TestClient]) -> TestClient:
    """Somebody who is not signed in."""
    return make_client()


@pytest.fixture
def session(engine: Engine) -> Callable[..., str]:
    """Makes a user of this role, named as the role; the token of a session."""

    def begun(role: users.Role = "viewer") -> str:
        with engine.begin() as connection:
            users.add(connection, "test", role, role)
            return sessions.begin(connection, role, by="link")

    return begun


@pytest.fixture
def sign_in(
    make_client: Callable[..., TestClient], session: Callable[..., str]
) -> Callable[..., TestClient]:
    """Makes a client that a user of this role is signed in with."""

    def signed_in(role: users.Role = "viewer", **options: Any) -> TestClient:
        client = make_client(**options)
        client.cookies.set(SESSION, session(role))
        return client

    return signed_in


@pytest.fixture
def cli(database_url: str, redis_url: str) -> Callable[..., Any]:
    """Runs a command on the test's database."""
    environment = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}

    def run(*words: str, **options: Any) -> Any:
        return CliRunner().invoke(app, list(words), env=environment, **options)

    return run


@pytest.fixture
def add_key(engine: Engine) -> Callable[..., str]:
    """Makes a key of `/v1`."""

    def added(*kinds: str, may_read: bool = False) -> str:
        with engine.begin() as connection:
            return keys.add(connection, "test", "a system", kinds=kinds, may_read=may_read)

    return added


@pytest.fixture(scope="module")
def _chromium() -> Iterator[Any]:
    """Of a module: while it is open the thread has its event loop, and others need their own."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("no Chromium on this machine: pages were not looked at in a browser")
    with chromium(Path(path)) as launched:
        yield launched


@pytest.fixture
def browser(
    _chromium: Any, make_door: Callable[..., Door], session: Callable[..., str]
) -> Iterator[Callable[..., Browser]]:
    """Opens a browser that a user of this role is signed in with; by default an operator."""
    opened: list[Browser] = []
    with served(make_door()) as address:

        def made(role: users.Role | None = "operator", **options: Any) -> Browser:
            token = session(role) if role else None
            opened.append(Browser(_chromium, address, token, **options))
            return opened[-1]

        yield made
        for one in opened:
            one.close()
