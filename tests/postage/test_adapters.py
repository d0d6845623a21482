"""Which adapter a carrier has, by the settings."""

import pytest
from typer.testing import CliRunner

from tests.fakes.carrier import FakeAdapter
from worker.cli.root import app
from worker.plugins import CannotUse
from worker.postage.adapters import adapters
from worker.postage.karrio import Karrio
from worker.settings import Settings

UPS = {"client_id": "id", "client_secret": "secret"}
FAKE = {"adapter": "tests.fakes.carrier:FakeAdapter", "url": "http://127.0.0.1:9"}


def made(**carriers):
    return adapters(Settings(carrier_adapters=carriers))


def test_by_name_and_by_place():
    """An adapter is an installed one, or an attribute of a module."""
    found = made(ups={"adapter": "karrio"} | UPS, dhl=FAKE)

    assert {code: type(one) for code, one in found.items()} == {"ups": Karrio, "dhl": FakeAdapter}


def test_none():
    """Without settings every label is drawn."""
    assert made() == {}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "adapter is missing: the name of one, or module:attribute"),
        ({"adapter": "pigeon"}, "there is no 'pigeon'; there is karrio, or module:attribute"),
        ({"adapter": ".where:Adapter"}, "'.where:Adapter' cannot be imported"),
        ({"adapter": "no.where:Adapter"}, "'no.where:Adapter' cannot be imported"),
        ({"adapter": "tests.fakes.carrier:None"}, "'tests.fakes.carrier:None' cannot be imported"),
        ({"adapter": "karrio"}, "client_id, client_secret missing"),
        (FAKE | {"rate": "often"}, "rate must be calls a second, such as 5 or 0.5"),
        (FAKE | {"rate": "0"}, "rate must be calls a second, such as 5 or 0.5"),
        (FAKE | {"rate": "nan"}, "rate must be calls a second, such as 5 or 0.5"),
    ],
)
def test_what_cannot_be(settings, said):
    """The error names variable and carrier, and says what to do."""
    with pytest.raises(CannotUse) as raised:
        made(ups=settings)

    assert str(raised.value).startswith(f"FULFILLMENT_CARRIER_ADAPTERS, carrier ups: {said}")


def test_a_worker_says_so_at_its_start(database_url, redis_url):
    """It does not start, with exit code 2."""
    environment = {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "FULFILLMENT_CARRIER_ADAPTERS": '{"ups": {"adapter": "karrio"}}',
    }

    result = CliRunner().invoke(app, ["worker"], env=environment)

    assert result.exit_code == 2
    assert "carrier ups: client_id, client_secret missing" in result.stderr


def test_the_doctor_says_so(database_url, redis_url):
    """Beside the other parts."""
    environment = {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "FULFILLMENT_CARRIER_ADAPTERS": '{"ups": {"adapter": "karrio"}}',
    }

    result = CliRunner().invoke(app, ["doctor"], env=environment)

    assert result.exit_code == 1
    assert "WRONG carriers: labels are bought from ups" in result.stdout
