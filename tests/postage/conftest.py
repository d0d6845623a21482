"""What tests of bought labels share: a carrier over HTTP, orders, a worker's routes."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog

from tests.fakes.carrier import FakeCarrier
from tests.labels import lab
from tests.work import rig
from worker.emails.route import emails_route
from worker.labels.making import labels_route
from worker.postage.adapters import carriers
from worker.postage.tracking import tracking_route
from worker.settings import Settings

ADAPTER = "tests.fakes.carrier:FakeAdapter"


@pytest.fixture(autouse=True)
def logs() -> Iterator[list]:
    """What is logged in this process; unconfigured, structlog prints to the commands' stdout."""
    with structlog.testing.capture_logs() as captured:
        yield captured


@pytest.fixture
def database_url(emptied: Callable[..., str]) -> str:
    """The folder's database, empty but for the carriers that every shop knows."""
    return emptied("postage")


@pytest.fixture
def carrier() -> Iterator[FakeCarrier]:
    """The carrier, where everything goes well."""
    with FakeCarrier() as carrier:
        yield carrier


@pytest.fixture
def config(tmp_path: Path, carrier: FakeCarrier):
    """Settings with a store of the test's own, in which UPS is the fake carrier."""

    def make(**ups):
        settings = {"adapter": ADAPTER, "url": carrier.url, "rate": "1000", "timeout_s": "20"} | ups
        return Settings(
            label_store=str(tmp_path / "store"),
            email_folder=tmp_path / "mail",
            ship_from=lab.SHOP,
            parcel_weight_g=500,
            carrier_adapters={"ups": settings},
        )

    return make


@pytest.fixture
def drain(engine, config):
    """Carries out what is due of a route: labels, unless another is named."""

    def run(route="labels", *, settings=None, **ups):
        settings = settings or config(**ups)
        rig.drain_of(route_of(route, engine, settings), engine)()

    return run


def route_of(name, engine, settings):
    match name:
        case "labels":
            return labels_route(engine, settings, carriers(engine, settings))
        case "tracking":
            return tracking_route(engine, settings, carriers(engine, settings))
        case "emails":
            return emails_route(engine, settings)


@pytest.fixture
def shipped(engine):
    """Ships an order of five of A and two of B with UPS, with a label to be made; the command."""

    def ship(*, order_id="O-1", ship_to=None, **fields):
        if not rig.count(engine, "orders", f"order_id = '{order_id}'"):
            address = {"ship_to": ship_to or lab.address()}
            email = {"customer": {"email": "customer@example.com"}}
            lab.placed(engine, order_id=order_id, **address, **email)
        given = {"carrier": "ups", "tracking_number": None}
        command = lab.ship(order_id=order_id, **given | fields)
        assert rig.decided(engine, command) == ["applied"]
        return command

    return ship
