"""When units may be cancelled: the peers' rules, and what is adopted of them here."""

import pytest

from messages import Reason
from tests import factories as make
from tests.reference.answers import applied, refused
from worker.orders.status import fulfillment_status


def half_shipped(**fields):
    """Of three units one is shipped."""
    return make.order(make.line("A", 3, shipped=1), **fields)


def test_what_is_not_fulfilled_can_be_cancelled():
    """Saleor and Medusa refuse to cancel an order of which anything is shipped, Karrio says to
    cancel the shipments before. Here the rest is cancelled and the shipped units stay.
    """
    decision = applied(half_shipped(), make.cancel())

    assert decision.outcome.items == make.items(A=2)
    assert (decision.order.lines[0].shipped, decision.order.lines[0].cancelled) == (1, 2)


@pytest.mark.parametrize(
    ("item_type", "counter"), [("physical", "shipped"), ("digital", "completed")]
)
def test_what_is_fulfilled_cannot_be_cancelled(item_type, counter):
    """Medusa: a shipped fulfilment cannot be cancelled; Square: only before it is fulfilled;
    Karrio: unfulfilled only. Vendure and Solidus cancel shipped units too; not adopted: what left
    the house is refunded.
    """
    order = make.order(make.line("A", 3, item_type=item_type, **{counter: 1}))

    assert refused(order, make.cancel(items=make.items(A=3))) == Reason.MORE_THAN_REMAINS
    done = make.order(make.line("A", 3, item_type=item_type, **{counter: 3}))
    assert refused(done, make.cancel()) == Reason.NOTHING_TO_CANCEL
    assert refused(done, make.cancel(refund=make.money(1))) == Reason.NOTHING_TO_CANCEL
    assert applied(done, make.refund(items=make.items(A=3))).order.left_minor == 0


def test_cancelled_is_cancelled():
    """Saleor: CANNOT_CANCEL_ORDER, CANNOT_CANCEL_FULFILLMENT; Shopify: not already cancelled;
    Square: it cannot be undone. A second cancel takes nothing and pays nothing.
    """
    cancelled = applied(make.order(), make.cancel(refund="full")).order

    assert refused(cancelled, make.cancel(refund="full")) == Reason.NOTHING_TO_CANCEL
    assert refused(cancelled, make.cancel(items=make.items(A=1))) == Reason.MORE_THAN_REMAINS
    assert refused(cancelled, make.ship()) == Reason.NOTHING_TO_SHIP


def test_zeros_alone_cancel_nothing():
    """Vendure: EMPTY_ORDER_LINE_SELECTION. With `full` as well: of no unit it is nothing."""
    for refund in ("none", "full"):
        command = make.cancel(items=make.items(A=0), refund=refund)
        assert refused(make.order(), command) == Reason.NOTHING_TO_CANCEL


def test_no_more_than_remains():
    """Vendure: QUANTITY_TOO_GREAT. The last unit is cancelled, one more is not."""
    assert refused(half_shipped(), make.cancel(items=make.items(A=3))) == Reason.MORE_THAN_REMAINS
    decision = applied(half_shipped(), make.cancel(items=make.items(A=2)))
    assert decision.order.lines[0].remaining == 0


def test_lines_are_the_orders_and_named_once():
    """Vendure: MULTIPLE_ORDER for lines of another order. Here unknown_line and duplicate_line."""
    assert refused(make.order(), make.cancel(items=make.items(Z=1))) == Reason.UNKNOWN_LINE
    assert refused(make.order(), make.cancel(items=make.items(A=1) * 2)) == Reason.DUPLICATE_LINE


def test_one_line_can_be_cancelled_again_and_again():
    """Vendure reduces the line's quantity (vendure#2608: no second cancel on one line). Here what
    was ordered stays what it was, and units are cancelled one after the other.
    """
    one = make.items(A=1)

    line = applied(make.order(), *(make.cancel(items=one) for _ in range(3))).order.lines[0]

    assert (line.quantity, line.cancelled, line.remaining) == (3, 3, 0)


@pytest.mark.parametrize(
    ("refund", "paid"),
    [("none", []), ("full", [200]), (make.money(42), [42])],
    ids=["none", "full", "amount"],
)
def test_the_refund_is_chosen(refund, paid):
    """Square: a refund may be skipped or done next; later Medusa refunds what was captured by
    itself. Here nothing unless asked for: none, full for what is cancelled, or an amount.
    """
    decision = applied(make.order(), make.cancel(items=make.items(A=2), refund=refund))

    assert [one.amount_minor for one in decision.refunds] == paid
    assert make.cancel().refund == "none"


@pytest.mark.parametrize(("include", "paid"), [(True, 800), (False, 300)])
def test_the_shipping_fee_is_chosen(include, paid):
    """Vendure: cancelShipping. The fee goes back with a cancel only when asked for."""
    order = make.order(shipping_minor=500)

    decision = applied(order, make.cancel(refund="full", include_shipping=include))

    assert decision.refunds[0].amount_minor == paid


def test_a_refund_above_what_is_left_cancels_nothing():
    """Solidus: above credit_allowed. Cancel and refund are one command: both or none."""
    command = make.cancel(items=make.items(A=1), refund=make.money(301))

    assert refused(make.order(), command) == Reason.REFUND_TOO_LARGE


def test_an_uncaptured_order_can_be_cancelled():
    """Shopify releases an open authorisation with the order. Here nothing was captured, so nothing
    is paid: with `full` the units are cancelled, an amount is refused.
    """
    order = make.order(payments=())

    assert applied(order, make.cancel(refund="full")).refunds == ()
    assert refused(order, make.cancel(refund=make.money(1))) == Reason.NOTHING_CAPTURED


def test_a_held_order_can_be_cancelled():
    """Shopify: ON_HOLD is for fulfilment. A hold keeps goods in the house, not an order alive."""
    assert applied(make.order(hold="fraud check"), make.cancel()).order.lines[0].cancelled == 3


def test_the_reason_is_kept():
    """Square and Shopify: a reason of few; Vendure: text. Here text, in the history."""
    decision = applied(make.order(), make.cancel(reason="out of stock"))

    assert decision.history[0].details == {"items": {"A": 3}, "reason": "out of stock"}


def test_an_order_is_cancelled_when_every_unit_is():
    """Vendure: Cancelled only when every line is 0. The last unit of the last line makes it so."""
    order = make.order(make.line("A", 1), make.line("B", 2, item_type="digital"))

    first = applied(order, make.cancel(items=make.items(A=1, B=1))).order

    assert fulfillment_status(first) == "unfulfilled"
    assert fulfillment_status(applied(first, make.cancel()).order) == "cancelled"
