"""`hold` and `release`: a person stops what leaves the house, and lets it go on.

An order has one hold, whoever put it on; what upstream's forms do to it: `revision.py`.
"""

from dataclasses import replace

from messages import Hold, Reason
from worker.orders.decision import applied, unchanged
from worker.orders.model import Decision, Entry, Order, Rejection


def hold(order: Order, command: Hold) -> Decision:
    """Nothing is shipped or completed any more; the reason takes the place of an earlier one."""
    if order.hold == command.reason:
        return unchanged(order)
    return applied(
        replace(order, hold=command.reason), history=(Entry("held", {"reason": command.reason}),)
    )


def release(order: Order) -> Decision | Rejection:
    """What waits may leave."""
    if order.hold is None:
        return Rejection(Reason.NOT_ON_HOLD, "the order is not on hold")
    return applied(replace(order, hold=None), history=(Entry("released", {"reason": order.hold}),))
