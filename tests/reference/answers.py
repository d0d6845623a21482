"""What the rules answer to one command, for tests that name the rule of a peer."""

from messages import Reason
from tests import factories as make
from worker.orders.model import Decision, Order, Rejection
from worker.orders.rules import decide


def applied(order: Order, *commands) -> Decision:
    """The last decision, each command on the order as the one before left it."""
    assert commands
    decision = None
    for command in commands:
        decision = decide(order, command, make.world())
        assert isinstance(decision, Decision), decision
        order = decision.order
    return decision


def refused(order: Order | None, command) -> Reason:
    """Why not. A rejection carries no order, shipment, refund or follow-up: nothing is written."""
    rejection = decide(order, command, make.world())
    assert isinstance(rejection, Rejection), rejection
    return rejection.reason
