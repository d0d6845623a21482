"""One order that is very long, and one that everything hits."""

import pytest

from messages import Payment
from tests import factories as make
from tests.work import rig

LINES = 2_000
IDS = [f"L{n}" for n in range(LINES)]
FIVE_STATEMENTS = ["claim", "lock_claimed", "lock_orders", "load", "write_batch"]


def total(engine, column, of="order_lines"):
    return rig.one(engine, f"select sum({column})::bigint from {of}")[0]


def decided(engine, command):
    """The command's outcome, and the statements that deciding it took."""
    rig.accepted(engine, command)
    with rig.statements(engine) as sent:
        rig.drainer(engine)()
    row = rig.ended(engine, command)
    assert row.state == "applied", (row.outcome, row.errors)
    return row.outcome, [rig.name(statement) for statement, _ in sent][:5]


@pytest.fixture
def long_order(engine):
    """Of each line three units for four cents: the first costs two, the others one; all is paid."""
    paid_minor = 4 * LINES
    rig.with_lines(
        engine,
        *(make.order_line(line_id, 3, net_minor=4) for line_id in IDS),
        payments=(Payment(payment_id="P1", captured_minor=paid_minor),),
    )


def test_commands_on_all_of_two_thousand_lines(engine, long_order):
    """Ship, cancel, refund: each takes all lines at once, to the cent, by the same five statements
    as ever.
    """
    one_of_each = make.items(**dict.fromkeys(IDS, 1))

    shipped, by_ship = decided(engine, make.ship(items=one_of_each))
    cancelled, by_cancel = decided(engine, make.cancel(items=one_of_each, refund="full"))
    refunded, by_refund = decided(engine, make.refund(items=one_of_each))
    rest, by_rest = decided(engine, make.ship())

    assert by_ship == by_cancel == by_refund == by_rest == FIVE_STATEMENTS
    assert [one["order_version"] for one in (shipped, cancelled, refunded, rest)] == [2, 3, 4, 5]
    assert {len(one["items"]) for one in (shipped, cancelled, rest)} == {LINES}
    assert cancelled["refund"]["amount_minor"] == 2 * LINES
    assert refunded["refund"]["amount_minor"] == LINES
    lines = "shipped = 2 and cancelled = 1 and refunded_units = 2 and refunded_minor = 3"
    assert rig.count(engine, "order_lines", lines) == LINES
    assert rig.count(engine, "shipment_lines", "quantity = 1") == 2 * LINES
    assert total(engine, "gross_minor", "refund_lines") == 3 * LINES
    assert total(engine, "refunded_minor", "payments") == 3 * LINES
    assert rig.count(engine, "orders", "fulfillment_status = 'fulfilled' and version = 5") == 1


def test_a_command_too_many_for_a_long_order(engine, long_order):
    """One unit more than a single one of the lines has, and none of them is shipped."""
    units = dict.fromkeys(IDS, 3) | {IDS[-1]: 4}

    command = make.ship(items=make.items(**units))
    rig.accepted(engine, command)
    rig.drainer(engine)()

    assert rig.reason(engine, command) == "more_than_remains"
    assert total(engine, "shipped") == 0
    assert rig.count(engine, "shipments") == rig.count(engine, "followups") == 0


def test_an_order_that_all_commands_hit(engine, database_url):
    """Of 400 commands on one order all are applied by two drainers, in the order of acceptance;
    none fails, and what was given back is not counted.
    """
    rig.with_lines(engine, make.order_line("A", 400))
    other = rig.other_engine(database_url)
    ships = [make.ship(items=make.items(A=1)) for _ in range(400)]
    rig.accepted(engine, *ships)
    drainers = [rig.drainer(one, batch_size=20) for one in (engine, other)]

    while rig.count(engine, "commands", "state = 'pending'"):
        rig.together(*drainers)

    outcomes = [rig.ended(engine, one).outcome for one in ships]
    assert [(one["state"], one["order_version"]) for one in outcomes] == [
        ("applied", version) for version in range(2, 402)
    ]
    failed = "attempts > 0 or crashes > 0 or errors <> '[]'"
    assert rig.count(engine, "commands", failed) == 0
    assert rig.line(engine).shipped == rig.count(engine, "shipments") == 400
    other.dispose()
