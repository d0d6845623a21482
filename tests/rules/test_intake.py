"""Intake ties: amounts add up, the order's own discount and tax are spread, what is done counts."""

from uuid import uuid5

import pytest

from messages import (
    DoneRefund,
    DoneRefundItem,
    DoneRefundPart,
    DoneShipment,
    Fee,
    Payment,
    PlacedOrder,
)
from tests import factories as make
from worker.orders.model import Decision, Refund, RefundLine, RefundPart, Shipment
from worker.orders.rules import decide
from worker.orders.status import fulfillment_status, payment_status


def taken_in(placed: PlacedOrder, command=None) -> Decision:
    decision = decide(None, command or make.place(order=placed), make.world())
    assert isinstance(decision, Decision), decision
    return decision


def amounts(placed: PlacedOrder) -> list[tuple[int, int, int]]:
    """Gross, tax and discount per line."""
    return [
        (line.gross_minor, line.tax_minor, line.discount_minor)
        for line in taken_in(placed).order.lines
    ]


def test_gross_is_net_minus_discount_plus_tax():
    """A line's own discount and tax stay its own."""
    placed = make.placed_order(
        make.order_line("A", 2, net_minor=1000, discount_minor=100, tax_minor=180),
        make.order_line("B", 1, net_minor=50),
    )

    assert amounts(placed) == [(1080, 180, 100), (50, 0, 0)]


def test_the_orders_discount_is_spread_by_net():
    """100 over nets of 300, 300 and 100: 42.86, 42.86 and 14.29 become 43, 43 and 14."""
    placed = make.placed_order(
        make.order_line("A", 1, net_minor=300),
        make.order_line("B", 1, net_minor=300),
        make.order_line("C", 1, net_minor=100),
        discount_minor=100,
    )

    assert amounts(placed) == [(257, 0, 43), (257, 0, 43), (86, 0, 14)]


def test_ties_go_to_the_earlier_line():
    """One cent over two equal lines is the first one's."""
    placed = make.placed_order(
        make.order_line("B", 1), make.order_line("A", 1), discount_minor=1, tax_minor=1
    )

    # The discounted line weighs less, so the tax's cent goes to the other.
    assert amounts(placed) == [(99, 0, 1), (101, 1, 0)]


def test_the_orders_tax_is_spread_by_net_less_discount():
    """Both the line's own and the order's discount lower a line's share of the tax."""
    placed = make.placed_order(
        make.order_line("A", 1, net_minor=400, discount_minor=100),
        make.order_line("B", 1, net_minor=400),
        discount_minor=200,
        tax_minor=50,
    )

    # Net less discount: 400 - 100 - 100 = 200 and 400 - 100 = 300.
    assert amounts(placed) == [(220, 20, 200), (330, 30, 100)]


def test_a_line_is_not_discounted_below_zero():
    """What a line cannot bear goes to the others."""
    placed = make.placed_order(
        make.order_line("A", 1, net_minor=100, discount_minor=90),
        make.order_line("B", 1, net_minor=100),
        discount_minor=60,
    )

    assert amounts(placed) == [(0, 0, 100), (50, 0, 50)]


def test_fees_count_in_the_total_and_only_shipping_is_a_fee_to_refund():
    """Fees carry their own tax and discount; shipping fees are one fee; rounding may be below 0."""
    placed = make.placed_order(
        make.order_line("A", 1, net_minor=100),
        fees=(
            Fee(kind="shipping", net_minor=500, discount_minor=100, tax_minor=80),
            Fee(kind="shipping", net_minor=20),
            Fee(kind="tip", net_minor=50),
            Fee(kind="service", net_minor=10, tax_minor=2),
            Fee(kind="rounding", net_minor=-2),
        ),
        total_minor=660,
    )

    order = taken_in(placed).order

    assert (order.total_minor, order.shipping_minor) == (660, 500)


@pytest.mark.parametrize("kind", ["shipping", "service", "tip"])
@pytest.mark.parametrize(
    "amounts",
    [{"net_minor": -1}, {"net_minor": -1, "tax_minor": 5}, {"net_minor": 1, "discount_minor": 2}],
)
def test_only_rounding_is_negative(kind, amounts):
    """A fee below zero would be a discount in disguise, also when its tax lifts it above."""
    placed = make.placed_order(fees=(Fee(kind=kind, **amounts),))

    rejection = decide(None, make.place(order=placed), make.world())

    assert rejection.message == f"the {kind} fee is below zero"


@pytest.mark.parametrize(("total", "difference"), [(299, 1), (301, -1)])
def test_a_total_that_does_not_tie_names_the_difference(total, difference):
    """Lines and fees less the total, with its sign."""
    placed = make.placed_order(make.order_line("A", 3), total_minor=total)

    rejection = decide(None, make.place(order=placed), make.world())

    assert rejection.message == (
        f"lines and fees sum to 300, the total says {total}: "
        f"a difference of {difference} minor units of EUR"
    )


def test_a_free_order_is_paid():
    """Zero-price lines tie like any others, and an order of total 0 is paid."""
    order = taken_in(make.placed_order(make.order_line("A", 2, net_minor=0))).order

    assert (order.total_minor, payment_status(order)) == (0, "paid")


def test_placing_makes_version_1_and_a_history():
    """Placing is the order's first applied command; it sends no e-mail."""
    placed = make.placed_order(
        hold="fraud check", payments=(Payment(payment_id="P1", captured_minor=300),)
    )

    decision = taken_in(placed)

    assert decision.order == make.order(
        make.line("A", 3), hold="fraud check", payments=make.payments(300), version=1
    )
    assert decision.placed is placed
    assert [(entry.event, entry.details, entry.amount_minor) for entry in decision.history] == [
        ("placed", {"lines": 1}, 300)
    ]
    assert decision.followups == ()
    assert (decision.outcome.order_version, decision.outcome.items) == (1, ())


def test_what_was_shipped_upstream_counts():
    """Parcels that left before are parcels here: with ids of their own, without label or e-mail."""
    placed = make.placed_order(
        make.order_line("A", 5),
        make.order_line("B", 2, item_type="digital", completed=2),
        make.order_line("C", 1, cancelled=1),
        shipments=(
            DoneShipment(items=make.items(A=2, C=0), carrier="Colissimo", tracking_number="T1"),
            DoneShipment(items=make.items(A=1) + make.items(A=2), shipped_at=make.NOW),
        ),
    )
    command = make.place(order=placed)

    decision = taken_in(placed, command)

    assert [(line.shipped, line.completed, line.cancelled) for line in decision.order.lines] == [
        (5, 0, 0),
        (0, 2, 0),
        (0, 0, 1),
    ]
    assert fulfillment_status(decision.order) == "fulfilled"
    assert decision.shipments == (
        Shipment(
            shipment_id=uuid5(command.command_id, "shipment 0"),
            items={"A": 2},
            carrier_name="Colissimo",
            tracking_number="T1",
        ),
        Shipment(
            shipment_id=uuid5(command.command_id, "shipment 1"),
            items={"A": 3},
            shipped_at=make.NOW,
        ),
    )
    assert decision.followups == ()


def test_what_was_refunded_upstream_counts():
    """Refunds settled before are settled here: on their payments, lines and the shipping fee."""
    placed = make.placed_order(
        make.order_line("A", 3, net_minor=300, tax_minor=60, discount_minor=30),
        fees=(Fee(kind="shipping", net_minor=500),),
        payments=(
            Payment(payment_id="P1", captured_minor=400),
            Payment(payment_id="P2", captured_minor=430),
        ),
        refunds=(
            DoneRefund(
                parts=(
                    DoneRefundPart(payment_id="P2", amount_minor=430),
                    DoneRefundPart(payment_id="P1", amount_minor=190),
                ),
                items=(
                    DoneRefundItem(
                        line_id="A", quantity=1, gross_minor=110, tax_minor=20, discount_minor=10
                    ),
                ),
                shipping_minor=500,
                reason="late",
                refunded_at=make.NOW,
            ),
        ),
    )
    command = make.place(order=placed)

    decision = taken_in(placed, command)

    refund_id = uuid5(command.command_id, "refund 0")
    assert decision.refunds == (
        Refund(
            refund_id=refund_id,
            amount_minor=620,
            shipping_minor=500,
            lines=(RefundLine("A", 1, 110, 20, 10),),
            parts=(
                RefundPart(uuid5(refund_id, "P2"), "P2", 430, "settled"),
                RefundPart(uuid5(refund_id, "P1"), "P1", 190, "settled"),
            ),
            reason="late",
            refunded_at=make.NOW,
        ),
    )
    assert decision.followups == ()
    order = decision.order
    assert [(p.refunded_minor, p.settled_minor) for p in order.payments] == [(190, 190), (430, 430)]
    assert order.shipping_refunded_minor == 500
    assert (order.lines[0].refunded_units, order.lines[0].refunded_minor) == (1, 110)
    assert payment_status(order) == "partially_refunded"


def test_the_next_refund_goes_on_where_upstream_stopped():
    """The penny rule counts what upstream paid: cum(3) - 100 for the other two of 110 each."""
    placed = make.placed_order(
        make.order_line("A", 3, net_minor=330),
        payments=(Payment(payment_id="P1", captured_minor=330),),
        refunds=(
            DoneRefund(
                parts=(DoneRefundPart(payment_id="P1", amount_minor=100),),
                items=(DoneRefundItem(line_id="A", quantity=1, gross_minor=100),),
            ),
        ),
    )
    order = taken_in(placed).order

    decision = decide(order, make.refund(items=make.items(A=2)), make.world())

    assert decision.outcome.refund.amount_minor == 230
