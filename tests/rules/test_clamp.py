"""`policy = clamp`: what is left is taken, nothing else is softened, and nothing is still nothing.

The plainest case of each command is in the command table; here are all measures, exactly.
"""

from dataclasses import replace

import pytest
from hypothesis import given, settings

from messages import Cancel, Reason
from tests import factories as make
from tests.strategies import order_commands, paid_orders
from worker.orders.model import Decision, Order, Rejection
from worker.orders.rules import decide


def applied(order: Order, command) -> Decision:
    decision = decide(order, command, make.world())
    assert isinstance(decision, Decision), decision
    return decision


def refused(order: Order, command) -> Reason:
    """Why not; a rejection has no order, so nothing can have changed."""
    rejection = decide(order, command, make.world())
    assert isinstance(rejection, Rejection), rejection
    return rejection.reason


def paid(order: Order, command) -> tuple[int, int, list[tuple[str, int, int]]]:
    """What a refund comes to: in all, of the shipping fee, and for units of lines."""
    refund = applied(order, command).outcome.refund
    lines = [(line.line_id, line.quantity, line.gross_minor) for line in refund.lines]
    return refund.amount_minor, refund.shipping_minor, lines


# Units, of ship, complete and cancel.

UNITS = [(make.ship, "physical"), (make.complete, "digital"), (make.cancel, "physical")]
each_command = pytest.mark.parametrize(
    ("command", "item_type"), UNITS, ids=["ship", "complete", "cancel"]
)


def half_done(item_type: str) -> Order:
    """Of A 5 of 5 are left, of B 2 of 4, of C none of 3."""
    counter = "shipped" if item_type == "physical" else "completed"
    return make.order(
        make.line("A", 5, item_type=item_type),
        make.line("B", 4, item_type=item_type, **{counter: 1}, cancelled=1),
        make.line("C", 3, item_type=item_type, **{counter: 3}),
    )


@each_command
def test_each_line_is_cut_to_its_own_rest(command, item_type):
    """One line less than its rest, one more, one of which nothing is left: 4, 2 and none."""
    asked = make.items(A=4, B=9, C=1)

    decision = applied(half_done(item_type), command(items=asked, policy="clamp"))

    assert decision.outcome.items == make.items(A=4, B=2)
    before = [line.remaining for line in half_done(item_type).lines]
    assert before == [5, 2, 0]
    assert [line.remaining for line in decision.order.lines] == [1, 0, 0]


@each_command
def test_nothing_left_is_refused(command, item_type):
    """Named or not, of lines with nothing left nothing is taken: the refusal says of what."""
    order = half_done(item_type)
    order = replace(order, lines=order.lines[2:])
    reason = Reason(f"nothing_to_{command.__name__}")

    assert refused(order, command(items=make.items(C=1), policy="clamp")) == reason
    assert refused(order, command(policy="clamp")) == reason


@each_command
def test_quantity_0_is_still_none(command, item_type):
    """Clamping only ever takes less: a line that is to be left is left."""
    reason = Reason(f"nothing_to_{command.__name__}")

    assert refused(half_done(item_type), command(items=make.items(A=0), policy="clamp")) == reason


# Money that a refund pays.


def test_refund_of_units_is_cut_to_the_units_that_are_left():
    """3 of A asked, 1 left; 5 of B asked, none left; C as asked."""
    order = make.order(
        make.line("A", 3, refunded_units=2, refunded_minor=200),
        make.line("B", 5, refunded_units=5, refunded_minor=500),
        make.line("C", 2),
    )

    asked = make.items(A=3, B=5, C=1)

    assert paid(order, make.refund(items=asked, policy="clamp")) == (
        200,
        0,
        [("A", 1, 100), ("C", 1, 100)],
    )


def test_refund_of_units_is_cut_to_the_money_that_is_left():
    """Earlier lines first; a line for which only part is left is paid in part and its units count;
    lines for which nothing is left stay as they are.
    """
    order = make.order(
        make.line("A", 2), make.line("B", 2), make.line("C", 2), payments=make.payments(150, 151)
    )
    command = make.refund(items=make.items(A=2, B=2, C=2), policy="clamp")

    assert paid(order, command) == (301, 0, [("A", 2, 200), ("B", 2, 101)])
    after = applied(order, command).order
    assert [line.refunded_units for line in after.lines] == [2, 2, 0]
    assert [line.refunded_minor for line in after.lines] == [200, 101, 0]
    assert after.left_minor == 0


@pytest.mark.parametrize(
    ("left_minor", "amount_minor", "shipping_minor"),
    [(1000, 800, 500), (800, 800, 500), (799, 799, 500), (500, 500, 500), (499, 499, 499)],
)
def test_fee_comes_before_the_amount(left_minor, amount_minor, shipping_minor):
    """The fee of 500 and an amount of 300: what is missing is missing of the amount first."""
    order = make.order(shipping_minor=500, payments=make.payments(left_minor))
    command = make.refund(amount=make.money(300), include_shipping=True, policy="clamp")

    assert paid(order, command) == (amount_minor, shipping_minor, [])


def test_fee_that_was_paid_in_part_is_gone():
    """The fee goes back once: cut to what is left it counts as refunded, whatever frees later."""
    order = make.order(shipping_minor=500, payments=make.payments(200))

    after = applied(order, make.refund(include_shipping=True, policy="clamp")).order

    assert after.shipping_refunded_minor == 200
    richer = replace(after, payments=(*after.payments, *make.payments(0, 900)[1:]))
    again = make.refund(include_shipping=True)
    assert refused(richer, again) == Reason.SHIPPING_ALREADY_REFUNDED
    assert refused(richer, again.model_copy(update={"policy": "clamp"})) == Reason.NOTHING_TO_REFUND


@pytest.mark.parametrize(
    "fields",
    [
        {"amount": make.money(1)},
        {"items": make.items(A=1)},
        {"include_shipping": True},
        {"amount": make.money(1), "include_shipping": True},
        {"items": make.items(A=1), "include_shipping": True},
    ],
    ids=["amount", "units", "fee", "amount and fee", "units and fee"],
)
def test_refund_of_nothing_left_is_refused(fields):
    """All captured money is on its way back: whatever is asked, nothing is left to clamp to."""
    order = make.order(shipping_minor=500, payments=make.payments(300))
    order = replace(order, payments=(replace(order.payments[0], refunded_minor=300),))

    assert refused(order, make.refund(**fields, policy="clamp")) == Reason.NOTHING_TO_REFUND


# Money that a cancel pays.


def test_cancel_pays_in_full_for_what_it_cancels():
    """More asked than remains, all of it paid for: the clamped units count, not those asked."""
    order = make.order(make.line("A", 5, shipped=3))
    command = make.cancel(items=make.items(A=4), refund="full", policy="clamp")

    assert applied(order, command).outcome.items == make.items(A=2)
    assert paid(order, command) == (200, 0, [("A", 2, 200)])


@pytest.mark.parametrize(
    ("left_minor", "expected"),
    [
        (900, (800, 500, [("A", 3, 300)])),
        (750, (750, 450, [("A", 3, 300)])),
        (300, (300, 0, [("A", 3, 300)])),
        (250, (250, 0, [("A", 3, 250)])),
    ],
)
def test_cancel_in_full_pays_units_first_then_the_fee(left_minor, expected):
    """Units of 300 and the fee of 500 from what is left."""
    order = make.order(shipping_minor=500, payments=make.payments(left_minor))

    command = make.cancel(refund="full", include_shipping=True, policy="clamp")

    assert paid(order, command) == expected


@pytest.mark.parametrize(
    ("items", "cancelled"), [((), 3), (make.items(A=0), 0)], ids=["units", "refund only"]
)
def test_cancel_with_an_amount_pays_what_is_left(items, cancelled):
    """301 asked, 300 left; with units or for the money only."""
    command = make.cancel(items=items, refund=make.money(301), policy="clamp")

    assert paid(make.order(), command) == (300, 0, [])
    assert applied(make.order(), command).order.lines[0].cancelled == cancelled


@pytest.mark.parametrize(
    "fields",
    [
        {"refund": "full"},
        {"refund": make.money(1)},
        {"include_shipping": True},
        {"refund": "full", "include_shipping": True},
        {"refund": make.money(1), "include_shipping": True},
    ],
    ids=["full", "amount", "fee", "full and fee", "amount and fee"],
)
def test_cancel_when_all_money_is_gone_only_cancels(fields):
    """Captured, and wholly on its way back: units are cancelled, no refund is made."""
    order = make.order(shipping_minor=500)
    order = replace(order, payments=(replace(order.payments[0], refunded_minor=800),))

    decision = applied(order, make.cancel(**fields, policy="clamp"))

    assert decision.outcome.items == make.items(A=3)
    assert (decision.outcome.refund, decision.refunds) == (None, ())
    assert decision.order.payments == order.payments


# What it does not soften.


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (make.ship(items=make.items(A=1, Z=1)), Reason.UNKNOWN_LINE),
        (make.ship(items=make.items(A=1) * 2), Reason.DUPLICATE_LINE),
        (make.ship(items=make.items(A=1, B=1)), Reason.WRONG_ITEM_TYPE),
        (make.complete(items=make.items(A=1, B=1)), Reason.WRONG_ITEM_TYPE),
        (make.ship(carrier="pigeon"), Reason.UNKNOWN_CARRIER),
        (make.ship(expected_version=7), Reason.VERSION_MISMATCH),
        (make.refund(amount=make.money(1, "USD")), Reason.OTHER_CURRENCY),
        (make.refund(amount=make.money(0)), Reason.NOTHING_TO_REFUND),
        (make.refund(items=make.items(Z=1)), Reason.UNKNOWN_LINE),
    ],
    ids=lambda value: value.kind if not isinstance(value, Reason) else str(value),
)
def test_other_refusals_stay(command, reason):
    """Clamping is about how much, never about what: every other refusal is as it was."""
    order = make.order(make.line("A"), make.line("B", item_type="digital"))

    assert refused(order, command) == reason
    assert refused(order, command.model_copy(update={"policy": "clamp"})) == reason


HOW_MUCH = {
    Reason.MORE_THAN_REMAINS,
    Reason.REFUND_TOO_LARGE,
    Reason.UNITS_ALREADY_REFUNDED,
    Reason.NO_SHIPPING_FEE,
    Reason.SHIPPING_ALREADY_REFUNDED,
}
NO_MONEY = {Reason.NOTHING_CAPTURED, Reason.NOTHING_TO_REFUND}


@settings(max_examples=300)
@given(paid_orders(), order_commands)
def test_clamp_differs_only_where_strict_refuses_how_much(order, command):
    """Whatever is asked of whatever order: what `strict` applies `clamp` applies alike, and what
    `strict` refuses for another reason than how much, `clamp` refuses alike. Only a cancel does
    without its money.
    """
    strict = decide(order, command.model_copy(update={"policy": "strict"}), make.world())
    clamp = decide(order, command.model_copy(update={"policy": "clamp"}), make.world())

    softened = HOW_MUCH | NO_MONEY if isinstance(command, Cancel) else HOW_MUCH
    if isinstance(strict, Decision) or strict.reason not in softened:
        assert clamp == strict
