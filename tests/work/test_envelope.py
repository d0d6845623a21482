"""What the envelope asks for, through the store: `expected_version`, `policy` and `after` together,
under two drainers. What each does to one order is in `tests/rules`.
"""

import pytest

from messages import Payment
from tests import factories as make
from tests.work import rig

ROUNDS = 8


def test_of_two_that_expect_the_same_version_one_wins(engine, database_url):
    """Two drainers, and two commands that saw the same order, whose units do not meet: the first
    one accepted is applied, the second refused, each time; one more version, one command's effect.
    """
    other = rig.other_engine(database_url)
    drains = [rig.drainer(one, batch_size=1) for one in (engine, other)]
    for n in range(ROUNDS):
        order_id = f"O-{n}"
        rig.placed(engine, order_id)
        both = [
            make.ship(order_id=order_id, items=make.items(A=1), expected_version=1),
            make.cancel(order_id=order_id, items=make.items(A=1), expected_version=1),
        ]
        rig.accepted(engine, *both)

        while rig.count(engine, "commands", "state = 'pending'"):
            rig.together(*drains)

        assert rig.state(engine, both[0]) == "applied"
        assert rig.reason(engine, both[1]) == "version_mismatch"
    other.dispose()
    assert rig.count(engine, "orders", "version = 2") == ROUNDS
    assert rig.count(engine, "order_lines", "shipped = 1 and cancelled = 0") == ROUNDS
    assert rig.count(engine, "history", "event = 'cancelled'") == 0


def test_nothing_left_to_clamp_to_writes_nothing(engine):
    """An order that is done and whose money is on its way back: each command that takes what is
    left is refused with its own reason, and no row but its own is touched.
    """
    rig.with_lines(
        engine,
        make.order_line("A", 3),
        make.order_line("B", 2, item_type="digital"),
        payments=(Payment(payment_id="P1", captured_minor=500),),
    )
    done = [make.ship(), make.complete(), make.refund(amount=make.money(500))]
    assert rig.decided(engine, *done) == ["applied"] * 3
    before = rig.dump(engine, rig.EFFECTS)
    nine, nought = make.items(A=9), make.items(A=0)
    commands = {
        make.ship(policy="clamp"): "nothing_to_ship",
        make.ship(items=nine, policy="clamp"): "nothing_to_ship",
        make.complete(items=make.items(B=9), policy="clamp"): "nothing_to_complete",
        make.cancel(items=nine, refund="full", policy="clamp"): "nothing_to_cancel",
        make.cancel(items=nought, refund=make.money(9), policy="clamp"): "nothing_to_refund",
        make.refund(items=nine, policy="clamp"): "nothing_to_refund",
        make.refund(amount=make.money(9), policy="clamp"): "nothing_to_refund",
        make.refund(include_shipping=True, policy="clamp"): "nothing_to_refund",
    }

    rig.decided(engine, *commands)

    assert [rig.reason(engine, one) for one in commands] == list(commands.values())
    assert rig.dump(engine, rig.EFFECTS) == before


@pytest.mark.parametrize("batch_size", [1, 200])
def test_all_three_together(engine, batch_size):
    """Each link expects the version that the one before left, and takes what is left: 3 of 4 ship,
    the last unit is cancelled, and what nothing is left for is refused, as is what comes after it
    and what expects a version that the refusal never made.
    """
    rig.with_lines(engine, make.order_line("A", 4))
    ship = make.ship(items=make.items(A=3), expected_version=1)
    cancel = make.cancel(
        items=make.items(A=9), policy="clamp", after=ship.command_id, expected_version=2
    )
    late = make.ship(
        items=make.items(A=9), policy="clamp", after=cancel.command_id, expected_version=3
    )
    behind = make.cancel(policy="clamp", after=late.command_id)
    wrong = make.cancel(policy="clamp", expected_version=4)
    rig.accepted(engine, wrong, behind, late, cancel, ship)

    drain = rig.drainer(engine, batch_size=batch_size)
    drain()
    while rig.count(engine, "commands", "state = 'pending'"):
        rig.due_now(engine)
        drain()

    reasons = [rig.reason(engine, one) for one in (late, behind, wrong)]
    assert reasons == ["nothing_to_ship", "predecessor_failed", "version_mismatch"]
    assert rig.command(engine, cancel).outcome["items"] == [{"line_id": "A", "quantity": 1}]
    row = rig.line(engine)
    assert (row.shipped, row.cancelled) == (3, 1)
    assert rig.one(engine, "select version from orders") == (3,)
