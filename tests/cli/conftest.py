"""The command line as people use it: on the test's own database, with a worker's parts at hand."""

import threading
import time
from collections.abc import Callable, Iterator
from uuid import uuid4

import psycopg
import pytest
import structlog
from sqlalchemy import Engine
from typer.testing import CliRunner, Result

from messages import Command
from messages.wire import COMMANDS
from tests.cli.cli_tools import one, paid_order, write
from tests.factories import place, placed_order, ship
from worker.cli.root import app
from worker.embedded.server import Server
from worker.runtime import Runtime
from worker.work.accept import accept, accept_bodies

Cli = Callable[..., Result]


@pytest.fixture(autouse=True)
def logs() -> Iterator[list]:
    """What is logged in this process; unconfigured, structlog prints to the commands' stdout."""
    with structlog.testing.capture_logs() as captured:
        yield captured


@pytest.fixture(scope="session")
def one_database(postgres_server: Server, template: str) -> Iterator[str]:
    """A migrated database for all tests of this folder: emptying one is quicker than making one."""
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute(f"create database cli template {template}")
        yield f"{postgres_server.url.rsplit('/', 1)[0]}/cli"
        connection.execute("drop database cli with (force)")


@pytest.fixture
def database_url(one_database: str) -> str:
    """The folder's database, empty."""
    with psycopg.connect(one_database) as connection:
        connection.execute(
            "truncate orders, order_words, commands, followups, history, shipment_lines,"
            " refund_lines, strays, carriers, paused_routes, audit cascade"
        )
    return one_database


@pytest.fixture
def environment(database_url: str, redis_url: str) -> dict[str, str]:
    """The environment of a user whose servers are the test's."""
    return {"DATABASE_URL": database_url, "REDIS_URL": redis_url}


@pytest.fixture
def cli(environment: dict[str, str]) -> Cli:
    """Runs a command in this process; `cli("orders", "list", stdin=...)`."""

    def run(*words: str, stdin: str | bytes | None = None) -> Result:
        result = CliRunner().invoke(app, list(words), env=environment, input=stdin)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def worker(runtime: Runtime) -> Iterator[Runtime]:
    """A worker that decides whatever is due while the test runs."""
    ended = threading.Event()

    def drain() -> None:
        while not ended.is_set():
            runtime.drains[COMMANDS]()
            time.sleep(0.01)  # the pause of a poll, not a wait for luck

    thread = threading.Thread(target=drain)
    thread.start()
    yield runtime
    ended.set()
    thread.join()


@pytest.fixture
def decided(runtime: Runtime, engine: Engine) -> Callable[..., None]:
    """Accepts commands and has them decided."""

    def decide(*commands: Command) -> None:
        with engine.begin() as connection:
            accept(connection, commands)
        runtime.drains[COMMANDS]()

    return decide


@pytest.fixture
def placed(decided: Callable[..., None]) -> str:
    """The order O-1: three of line A for one euro each, paid."""
    decided(place(order=paid_order()))
    return "O-1"


@pytest.fixture
def dead(decided, engine, runtime):
    """A dead command of O-1, a dead e-mail of O-1, and a dead command of O-2."""
    decided(place(order=placed_order()), place(order_id="O-2", order=placed_order()))
    decided(ship())
    ids = [uuid4(), uuid4()]
    bodies = [
        {"kind": "ship", "command_id": one_id, "order_id": order_id, "schema_version": 2}
        for one_id, order_id in zip(ids, ("O-1", "O-2"), strict=True)
    ]
    with engine.begin() as connection:
        accept_bodies(connection, bodies)
    runtime.drains["commands"]()
    errors = "jsonb_build_array(jsonb_build_object('reason', 'smtp_550', 'message', 'gone'))"
    write(
        engine,
        "update followups set state = 'dead', dead_reason = 'smtp_550', attempts = 3, "
        f"decided_at = now(), errors = {errors}",
    )
    email = one(engine, "select id from followups")
    return {"O-1": ids[0], "O-2": ids[1], "email": email}
