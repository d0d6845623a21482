"""Status is derived: one row per case of the two tables in DESIGN.md 5."""

from dataclasses import replace

import pytest

from tests import factories as make
from worker.orders.model import Payment
from worker.orders.status import fulfillment_status, payment_status, refund_pending


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([{}], "unfulfilled"),
        ([{"cancelled": 2}], "unfulfilled"),
        ([{"shipped": 1}], "partially_fulfilled"),
        ([{"shipped": 1, "cancelled": 1}], "partially_fulfilled"),
        ([{"shipped": 3}], "fulfilled"),
        ([{"shipped": 1, "cancelled": 2}], "fulfilled"),
        ([{"cancelled": 3}], "cancelled"),
        ([{"cancelled": 3}, {"shipped": 3}], "fulfilled"),
        ([{"shipped": 3}, {"item_type": "digital"}], "partially_fulfilled"),
        ([{"shipped": 3}, {"item_type": "digital", "completed": 3}], "fulfilled"),
        ([{"item_type": "digital", "completed": 3}], "fulfilled"),
        ([{"refunded_units": 3, "refunded_minor": 300}], "unfulfilled"),
        ([{"shipped": 3, "refunded_units": 3, "refunded_minor": 300}], "fulfilled"),
    ],
)
def test_fulfillment(lines, status):
    """By active = quantity - cancelled and done = shipped + completed; refunds change nothing."""
    order = make.order(*(make.line(str(n), 3, **fields) for n, fields in enumerate(lines)))

    assert fulfillment_status(order) == status


@pytest.mark.parametrize(
    ("total", "captured", "settled", "status"),
    [
        (900, 0, 0, "unpaid"),
        (900, 1, 0, "partially_paid"),
        (900, 899, 0, "partially_paid"),
        (900, 900, 0, "paid"),
        (900, 901, 0, "paid"),
        (0, 0, 0, "paid"),
        (0, 5, 0, "paid"),
        (900, 900, 1, "partially_refunded"),
        (900, 900, 899, "partially_refunded"),
        (900, 900, 900, "refunded"),
        (900, 450, 449, "partially_refunded"),
        (900, 450, 450, "refunded"),
    ],
)
def test_payment(total, captured, settled, status):
    """Refunded = what was captured, however little of the total that was."""
    payment = Payment("P1", captured, refunded_minor=settled, settled_minor=settled)
    order = make.order(total_minor=total, payments=(payment,))

    assert payment_status(order) == status
    assert not refund_pending(order)


def test_payment_sums_over_payments():
    """One payment that is refunded whole is not yet an order that is."""
    first, second = make.payments(100, 200)
    first = replace(first, refunded_minor=100, settled_minor=100)

    assert payment_status(make.order(payments=(first, second))) == "partially_refunded"


@pytest.mark.parametrize(
    ("refunded", "settled", "status", "pending"),
    [
        (300, 0, "paid", True),
        (300, 299, "partially_refunded", True),
        (300, 300, "refunded", False),
    ],
)
def test_money_on_its_way_is_a_marker(refunded, settled, status, pending):
    """The status counts settled refunds only; what is pending or unknown shows beside it."""
    payment = Payment("P1", 300, refunded_minor=refunded, settled_minor=settled)
    order = make.order(payments=(payment,))

    assert (payment_status(order), refund_pending(order)) == (status, pending)
