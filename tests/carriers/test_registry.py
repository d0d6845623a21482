"""The common carriers, and the shop's table that begins with them."""

import pytest
from alembic import command

from messages import NewCarrier
from tests.work import rig
from worker.carriers import table
from worker.carriers.forms import OWN, S10, VENDORED
from worker.carriers.registry import COMMON, code_of, means, tracking_page
from worker.settings import Settings
from worker.store import schema
from worker.store.engine import make_engine

CODES = {one.code for one in COMMON}


def test_codes_and_names_are_told_apart():
    """No code and no name stands for two carriers, and each could be added by hand."""
    assert len(CODES) == len(COMMON)
    for one in COMMON:
        NewCarrier(code=one.code, name=one.name, tracking_url=one.tracking_url)
        assert [code_of(name) for name in (one.code, one.name, *one.aliases)] == (
            [one.code] * (2 + len(one.aliases))
        )
        assert one.tracking_url is None or one.tracking_url.count("{number}") == 1


def test_numbers_are_of_carriers_that_are_here():
    """Whoever has a form or a country is a common carrier."""
    operators = {code for codes in S10.values() for code in codes}

    assert {*VENDORED, *operators, *(form.carrier for form in OWN)} <= CODES


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("UPS", "ups"),
        ("fedex", "fedex"),
        ("Canada Post", "canada-post"),
        ("CANADA POST", "canada-post"),
        ("La Poste", "la-poste"),
        ("Österreichische Post", "austrian-post"),
        ("Hermes UK", "evri"),
        ("Other", None),
        ("", None),
    ],
)
def test_names_of_other_systems(name, code):
    """A name finds its carrier however it is spelt; a name that is nobody's finds none."""
    assert code_of(name) == code


@pytest.mark.parametrize(
    ("code", "name", "is_meant"),
    [
        ("dhl", "DHL", True),
        ("dhl", "DHL Paket Leipzig", True),
        ("la-poste", "LA-POSTE", True),
        ("dhl", "Dave's Haulage", False),
        ("dhl", "", False),
        ("city-bikes", "City Bikes", False),
    ],
)
def test_a_code_that_means_another(code, name, is_meant):
    """A shop's own carrier under a common code is not taken for the common one."""
    assert means(code, name) is is_meant


def test_tracking_page():
    """A number is put into the address so that it stays one."""
    assert tracking_page("1 /&", "https://t.example/{number}?a") == "https://t.example/1%20%2F%26?a"


def test_the_table_begins_with_the_common_ones(engine):
    """A migrated database knows every common carrier."""
    with engine.connect() as connection:
        found = table.carriers(connection)

    assert {(one["code"], one["name"], one["tracking_url"]) for one in found} == {
        (one.code, one.name, one.tracking_url) for one in COMMON
    }


def test_codes_that_the_shop_uses_keep_their_meaning(postgres_server, engine):
    """The migration changes no carrier that is there, whatever it means."""
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.exec_driver_sql("create database before_carriers")
    url = engine.url.set(database="before_carriers").render_as_string(hide_password=False)
    shop = make_engine(url, Settings())
    with shop.begin() as connection:
        config = schema._config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0005")
    rig.run(shop, "insert into carriers (code, name) values ('dhl', 'Dave''s'), ('own', 'Own')")

    schema.migrate(shop)

    names = "select array_agg(name order by code) from carriers where code in ('dhl', 'own', 'ups')"
    assert rig.one(shop, names) == (["Dave's", "Own", "UPS"],)
    shop.dispose()
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.exec_driver_sql("drop database before_carriers with (force)")


def test_a_carrier_gets_another_page(engine):
    """The same carrier with another page gets it; without one, or with its own, nothing changes."""
    own = NewCarrier(code="ups", name="UPS", tracking_url="https://ups.example/{number}")

    with engine.begin() as connection:
        answers = [
            table.add(connection, NewCarrier(code="ups", name="UPS")),
            table.add(connection, own),
            table.add(connection, own),
            table.add(connection, NewCarrier(code="ups", name="Other", tracking_url="https://x")),
            table.add(connection, NewCarrier(code="new", name="New")),
        ]

    assert answers == ["known", "changed", "known", "taken", "added"]
    assert rig.one(engine, "select name, tracking_url from carriers where code = 'ups'") == (
        "UPS",
        "https://ups.example/{number}",
    )


@pytest.mark.parametrize(
    ("code", "close"),
    [
        ("dhll", ["dhl"]),
        ("canadapost", ["canada-post"]),
        ("federal-express", ["fedex"]),
        ("dhl", []),
        ("zzzzzz", []),
    ],
)
def test_close_codes(engine, code, close):
    """A mistyped code and another name find what was meant."""
    with engine.connect() as connection:
        assert table.close_to(connection, code) == close
