"""A refund's parts: how it is spread over payments, and what happens when parts end."""

from dataclasses import replace

import pytest

from messages import Reason
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


def one_part(**fields) -> tuple[Order, Refund]:
    """One unit of three and the fee, 600 of 800, on P1."""
    order = make.order(shipping_minor=500, **fields)
    return granted(order, make.refund(items=make.items(A=1), include_shipping=True))


def heard(order: Order, refund: Refund, *news) -> tuple[Order, Refund]:
    """News about the refund's only part, in this order."""
    (part,) = refund.parts
    for one in news:
        order, refund = end_part(order, refund, part.part_id, one)
    return order, refund


@pytest.mark.parametrize("state", ["settled", "failed"])
@pytest.mark.parametrize("old", ["pending", "unknown"])
def test_old_news_and_the_same_again_change_nothing(state, old):
    """A part that has ended is open no more, and ends the same way once."""
    after = heard(*one_part(), state)

    assert heard(*after, old) == after
    assert heard(*after, state) == after
    assert all(x is y for x, y in zip(heard(*after, state), after, strict=True))


def test_settled_and_failed_after_all():
    """Money, units and fee are free again, as if nobody had asked for the refund."""
    order, refund = one_part()

    after, ended = heard(order, refund, "settled", "failed")

    assert after == replace(make.order(shipping_minor=500), version=2)
    assert [part.state for part in ended.parts] == ["failed"]


def test_failed_and_settled_after_all():
    """What was not given out meanwhile is taken again: the same as if it had settled at once."""
    order, refund = one_part()

    assert heard(order, refund, "failed", "settled") == heard(order, refund, "settled")


def test_settled_after_its_balance_was_given_out():
    """The money is beside the balance, and neither units nor fee count for it."""
    order, refund = heard(*one_part(), "failed")
    order, _ = granted(order, make.refund(amount=make.money(201)))

    after, ended = heard(order, refund, "settled")

    (payment,) = order.payments
    assert after == replace(order, payments=(replace(payment, overpaid_minor=600),))
    assert [part.state for part in ended.parts] == ["overpaid"]
    assert heard(after, ended, "settled") == (after, ended)


def test_settled_after_its_units_were_given_out():
    """Money is left, but the unit has been paid for otherwise, or the fee has."""
    lines = make.line("A", 1), make.line("B", 9)
    for again in (make.refund(items=make.items(A=1)), make.refund(include_shipping=True)):
        order = make.order(*lines, shipping_minor=500)
        order, refund = granted(order, make.refund(items=make.items(A=1), include_shipping=True))
        order, refund = heard(order, refund, "failed")
        order, _ = granted(order, again)

        after, ended = heard(order, refund, "settled")

        assert [part.state for part in ended.parts] == ["overpaid"]
        assert after.lines == order.lines
        assert after.shipping_refunded_minor == order.shipping_refunded_minor
        assert after.left_minor == order.left_minor


def test_settled_late_beyond_the_price_of_its_line():
    """The unit is there to take, and yet a line is never paid back more than it cost."""
    order = make.order(make.line("A", 3, gross_minor=100), make.line("B", 9))
    order, refund = granted(order, make.refund(items=make.items(A=1)))
    order, refund = heard(order, refund, "failed")
    for paid in (34, 33):
        order, other = granted(order, make.refund(items=make.items(A=1)))
        assert other.amount_minor == paid

    after, ended = heard(order, refund, "settled")

    assert [part.state for part in ended.parts] == ["overpaid"]
    assert after.lines == order.lines


def test_overpaid_until_there_is_room():
    """When what took the balance has failed in turn, an overpaid part settles like any other."""
    order, refund = heard(*one_part(), "failed")
    order, other = granted(order, make.refund(amount=make.money(800)))
    order, refund = heard(order, refund, "settled")
    order, other = heard(order, other, "failed")

    after, ended = heard(order, refund, "settled")

    (payment,) = after.payments
    assert (payment.refunded_minor, payment.settled_minor, payment.overpaid_minor) == (600, 600, 0)
    assert (after.lines[0].refunded_units, after.shipping_refunded_minor) == (1, 500)
    assert [part.state for part in ended.parts] == ["settled"]


def test_overpaid_and_failed_after_all():
    """The money has come back: nothing is beside the balance any more."""
    order, refund = heard(*one_part(), "failed")
    order, _ = granted(order, make.refund(amount=make.money(800)))

    after, ended = heard(order, refund, "settled", "failed")

    assert after == order
    assert [part.state for part in ended.parts] == ["failed"]


def test_another_part_keeps_the_units_of_a_late_one():
    """While one part is settled the units count: a second that settles late takes money only."""
    order, refund = two_parts()
    first, second = refund.parts
    order, refund = end_part(order, refund, first.part_id, "settled")
    order, refund = end_part(order, refund, second.part_id, "failed")

    after, ended = end_part(order, refund, second.part_id, "settled")

    assert [part.state for part in ended.parts] == ["settled", "settled"]
    assert after.lines == order.lines
    assert [payment.settled_minor for payment in after.payments] == [300, 400]


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


def in_steps(**steps: int):
    """Smallest steps by the payment's method."""
    return lambda method, _: steps.get(method, 1)


def methods(order: Order, *names) -> Order:
    payments = zip(order.payments, names, strict=True)
    return replace(
        order, payments=tuple(replace(payment, method=name) for payment, name in payments)
    )


def test_a_refund_is_spread_in_steps_that_can_be_paid():
    """What a payment cannot give in its steps, the next one gives."""
    order = methods(
        make.order(make.line("A", 1, gross_minor=1000), payments=make.payments(155, 845)),
        "coarse",
        "fine",
    )
    command = make.refund(amount=make.money(200))

    decision = decide(order, command, make.world(), step_minor=in_steps(coarse=10))

    (refund,) = decision.refunds
    assert [(part.payment_id, part.amount_minor) for part in refund.parts] == [
        ("P1", 150),
        ("P2", 50),
    ]


def test_clamp_rounds_down_to_a_step():
    """What no step comes to stays; the units count, and what they lack is caught up later."""
    order = methods(make.order(make.line("A", 2, gross_minor=210)), "coarse")
    command = make.refund(items=make.items(A=1), policy="clamp")

    decision = decide(order, command, make.world(), step_minor=in_steps(coarse=10))

    assert decision.outcome.refund.amount_minor == 100
    (line,) = decision.order.lines
    assert (line.refunded_units, line.refunded_minor) == (1, 100)


def test_a_full_cancel_pays_what_can_be_paid_of_the_rest():
    """Whoever cancels wants the rest back, whatever it is: also the rest in steps."""
    order = methods(
        make.order(make.line("A", 1, gross_minor=210), payments=make.payments(105)), "coarse"
    )

    decision = decide(
        order, make.cancel(refund="full"), make.world(), step_minor=in_steps(coarse=10)
    )

    assert decision.outcome.refund.amount_minor == 100
    assert decision.order.lines[0].cancelled == 1


def test_less_than_a_step_comes_to_nothing():
    """Clamped to nothing, a refund is refused as any that comes to nothing."""
    order = methods(make.order(), "coarse")
    command = make.refund(amount=make.money(9), policy="clamp")

    rejection = decide(order, command, make.world(), step_minor=in_steps(coarse=10))

    assert rejection.reason == Reason.NOTHING_TO_REFUND
