"""What the states of an order are: the peers' derivations, and their stuck ones, told here by
counters and balances alone. Both tables, row by row, are in `tests/rules/test_status.py`.
"""

import pytest

from tests import factories as make
from tests.reference.answers import applied
from worker.orders.refunds import end_part
from worker.orders.status import fulfillment_status, payment_status, refund_pending


def settled(order, *commands):
    """The order after the commands, each refund with all its parts settled."""
    for command in commands:
        decision = applied(order, command)
        order = decision.order
        for refund in decision.refunds:
            order = ended(order, refund, "settled")
    return order


def ended(order, refund, state):
    for part in refund.parts:
        order, refund = end_part(order, refund, part.part_id, state)
    return order


@pytest.mark.parametrize(
    ("commands", "status"),
    [
        ([], "unfulfilled"),
        ([make.ship(items=make.items(A=1))], "partially_fulfilled"),
        ([make.ship()], "partially_fulfilled"),
        ([make.ship(), make.complete()], "fulfilled"),
        ([make.cancel()], "cancelled"),
        ([make.cancel(items=make.items(A=3)), make.complete()], "fulfilled"),
        ([make.cancel(items=make.items(A=3))], "unfulfilled"),
    ],
)
def test_fulfillment_by_units(commands, status):
    """Saleor, Medusa, Vendure: nothing done, some, all; all cancelled is cancelled. Vendure ignores
    lines of quantity 0: a line that is cancelled whole counts for nothing.
    """
    order = make.order(make.line("A", 3), make.line("B", 2, item_type="digital"))

    assert fulfillment_status(settled(order, *commands)) == status


def test_cancelling_the_rest_makes_it_fulfilled():
    """magento2#23964, #31063: a partly shipped order whose rest is cancelled never completes.
    Karrio: a cancelled shipment blocks delivered. Solidus: shipped when every unit is shipped or
    cancelled, and so it is here.
    """
    order = settled(make.order(), make.ship(items=make.items(A=1)))
    assert fulfillment_status(order) == "partially_fulfilled"

    assert fulfillment_status(settled(order, make.cancel())) == "fulfilled"


@pytest.mark.parametrize(
    ("commands", "status"),
    [
        ([], "unfulfilled"),
        ([make.ship(items=make.items(A=1))], "partially_fulfilled"),
        ([make.ship()], "fulfilled"),
    ],
)
def test_a_refund_fulfils_nothing(commands, status):
    """Saleor counts refunded units as fulfilled, so that an order of which nothing was shipped can
    read FULFILLED. Here a refund of everything changes nothing on this side.
    """
    order = settled(make.order(), *commands, make.refund(items=make.items(A=3)))

    assert fulfillment_status(order) == status
    assert payment_status(order) == "refunded"


def test_whole_when_the_last_part_went_back():
    """woocommerce#33054: "partially refunded" with nothing left. By units, fee and amount: only the
    last one makes it refunded.
    """
    line = make.line("A", 3, gross_minor=100)
    order = make.order(line, shipping_minor=50, total_minor=160, payments=make.payments(60, 100))
    found = []
    for command in (
        make.refund(items=make.items(A=1)),
        make.refund(items=make.items(A=2), include_shipping=True),
        make.refund(amount=make.money(9)),
        make.refund(amount=make.money(1)),
    ):
        order = settled(order, command)
        found.append(payment_status(order))

    assert found == ["partially_refunded"] * 3 + ["refunded"]


@pytest.mark.parametrize(
    ("state", "status", "pending"),
    [
        ("pending", "paid", True),
        ("unknown", "paid", True),
        ("failed", "paid", False),
        ("settled", "refunded", False),
    ],
)
def test_money_counts_when_it_has_gone(state, status, pending):
    """Square: PENDING until the funds are secured; Vendure subtracts settled refunds only, and caps
    by pending ones too; woocommerce-gateway-stripe#838 shows a failed refund as done. Here the
    status follows settled parts, with a marker while any part is open.
    """
    decision = applied(make.order(), make.refund(items=make.items(A=3)))
    order = decision.order
    if state != "pending":
        order = ended(order, decision.refunds[0], state)

    assert (payment_status(order), refund_pending(order)) == (status, pending)


@pytest.mark.parametrize(
    ("captured_minor", "status"),
    [(0, "unpaid"), (299, "partially_paid"), (300, "paid"), (301, "paid")],
)
def test_payment_by_what_was_captured(captured_minor, status):
    """Solidus: balance_due, paid, credit_owed. Here by captured money against the total; more than
    the total is paid.
    """
    assert payment_status(make.order(payments=make.payments(captured_minor))) == status


def test_a_free_order_is_paid_and_never_refunded():
    """Sylius: free order. Nothing was to be captured, so nothing can go back."""
    order = make.order(make.line("A", 2, gross_minor=0), payments=())

    assert payment_status(order) == "paid"
    assert payment_status(applied(order, make.cancel(refund="full")).order) == "paid"
