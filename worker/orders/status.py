"""Status is derived from counters and balances, never set; the store keeps a copy for filters."""

from typing import Literal

from worker.orders.model import Order

FulfillmentStatus = Literal["unfulfilled", "partially_fulfilled", "fulfilled", "cancelled"]
PaymentStatus = Literal["unpaid", "partially_paid", "paid", "partially_refunded", "refunded"]


def fulfillment_status(order: Order) -> FulfillmentStatus:
    """Cancelling the rest of a partly shipped order makes it fulfilled; refunds change nothing."""
    active = sum(line.quantity - line.cancelled for line in order.lines)
    done = sum(line.done for line in order.lines)
    if active == 0:
        return "cancelled"
    if done == 0:
        return "unfulfilled"
    return "partially_fulfilled" if done < active else "fulfilled"


def payment_status(order: Order) -> PaymentStatus:
    """From settled refunds only; what is on its way shows as `refund_pending`."""
    captured = order.captured_minor
    settled = sum(payment.settled_minor for payment in order.payments)
    if settled > 0:
        return "refunded" if settled == captured else "partially_refunded"
    if captured >= order.total_minor:
        return "paid"
    return "partially_paid" if captured > 0 else "unpaid"


def refund_pending(order: Order) -> bool:
    """Whether part of a refund is pending or unknown."""
    return any(payment.refunded_minor > payment.settled_minor for payment in order.payments)
