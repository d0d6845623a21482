"""The command line as people use it: on the test's own database, with a worker's parts at hand."""

import threading
import time
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
import structlog
from sqlalchemy import Engine
from typer.testing import Result

from messages import Command
from messages.wire import COMMANDS, JOBS
from tests.cli.cli_tools import invoke, one, paid_order, write
from tests.factories import place, placed_order, ship
from tests.work.rig import TABLES
from worker.runtime import Runtime
from worker.work.accept import accept, accept_bodies

Cli = Callable[..., Result]


@pytest.fixture(autouse=True)
def logs() -> Iterator[list]:
    """What is logged in this process; unconfigured, structlog prints to the commands' stdout."""
    with structlog.testing.capture_logs() as captured:
        yield captured


@pytest.fixture
def database_url(emptied: Callable[..., str]) -> str:
    """The folder's database, empty, also of carriers."""
    return emptied("cli", tables=TABLES)


@pytest.fixture
def environment(database_url: str, redis_url: str) -> dict[str, str]:
    """The environment of a user whose servers are the test's."""
    return {"DATABASE_URL": database_url, "REDIS_URL": redis_url}


@pytest.fixture
def cli(environment: dict[str, str]) -> Cli:
    """Runs a command in this process; `cli("orders", "list", stdin=...)`."""

    def run(*words: str, stdin: str | bytes | None = None) -> Result:
        return invoke(words, environment, stdin=stdin)

    return run


@pytest.fixture
def worker(runtime: Runtime) -> Iterator[Runtime]:
    """A worker that decides whatever is due while the test runs."""
    ended = threading.Event()

    def drain() -> None:
        while not ended.is_set():
            runtime.drains[JOBS]()
            runtime.drains[COMMANDS].has_bulk.set()  # as a ticker would
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
