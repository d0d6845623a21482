"""The promise P4 in the database itself: what a bug would write, PostgreSQL refuses."""

from sqlalchemy.exc import IntegrityError

from messages import Fee, Payment
from tests import factories as make
from tests.work import rig

BROKEN = {
    "more shipped than ordered": "update order_lines set shipped = 4",
    "more completed than ordered": "update order_lines set completed = 4",
    "more cancelled than ordered": "update order_lines set cancelled = 4",
    "more done together": "update order_lines set shipped = 2, completed = 1, cancelled = 1",
    "less than nothing shipped": "update order_lines set shipped = -1, completed = 1",
    "less than nothing completed": "update order_lines set completed = -1, shipped = 1",
    "less than nothing cancelled": "update order_lines set cancelled = -1, shipped = 1",
    "an empty line": "update order_lines set quantity = 0",
    "a line below zero": "update order_lines set gross_minor = -1",
    "a tax below zero": "update order_lines set tax_minor = -1",
    "a discount below zero": "update order_lines set discount_minor = -1",
    "more units refunded than ordered": "update order_lines set refunded_units = 4",
    "less than no unit refunded": "update order_lines set refunded_units = -1",
    "less than nothing refunded for units": "update order_lines set refunded_minor = -1",
    "less than no tax refunded": "update order_lines set refunded_tax_minor = -1",
    "less than no discount refunded": "update order_lines set refunded_discount_minor = -1",
    "more refunded than captured": "update payments set refunded_minor = 301",
    "less than nothing refunded": "update payments set refunded_minor = -1, settled_minor = -1",
    "more settled than refunded": "update payments set refunded_minor = 1, settled_minor = 2",
    "less than nothing settled": "update payments set settled_minor = -1",
    "less than nothing captured": "update payments set captured_minor = -1, refunded_minor = -1",
    "more shipping refunded than paid": "update orders set shipping_refunded_minor = 51",
    "less than no shipping refunded": "update orders set shipping_refunded_minor = -1",
    "an order below zero": "update orders set total_minor = -1",
    "a parcel of no unit": "update shipment_lines set quantity = 0",
    "a refund of nothing": "update refunds set amount_minor = 0",
    "a refund part of nothing": "update refund_parts set amount_minor = 0",
    "a refund part on nobody's payment": "update refund_parts set payment_id = 'P9'",
    "a refund part in no state": "update refund_parts set state = 'lost'",
    "a refund line below zero": "update refund_lines set quantity = -1",
    "a command in no state": "update commands set state = 'done'",
    "a follow-up in no state": "update followups set state = 'applied'",
    "a refund part given up": "update followups set state = 'discarded' where route = 'refunds'",
    "an order's line twice": "insert into order_lines select * from order_lines",
    "an order twice": "insert into orders select * from orders",
    "a command twice": "insert into commands (id, kind, order_id, body, fingerprint)"
    " select id, kind, order_id, body, fingerprint from commands",
    "a line of no order": "update order_lines set order_id = 'O-9'",
    "a parcel by nobody": "update shipments set carrier = 'nobody'",
    "a parcel twice": "insert into shipments (shipment_id, order_id, command_id, label, shipped_at)"
    " select shipment_id, order_id, command_id, label, shipped_at from shipments",
}


def test_constraints_hold_against_a_bug(engine):
    """Each conserved quantity has a constraint: written directly, every violation is refused, and
    nothing is changed.
    """
    rig.placed(
        engine,
        fees=(Fee(kind="shipping", net_minor=50),),
        payments=(Payment(payment_id="P1", captured_minor=300),),
    )
    states = rig.decided(
        engine,
        make.ship(items=make.items(A=1)),
        make.refund(items=make.items(A=1)),
    )
    assert states == ["applied", "applied"]
    before = rig.dump(engine)

    taken = [name for name, statement in BROKEN.items() if not refused(engine, statement)]

    assert taken == []
    assert rig.dump(engine) == before


def refused(engine, statement):
    try:
        rig.run(engine, statement)
    except IntegrityError:
        return True
    return False


ALLOWED = {
    "all of it": "update order_lines set shipped = 1, completed = 1, cancelled = 1",
    "all refunded": "update order_lines set refunded_units = 3",
    "all money refunded": "update payments set refunded_minor = 300, settled_minor = 300",
    "a label given up": "update followups set state = 'discarded'",
}


def test_constraints_allow_the_limits(engine):
    """What is exactly at its limit is allowed."""
    rig.placed(engine, payments=(Payment(payment_id="P1", captured_minor=300),))
    rig.decided(engine, make.ship(items=make.items(A=1), label="generate"))

    for statement in ALLOWED.values():
        rig.run(engine, statement)
