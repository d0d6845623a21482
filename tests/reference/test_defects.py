"""The ten defects seen in the peers by reading them, each as a test that would show it here,
through the store. Those of two at once (1, 2 and 10) are in `test_defects_concurrency`.
"""

from dataclasses import replace
from uuid import uuid5

import pytest

from messages import Payment
from tests import factories as make
from tests.work import rig
from worker.orders.model import Decision
from worker.orders.refunds import end_part
from worker.orders.rules import decide
from worker.orders.status import payment_status
from worker.store import orders as store
from worker.work.dead import Chosen, replay


def paid(*captured_minor):
    return tuple(
        Payment(payment_id=f"P{n}", captured_minor=one) for n, one in enumerate(captured_minor, 1)
    )


def order_of(engine, order_id=make.ORDER_ID):
    """The order as it is stored."""
    with engine.begin() as connection:
        return store.load(connection, [order_id])[order_id]


def parts_of(engine):
    with engine.begin() as connection:
        return connection.exec_driver_sql(
            "select payment_id, amount_minor, state from refund_parts order by payment_id"
        ).all()


def test_3_a_refund_is_not_done_before_the_provider_says_so(engine):
    """Saleor makes the REFUNDED fulfilment even when the gateway answered with something else. Here
    a refund is reserved, its parts pending, the order as paid as before; when the provider will not
    pay, units and money are as they were, and can be refunded again.
    """
    rig.placed(engine, payments=paid(100, 200))
    before = order_of(engine)
    refund = make.refund(items=make.items(A=3))

    rig.decided(engine, refund)

    assert parts_of(engine) == [("P1", 100, "pending"), ("P2", 200, "pending")]
    assert rig.one(engine, "select payment_status, refund_pending from orders") == ("paid", True)
    decision = decide(before, refund, make.world())
    order, reserved = order_of(engine), decision.refunds[0]
    for part in reserved.parts:
        order, reserved = end_part(order, reserved, part.part_id, "failed")
    assert order == replace(before, version=2)
    assert payment_status(order) == "paid"
    again = decide(order, make.refund(items=make.items(A=3)), make.world())
    assert isinstance(again, Decision)


@pytest.mark.parametrize(
    "command", [make.ship, make.complete, make.cancel, make.refund], ids=lambda one: one.__name__
)
def test_4_one_line_twice_in_one_command(engine, command):
    """Vendure checks each entry by itself against what is stored: 2 and 2 of 3 pass. Here a line
    that is named twice is refused, also where both would fit, and nothing is written.
    """
    item_type = "digital" if command is make.complete else "physical"
    rig.with_lines(engine, make.order_line("A", 3, item_type=item_type), payments=paid(300))
    before = rig.dump(engine, rig.EFFECTS)
    twice = [command(items=make.items(A=each) * 2) for each in (1, 2)]

    rig.decided(engine, *twice)

    assert [rig.reason(engine, one) for one in twice] == ["duplicate_line"] * 2
    assert rig.dump(engine, rig.EFFECTS) == before


def test_5_what_is_spread_over_payments_is_what_can_be_paid(engine):
    """Vendure's loop over payments uses the total asked for, not the capped one: it refunds first
    and then finds no payment for the rest. Here 5.51 of the 5.50 left is refused before anything is
    reserved, and clamped it is 5.50, by each payment's own remainder.
    """
    rig.with_lines(engine, make.order_line("A", 6), payments=paid(100, 200, 300))
    rig.decided(engine, make.refund(amount=make.money(50)))
    before = rig.dump(engine, rig.EFFECTS)
    strict = make.refund(amount=make.money(551))
    clamp = make.refund(amount=make.money(551), policy="clamp")

    rig.decided(engine, strict)

    assert rig.reason(engine, strict) == "refund_too_large"
    assert rig.dump(engine, rig.EFFECTS) == before
    rig.decided(engine, clamp)
    refund = rig.command(engine, clamp).outcome["refund"]
    assert [part["amount_minor"] for part in refund["parts"]] == [50, 200, 300]
    assert rig.count(engine, "payments", "refunded_minor = captured_minor") == 3


def test_6_no_line_is_refunded_beyond_its_units(engine):
    """Vendure caps refunds of lines by the payments only. Here by the units of the line, in one
    step and in two, although another line's money would be there; nothing is written.
    """
    rig.with_lines(engine, make.order_line("A", 3), make.order_line("B", 9), payments=paid(1200))
    at_once = make.refund(items=make.items(A=4))
    first, second = (make.refund(items=make.items(A=2)) for _ in "12")
    before = rig.dump(engine, rig.EFFECTS)

    rig.decided(engine, at_once)

    assert rig.reason(engine, at_once) == "units_already_refunded"
    assert rig.dump(engine, rig.EFFECTS) == before
    assert rig.decided(engine, first) == ["applied"]
    before = rig.dump(engine, rig.EFFECTS)
    rig.decided(engine, second)
    assert rig.reason(engine, second) == "units_already_refunded"
    assert rig.dump(engine, rig.EFFECTS) == before


def test_7_a_counter_moves_with_its_command_only(engine):
    """Karrio counts down whenever a shipment is saved again. Here a ship that fails twice and is
    applied at the third try, is sent again, carried out again by a drainer that held it, and
    followed by commands of every other kind has moved its counter once.
    """
    rig.with_lines(
        engine,
        make.order_line("A", 3),
        make.order_line("B", 2, item_type="digital"),
        payments=paid(500),
    )
    ship = make.ship(items=make.items(A=1))
    rig.accepted(engine, ship)
    for _ in range(2):
        rig.drainer(engine, rules=rig.Raising("O-1", KeyError("planted")))()
        assert (rig.line(engine).shipped, rig.count(engine, "shipments")) == (0, 0)
        rig.due_now(engine)
    held = rig.claimed(engine)
    route = rig.commands(engine)
    route.carry_out(held)
    once = rig.dump(engine, rig.EFFECTS)

    for _ in range(2):
        assert rig.accepted(engine, ship)[0].answer == "known"
        assert route.carry_out(held) is False
        rig.drainer(engine)()

    assert rig.dump(engine, rig.EFFECTS) == once
    others = [
        make.complete(),
        make.refund(items=make.items(A=1)),
        make.cancel(items=make.items(A=1), refund="full"),
        make.refund(amount=make.money(1)),
    ]
    assert rig.decided(engine, *others) == ["applied"] * 4
    line = rig.line(engine)
    assert (line.shipped, line.completed, line.cancelled, line.refunded_units) == (1, 0, 1, 2)


class Broken:
    """The rules, whose decisions no CHECK lets pass; with the ids that they gave away."""

    def __init__(self):
        self.parts = set()

    def __call__(self, order, command, world):
        decision = decide(order, command, world)
        if command.kind == "place":
            return decision
        self.parts |= {part.part_id for refund in decision.refunds for part in refund.parts}
        line = replace(decision.order.lines[0], shipped=99)
        return replace(decision, order=replace(decision.order, lines=(line,)))


def test_8_what_follows_is_staged_with_the_effect_under_stable_keys(engine):
    """Spree buys a label outside any lock and pays back without an idempotency key. Here label and
    refund parts are staged in the transaction of their effect, so that nothing is bought for what
    failed to be written; decided again after a replay they have the keys that they had before.
    """
    rig.placed(engine, payments=paid(100, 200))
    before = rig.dump(engine, rig.EFFECTS)
    ship = make.ship(items=make.items(A=1), label="generate", notify_customer=False)
    refund = make.refund(amount=make.money(150))
    rules = Broken()
    rig.accepted(engine, ship, refund)

    rig.drainer(engine, rules=rules)()

    assert [rig.state(engine, one) for one in (ship, refund)] == ["dead"] * 2
    assert rig.dump(engine, rig.EFFECTS) == before
    with engine.begin() as connection:
        replay(connection, Chosen(ids=[ship.command_id, refund.command_id]), actor="op")
    rig.drainer(engine)()
    with engine.begin() as connection:
        staged = connection.exec_driver_sql(
            "select route, subject_id, id from followups where state = 'pending'"
        ).all()
    keys = {route: {key for one, key, _ in staged if one == route} for route, _, _ in staged}
    assert keys == {"labels": {ship.command_id}, "refunds": rules.parts}
    assert rules.parts == {uuid5(refund.command_id, payment) for payment in ("P1", "P2")}
    assert len({row_id for _, _, row_id in staged}) == len(staged) == 3


@pytest.mark.parametrize(
    ("command", "moved"),
    [
        (make.ship(items=make.items(B=1)), {"shipped": 1}),
        (make.cancel(items=make.items(B=1)), {"cancelled": 1}),
        (make.refund(items=make.items(B=1)), {"refunded_units": 1, "refunded_minor": 100}),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_9_a_part_moves_the_named_lines_only(engine, command, moved):
    """Medusa 2.0 adjusts all lines by their whole quantity for a partial fulfilment. Here the named
    line moves by the named units, and the others are not even written.
    """
    rig.with_lines(engine, *(make.order_line(one, 3) for one in "ABC"), payments=paid(900))
    others = "select ctid, xmin, * from order_lines where line_id <> 'B' order by line_id"
    before, line = rows(engine, others), rig.line(engine, "B")

    assert rig.decided(engine, command) == ["applied"]

    assert rows(engine, others) == before
    after = rig.line(engine, "B")
    assert {
        name: getattr(after, name) - getattr(line, name)
        for name in ("shipped", "completed", "cancelled", "refunded_units", "refunded_minor")
        if getattr(after, name) != getattr(line, name)
    } == moved


def rows(engine, statement):
    with engine.begin() as connection:
        return connection.exec_driver_sql(statement).all()
