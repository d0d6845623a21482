"""When items that do not ship are complete: the peers' rules, and what is adopted of them here."""

import pytest

from messages import Reason
from tests import factories as make
from tests.reference.answers import applied, refused
from worker.orders.status import fulfillment_status


def tickets(**done):
    """Four units of an event."""
    return make.order(make.line("A", 4, item_type="event", **done))


def test_only_what_does_not_ship_is_completed():
    """Medusa: physical and other items do not mix; Shopify: FULFILLMENT_NOT_REQUIRED."""
    order = make.order(make.line("A"), make.line("B", item_type="service"))

    assert refused(order, make.complete(items=make.items(A=1))) == Reason.WRONG_ITEM_TYPE
    assert refused(order, make.complete(items=make.items(A=1, B=1))) == Reason.WRONG_ITEM_TYPE
    assert applied(order, make.complete()).outcome.items == make.items(B=3)


def test_some_now_and_the_rest_later():
    """Square Online: choose which items are complete. Named units first, then what is left."""
    decision = applied(tickets(), make.complete(items=make.items(A=1)), make.complete())

    assert decision.outcome.items == make.items(A=3)
    assert decision.order.lines[0].completed == 4


@pytest.mark.parametrize("done", [{"completed": 4}, {"cancelled": 4}])
def test_completing_again_completes_nothing(done):
    """Spree: a digital line is topped up to one link per unit, never beyond; Medusa: a second
    mark-as-delivered is NOT_ALLOWED. Neither what is complete nor what is cancelled completes.
    """
    assert refused(tickets(**done), make.complete()) == Reason.NOTHING_TO_COMPLETE
    assert refused(tickets(**done), make.complete(items=make.items(A=0))) == (
        Reason.NOTHING_TO_COMPLETE
    )
    assert refused(tickets(**done), make.complete(items=make.items(A=1))) == (
        Reason.MORE_THAN_REMAINS
    )


def test_no_more_than_remains():
    """Medusa: delivered in total not above ordered. The last unit completes, one more does not."""
    order = tickets(completed=1, cancelled=1)

    assert refused(order, make.complete(items=make.items(A=3))) == Reason.MORE_THAN_REMAINS
    assert applied(order, make.complete(items=make.items(A=2))).order.lines[0].remaining == 0


def test_lines_are_named_once_and_known():
    """Saleor: DUPLICATED_INPUT_ITEM; Medusa: ids not in the order. As for a shipment."""
    assert refused(tickets(), make.complete(items=make.items(A=1) * 2)) == Reason.DUPLICATE_LINE
    assert refused(tickets(), make.complete(items=make.items(Z=1))) == Reason.UNKNOWN_LINE


def test_a_held_order_completes_nothing():
    """Shopify: ON_HOLD. A gift card is as gone as a parcel."""
    order = make.order(make.line("A", item_type="gift_card"), hold="fraud check")

    assert refused(order, make.complete()) == Reason.ON_HOLD


def test_an_order_that_does_not_ship_can_be_complete():
    """Shuup: an order of nothing that ships has no shipment and can be set complete."""
    decision = applied(tickets(), make.complete())

    assert decision.shipments == ()
    assert fulfillment_status(decision.order) == "fulfilled"


@pytest.mark.parametrize("first", [make.ship(), make.complete()], ids=["ship", "complete"])
def test_an_order_is_done_when_both_halves_are(first):
    """Square: an order is not COMPLETED before every fulfilment is done. Shuup lets what does not
    ship block nothing; not adopted: a ticket that was not handed out is not done.
    """
    order = make.order(make.line("A"), make.line("B", item_type="event"))
    half = applied(order, first).order
    second = make.complete() if first.kind == "ship" else make.ship()

    assert fulfillment_status(half) == "partially_fulfilled"
    assert fulfillment_status(applied(half, second).order) == "fulfilled"


def test_a_gift_card_is_an_item_like_any_other():
    """Saleor: GIFT_CARD_LINE, neither cancelled nor refunded. Not adopted: whether a card was spent
    is known upstream. It is completed, cancelled while it is not, and refunded.
    """
    order = make.order(make.line("A", 2, item_type="gift_card"))

    done = applied(
        order,
        make.complete(items=make.items(A=1)),
        make.cancel(items=make.items(A=1), refund="full"),
        make.refund(items=make.items(A=1)),
    ).order

    assert (done.lines[0].completed, done.lines[0].cancelled) == (1, 1)
    assert (done.lines[0].refunded_units, done.left_minor) == (2, 0)
