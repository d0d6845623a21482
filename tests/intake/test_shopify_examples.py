"""Shopify's own example payloads: what ties is placed with its figures, the rest is refused."""

import copy
import json
from pathlib import Path

import pytest

from tests.intake.square_shapes import read
from worker.intake import OrderRefused, shopify_to_place
from worker.intake.refusal import Refused
from worker.orders.intake import take_in
from worker.orders.refunds import line_refund

EXAMPLES = Path(__file__).parents[3] / "shared/data/shopify"


@pytest.fixture(scope="module")
def payloads():
    if not EXAMPLES.exists():
        pytest.skip(f"needs {EXAMPLES}, which is not part of the repository")
    return {path.stem: json.loads(path.read_bytes()) for path in EXAMPLES.glob("*.json")}


@pytest.fixture
def order(payloads):
    """The order of `orders.json` with the lines of `order.json`: its totals are of them."""
    lines = payloads["order"]["order"]["line_items"]
    return copy.deepcopy(
        {**payloads["orders"]["orders"][0], "line_items": lines, "financial_status": "paid"}
    )


def taken(order):
    place = shopify_to_place(order)
    found, _, _ = take_in(place.order_id, place.command_id, place.order)
    return found


def test_the_order_that_does_not_tie_is_refused_with_the_difference(payloads):
    """Three lines of 199.00 and 11.94 of tax are 608.94, its total says 409.94."""
    assert read(payloads["order"]) == [
        Refused(
            1,
            "450789469",
            "total_mismatch",
            (
                "lines and fees sum to 60894, the total says 40994: "
                "a difference of 19900 minor units of USD"
            ),
        )
    ]


def test_the_list_of_orders_has_no_lines(payloads):
    """Its one order was asked for without them."""
    (only,) = read(payloads["orders"])

    assert (only.order_id, str(only.reason)) == ("450789469", "no_lines")


def test_the_other_payloads_are_no_orders(payloads):
    """Refused as a whole, or one by one; none is taken for an order."""
    for name in ("fulfillment", "fulfillment_event", "refund", "refund_calculate", "transactions"):
        assert all(isinstance(one, Refused) for one in read(payloads[name])), name


def test_the_order_with_its_lines_ties(order):
    """597.00 - 10.00 + 11.94 = 598.94, paid at once."""
    found = taken(order)

    assert (found.total_minor, found.captured_minor) == (59894, 59894)
    assert [one.gross_minor for one in found.lines] == [19964, 19965, 19965]
    placed = shopify_to_place(order).order
    assert placed.customer.name == order["billing_address"]["name"]
    assert placed.ship_to.district == order["shipping_address"]["province_code"]


def test_the_calculated_refund_of_a_line(payloads, order):
    """195.67 and 3.98 of tax, 3.33 less than its 199.00: to the cent what Shopify calculates."""
    (wanted,) = payloads["refund_calculate"]["refund"]["refund_line_items"]
    line = next(one for one in taken(order).lines if one.line_id == str(wanted["line_item_id"]))

    refund = line_refund(line, wanted["quantity"])

    def minor(key):
        return round(float(wanted[key]) * 100)

    assert (refund.gross_minor - refund.tax_minor, refund.tax_minor, refund.discount_minor) == (
        minor("subtotal"),
        minor("total_tax"),
        minor("total_cart_discount_amount"),
    )


def test_the_maximum_that_is_left_to_refund(payloads, order):
    """209.00 of the payment of 250.94 went back: 41.94 are left on it, as Shopify says."""
    (wanted,) = payloads["refund_calculate"]["refund"]["transactions"]
    refund = payloads["refund"]["refund"]
    order["financial_status"] = "partially_refunded"
    order["transactions"] = [
        {
            "id": wanted["parent_id"],
            "kind": "sale",
            "status": "success",
            "amount": "250.94",
            "currency": "USD",
            "gateway": wanted["gateway"],
        }
    ]
    order["refunds"] = [{**refund, "refund_line_items": []}]

    found = taken(order)

    assert found.payments[0].payment_id == "801038806"
    assert (found.captured_minor, found.left_minor) == (25094, 4194)
    assert f"{found.left_minor / 100:.2f}" == wanted["maximum_refundable"]


def test_the_refund_without_the_worth_of_its_lines_is_refused(payloads, order):
    """Its two lines name no subtotal, and 209.00 are not what two of 199.00 cost."""
    order["refunds"] = [payloads["refund"]["refund"]]

    with pytest.raises(OrderRefused) as caught:
        shopify_to_place(order)

    assert caught.value.message == "refunds[0].refund_line_items[0].subtotal: is missing"


def test_an_authorization_is_no_payment(payloads, order):
    """`transactions.json` has nothing else."""
    order["transactions"] = payloads["transactions"]

    assert taken(order).payments == ()
