"""The orders' page: what it shows, how it is narrowed down, how one goes on."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest

from messages import Customer, Payment
from tests import factories as make
from tests.console.pages import text
from tests.work import rig

PAID = {"payments": (Payment(payment_id="P1", captured_minor=300),)}


def ids(answer):
    """The orders in the page, in its order."""
    return re.findall(r'href="/orders/([^"]+)"', answer.text)


def test_an_order_is_a_row(sign_in, engine):
    """Number, customer, both statuses in words, total and moment as the language has them."""
    customer = Customer(name="Zoë <b>", email="zoe@shop.example")
    rig.placed(engine, "O-1", number="#1001", customer=customer, **PAID)
    rig.decided(engine, make.hold())
    rig.run(engine, "update orders set placed_at = '2026-03-01T12:05:00Z'")
    client = sign_in()

    english = text(client.get("/orders"))
    french = text(client.get("/orders", headers={"Accept-Language": "fr"}))

    assert "#1001 On hold Zoë <b> Unfulfilled Paid €3.00 Mar 1, 2026 12:05 PM" in english
    assert "#1001 Bloquée Zoë <b> À traiter Payée 3,00 € 1 mars 2026 12:05" in french
    assert "<b>" not in client.get("/orders").text.partition("<table")[2].partition("</table")[0]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["O-3", "O-2", "O-1"]),
        ("search=o-2", ["O-2"]),
        ("search=", ["O-3", "O-2", "O-1"]),
        ("status=unfulfilled&payment_status=paid", ["O-1"]),
        ("status=partially_fulfilled", ["O-3"]),
        ("carrier=dhl", ["O-3"]),
        ("carrier=dhl&status=unfulfilled", []),
        ("placed_from=2026-03-01&placed_until=2026-03-01", ["O-1"]),
        ("placed_from=2026-03-02", ["O-3", "O-2"]),
        ("dead=true", []),
        ("refund_pending=true", []),
        (
            "status=nice&placed_from=yesterday&carrier=%00&after=%00&search=%00",
            ["O-3", "O-2", "O-1"],
        ),
        ("after=O-9", ["O-3", "O-2", "O-1"]),
    ],
)
def test_conditions_are_in_the_address(shop, query, expected):
    """Each narrows the list down as it does elsewhere; what makes no sense is not asked for."""
    assert ids(shop.get(f"/orders?{query}")) == expected


@pytest.fixture
def shop(sign_in, engine):
    """Three orders of three days, one of them shipped in part; and who looks at them."""
    rig.placed(engine, "O-1", **PAID)
    rig.placed(engine, "O-2")
    rig.placed(engine, "O-3")
    rig.decided(engine, make.ship(order_id="O-3", items=make.items(A=1), carrier="dhl"))
    rig.run(
        engine,
        "update orders set placed_at = '2026-03-01T23:59:59Z'::timestamptz"
        " + (right(order_id, 1)::integer - 1) * interval '1 day'",
    )
    return sign_in()


def test_the_form_shows_what_was_asked_for(shop):
    """So the address can be sent to somebody, and works without scripts."""
    page = shop.get(
        "/orders?search=O-&status=unfulfilled&carrier=dhl&placed_from=2026-03-01&dead=true"
    ).text

    assert 'value="O-"' in page
    assert re.findall(r'value="(\w+)" selected', page) == ["unfulfilled", "dhl"]
    assert 'name="placed_from" type="date" value="2026-03-01"' in page
    assert 'name="dead" value="true" checked' in page


def test_days_are_the_shops(sign_in, engine):
    """A day begins at midnight where the shop is."""
    rig.placed(engine, "O-1")
    rig.run(engine, "update orders set placed_at = '2026-03-01T23:30:00Z'")
    client = sign_in(email_time_zone="Europe/Paris")

    assert ids(client.get("/orders?placed_from=2026-03-02&placed_until=2026-03-02")) == ["O-1"]
    assert ids(client.get("/orders?placed_until=2026-03-01")) == []


def test_pages_follow_each_other_and_lead_back(sign_in, engine):
    """Next leads through all orders, each once; previous the same way back, with the filters."""
    many = [make.place(order_id=f"O-{n:03}", order=make.placed_order()) for n in range(120)]
    rig.decided(engine, *many)
    client, pages = sign_in(), []
    address = "/orders?status=unfulfilled"

    def links(answer):
        found = re.findall(r'rel="(\w+)" href="([^"]+)"', answer.text)
        return {rel: href.replace("&amp;", "&") for rel, href in found}

    while address:
        pages.append(client.get(address))
        address = links(pages[-1]).get("next")
    back = client.get(links(pages[2])["prev"])
    first = client.get(links(back)["prev"])

    assert [len(ids(one)) for one in pages] == [50, 50, 20]
    assert len({one for page in pages for one in ids(page)}) == 120
    assert ids(back) == ids(pages[1])
    assert ids(first) == ids(pages[0])
    assert "prev" not in links(first)
    assert parse_qs(urlsplit(links(pages[1])["prev"]).query) == {"status": ["unfulfilled"]}


@pytest.mark.parametrize(
    ("source", "header"), [("input#search", "hx-replace-url"), ("form#filters", "hx-push-url")]
)
def test_htmx_is_given_the_table_and_its_address(shop, source, header):
    """The part alone, and an address without what is empty; typing makes no steps to go back by."""
    query = "search=O-1&status=&payment_status=paid&placed_from="

    answer = shop.get(f"/orders?{query}", headers={"HX-Request": "true", "HX-Source": source})

    assert answer.text.startswith('<form id="results"')
    assert ids(answer) == ["O-1"]
    assert answer.headers[header] == "/orders?search=O-1&payment_status=paid"


def test_nothing_to_show_says_why(sign_in, engine):
    """No orders at all, or none that meet the conditions, and what to do then."""
    client = sign_in()
    assert "There are no orders yet." in text(client.get("/orders"))

    rig.placed(engine)

    assert "No order is like that. Show all orders" in text(client.get("/orders?search=nothing"))
