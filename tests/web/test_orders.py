"""Orders over HTTP: lists, one, what can be done, intake."""

from uuid import uuid4

import pytest

from messages import Payment
from tests import factories as make
from tests.work import rig

OURS = {
    "order_id": "O-7",
    "currency": "EUR",
    "total_minor": 1000,
    "lines": [{"line_id": "1", "name": "Mug", "quantity": 1, "net_minor": 1000}],
}


def ids(answer):
    return [one["order_id"] for one in answer.json()["orders"]]


def test_pages_follow_each_other(client, engine):
    """`next`, also in the Link header, leads through all orders, each once, and ends."""
    for n in range(5):
        rig.placed(engine, f"O-{n}")
    address, found, pages = "/v1/orders?limit=2&status=unfulfilled", [], 0

    while address:
        answer = client.get(address)
        found += ids(answer)
        pages += 1
        address = answer.json()["next"]
        assert answer.headers.get("link") == (f'<{address}>; rel="next"' if address else None)

    assert sorted(found) == [f"O-{n}" for n in range(5)]
    assert pages == 3


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("search=O-1", ["O-1"]),
        ("status=unfulfilled&payment_status=paid", ["O-1"]),
        ("payment_status=unpaid&payment_status=paid", ["O-2", "O-1"]),
        ("carrier=dhl", []),
        ("placed_from=2999-01-01T00:00:00Z", []),
        ("placed_until=2999-01-01T00:00:00%2B01:00", ["O-2", "O-1"]),
        ("dead=true", []),
        ("refund_pending=true", []),
    ],
)
def test_conditions(client, engine, query, expected):
    """Each condition of the lists, by its parameter."""
    rig.placed(engine, "O-1", payments=(Payment(payment_id="P1", captured_minor=300),))
    rig.placed(engine, "O-2")

    assert ids(client.get(f"/v1/orders?{query}")) == expected


def test_an_order_with_its_history(client, engine):
    """Lines, what happened, and the page where its parcel is tracked."""
    rig.placed(engine)
    ship = make.ship(items=make.items(A=2), carrier="dhl", tracking_number="JD014600003")
    rig.decided(engine, ship)

    told = client.get("/v1/orders/O-1").json()

    assert told["lines"][0]["shipped"] == 2
    assert [one["event"] for one in told["history"]][:2] == ["placed", "shipped"]
    assert "JD014600003" in told["shipments"][0]["tracking_page"]


def test_what_can_be_done(client, engine):
    """As the rules see it: three units can be shipped, nothing can be paid back."""
    rig.placed(engine)

    actions = {one["action"]: one for one in client.get("/v1/orders/O-1/explain").json()["actions"]}

    assert (actions["ship"]["units"], actions["ship"]["reason"]) == (3, None)
    assert actions["refund_amount"]["reason"] == "nothing_captured"


def test_an_order_is_taken_in_once(client, engine, hints):
    """Our form: 202, decided by the worker; the same order again is known by its content."""
    first, again = (client.post("/v1/orders", json=OURS) for _ in range(2))
    rig.drainer(engine)()

    assert [one.status_code for one in (first, again)] == [202, 202]
    assert [one.json()["answer"] for one in (first, again)] == ["accepted", "known"]
    assert client.get(first.headers["location"]).json()["state"] == "applied"
    assert client.get("/v1/orders/O-7").json()["total_minor"] == 1000
    assert hints.sent == 1


def test_an_idempotency_key_names_the_place_command(client):
    """Whoever wants an id of its own says it."""
    command_id = str(uuid4())

    answer = client.post("/v1/orders", json=OURS, headers={"Idempotency-Key": command_id})

    assert answer.json()["command_id"] == command_id


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (OURS | {"total_minor": 999}, "total_mismatch"),
        (OURS | {"lines": []}, "invalid"),
        ({key: value for key, value in OURS.items() if key != "order_id"}, "no_id"),
        ({"orders": [OURS, OURS | {"order_id": "O-8"}]}, None),
        ([OURS], None),
        (7, None),
    ],
)
def test_what_is_no_order_is_refused(client, engine, body, reason):
    """422 with the reason; nothing is written."""
    answer = client.post("/v1/orders", json=body)

    assert (answer.status_code, answer.json().get("reason")) == (422, reason)
    assert rig.count(engine, "commands") == 0


def test_a_shopify_order_is_recognised(client, engine):
    """An order as Shopify has it becomes a `place` command of its id."""
    order = {
        "id": 450789469,
        "currency": "USD",
        "total_price": "10.00",
        "taxes_included": False,
        "line_items": [
            {"id": 1, "title": "Mug", "quantity": 1, "price": "10.00", "requires_shipping": True}
        ],
        "financial_status": "pending",
    }

    answer = client.post("/v1/orders", json=order)

    assert answer.status_code == 202, answer.text
    assert rig.one(engine, "select kind, order_id from commands") == ("place", "450789469")
