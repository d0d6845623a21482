"""Square's own example payloads: each Order in them is placed with its figures, or refused."""

import json
from pathlib import Path

import pytest

from messages import Place
from tests.intake.square_shapes import read
from worker.intake import OrderRefused, Refused, to_place

EXAMPLES = Path(__file__).parents[3] / "shared/data/square/examples.json"

NO_ID = ("no_id", "id: is missing; only an order that was created has one")
DRAFT = ("draft", "is a draft: it is not ordered yet")

REFUSED = {
    "CalculateOrderRequest.order": NO_ID,
    "CalculateOrderResponse.order": NO_ID,
    "CloneOrderResponse.order": DRAFT,
    "CreateCheckoutRequest.order.order": NO_ID,
    "CreateCheckoutResponse.checkout.order": NO_ID,
    "CreateOrderRequest.order": NO_ID,
    "CreatePaymentLinkResponse.related_resources.orders.0": DRAFT,
    "UpdateOrderRequest.order": NO_ID,
}

# Total; per line quantity, net, discount, tax; payments.
PLACED = {
    "BatchRetrieveOrdersResponse.orders.0": (
        7599,
        [(1, 1599, 0, 0), (3, 6000, 0, 0)],
        [],
    ),
    "CreateOrderResponse.order": (6176, [(1, 1599, 87, 136), (2, 4500, 346, 374)], []),
    "PayOrderResponse.order": (2000, [(1, 500, 0, 0), (2, 1500, 0, 0)], [1000, 1000]),
    "RetrieveOrderResponse.order": (550, [(1, 500, 250, 0), (2, 600, 300, 0)], []),
    "UpdateOrderResponse.order": (900, [(1, 500, 0, 0), (2, 400, 0, 0)], []),
}


@pytest.fixture(scope="module")
def payloads():
    if not EXAMPLES.exists():
        pytest.skip(f"needs {EXAMPLES}, which is not part of the repository")
    return json.loads(EXAMPLES.read_bytes())


def orders_in(value, path=()):
    if isinstance(value, dict):
        if "line_items" in value:
            yield ".".join(path), value
        for key, inner in value.items():
            yield from orders_in(inner, (*path, key))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from orders_in(inner, (*path, str(place)))


def test_every_order_has_its_verdict_here(payloads):
    """No Order of the examples is left out."""
    assert {path for path, _ in orders_in(payloads)} == REFUSED.keys() | PLACED.keys()


@pytest.mark.parametrize("path", PLACED)
def test_examples_that_are_placed(payloads, path):
    """With exactly these figures, and nothing done upstream."""
    order = to_place(dict(orders_in(payloads))[path]).order

    assert (
        order.total_minor,
        [
            (line.quantity, line.net_minor, line.discount_minor, line.tax_minor)
            for line in order.lines
        ],
        [payment.captured_minor for payment in order.payments],
    ) == PLACED[path]
    assert (order.currency, order.fees, order.shipments, order.refunds) == ("USD", (), (), ())
    assert all(line.item_type == "physical" for line in order.lines)


@pytest.mark.parametrize("path", REFUSED)
def test_examples_that_are_refused(payloads, path):
    """Requests and calculations have no id; a clone and a payment link are drafts."""
    with pytest.raises(OrderRefused) as caught:
        to_place(dict(orders_in(payloads))[path])

    assert (str(caught.value.reason), caught.value.message) == REFUSED[path]


def test_the_checkout_order_ties_once_it_has_an_id(payloads):
    """T-shirt 15.03 = 15.00 - 1.00 + 1.03 (tax inside), jeans 25.00, sweaters 105.00: 145.03."""
    order = {**payloads["CreateCheckoutResponse"]["checkout"]["order"], "id": "checkout-1"}

    placed = to_place(order).order

    assert placed.total_minor == 14503
    assert [(one.line_id, one.net_minor, one.tax_minor) for one in placed.lines] == [
        ("1", 1500, 103),
        ("2", 2500, 0),
        ("3", 10500, 0),
    ]


def test_the_draft_of_a_digital_service_is_digital_once_it_is_open(payloads):
    """Its DIGITAL fulfillment is of all lines and only proposed."""
    draft = payloads["CreatePaymentLinkResponse"]["related_resources"]["orders"][0]

    (only,) = to_place({**draft, "state": "OPEN"}).order.lines

    assert (only.name, only.item_type, only.completed) == ("Auto Detailing", "digital", 0)


def test_whole_payloads_are_read_as_files(payloads):
    """The five responses that hold placed orders, as they came from Square."""
    found = {name: read(payload) for name, payload in payloads.items()}

    placed = {name for name, orders in found.items() if isinstance(orders[0], Place)}
    assert placed == {path.split(".")[0] for path in PLACED}
    assert all(len(orders) == 1 for orders in found.values())
    assert all(
        isinstance(orders[0], Refused) for name, orders in found.items() if name not in placed
    )
