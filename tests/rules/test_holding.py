"""`hold` and `release`: what stops an order, and what does not."""

import pytest

from messages import Applied, Reason
from tests import factories as make
from worker.orders.model import Decision, Entry, Rejection
from worker.orders.rules import decide


def applied(order, command) -> Decision:
    decision = decide(order, command, make.world())
    assert isinstance(decision, Decision)
    return decision


def test_hold_then_release():
    """A held order neither ships nor completes until it is released; each is a version and a line
    of history, and sets nothing going.
    """
    held = applied(make.order(), make.hold("recall"))

    assert (held.order.hold, held.outcome) == ("recall", Applied(order_version=2))
    assert (held.history, held.followups) == ((Entry("held", {"reason": "recall"}),), ())
    for command in (make.ship(), make.complete()):
        refusal = decide(held.order, command, make.world())
        assert isinstance(refusal, Rejection)
        assert refusal.reason == Reason.ON_HOLD

    free = applied(held.order, make.release())

    assert (free.order.hold, free.outcome) == (None, Applied(order_version=3))
    assert (free.history, free.followups) == ((Entry("released", {"reason": "recall"}),), ())
    assert applied(free.order, make.ship()).order.lines[0].shipped == 3


def test_another_reason_takes_the_place():
    """Held again for another reason, the order has that one; one release is enough."""
    held = applied(applied(make.order(), make.hold("recall")).order, make.hold("address"))

    assert (held.order.hold, held.order.version) == ("address", 3)
    assert applied(held.order, make.release()).order.hold is None


def test_the_same_reason_changes_nothing():
    """Held again for the same reason, the order and its version are as before."""
    order = make.order(hold="recall")

    decision = applied(order, make.hold("recall"))

    assert (decision.order, decision.history, decision.followups) == (order, (), ())
    assert decision.outcome == Applied(order_version=1, changed=False)


@pytest.mark.parametrize("lines", [{"shipped": 3}, {"cancelled": 3}], ids=["shipped", "cancelled"])
def test_an_order_that_is_done_with(lines):
    """It can be held as well: a parcel may be called back, and is then not sent again."""
    order = make.order(make.line(**lines))

    assert applied(order, make.hold()).order.hold == "fraud check"
