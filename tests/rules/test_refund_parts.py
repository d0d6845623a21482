"""A refund's parts: how it is spread over payments, and what happens when parts end."""

from dataclasses import replace

import pytest

from tests import factories as make
from worker.orders.model import Decision, Order, Refund
from worker.orders.refunds import end_part
from worker.orders.rules import decide
from worker.orders.status import payment_status, refund_pending


def granted(order: Order, command) -> tuple[Order, Refund]:
    decision = decide(order, command, make.world())
    assert isinstance(decision, Decision), decision
    (refund,) = decision.refunds
    return decision.order, refund


def two_parts(**fields) -> tuple[Order, Refund]:
    """Two units and the fee, 700 of 800, spread as 300 on P1 and 400 on P2."""
    order = make.order(shipping_minor=500, payments=make.payments(300, 500), **fields)
    return granted(order, make.refund(items=make.items(A=2), include_shipping=True))


def test_payments_are_drawn_on_in_order_of_capture():
    """Each payment gives up to its remainder; one that has nothing left gets no part."""
    order = make.order(
        make.line("A", 1, gross_minor=1000), payments=make.payments(300, 0, 500, 200)
    )
    order, first = granted(order, make.refund(amount=make.money(100)))
    order, second = granted(order, make.refund(amount=make.money(600)))

    assert [(part.payment_id, part.amount_minor) for part in first.parts] == [("P1", 100)]
    assert [(part.payment_id, part.amount_minor) for part in second.parts] == [
        ("P1", 200),
        ("P3", 400),
    ]
    assert [payment.left_minor for payment in order.payments] == [0, 0, 100, 200]


def test_a_part_is_reserved_before_it_is_settled():
    """Pending money counts as refunded for what is left, not for the payment status."""
    order, refund = two_parts()

    assert [part.state for part in refund.parts] == ["pending", "pending"]
    assert [payment.refunded_minor for payment in order.payments] == [300, 400]
    assert [payment.settled_minor for payment in order.payments] == [0, 0]
    assert (payment_status(order), refund_pending(order)) == ("paid", True)


def test_settled_parts_are_settled_on_their_payment():
    """News of one part touches that part and its payment, nothing else."""
    order, refund = two_parts()

    after, ended = end_part(order, refund, refund.parts[1].part_id, "settled")

    assert [part.state for part in ended.parts] == ["pending", "settled"]
    assert after == replace(
        order, payments=(order.payments[0], replace(order.payments[1], settled_minor=400))
    )


def test_an_unknown_part_keeps_its_money_reserved():
    """Nobody knows whether the provider paid: the money is not free, the marker stays."""
    order, refund = two_parts()

    after, ended = end_part(order, refund, refund.parts[0].part_id, "unknown")

    assert after == order
    assert [part.state for part in ended.parts] == ["unknown", "pending"]
    assert refund_pending(after)


def test_when_all_parts_fail_units_and_fee_are_free_again():
    """The order is as before the refund: units, fee and money can be refunded again."""
    before = make.order(shipping_minor=500, payments=make.payments(300, 500))
    order, refund = two_parts()

    for part in refund.parts:
        order, refund = end_part(order, refund, part.part_id, "failed")

    assert order == replace(before, version=2)


def test_while_one_part_is_open_the_units_stay_refunded():
    """One failed and one pending part: the money of the first is free, the units are not."""
    order, refund = two_parts()

    order, refund = end_part(order, refund, refund.parts[0].part_id, "failed")

    assert order.lines[0].refunded_units == 2
    assert order.shipping_refunded_minor == 500
    assert order.left_minor == 400


@pytest.mark.parametrize("states", [("settled", "failed"), ("failed", "settled")])
def test_when_some_parts_settle_the_units_stay_refunded(states):
    """The failed part's money can be refunded again, as an amount."""
    order, refund = two_parts()
    for part, state in zip(refund.parts, states, strict=True):
        order, refund = end_part(order, refund, part.part_id, state)
    failed = next(part for part in refund.parts if part.state == "failed")

    again, second = granted(order, make.refund(amount=make.money(failed.amount_minor)))

    assert order.lines[0].refunded_units == 2
    assert order.shipping_refunded_minor == 500
    assert [(part.payment_id, part.amount_minor) for part in second.parts] == [
        (failed.payment_id, failed.amount_minor)
    ]
    assert again.left_minor == 100


def test_a_part_of_another_refund_is_refused():
    """Parts are looked up in their own refund only."""
    order, refund = two_parts()
    stranger = make.refund().command_id

    with pytest.raises(ValueError, match=f"part {stranger} is not of refund"):
        end_part(order, refund, stranger, "settled")


def test_the_same_command_asks_for_the_same_parts():
    """A part's id is derived from command and payment, so deciding again never pays twice."""
    order = make.order(payments=make.payments(100, 200))
    command = make.refund(amount=make.money(300))

    _, first = granted(order, command)
    _, second = granted(order, command)
    _, other = granted(order, make.refund(amount=make.money(300)))

    assert first == second
    ids = {part.part_id for part in (*first.parts, *other.parts)}
    assert len(ids) == 4
