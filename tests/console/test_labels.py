"""Labels and slips of many orders, as one file for the printer."""

import io

import pytest
from pypdf import PdfReader

from messages.order import Address
from tests import factories as make
from tests.console.pages import text
from tests.work import rig

ADDRESS = Address(
    name="Customer 1", lines=("1 Example Street",), city="Springfield", district="IL",
    postal_code="62701", country="US",
)  # fmt: skip


@pytest.fixture
def shop(sign_in, engine):
    """One order that was shipped in two parcels, one of which came back; one with everything left;
    one without an address; and who prints.
    """
    for order_id in ("O-1", "O-2"):
        rig.placed(engine, order_id, ship_to=ADDRESS, ship_from=ADDRESS)
    rig.placed(engine, "O-3")
    kept, called_back = (make.ship(items=make.items(A=1), carrier="dhl") for _ in range(2))
    rig.decided(engine, kept, called_back)
    rig.decided(engine, make.void(shipment_id=called_back.command_id))
    return sign_in()


def pages(answer):
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/pdf")
    return [page.extract_text() for page in PdfReader(io.BytesIO(answer.content)).pages]


def test_parcels_that_left_and_what_is_left(shop, engine):
    """Of an order with parcels those that were not called back; of one without, what is left of it;
    with slips or without. Nothing is shipped or stored by it.
    """
    before = rig.dump(engine)

    labels = pages(shop.get("/labels.pdf?order=O-1&order=O-2"))
    both = pages(shop.get("/labels.pdf?order=O-1&order=O-2&slips=true"))

    assert [("O-1" in page, "O-2" in page) for page in labels] == [(True, False), (False, True)]
    assert len(both) == 4
    assert rig.dump(engine) == before


def test_what_cannot_be_printed_is_named(shop):
    """A page says which orders and why, and offers the others."""
    answer = shop.get("/labels.pdf?order=O-1&order=O-3&order=O-9&slips=true")

    assert answer.status_code == 409
    said = text(answer)
    assert "2 orders cannot be printed" in said
    assert "O-9 : the order is not here" in said
    assert "O-3 : correct ship_to" in said
    assert 'name="order" value="O-1"' in answer.text
    assert 'name="slips" value="true"' in answer.text


def test_nothing_selected(shop):
    """Says so."""
    answer = shop.get("/labels.pdf")

    assert (answer.status_code, "No order was selected." in text(answer)) == (422, True)
