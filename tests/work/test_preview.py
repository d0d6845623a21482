"""A preview is what is then applied, and writes nothing."""

from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import DBAPIError

from messages import Fee, NewCarrier, Payment
from tests import factories as make
from tests.strategies import order_commands
from tests.work import rig
from worker.orders.model import Decision, Rejection
from worker.work import preview as module
from worker.work.accept import Receipt
from worker.work.judging import Wait
from worker.work.preview import Preview, preview

GRACE_S = 900.0


def previewed(engine, *commands):
    return [one.verdict for one in preview(engine, commands, grace_s=GRACE_S)]


def placed(order_id):
    """Three of A for 3.01, two digital B for 1.99 with tax, a shipping fee; two payments."""
    lines = (
        make.order_line("A", 3, net_minor=301, tax_minor=17),
        make.order_line("B", 2, net_minor=199, item_type="digital"),
    )
    fees = (Fee(kind="shipping", net_minor=499),)
    paid = (
        Payment(payment_id="P1", captured_minor=600),
        Payment(payment_id="P2", captured_minor=416),
    )
    order = make.placed_order(*lines, fees=fees, discount_minor=0, payments=paid)
    return make.place(order_id=order_id, order=order)


@settings(
    max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(commands=st.lists(order_commands, min_size=1, max_size=6))
def test_preview_is_what_is_applied(engine, commands):
    """Whatever has been done to an order: what a command is said to do is what it then does, to the
    outcome's last field, and saying so changes no row.
    """
    order_id = f"O-{uuid4()}"
    place = placed(order_id)
    own = [
        command.model_copy(update={"order_id": order_id, "command_id": uuid4()})
        for command in commands
    ]
    for command in (place, *own):
        before = rig.dump(engine, ("orders", "order_lines", "payments", "commands"))

        (verdict,) = previewed(engine, command)

        assert rig.dump(engine, ("orders", "order_lines", "payments", "commands")) == before
        assert isinstance(verdict, Decision | Rejection)
        rig.decided(engine, command)
        assert rig.ended(engine, command).outcome == verdict.outcome.model_dump(mode="json")


def test_each_sees_what_those_before_would_leave(engine):
    """Commands that are previewed together are judged one after the other, carriers included."""
    rig.placed(engine)
    first = make.ship(
        items=make.items(A=2), new_carrier=NewCarrier(code="acme", name="Acme"), policy="clamp"
    )
    second = make.ship(items=make.items(A=2), carrier="acme")

    one, other = previewed(engine, first, second)

    assert isinstance(one, Decision)
    assert isinstance(other, Rejection)
    assert other.message == "line A: 2 asked, 1 of 3 left"


def test_what_was_sent_before(engine):
    """A command that is known is not judged again; an id that another command has says so."""
    rig.placed(engine)
    known = make.ship(items=make.items(A=2))
    rig.decided(engine, known)
    other = make.cancel(command_id=known.command_id)

    outcome = rig.ended(engine, known).outcome
    assert previewed(engine, known) == [Receipt(known.command_id, "known", "applied", outcome)]
    assert previewed(engine, other) == [Receipt(known.command_id, "id_reused")]


def test_what_would_wait(engine):
    """An order or a predecessor that is not here would be waited for, as a worker does."""
    rig.placed(engine)

    no_order, no_predecessor = previewed(
        engine, make.ship(order_id="nowhere"), make.ship(after=uuid4())
    )

    assert (no_order, no_predecessor) == (Wait("order", 1.0), Wait("predecessor", 1.0))


def test_undecided_commands_are_counted(engine):
    """The verdict is on the order as it is; what would be decided first is counted."""
    rig.placed(engine)
    rig.accepted(engine, make.ship(items=make.items(A=1)), make.ship(items=make.items(A=1)))

    (one,) = preview(engine, [make.ship(items=make.items(A=3))], grace_s=GRACE_S)

    assert isinstance(one, Preview)
    assert isinstance(one.verdict, Decision)
    assert one.undecided == 2


def test_its_transaction_cannot_write(engine):
    """PostgreSQL itself refuses whatever a preview would write."""
    with engine.connect() as connection:
        connection.exec_driver_sql(module.READ_ONLY)
        with pytest.raises(DBAPIError, match="read-only transaction"):
            connection.exec_driver_sql("insert into carriers (code, name) values ('x', 'X')")
