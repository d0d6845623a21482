"""What the rules see of an order: counters and balances.

Names, addresses and prices for display stay in the store; a rule that needed one of them would be
a rule about something else.
"""

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from messages import Applied, NewCarrier, Reason, Rejected
from messages.order import PlacedOrder
from worker.orders.value import value

PartState = Literal["pending", "unknown", "settled", "failed", "overpaid"]
"""`unknown` is asked and not heard. `overpaid` is paid although it had been given up, and what it
was for is given out otherwise.
"""
OPEN: Final[frozenset[PartState]] = frozenset({"pending", "unknown"})
RESERVING: Final[frozenset[PartState]] = OPEN | {"settled"}
"""Parts whose money is out of the balance."""


@value
class Line:
    """A line item: its units, what is done with them, what was paid back for them."""

    line_id: str
    item_type: str
    quantity: int
    gross_minor: int
    tax_minor: int = 0
    discount_minor: int = 0
    shipped: int = 0
    completed: int = 0
    cancelled: int = 0
    refunded_units: int = 0
    refunded_minor: int = 0
    refunded_tax_minor: int = 0
    refunded_discount_minor: int = 0
    voided: int = 0
    """Units that were in parcels which were called back, each time; nothing else counts them."""

    @property
    def is_physical(self) -> bool:
        return self.item_type == "physical"

    @property
    def done(self) -> int:
        return self.shipped + self.completed

    @property
    def remaining(self) -> int:
        """Units that are neither shipped, completed nor cancelled."""
        return self.quantity - self.done - self.cancelled

    @property
    def refundable_units(self) -> int:
        return self.quantity - self.refunded_units


@value
class Payment:
    """Captured money; `refunded_minor` counts what is pending, unknown and settled. What went out
    beyond it is beside it.
    """

    payment_id: str
    captured_minor: int
    refunded_minor: int = 0
    settled_minor: int = 0
    overpaid_minor: int = 0
    method: str | None = None

    @property
    def left_minor(self) -> int:
        return self.captured_minor - self.refunded_minor


@value
class Order:
    """An order as the rules see it. `version` counts applied commands."""

    order_id: str
    currency: str
    total_minor: int
    lines: tuple[Line, ...]
    payments: tuple[Payment, ...] = ()
    shipping_minor: int = 0
    shipping_refunded_minor: int = 0
    hold: str | None = None
    version: int = 0
    is_forgotten: bool = False
    """Whom it belonged to is not known any more: upstream may not bring them back."""

    @property
    def captured_minor(self) -> int:
        return sum(payment.captured_minor for payment in self.payments)

    @property
    def left_minor(self) -> int:
        """What can still be refunded."""
        return sum(payment.left_minor for payment in self.payments)


@value
class RefundLine:
    """Units of a line in a refund; net = gross - tax + discount."""

    line_id: str
    quantity: int
    gross_minor: int
    tax_minor: int
    discount_minor: int


@value
class RefundPart:
    """A refund's share on one payment. Its id is the provider's idempotency key."""

    part_id: UUID
    payment_id: str
    amount_minor: int
    state: PartState = "pending"


@value
class Refund:
    """Money reserved to go back. Has the id of the command that asked for it."""

    refund_id: UUID
    amount_minor: int
    shipping_minor: int
    lines: tuple[RefundLine, ...]
    parts: tuple[RefundPart, ...]
    reason: str | None = None
    refunded_at: datetime | None = None


@value
class Shipment:
    """A parcel. Has the id of the command that sent it."""

    shipment_id: UUID
    items: Mapping[str, int]
    carrier: str | None = None
    carrier_name: str | None = None
    tracking_number: str | None = None
    tracking_url: str | None = None
    service: str | None = None
    warning: str | None = None
    """What is odd about it and refused nothing."""
    label: str = "none"
    weight_g: int | None = None
    shipped_at: datetime | None = None
    voided_at: datetime | None = None
    transit: str | None = None
    """What the carrier says of it; nothing before it has the parcel."""
    number: int | None = None
    """What people call it by; the store draws it."""


@value
class Entry:
    """A line of the order's history."""

    event: str
    details: dict[str, Any]
    amount_minor: int | None = None
    at: datetime | None = None
    """When it happened, if not now."""


@value
class FollowUp:
    """Work that a decision sets in motion on another route, staged in the same transaction."""

    route: str
    name: str
    subject_id: UUID
    skipped: str | None = None
    """Why it is not to be carried out at all."""


@value
class Decision:
    """The command applies: the order as it is afterwards, and everything to be written."""

    order: Order
    outcome: Applied
    history: tuple[Entry, ...]
    shipments: tuple[Shipment, ...] = ()
    voided: Shipment | None = None
    retracked: Shipment | None = None
    """A shipment as it is from now on."""
    refunds: tuple[Refund, ...] = ()
    followups: tuple[FollowUp, ...] = ()
    carrier: NewCarrier | None = None
    placed: PlacedOrder | None = None


@value
class Rejection:
    """A rule says no; nothing is written but this."""

    reason: Reason
    message: str
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def outcome(self) -> Rejected:
        return Rejected(reason=self.reason, message=self.message)
