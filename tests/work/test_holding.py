"""`hold` and `release` in the tables, and against upstream's own hold."""

from tests import factories as make
from tests.work import rig


def order(engine):
    return rig.one(engine, "select hold, version, fulfillment_status from orders")


def test_hold_then_release(engine):
    """A held order has its reason in its row and in its history, and refuses to ship; cancelling
    part of it leaves the hold; released, it ships. Nobody is written to about the hold.
    """
    rig.placed(engine)
    hold, refused = make.hold("recall", issued_by="Ann"), make.ship()
    cancel = make.cancel(items=make.items(A=1), notify_customer=False)

    assert rig.decided(engine, hold, refused, cancel) == ["applied", "rejected", "applied"]

    assert order(engine) == ("recall", 3, "unfulfilled")
    assert rig.reason(engine, refused) == "on_hold"
    held = rig.one(engine, "select * from history where event = 'held'")
    assert (held.command_id, held.issued_by) == (hold.command_id, "Ann")
    assert held.details == {"reason": "recall"}
    assert rig.decided(engine, make.release(), make.ship()) == ["applied", "applied"]
    assert order(engine) == (None, 5, "fulfilled")
    assert rig.rows(engine, "select name, state from followups order by seq") == [
        ("cancelled", "skipped"),
        ("shipped", "pending"),
    ]


def test_said_again_writes_nothing(engine):
    """The same hold again, or a release of what is not held, touches no row but its own."""
    rig.placed(engine)
    rig.decided(engine, make.hold("recall"))
    before = rig.dump(engine, rig.EFFECTS)

    assert rig.decided(engine, make.hold("recall")) == ["applied"]
    assert rig.dump(engine, rig.EFFECTS) == before
    rig.decided(engine, make.release())
    before = rig.dump(engine, rig.EFFECTS)
    again = make.release()
    assert rig.decided(engine, again) == ["rejected"]
    assert rig.reason(engine, again) == "not_on_hold"
    assert rig.dump(engine, rig.EFFECTS) == before


def test_other_changes_leave_the_hold(engine):
    """What changes an order without a word on its hold writes it as it was, also in one batch."""
    rig.placed(engine)

    rig.decided(engine, make.hold("recall"), make.cancel(items=make.items(A=1)))
    rig.decided(engine, make.cancel(items=make.items(A=1)))

    assert order(engine)[0] == "recall"


def test_upstream_places_again_without_a_word_on_our_hold(engine):
    """An order that is held here stays so when upstream places it again, with more lines or with
    none; a hold that upstream adds takes its place.
    """
    first = rig.placed(engine)
    rig.decided(engine, make.hold("recall"))

    same = make.place(order=first.order)
    assert rig.decided(engine, same) == ["applied"]
    assert rig.command(engine, same).outcome["changed"] is False
    lines = (make.order_line(), make.order_line("B", 1))
    assert rig.decided(engine, make.place(order=make.placed_order(*lines))) == ["applied"]
    assert order(engine)[0] == "recall"

    assert rig.decided(engine, make.place(order=make.placed_order(*lines, hold="fraud check"))) == [
        "applied"
    ]
    assert order(engine)[0] == "fraud check"


def test_hold_waits_for_its_order(engine):
    """A hold of an order that is not here yet is decided right after the order's placing."""
    hold = make.hold()
    assert rig.decided(engine, hold) == ["pending"]

    assert rig.decided(engine, make.place()) == ["applied"]

    assert rig.state(engine, hold) == "applied"
    assert order(engine) == ("fraud check", 2, "unfulfilled")
