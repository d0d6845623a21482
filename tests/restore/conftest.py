"""A shop whose store is restored: what it did after the backup, the provider, the carrier and the
customers still know.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import structlog
from sqlalchemy import Engine
from typer.testing import Result

from messages import Command, Payment
from tests import factories as make
from tests.cli.cli_tools import invoke
from tests.fakes.carrier import FakeCarrier
from tests.fakes.square import FakeSquare
from tests.labels import lab
from tests.work import rig
from worker.refunds.providers import providers
from worker.runtime import followup_routes
from worker.settings import Settings
from worker.store.engine import make_engine

CUSTOMER = "customer@example.com"


@pytest.fixture(autouse=True)
def logs() -> Iterator[list]:
    """What is logged in this process; unconfigured, structlog prints to the commands' stdout."""
    with structlog.testing.capture_logs() as captured:
        yield captured


@pytest.fixture
def square() -> Iterator[FakeSquare]:
    """The provider, with the money of O-1."""
    with FakeSquare() as square:
        square.ledger.capture("P1", 10_000)
        yield square


@pytest.fixture
def carrier() -> Iterator[FakeCarrier]:
    """The carrier, where everything goes well."""
    with FakeCarrier() as carrier:
        yield carrier


@dataclass
class Shop:
    """One store, and what works on it."""

    url: str
    engine: Engine
    environment: dict[str, str]
    mail: Path

    def cli(self, *words: str) -> Result:
        """A command on this store."""
        return invoke(words, {**self.environment, "DATABASE_URL": self.url})

    def work(self, *commands: Command) -> None:
        """Do all that is due, as workers would."""
        rig.accepted(self.engine, *commands)
        rig.drainer(self.engine)()
        config = Settings()
        for route in followup_routes(self.engine, config, providers(config)):
            rig.drain_of(route, self.engine)()

    @property
    def subjects(self) -> list[str]:
        """Of the e-mails that customers got, from whichever store."""
        return sorted(
            line.removeprefix("Subject: ")
            for path in self.mail.rglob("*.eml")
            for line in path.read_text().splitlines()
            if line.startswith("Subject: ")
        )


@pytest.fixture
def environment(
    redis_url: str,
    square: FakeSquare,
    carrier: FakeCarrier,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, str]:
    """The settings of whichever store: cards are paid back by Square, UPS labels are bought."""
    ups = {"adapter": "tests.fakes.carrier:FakeAdapter", "url": carrier.url, "rate": "1000"}
    environment = {
        "REDIS_URL": redis_url,
        "FULFILLMENT_REFUND_PROVIDERS": '{"*": "square"}',
        "SQUARE_ACCESS_TOKEN": square.token,
        "SQUARE_URL": square.url,
        "FULFILLMENT_CARRIER_ADAPTERS": json.dumps({"ups": ups}),
        "FULFILLMENT_EMAIL_FOLDER": str(tmp_path / "mail"),
        "FULFILLMENT_LABEL_STORE": str(tmp_path / "labels"),
        "FULFILLMENT_SHIP_FROM": lab.SHOP.model_dump_json(),
        "FULFILLMENT_PARCEL_WEIGHT_G": "500",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return environment


@pytest.fixture
def shop(
    emptied: Callable[..., str], environment: dict[str, str], tmp_path: Path
) -> Iterator[Shop]:
    """The store before its server is lost. O-1 is placed and paid: 100.00 by P1."""
    url = emptied("restore")
    made = Shop(url, make_engine(url, Settings()), environment, tmp_path / "mail")
    rig.with_lines(
        made.engine,
        make.order_line("A", 5, net_minor=10_000),
        payments=(Payment(payment_id="P1", captured_minor=10_000, method="card"),),
        ship_to=lab.address(),
        customer={"email": CUSTOMER},
    )
    yield made
    made.engine.dispose()


@pytest.fixture
def backed_up(postgres_server, emptied, shop: Shop) -> Iterator[Callable[[], Shop]]:
    """Takes a backup, and gives the store that is restored from it."""
    names: list[str] = []
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:

        def back_up() -> Shop:
            shop.engine.dispose()  # nobody may be in what is copied
            emptied.leave(shop.url)
            url = f"{shop.url}_restored"
            name = url.rsplit("/", 1)[1]
            copied = shop.url.rsplit("/", 1)[1]
            connection.execute(f"create database {name} template {copied} strategy file_copy")
            names.append(name)
            restored = Shop(url, make_engine(url, Settings()), shop.environment, shop.mail)
            engines.append(restored.engine)
            return restored

        engines: list[Engine] = []
        yield back_up
        for engine in engines:
            engine.dispose()
        for name in names:
            connection.execute(f"drop database {name} with (force)")
