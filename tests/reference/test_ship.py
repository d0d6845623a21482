"""When units may ship: what the peers ask before a shipment, and what is adopted of it here.

Each test names whose rule it is and what it is called there.
"""

import json

import pytest

from messages import InvalidCommand, Reason, parse
from tests import factories as make
from tests.reference.answers import applied, refused
from worker.orders.status import fulfillment_status


def mixed():
    """Three physical A and two digital B."""
    return make.order(make.line("A", 3), make.line("B", 2, item_type="digital"))


def test_the_order_must_exist():
    """Saleor: NOT_FOUND. Here order_not_found, once the grace is over in which it may come."""
    assert refused(None, make.ship()) == Reason.ORDER_NOT_FOUND


def test_the_line_must_be_the_orders():
    """Medusa: item ids that are not in the order, INVALID_DATA. Here unknown_line."""
    assert refused(mixed(), make.ship(items=make.items(A=1, Z=1))) == Reason.UNKNOWN_LINE


def test_a_line_is_named_once():
    """Saleor: DUPLICATED_INPUT_ITEM; Shopify: DUPLICATED_FULFILLMENT_ORDER_LINE_ITEMS. Square takes
    entries that together fit the line; here two entries are a mistake even where they would fit.
    """
    assert refused(mixed(), make.ship(items=make.items(A=1) * 2)) == Reason.DUPLICATE_LINE


def test_a_negative_quantity_is_no_quantity():
    """Saleor looks at the sum only, so that -1 beside 2 passes. Here each quantity is judged, and
    the command is refused before it meets an order.
    """
    items = [{"line_id": "A", "quantity": 2}, {"line_id": "B", "quantity": -1}]

    with pytest.raises(InvalidCommand, match=r"items\.1\.quantity"):
        parse(json.dumps(make.ship().body() | {"items": items}))


@pytest.mark.parametrize("items", [make.items(A=0), make.items(A=0, B=0)])
def test_zeros_alone_ship_nothing(items):
    """Saleor: ZERO_QUANTITY; Vendure: EMPTY_ORDER_LINE_SELECTION. Spree ships everything when all
    quantities are 0: here 0 leaves a line, and nothing is left to ship.
    """
    assert refused(mixed(), make.ship(items=items)) == Reason.NOTHING_TO_SHIP


def test_no_items_are_all_that_remains():
    """Shopify: an empty list is all that remains; django-oscar: the default is the whole line;
    Solidus: only what can still be shipped goes into the parcel.
    """
    order = make.order(
        make.line("A", 3, shipped=1), make.line("B", 2, cancelled=2), make.line("C", 1)
    )

    assert applied(order, make.ship()).outcome.items == make.items(A=2, C=1)


@pytest.mark.parametrize(
    "done", [{}, {"shipped": 2}, {"cancelled": 2}, {"shipped": 1, "cancelled": 1}]
)
def test_no_more_than_remains(done):
    """Saleor: FULFILL_ORDER_LINE, "only N items remaining"; Medusa: quantity - fulfilled; Vendure:
    ITEMS_ALREADY_FULFILLED; Shopify: INVALID_LINE_ITEM_QUANTITY; django-oscar: the sum of all
    events. The last unit ships, one more does not.
    """
    order = make.order(make.line("A", 5, **done))
    remains = 5 - sum(done.values())

    assert refused(order, make.ship(items=make.items(A=remains + 1))) == Reason.MORE_THAN_REMAINS
    assert applied(order, make.ship(items=make.items(A=remains))).order.lines[0].remaining == 0


def test_shipped_is_shipped():
    """Medusa: a second mark-as-delivered is NOT_ALLOWED. Here nothing is left to ship."""
    shipped = applied(mixed(), make.ship()).order

    assert refused(shipped, make.ship()) == Reason.NOTHING_TO_SHIP
    assert refused(shipped, make.ship(items=make.items(A=1))) == Reason.MORE_THAN_REMAINS


def test_a_cancelled_order_does_not_ship():
    """Medusa refuses a cancelled order; Saleor does not look. Here its units are gone."""
    cancelled = applied(mixed(), make.cancel()).order

    assert fulfillment_status(cancelled) == "cancelled"
    assert refused(cancelled, make.ship()) == Reason.NOTHING_TO_SHIP
    assert refused(cancelled, make.ship(items=make.items(A=1))) == Reason.MORE_THAN_REMAINS


@pytest.mark.parametrize(
    "item_type", ["digital", "service", "event", "gift_card", "donation", "membership"]
)
def test_what_is_not_physical_never_ships(item_type):
    """Medusa: split a mix of shipping and other items into two fulfilments; Shuup: what is not
    shipped enters no shipment, and an order of nothing else cannot have one.
    """
    other = make.line("B", item_type=item_type)

    assert refused(make.order(make.line("A"), other), make.ship(items=make.items(A=1, B=1))) == (
        Reason.WRONG_ITEM_TYPE
    )
    assert applied(make.order(make.line("A"), other), make.ship()).outcome.items == make.items(A=3)
    assert refused(make.order(other), make.ship()) == Reason.NOTHING_TO_SHIP


def test_an_unknown_carrier_ships_nothing():
    """Vendure: INVALID_FULFILLMENT_HANDLER. Here unknown_carrier; one can be added on the way."""
    assert refused(mixed(), make.ship(carrier="pigeon")) == Reason.UNKNOWN_CARRIER


def test_a_held_order_does_not_ship():
    """Shopify: ON_HOLD; Spree: a draft is refused even when forced. No policy softens it."""
    order = make.order(hold="fraud check")

    assert refused(order, make.ship()) == Reason.ON_HOLD
    assert refused(order, make.ship(policy="clamp")) == Reason.ON_HOLD


def test_the_version_must_be_the_latest():
    """Square: UpdateOrder needs the latest version, else VERSION_MISMATCH. Here if one is given."""
    assert refused(mixed(), make.ship(expected_version=0)) == Reason.VERSION_MISMATCH
    assert applied(mixed(), make.ship(expected_version=1)).order.version == 2


@pytest.mark.parametrize(
    ("field", "longest"),
    [
        ("tracking_number", "9" * 64),
        ("tracking_url", f"https://{'x' * 1990}"),
        ("carrier", "c" * 32),
    ],
)
def test_tracking_is_bounded(field, longest):
    """Square: carrier 50, number 100, URL 2000; Saleor: number 255. Here 32, 64 and about 2000: the
    longest passes, one more character is invalid.
    """
    assert getattr(make.ship(**{field: longest}), field) == longest

    with pytest.raises(ValueError, match=field):
        make.ship(**{field: longest + "x"})


@pytest.mark.parametrize("url", ["ftp://t.example/1", "javascript:alert(1)", "t.example/1"])
def test_a_tracking_url_is_a_web_address(url):
    """Saleor takes any scheme for a URL; it goes into e-mails, so here http and https only."""
    with pytest.raises(ValueError, match="tracking_url"):
        make.ship(tracking_url=url)


@pytest.mark.parametrize(("notify", "skipped"), [(True, None), (False, "switched_off")])
def test_the_customer_is_told_unless_switched_off(notify, skipped):
    """Saleor: notify_customer is true by default, Shopify's is false; Solidus: suppress_mailer."""
    decision = applied(mixed(), make.ship(notify_customer=notify))

    assert make.ship().notify_customer is True
    assert [(one.name, one.skipped) for one in decision.followups] == [("shipped", skipped)]


def test_an_unpaid_order_ships():
    """Saleor: CANNOT_FULFILL_UNPAID_ORDER; Solidus: require_payment_to_ship. Not adopted: whether
    goods leave before the money came is decided upstream, by a hold.
    """
    order = make.order(payments=())

    assert applied(order, make.ship()).order.lines[0].shipped == 3


def test_one_parcel_takes_units_of_many_lines():
    """Solidus: a carton; Vendure's may even span orders. Here one shipment of one order, with the
    id of its command.
    """
    order = make.order(make.line("A", 3), make.line("B", 2))
    command = make.ship(items=make.items(A=1, B=2))

    (shipment,) = applied(order, command).shipments

    assert (shipment.shipment_id, shipment.items) == (command.command_id, {"A": 1, "B": 2})
