"""The penny rule: what units are worth, so that parts sum to the whole to the last minor unit."""

from dataclasses import replace
from itertools import pairwise

import pytest

from messages import Item
from tests import factories as make
from worker.orders.model import Decision, Line, Order, Refund
from worker.orders.money import cumulative, spread
from worker.orders.refunds import cut, end_part, line_refund
from worker.orders.rules import decide


def granted(order: Order, command) -> tuple[Order, Refund]:
    decision = decide(order, command, make.world())
    assert isinstance(decision, Decision), decision
    (refund,) = decision.refunds
    return decision.order, refund


def one_by_one(line: Line) -> list[tuple[int, int, int]]:
    """Gross, tax and discount of each unit, when they are refunded one after the other."""
    order = make.order(line)
    found = []
    for _ in range(line.quantity):
        order, refund = granted(order, make.refund(items=make.items(A=1)))
        (one,) = refund.lines
        found.append((one.gross_minor, one.tax_minor, one.discount_minor))
    return found


@pytest.mark.parametrize(
    ("total_minor", "units", "prices"),
    [
        (35293, 5, [7059, 7059, 7059, 7058, 7058]),
        (35294, 5, [7059, 7059, 7059, 7059, 7058]),
        (35295, 5, [7059] * 5),
        (100, 3, [34, 33, 33]),
        (2, 3, [1, 1, 0]),
        (0, 2, [0, 0]),
        (7, 1, [7]),
    ],
)
def test_the_first_units_carry_the_remainder(total_minor, units, prices):
    """A unit costs G div n, the first G mod n of them one more: the published cases (first_n)."""
    sums = [cumulative(total_minor, units, k) for k in range(units + 1)]

    assert [after - before for before, after in pairwise(sums)] == prices
    assert sums[-1] == total_minor


def test_352_93_over_5_units_by_refunds():
    """352.93 over 5: three units of 70.59, then two of 70.58."""
    found = one_by_one(make.line("A", 5, gross_minor=35293))

    assert [gross for gross, _, _ in found] == [7059, 7059, 7059, 7058, 7058]


def test_two_units_at_once_cost_what_they_cost_apart():
    """Refund(k, q) = cum(k+q) - cum(k): 141.18 for the first two, not floor's 141.17."""
    order = make.order(make.line("A", 5, gross_minor=35293))

    order, first = granted(order, make.refund(items=make.items(A=2)))
    _, second = granted(order, make.refund(items=make.items(A=2)))

    assert (first.amount_minor, second.amount_minor) == (14118, 14117)


def test_tax_and_discount_follow_the_rule_on_their_own_totals():
    """Each total is divided by itself; net = gross - tax + discount sums by construction."""
    line = make.line("A", 3, gross_minor=1000, tax_minor=167, discount_minor=50)

    found = one_by_one(line)

    assert found == [(334, 56, 17), (333, 56, 17), (333, 55, 16)]
    assert [gross - tax + discount for gross, tax, discount in found] == [295, 294, 294]
    assert 295 + 294 + 294 == 1000 - 167 + 50


def test_cancelled_and_refunded_units_share_one_count():
    """The rule counts units paid back by cancel or by refund, whichever came first."""
    order = make.order(make.line("A", 3, gross_minor=100))

    order, cancelled = granted(order, make.cancel(items=make.items(A=1), refund="full"))
    _, refunded = granted(order, make.refund(items=make.items(A=2)))

    assert (cancelled.amount_minor, refunded.amount_minor) == (34, 66)


def test_an_amount_does_not_move_the_rule():
    """An amount belongs to no line: units cost afterwards what they cost before."""
    order = make.order(make.line("A", 3, gross_minor=100), payments=make.payments(200))

    order, _ = granted(order, make.refund(amount=make.money(50)))

    assert order.lines == (make.line("A", 3, gross_minor=100),)
    assert granted(order, make.refund(items=make.items(A=1)))[1].amount_minor == 34


def test_a_failed_refund_is_forgotten_by_the_rule():
    """Of 34 + 33 + 33 the first fails: the next unit pays the 34 that are missing, all sums up."""
    order = make.order(make.line("A", 3, gross_minor=100))
    order, first = granted(order, make.refund(items=make.items(A=1)))
    order, second = granted(order, make.refund(items=make.items(A=1)))
    order, _ = end_part(order, first, first.parts[0].part_id, "failed")

    order, third = granted(order, make.refund(items=make.items(A=1)))
    order, fourth = granted(order, make.refund(items=make.items(A=1)))

    assert [one.amount_minor for one in (second, third, fourth)] == [33, 34, 33]
    assert order.left_minor == 0


def test_what_clamp_cut_away_is_caught_up_by_the_next_units():
    """`paid` is what was paid, not what was due; gross and tax are made up for together."""
    order = make.order(
        make.line("A", 3, gross_minor=100, tax_minor=20), payments=make.payments(50, 50)
    )
    order, blocker = granted(order, make.refund(amount=make.money(50)))

    order, clamped = granted(order, make.refund(items=make.items(A=2), policy="clamp"))
    order, _ = end_part(order, blocker, blocker.parts[0].part_id, "failed")
    order, rest = granted(order, make.refund(items=make.items(A=1)))

    assert [(one.gross_minor, one.tax_minor) for one in clamped.lines] == [(50, 10)]
    assert [(one.gross_minor, one.tax_minor) for one in rest.lines] == [(50, 10)]
    assert (order.lines[0].refunded_minor, order.lines[0].refunded_tax_minor) == (100, 20)


def test_units_that_were_paid_too_much_upstream_cost_nothing():
    """max(0, cum(k+q) - paid): what was overpaid is not asked back."""
    line = make.line("A", 3, gross_minor=300, refunded_units=1, refunded_minor=250)

    assert line_refund(line, 1).gross_minor == 0
    assert line_refund(line, 2).gross_minor == 50


def test_units_of_a_free_line_count_beside_paid_ones():
    """A zero-price line is refunded for 0; its units count, its amount adds nothing."""
    order = make.order(make.line("A", 1), make.line("B", 2, gross_minor=0))

    order, refund = granted(order, make.refund(items=make.items(A=1, B=2)))

    assert refund.amount_minor == 100
    assert [line.refunded_units for line in order.lines] == [1, 2]


def test_cutting_shrinks_tax_and_discount_in_proportion():
    """Half the gross carries half the tax and half the discount, rounded down."""
    line = line_refund(make.line("A", 1, gross_minor=100, tax_minor=17, discount_minor=9), 1)

    assert cut(line, 50) == replace(line, gross_minor=50, tax_minor=8, discount_minor=4)
    assert cut(line, 100) is line


@pytest.mark.parametrize(
    ("amount_minor", "weights", "shares"),
    [
        (100, [1, 1, 1], [34, 33, 33]),
        (101, [1, 1, 1], [34, 34, 33]),
        (10, [1, 2, 4], [1, 3, 6]),
        (1, [3, 3], [1, 0]),
        (5, [0, 7, 0], [0, 5, 0]),
        (5, [0, 0], [3, 2]),
        (0, [1, 2], [0, 0]),
    ],
)
def test_spread_by_largest_remainder(amount_minor, weights, shares):
    """Whole shares first, then one each by largest remainder, ties to the earlier place."""
    assert spread(amount_minor, weights) == shares


def test_spread_moves_what_a_cap_turns_away():
    """A place that is full leaves the rest to the others, by weight again."""
    assert spread(90, [1, 1, 1], caps=[10, 100, 100]) == [10, 40, 40]
    assert spread(9, [1, 0], caps=[5, 4]) == [5, 4]


def test_spread_refuses_more_than_the_caps_hold():
    """What fits nowhere is an error, not a share that is too large."""
    with pytest.raises(ValueError, match="11 is more than the 10 it can be spread over"):
        spread(11, [1, 1], caps=[5, 5])


def test_a_line_of_a_million_units_is_no_loop():
    """Prices are computed, not listed: the largest line is as quick as the smallest."""
    order = make.order(make.line("A", 1_000_000, gross_minor=10**12 - 1))

    _, refund = granted(order, make.refund(items=(Item(line_id="A", quantity=999_999),)))

    assert refund.amount_minor == 10**12 - 1 - 999_999
