"""Every reason for which the rules refuse, once: its code, its sentence, and that nothing moved."""

from dataclasses import replace
from uuid import UUID

import pytest

from messages import DoneRefund, DoneRefundItem, DoneRefundPart, DoneShipment, Payment, Reason
from tests import factories as make
from worker.orders.model import Order, Rejection
from worker.orders.rules import decide

BY_THE_WORK = {Reason.PREDECESSOR_NOT_FOUND, Reason.PREDECESSOR_FAILED}
"""Given by the drain, which knows other commands; the rules see only the order."""


def refused(order: Order | None, command) -> tuple[Reason, str]:
    """Reason and sentence; a rejection has no order, so nothing can have changed."""
    rejection = decide(order, command, make.world())
    assert isinstance(rejection, Rejection)
    assert rejection.outcome.reason == rejection.reason
    return rejection.reason, rejection.message


def test_not_on_hold():
    """An order that nobody holds cannot be released."""
    assert refused(make.order(), make.release()) == (
        Reason.NOT_ON_HOLD,
        "the order is not on hold",
    )


def test_every_reason_has_its_test():
    """A reason code without a test in this file is a promise that nobody holds."""
    missing = {reason for reason in Reason if f"test_{reason}" not in globals()}

    assert missing == BY_THE_WORK


def test_invalid():
    """An order whose own figures contradict each other is invalid, and says which."""
    placed = make.placed_order(make.order_line("A", 3, completed=0, cancelled=4))

    assert refused(None, make.place(order=placed)) == (
        Reason.INVALID,
        "line A: 0 shipped, 0 completed and 4 cancelled of 3",
    )


def test_order_not_found():
    """A command for an order that is not here names it."""
    assert refused(None, make.ship()) == (Reason.ORDER_NOT_FOUND, "order O-1 is not here")


def test_order_changed():
    """An order that no command has placed cannot be compared with what is placed now."""
    assert refused(make.order(), make.place()) == (
        Reason.ORDER_CHANGED,
        "order O-1 was not placed by a command",
    )


def test_order_forgotten():
    """An order whose person was forgotten is not placed again, whatever the form says."""
    order = make.order(is_forgotten=True)
    placed = make.placed_order()

    rejection = decide(order, make.place(order=placed), make.world(placed={"O-1": placed}))

    assert rejection == Rejection(Reason.ORDER_FORGOTTEN, "order O-1 was forgotten")
    assert refused(order, make.place())[0] == Reason.ORDER_FORGOTTEN


def test_total_mismatch():
    """An order that does not add up is refused with the difference."""
    placed = make.placed_order(make.order_line("A", 3), total_minor=301)

    assert refused(None, make.place(order=placed)) == (
        Reason.TOTAL_MISMATCH,
        "lines and fees sum to 300, the total says 301: a difference of -1 minor units of EUR",
    )


@pytest.mark.parametrize("command", [make.ship(), make.complete()], ids=["ship", "complete"])
def test_on_hold(command):
    """A held order neither ships nor completes, and says why it is held."""
    assert refused(make.order(hold="fraud check"), command) == (
        Reason.ON_HOLD,
        "the order is on hold: fraud check",
    )


@pytest.mark.parametrize("expected", [0, 4, 6])
def test_version_mismatch(expected):
    """Another version than the expected one, older or newer, is refused with both."""
    command = make.ship(expected_version=expected)

    assert refused(make.order(version=5), command) == (
        Reason.VERSION_MISMATCH,
        f"expected version {expected}, the order is at 5",
    )


def test_version_mismatch_of_place():
    """An order that is not here has no version but 0."""
    assert refused(None, make.place(expected_version=1)) == (
        Reason.VERSION_MISMATCH,
        "expected version 1, the order is not here yet",
    )


@pytest.mark.parametrize(
    "command", [make.ship, make.complete, make.cancel, make.refund], ids=lambda make: make.__name__
)
def test_unknown_line(command):
    """A line that the order does not have is named, also when nothing of it is asked."""
    assert refused(make.order(), command(items=make.items(A=1, Z=0))) == (
        Reason.UNKNOWN_LINE,
        "the order has no line Z",
    )


@pytest.mark.parametrize(
    "command", [make.ship, make.complete, make.cancel, make.refund], ids=lambda make: make.__name__
)
def test_duplicate_line(command):
    """A line that is named twice is refused, not summed: one of the two is a mistake."""
    twice = make.items(A=1) + make.items(A=1)

    assert refused(make.order(), command(items=twice)) == (
        Reason.DUPLICATE_LINE,
        "line A is named more than once",
    )


def test_wrong_item_type():
    """Only physical lines ship, only others are completed; one wrong line refuses the command."""
    order = make.order(make.line("A"), make.line("B", item_type="gift_card"))

    assert refused(order, make.ship(items=make.items(A=1, B=1))) == (
        Reason.WRONG_ITEM_TYPE,
        "line B (gift_card) is completed, not shipped",
    )
    assert refused(order, make.complete(items=make.items(A=1, B=1))) == (
        Reason.WRONG_ITEM_TYPE,
        "line A (physical) is shipped, not completed",
    )


@pytest.mark.parametrize(
    ("command", "item_type"),
    [(make.ship, "physical"), (make.complete, "digital"), (make.cancel, "physical")],
    ids=["ship", "complete", "cancel"],
)
def test_more_than_remains(command, item_type):
    """One unit more than remains is refused; what was done or cancelled no longer remains."""
    order = make.order(make.line("A", 5, item_type=item_type, completed=1, cancelled=2))

    assert refused(order, command(items=make.items(A=3))) == (
        Reason.MORE_THAN_REMAINS,
        "line A: 3 asked, 2 of 5 left",
    )


def test_nothing_to_ship():
    """Without a physical unit left there is nothing to ship; all zeros take nothing."""
    done = make.order(make.line("A", 3, shipped=3), make.line("B", item_type="digital"))

    assert refused(done, make.ship()) == (Reason.NOTHING_TO_SHIP, "no unit remains")
    assert refused(make.order(), make.ship(items=make.items(A=0))) == (
        Reason.NOTHING_TO_SHIP,
        "no unit is taken",
    )


def test_nothing_to_complete():
    """An order of physical lines has nothing to complete."""
    assert refused(make.order(), make.complete()) == (
        Reason.NOTHING_TO_COMPLETE,
        "no unit remains",
    )


def test_nothing_to_cancel():
    """Shipped units cannot be cancelled, and zeros without any money do nothing."""
    shipped = make.order(make.line("A", 3, shipped=3))

    assert refused(shipped, make.cancel(refund=make.money(1))) == (
        Reason.NOTHING_TO_CANCEL,
        "no unit remains",
    )
    assert refused(make.order(), make.cancel(items=make.items(A=0), refund="full")) == (
        Reason.NOTHING_TO_CANCEL,
        "no unit is taken",
    )


def test_unknown_carrier():
    """A carrier has to be known, or to come with the command."""
    assert refused(make.order(), make.ship(carrier="pigeon")) == (
        Reason.UNKNOWN_CARRIER,
        "carrier pigeon is not known; add it first",
    )


@pytest.mark.parametrize("policy", ["strict", "clamp"])
def test_nothing_captured(policy):
    """Without captured money there is nothing to refund, whatever the policy."""
    order = make.order(payments=make.payments(0))

    assert refused(order, make.refund(items=make.items(A=1), policy=policy)) == (
        Reason.NOTHING_CAPTURED,
        "nothing was captured for this order",
    )
    assert refused(order, make.refund(amount=make.money(1), policy=policy)) == (
        Reason.NOTHING_CAPTURED,
        "nothing was captured for this order",
    )


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"amount": make.money(0)},
        {"items": make.items(A=0)},
        {"items": make.items(B=2)},
        {"items": make.items(A=9), "policy": "clamp", "expected_version": 1},
    ],
    ids=["empty", "amount 0", "quantity 0", "free line", "clamped to nothing"],
)
def test_nothing_to_refund(fields):
    """A refund of nothing is refused, whichever way it comes to nothing."""
    order = make.order(make.line("A", 3, refunded_units=3), make.line("B", 2, gross_minor=0))

    assert refused(order, make.refund(**fields)) == (
        Reason.NOTHING_TO_REFUND,
        "the refund comes to nothing",
    )


@pytest.mark.parametrize("policy", ["strict", "clamp"])
def test_other_currency(policy):
    """An amount in another currency is a mix-up, in a refund and in a cancel alike."""
    dollars = make.money(1, "USD")

    expected = (Reason.OTHER_CURRENCY, "the order is in EUR, the amount in USD")
    assert refused(make.order(), make.refund(amount=dollars, policy=policy)) == expected
    assert refused(make.order(), make.cancel(refund=dollars, policy=policy)) == expected
    unpaid = make.order(payments=())
    assert refused(unpaid, make.cancel(refund=dollars, policy=policy)) == expected


def test_refund_too_large():
    """One cent above captured - refunded is refused, and the maximum is named."""
    order = make.order(payments=make.payments(1000, 500))
    order = replace(
        order, payments=(replace(order.payments[0], refunded_minor=999), order.payments[1])
    )

    rejection = decide(order, make.refund(amount=make.money(502)), make.world())

    assert rejection == Rejection(
        Reason.REFUND_TOO_LARGE,
        "5.02 EUR asked, at most 5.01 EUR can be refunded",
        {"maximum_minor": 501},
    )


def test_refund_too_large_for_a_cancel():
    """A cancel whose amount is above what is left cancels nothing."""
    assert refused(make.order(), make.cancel(refund=make.money(301))) == (
        Reason.REFUND_TOO_LARGE,
        "3.01 EUR asked, at most 3.00 EUR can be refunded",
    )


def test_amount_too_fine():
    """What no steps of the payments' providers come to is refused, and what they come to named."""
    order = make.order(payments=make.payments(1000, 500))

    rejection = decide(
        order, make.refund(amount=make.money(1055)), make.world(), step_minor=lambda *_: 10
    )

    assert rejection == Rejection(
        Reason.AMOUNT_TOO_FINE,
        "10.55 EUR asked, 10.50 EUR of it can be paid back: "
        "the smallest steps are P1 0.10 EUR, P2 0.10 EUR",
        {"payable_minor": 1050},
    )


def test_units_already_refunded():
    """More units than quantity - refunded_units are refused, although money is left."""
    order = make.order(make.line("A", 3, refunded_units=2, refunded_minor=200))

    assert refused(order, make.refund(items=make.items(A=2))) == (
        Reason.UNITS_ALREADY_REFUNDED,
        "line A: 2 units asked, 1 of 3 not refunded yet",
    )


def test_no_shipping_fee():
    """The shipping fee of an order without one cannot be refunded."""
    expected = (Reason.NO_SHIPPING_FEE, "the order has no shipping fee")

    assert refused(make.order(), make.refund(include_shipping=True)) == expected
    assert refused(make.order(), make.cancel(include_shipping=True)) == expected


def test_shipping_already_refunded():
    """The shipping fee is refunded once."""
    order = make.order(shipping_minor=500, shipping_refunded_minor=500)

    assert refused(order, make.refund(include_shipping=True)) == (
        Reason.SHIPPING_ALREADY_REFUNDED,
        "the shipping fee was refunded before",
    )


@pytest.mark.parametrize(
    ("fields", "reason", "message"),
    [
        (
            {"lines": (make.order_line("A"), make.order_line("A")), "total_minor": 600},
            Reason.DUPLICATE_LINE,
            "lines: A is there more than once",
        ),
        (
            {
                "payments": (
                    Payment(payment_id="P1", captured_minor=1),
                    Payment(payment_id="P1", captured_minor=2),
                )
            },
            Reason.INVALID,
            "payments: P1 is there more than once",
        ),
        (
            {"lines": (make.order_line("A", discount_minor=301, tax_minor=1),)},
            Reason.INVALID,
            "line A: discount is more than its price",
        ),
        ({"currency": "ABC"}, Reason.INVALID, "ABC is no ISO 4217 currency"),
        (
            {"discount_minor": 301, "total_minor": 0},
            Reason.TOTAL_MISMATCH,
            "the order's discount of 301 is more than its lines cost",
        ),
        (
            {"shipments": (DoneShipment(items=make.items(A=0, Z=0)),)},
            Reason.UNKNOWN_LINE,
            "shipments name an unknown line Z",
        ),
        (
            {"shipments": (DoneShipment(items=make.items(A=0)),)},
            Reason.INVALID,
            "shipment 0 holds nothing",
        ),
        (
            {"shipments": (DoneShipment(items=make.items(A=2)),) * 2},
            Reason.INVALID,
            "line A: 4 shipped, 0 completed and 0 cancelled of 3",
        ),
        (
            {
                "lines": (make.order_line("A", item_type="event"),),
                "shipments": (DoneShipment(items=make.items(A=1)),),
            },
            Reason.WRONG_ITEM_TYPE,
            "line A is event, yet shipped",
        ),
        (
            {"lines": (make.order_line("A", completed=1),)},
            Reason.WRONG_ITEM_TYPE,
            "line A is physical, yet completed",
        ),
    ],
    ids=lambda value: str(value) if isinstance(value, Reason) else "",
)
def test_an_order_that_contradicts_itself_is_refused(fields, reason, message):
    """What an upstream order says of itself has to fit together; the sentence says where not."""
    fields = dict(fields)
    placed = make.placed_order(*fields.pop("lines", ()), **fields)

    assert refused(None, make.place(order=placed)) == (reason, message)


def done_refund(*, paid=(("P1", 100),), units=(), shipping_minor=0) -> DoneRefund:
    return DoneRefund(
        parts=tuple(DoneRefundPart(payment_id=k, amount_minor=v) for k, v in paid),
        items=tuple(DoneRefundItem(line_id=k, quantity=q, gross_minor=g) for k, q, g in units),
        shipping_minor=shipping_minor,
    )


@pytest.mark.parametrize(
    ("done", "reason", "message"),
    [
        (
            done_refund(paid=[("P9", 1)]),
            Reason.INVALID,
            "refunds name an unknown payment P9",
        ),
        (
            done_refund(paid=[("P1", 1), ("P1", 1)]),
            Reason.INVALID,
            "refund parts: P1 is there more than once",
        ),
        (
            done_refund(paid=[("P1", 301)]),
            Reason.REFUND_TOO_LARGE,
            "more was refunded upstream than was captured",
        ),
        (
            done_refund(units=[("Z", 1, 100)]),
            Reason.UNKNOWN_LINE,
            "refunds name an unknown line Z",
        ),
        (
            done_refund(units=[("A", 1, 50), ("A", 1, 50)]),
            Reason.DUPLICATE_LINE,
            "refund items: A is there more than once",
        ),
        (
            done_refund(units=[("A", 4, 100)]),
            Reason.UNITS_ALREADY_REFUNDED,
            "more units were refunded upstream than a line has",
        ),
        (
            done_refund(units=[("A", 1, 101)]),
            Reason.INVALID,
            "a refund of 100 names 101 for its lines and shipping",
        ),
        (
            done_refund(shipping_minor=1),
            Reason.INVALID,
            "more shipping was refunded upstream than the order has",
        ),
    ],
)
def test_an_upstream_refund_that_cannot_have_been_is_refused(done, reason, message):
    """Refunds settled upstream obey the same limits as ours."""
    placed = make.placed_order(
        payments=(Payment(payment_id="P1", captured_minor=300),), refunds=(done,)
    )

    assert refused(None, make.place(order=placed)) == (reason, message)


def refused_of(shipment, command) -> tuple[Reason, str]:
    """The same, of a command that names a shipment of the order."""
    rejection = decide(make.order(make.line(shipped=2)), command, make.world_with(shipment))
    assert isinstance(rejection, Rejection)
    return rejection.reason, rejection.message


@pytest.mark.parametrize(
    "command",
    [make.void(UUID(int=1)), make.update_tracking(UUID(int=1), tracking_number="T2")],
    ids=["void", "update_tracking"],
)
def test_shipment_not_found(command):
    """A shipment that is not here, or another order's, is not the order's."""
    message = f"the order has no shipment {UUID(int=1)}"
    elsewhere = make.shipment(shipment_id=UUID(int=1))
    world = make.world(shipments={("O-2", elsewhere.shipment_id): elsewhere})

    assert refused(make.order(), command) == (Reason.SHIPMENT_NOT_FOUND, message)
    assert decide(make.order(), command, world) == Rejection(Reason.SHIPMENT_NOT_FOUND, message)


def test_already_voided():
    """A parcel is called back once, and what does not come is not tracked."""
    parcel = make.shipment(voided_at=make.NOW)
    tracking = make.update_tracking(parcel.shipment_id, tracking_number="T2")

    for command in (make.void(parcel.shipment_id, force=True), tracking):
        assert refused_of(parcel, command) == (
            Reason.ALREADY_VOIDED,
            "the shipment was voided before",
        )


@pytest.mark.parametrize("transit", ["in_transit", "delivered", "returned", "exception"])
def test_in_transit(transit):
    """What the carrier has is not called back, whatever it says of it."""
    parcel = make.shipment(transit=transit)

    assert refused_of(parcel, make.void(parcel.shipment_id)) == (
        Reason.IN_TRANSIT,
        f"the carrier has the parcel ({transit}); force it",
    )


def test_unknown_carrier_of_a_correction():
    """A correction names a carrier that is known, as a shipment does."""
    parcel = make.shipment()

    assert refused_of(parcel, make.update_tracking(parcel.shipment_id, carrier="ups")) == (
        Reason.UNKNOWN_CARRIER,
        "carrier ups is not known; add it first",
    )
