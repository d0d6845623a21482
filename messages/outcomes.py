"""How a command ends: applied, or rejected for a reason with a stable code."""

from enum import StrEnum
from typing import Literal
from uuid import UUID

from pydantic import ConfigDict

from messages.fields import Item, Model


class Reason(StrEnum):
    """Why a command was refused. The codes are stable; the sentence in `message` may change."""

    INVALID = "invalid"
    ORDER_NOT_FOUND = "order_not_found"
    ORDER_CHANGED = "order_changed"
    ORDER_FORGOTTEN = "order_forgotten"
    TOTAL_MISMATCH = "total_mismatch"
    ON_HOLD = "on_hold"
    VERSION_MISMATCH = "version_mismatch"
    PREDECESSOR_NOT_FOUND = "predecessor_not_found"
    PREDECESSOR_FAILED = "predecessor_failed"
    UNKNOWN_LINE = "unknown_line"
    DUPLICATE_LINE = "duplicate_line"
    WRONG_ITEM_TYPE = "wrong_item_type"
    MORE_THAN_REMAINS = "more_than_remains"
    NOTHING_TO_SHIP = "nothing_to_ship"
    NOTHING_TO_COMPLETE = "nothing_to_complete"
    NOTHING_TO_CANCEL = "nothing_to_cancel"
    UNKNOWN_CARRIER = "unknown_carrier"
    NOTHING_CAPTURED = "nothing_captured"
    NOTHING_TO_REFUND = "nothing_to_refund"
    OTHER_CURRENCY = "other_currency"
    REFUND_TOO_LARGE = "refund_too_large"
    AMOUNT_TOO_FINE = "amount_too_fine"
    UNITS_ALREADY_REFUNDED = "units_already_refunded"
    NO_SHIPPING_FEE = "no_shipping_fee"
    SHIPPING_ALREADY_REFUNDED = "shipping_already_refunded"
    SHIPMENT_NOT_FOUND = "shipment_not_found"
    ALREADY_VOIDED = "already_voided"
    IN_TRANSIT = "in_transit"
    NOT_ON_HOLD = "not_on_hold"


class Told(Model):
    """Base of what producers read: a later version may tell them more than they know."""

    model_config = ConfigDict(extra="ignore")


class RefundedPart(Told):
    """A refund's share on one payment; `part_id` is the provider's idempotency key."""

    part_id: UUID
    payment_id: str
    amount_minor: int


class RefundedLine(Told):
    """What a refund gives back for units of one line."""

    line_id: str
    quantity: int
    gross_minor: int
    tax_minor: int
    discount_minor: int


class RefundGranted(Told):
    """A refund that was reserved; its settlement follows."""

    amount_minor: int
    currency: str
    shipping_minor: int
    lines: tuple[RefundedLine, ...]
    parts: tuple[RefundedPart, ...]


class Applied(Told):
    """The command took effect, once. Its shipment and refund carry the command's id."""

    state: Literal["applied"] = "applied"
    order_version: int
    changed: bool = True
    """False for a `place`, `update_tracking` or `hold` that says nothing new: the order and its
    version are as before.
    """
    items: tuple[Item, ...] = ()
    refund: RefundGranted | None = None


class Rejected(Told):
    """A rule said no; nothing was changed."""

    state: Literal["rejected"] = "rejected"
    reason: Reason
    message: str


Outcome = Applied | Rejected
