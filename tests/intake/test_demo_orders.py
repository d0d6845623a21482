"""The demo's invented orders are what an import has to deal with, and all of them tie."""

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messages import Place
from tests.intake.square_shapes import read
from worker.demo.orders import demo_orders
from worker.intake import Refused, to_place
from worker.orders.intake import take_in
from worker.orders.model import Rejection


@pytest.fixture(scope="module")
def orders():
    return demo_orders()


@pytest.fixture(scope="module")
def placed(orders):
    return [to_place(order).order for order in orders[:-2]]


@given(st.integers(0, 10**9))
def test_every_order_ties_whatever_the_seed(seed):
    """What the import takes, the rules take; only the last two are to be refused."""
    orders = demo_orders(12, seed)

    for order in orders[:-2]:
        place = to_place(order)
        assert not isinstance(take_in(place.order_id, place.command_id, place.order), Rejection)


def test_the_last_two_are_refused(orders):
    """A draft, and a total that is 7 minor units too high."""
    refused = [one for one in read(orders) if isinstance(one, Refused)]

    assert [(one.position, one.order_id, str(one.reason)) for one in refused] == [
        (199, "demo-0199", "draft"),
        (200, "demo-0200", "total_mismatch"),
    ]
    assert refused[1].message.endswith(": a difference of -7 minor units of USD")


def test_a_seed_always_gives_the_same_orders(orders):
    """Another seed gives others."""
    assert demo_orders(200, 2026) == orders
    assert demo_orders(200, 2027) != orders


@pytest.mark.parametrize("count", [0, 1, 2, 3, 10])
def test_as_many_as_asked_for(count):
    """Fewer than three are all good."""
    found = read(demo_orders(count))

    assert len(found) == count
    assert sum(isinstance(one, Place) for one in found) == (count - 2 if count > 2 else count)


def test_ids_and_numbers_are_unique(orders):
    """So that each is an order of its own."""
    assert len({order["id"] for order in orders}) == 200
    assert len({order["reference_id"] for order in orders}) == 200


def test_the_variety(placed):
    """Currencies with 0, 2 and 3 decimals, every kind of item, both languages, fees, two payments,
    things done upstream.
    """
    lines = [line for order in placed for line in order.lines]
    taxes = Counter(
        bool(line.tax_minor) for order in placed for line in order.lines if order.currency == "USD"
    )

    assert {order.currency for order in placed} == {"EUR", "USD", "CAD", "JPY", "KWD"}
    assert {line.item_type for line in lines} == {
        "physical", "digital", "gift_card", "service", "event",
    }  # fmt: skip
    assert {order.customer.locale for order in placed} == {"en", "en-IE", "en-US", "fr-FR", "fr-CA"}
    assert {fee.kind for order in placed for fee in order.fees} == {"shipping", "tip", "rounding"}
    assert {len(order.payments) for order in placed} == {0, 1, 2}
    assert any(line.discount_minor for line in lines)
    assert taxes[True] > 0
    assert any(order.shipments for order in placed)
    assert any(line.completed for line in lines)
    assert any(order.refunds for order in placed)
    assert max(len(order.lines) for order in placed) == 5


def test_tax_inside_the_price_and_on_top(orders):
    """Both kinds that Square knows."""
    kinds = {tax["type"] for order in orders for tax in order["taxes"]}

    assert kinds == {"INCLUSIVE", "ADDITIVE"}


def test_customers_are_invented(placed):
    """A number for a name, and mail that goes nowhere."""
    for order in placed:
        assert re.fullmatch(r"Customer \d+", order.customer.name)
        assert re.fullmatch(r"customer\d+@example\.com", order.customer.email)
