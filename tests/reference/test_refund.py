"""What may be refunded and what it comes to: the peers' caps, amounts and states, and what is
adopted of them here.
"""

import json
from dataclasses import replace
from itertools import pairwise

import pytest

from messages import Fee, InvalidCommand, Payment, Reason, parse
from tests import factories as make
from tests.reference.answers import applied, refused
from worker.orders.model import Decision, Order
from worker.orders.money import cumulative, to_decimal, to_minor
from worker.orders.refunds import end_part
from worker.orders.rules import decide
from worker.orders.status import payment_status


def amounts(order, *commands):
    """What each of the refunds comes to, one after the other."""
    found = []
    for command in commands:
        decision = applied(order, command)
        order = decision.order
        found.append(decision.refunds[0].amount_minor)
    return found


def placed_order(placed) -> Order:
    decision = decide(None, make.place(order=placed), make.world())
    assert isinstance(decision, Decision), decision
    return decision.order


# How much.


@pytest.mark.parametrize("refunded_minor", [0, 1, 299])
def test_no_more_than_was_captured_and_not_refunded(refunded_minor):
    """Square: payment total - completed refunds; Saleor: CANNOT_REFUND; Solidus, Spree: above
    credit_allowed; Shuup: RefundExceedsAmount. The last minor unit goes back, one more does not.
    """
    (payment,) = make.payments(300)
    order = make.order(payments=(replace(payment, refunded_minor=refunded_minor),))
    left = 300 - refunded_minor

    assert refused(order, make.refund(amount=make.money(left + 1))) == Reason.REFUND_TOO_LARGE
    assert amounts(order, make.refund(amount=make.money(left))) == [left]


def test_the_refusal_names_the_maximum():
    """Vendure: REFUND_AMOUNT_ERROR with maximumRefundable; Shopify: maximum_refundable."""
    rejection = decide(make.order(), make.refund(amount=make.money(301)), make.world())

    assert rejection.reason == Reason.REFUND_TOO_LARGE
    assert rejection.details == {"maximum_minor": 300}
    assert "at most 3.00 EUR" in rejection.message


def test_captured_money_only():
    """Square: REFUND_ERROR_PAYMENT_NEEDS_COMPLETION; Vendure: REFUND_ORDER_STATE. What was not
    captured is not paid back, whatever the total.
    """
    unpaid = make.order(payments=make.payments(0))
    half_paid = make.order(payments=make.payments(100))

    assert refused(unpaid, make.refund(amount=make.money(1))) == Reason.NOTHING_CAPTURED
    assert refused(half_paid, make.refund(items=make.items(A=2))) == Reason.REFUND_TOO_LARGE
    assert amounts(half_paid, make.refund(items=make.items(A=1))) == [100]


def test_no_more_units_than_are_not_refunded():
    """Saleor: QUANTITY_GREATER_THAN_AVAILABLE; Shuup: RefundExceedsQuantity; Sylius: a unit already
    refunded; woocommerce#54499: the same units refunded again in a second step. Money that is left
    for other lines does not help.
    """
    order = make.order(make.line("A", 3), make.line("B", 9))
    after = applied(order, make.refund(items=make.items(A=2))).order

    assert refused(order, make.refund(items=make.items(A=4))) == Reason.UNITS_ALREADY_REFUNDED
    assert refused(after, make.refund(items=make.items(A=2))) == Reason.UNITS_ALREADY_REFUNDED
    assert amounts(after, make.refund(items=make.items(A=1))) == [100]


@pytest.mark.parametrize(
    "fields",
    [{}, {"items": make.items(A=0)}, {"amount": make.money(0)}],
    ids=["nothing", "no unit", "no money"],
)
def test_something_must_be_refunded(fields):
    """Saleor: REQUIRED; Vendure: NOTHING_TO_REFUND; Sylius: no unit selected, not above 0."""
    assert refused(make.order(), make.refund(**fields)) == Reason.NOTHING_TO_REFUND


def test_a_free_line_alone_refunds_nothing():
    """Sylius: a free order cannot be refunded. Units at no price come to nothing."""
    order = make.order(make.line("A"), make.line("B", 2, gross_minor=0))

    assert refused(order, make.refund(items=make.items(B=2))) == Reason.NOTHING_TO_REFUND


@pytest.mark.parametrize("amount_minor", [-1, 1.5, "1.50", 10**12 + 1])
def test_an_amount_is_a_whole_positive_number(amount_minor):
    """Shuup: InvalidRefundAmount for the wrong sign; woocommerce PR #65732: floats refuse 10.05 -
    10.00. Here minor units, whole, and the command is refused before it meets an order.
    """
    body = make.refund().body() | {"amount": {"amount_minor": amount_minor, "currency": "EUR"}}

    with pytest.raises(InvalidCommand, match=r"amount\.amount_minor"):
        parse(json.dumps(body))


def test_the_currency_is_the_orders():
    """Square: the refund's currency is the payment's. No rate is guessed."""
    assert refused(make.order(), make.refund(amount=make.money(1, "USD"))) == Reason.OTHER_CURRENCY


def test_the_shipping_fee_goes_back_once():
    """Saleor: SHIPPING_COSTS_ALREADY_GRANTED. Once by a refund or by a cancel; and there must be
    one.
    """
    order = make.order(make.line("A", 3), shipping_minor=500)
    for first in (make.refund(include_shipping=True), make.cancel(include_shipping=True)):
        after = applied(order, first).order
        assert refused(after, make.refund(include_shipping=True)) == (
            Reason.SHIPPING_ALREADY_REFUNDED
        )
    assert refused(make.order(), make.refund(include_shipping=True)) == Reason.NO_SHIPPING_FEE


def test_amount_or_units_not_both():
    """Saleor: a hand-given amount beats lines and fee. Here amount and lines together are invalid,
    an amount and the fee add up.
    """
    with pytest.raises(ValueError, match="amount or items, not both"):
        make.refund(amount=make.money(1), items=make.items(A=1))

    order = make.order(shipping_minor=500)
    both = make.refund(amount=make.money(7), include_shipping=True)
    assert amounts(order, both) == [507]


def test_no_second_refund_for_money_that_is_on_its_way():
    """Square: REFUND_ALREADY_PENDING; Saleor: REFUND_IS_PENDING. Here money on its way counts as
    refunded, and what is left besides can be refunded meanwhile.
    """
    pending = applied(make.order(), make.refund(amount=make.money(200))).order

    assert refused(pending, make.refund(amount=make.money(101))) == Reason.REFUND_TOO_LARGE
    assert amounts(pending, make.refund(amount=make.money(100))) == [100]


def test_shipped_or_not_is_no_condition():
    """saleor#15217: no refund for shipped lines; Shopify cannot say which units are meant. Here
    units are units: shipped, cancelled or neither, each is refunded once.
    """
    order = make.order(make.line("A", 3, shipped=1, cancelled=1))

    assert amounts(order, *(make.refund(items=make.items(A=1)) for _ in range(3))) == [100] * 3


# What units come to.


@pytest.mark.parametrize("total_minor", range(35290, 35300))
def test_the_first_units_carry_the_remainder(total_minor):
    """Published for 352.93 over 5 by first_n: 70.59 three times, then 70.58 twice; so for every
    remainder: the first units carry one more each. Last_n is not ours, nor floor(k T / n), which
    moves cents between units.
    """
    prices = [b - a for a, b in pairwise(cumulative(total_minor, 5, k) for k in range(6))]

    base, dearer = divmod(total_minor, 5)
    assert prices == [base + 1] * dearer + [base] * (5 - dearer)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_units_cost_the_same_in_any_portions(size):
    """Vendure: quantity x prorated price; Solidus rounds down and tolerates what is missing. Here
    portions of any size end at the total: 352.93 over 5.
    """
    order = make.order(make.line("A", 5, gross_minor=35293))
    portions = [min(size, 5 - k) for k in range(0, 5, size)]

    found = amounts(order, *(make.refund(items=make.items(A=n)) for n in portions))

    assert sum(found) == 35293


def test_cancelled_units_share_the_count():
    """Solidus unit_cancel divides by the units not yet cancelled, so the last absorbs the rest.
    Here cancelled and refunded units are counted together: 1.00 over 3 in any order.
    """
    order = make.order(make.line("A", 3, gross_minor=100))
    cancel = make.cancel(items=make.items(A=1), refund="full")
    refund = make.refund(items=make.items(A=1))

    for commands in ((cancel, refund, refund), (refund, cancel, cancel), (refund, refund, cancel)):
        assert amounts(order, *commands) == [34, 33, 33]


def test_what_is_proposed_is_what_was_paid():
    """woocommerce#64668: 10 x 23.90 - 25 % incl. 20 % VAT is 179.25, the proposed refund 179.26,
    and the gateway refuses. Placed as net and tax, refunded one by one: 179.25.
    """
    placed = make.placed_order(
        make.order_line("A", 10, net_minor=19917, discount_minor=4979, tax_minor=2987),
        payments=(Payment(payment_id="P1", captured_minor=17925),),
    )

    found = amounts(placed_order(placed), *(make.refund(items=make.items(A=1)) for _ in range(10)))

    assert placed.total_minor == sum(found) == 17925
    assert (max(found), min(found)) == (1793, 1792)


def test_an_amount_belongs_to_no_line():
    """spree#14467: of two lines of 1.00 an amount of 1.03 becomes 0.52 + 0.52. Here 1.03 is 1.03,
    and of the lines what is left is 0.97: as much as `clamp` pays for both.
    """
    order = make.order(make.line("A", 1), make.line("B", 1))
    by_amount = make.refund(amount=make.money(103))
    both = make.refund(items=make.items(A=1, B=1), policy="clamp")

    assert amounts(order, by_amount, both) == [103, 97]


@pytest.mark.parametrize(
    ("currency", "whole", "third"),
    [("EUR", "1.00", "0.34"), ("JPY", "100", "34"), ("KWD", "0.100", "0.034")],
)
def test_every_currency_in_its_own_units(currency, whole, third):
    """medusa#13091: no refund by a decimal; woocommerce-ios#17630: 0.884956 + 0.12 > 1.00. Amounts
    are whole minor units of the currency, with as many decimals as ISO 4217 says.
    """
    total_minor = to_minor(whole, currency)
    order = make.order(make.line("A", 3, gross_minor=total_minor), currency=currency)

    (first,) = amounts(order, make.refund(items=make.items(A=1)))

    assert to_decimal(first, currency) == third


def test_fees_that_are_no_shipping_go_back_as_an_amount():
    """Vendure: lines, shipping and adjustment. Here lines, the shipping fee, and an amount for what
    else was paid, a tip or a service fee.
    """
    placed = make.placed_order(
        make.order_line("A", 1),
        fees=(Fee(kind="shipping", net_minor=50), Fee(kind="tip", net_minor=9)),
        payments=(Payment(payment_id="P1", captured_minor=159),),
    )
    order = placed_order(placed)

    found = amounts(
        order,
        make.refund(items=make.items(A=1), include_shipping=True),
        make.refund(amount=make.money(9)),
    )

    assert found == [150, 9]


# Several payments, and how it ends.


def test_payments_are_drawn_on_in_order_of_capture():
    """Vendure: the named payment, then others; Square: the original tender; Saleor: the last
    payment only. Here each in the order of capture up to its remainder, and none is overdrawn.
    """
    order = make.order(make.line("A", 1, gross_minor=600), payments=make.payments(100, 200, 300))

    (refund,) = applied(order, make.refund(amount=make.money(350))).refunds

    assert [(one.payment_id, one.amount_minor) for one in refund.parts] == [
        ("P1", 100),
        ("P2", 200),
        ("P3", 50),
    ]


def test_a_failed_refund_frees_its_money():
    """Vendure: a failed refund does not count in the cap, so a second is allowed; Square allows no
    further refund on that payment, not adopted. Medusa#16681 forgets the first; here it stays.
    """
    decision = applied(make.order(), make.refund(items=make.items(A=3)))
    (refund,) = decision.refunds

    order, refund = end_part(decision.order, refund, refund.parts[0].part_id, "failed")

    assert [part.state for part in refund.parts] == ["failed"]
    assert payment_status(order) == "paid"
    assert amounts(order, make.refund(items=make.items(A=3))) == [300]


@pytest.mark.parametrize("first", ["settled", "failed"])
@pytest.mark.parametrize("second", ["settled", "failed", "unknown", "pending"])
def test_the_last_word_on_a_part_counts(first, second):
    """Saleor takes the last event by its time, so a late one turns the state; Vendure's Settled and
    Failed are terminal, not adopted. That it is under way is old news of a part that has ended.
    """
    decision = applied(make.order(), make.refund(items=make.items(A=3)))
    (refund,) = decision.refunds
    part_id = refund.parts[0].part_id
    last = second if second in {"settled", "failed"} else first

    heard = end_part(*end_part(decision.order, refund, part_id, first), part_id, second)

    assert heard == end_part(decision.order, refund, part_id, last)
