"""What tests of labels share: an order with an address, a worker's route of labels, a store."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from sqlalchemy import Engine
from typer.testing import Result

from tests.cli.cli_tools import invoke
from tests.labels import lab
from tests.work import rig
from worker.labels.making import labels_route
from worker.settings import Settings

Cli = Callable[..., Result]


@pytest.fixture(autouse=True)
def logs() -> Iterator[list]:
    """What is logged in this process; unconfigured, structlog prints to the commands' stdout."""
    with structlog.testing.capture_logs() as captured:
        yield captured


@pytest.fixture
def database_url(emptied: Callable[..., str]) -> str:
    """The folder's database, empty."""
    return emptied("labels")


@pytest.fixture
def config(tmp_path: Path) -> Settings:
    """Settings with a store of the test's own."""
    return Settings(label_store=str(tmp_path / "store"), ship_from=lab.SHOP)


@pytest.fixture
def shipped(engine: Engine):
    """Ships what is asked for, of an order of five of A and two of B; the command."""

    def ship(*, order_id: str = "O-1", **fields):
        if not rig.count(engine, "orders", f"order_id = '{order_id}'"):
            lab.placed(engine, order_id=order_id)
        command = lab.ship(order_id=order_id, **fields)
        assert rig.decided(engine, command) == ["applied"]
        return command

    return ship


@pytest.fixture
def drain(engine: Engine, config: Settings):
    """Carries out the labels that are due."""

    def run(**settings):
        route = labels_route(engine, config.model_copy(update=settings))
        rig.drain_of(route, engine)()

    return run


@pytest.fixture
def cli(database_url: str, redis_url: str, config: Settings) -> Cli:
    """Runs `fulfillment labels ...` in this process, with the test's servers and store."""
    environment = {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "FULFILLMENT_LABEL_STORE": config.label_store,
        "FULFILLMENT_SHIP_FROM": lab.SHOP.model_dump_json(),
    }

    def run(*words: object, **more: str) -> Result:
        return invoke(["labels", *map(str, words)], environment | more)

    return run
