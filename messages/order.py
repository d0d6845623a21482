"""What `place` carries: an order as the upstream system knows it, with what is already done.

Amounts are minor units of the order's currency. Per line and fee, gross = net - discount + tax,
where net is without tax, for all units together. The sum of gross must equal the total.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from messages.fields import (
    MAX_LINES,
    Amount,
    Country,
    Currency,
    Id,
    Item,
    Items,
    Locale,
    Model,
    Moment,
    Name,
    Note,
    Quantity,
    SignedAmount,
    Url,
    Word,
    sorted_items,
)

ItemType = Literal["physical", "digital", "service", "event", "gift_card", "donation", "membership"]
"""Only `physical` is shipped; everything else is completed."""


class Address(Model):
    """A postal address; every part is optional because upstream systems differ."""

    name: Name | None = None
    company: Name | None = None
    lines: Annotated[tuple[Name, ...], Field(max_length=5)] = ()
    city: Name | None = None
    district: Name | None = None
    """State, province or prefecture."""
    postal_code: Word | None = None
    country: Country | None = None
    phone: Word | None = None


class Customer(Model):
    """Whom the order belongs to, and in which language to write."""

    name: Name | None = None
    email: Name | None = None
    phone: Word | None = None
    locale: Locale | None = None
    opted_out: bool = False
    """Wants no e-mails, whatever a command says."""


class OrderLine(Model):
    """A line item. `completed` and `cancelled` are units already so upstream."""

    line_id: Id
    name: Name
    sku: Word | None = None
    item_type: ItemType = "physical"
    quantity: Annotated[Quantity, Field(ge=1)]
    net_minor: Amount
    discount_minor: Amount = 0
    tax_minor: Amount = 0
    completed: Quantity = 0
    cancelled: Quantity = 0


class Fee(Model):
    """What is paid beside the lines. Only `rounding` may be negative."""

    kind: Literal["shipping", "service", "tip", "rounding"]
    name: Name | None = None
    net_minor: SignedAmount
    discount_minor: Amount = 0
    tax_minor: Amount = 0


class Payment(Model):
    """Captured money. Payments are listed in order of capture: refunds draw on them in it."""

    payment_id: Id
    captured_minor: Amount
    method: Word | None = None
    captured_at: Moment | None = None


class DoneShipment(Model):
    """A parcel that had left before the order came here."""

    items: Items
    carrier: Name | None = None
    tracking_number: Word | None = None
    tracking_url: Url | None = None
    shipped_at: Moment | None = None


class DoneRefundItem(Item):
    """What an upstream refund gave back for units of one line; without units it is an amount."""

    quantity: Annotated[Quantity, Field(ge=1)]
    gross_minor: Amount
    tax_minor: Amount = 0
    discount_minor: Amount = 0


class DoneRefundPart(Model):
    """What an upstream refund gave back on one payment."""

    payment_id: Id
    amount_minor: Annotated[Amount, Field(ge=1)]


class DoneRefund(Model):
    """A refund that was settled before the order came here."""

    parts: Annotated[tuple[DoneRefundPart, ...], Field(min_length=1, max_length=50)]
    items: Annotated[
        tuple[DoneRefundItem, ...], Field(max_length=MAX_LINES), AfterValidator(sorted_items)
    ] = ()
    shipping_minor: Amount = 0
    reason: Note | None = None
    refunded_at: Moment | None = None


class PlacedOrder(Model):
    """An order to take in, or its newer form.

    `discount_minor` and `tax_minor` are the order's own, not those of its lines; they are spread
    over the lines (largest remainder, ties to the earlier line). Placed again, an order may have
    more lines and payments; `upstream_version`, else `updated_at`, says which form is the newer.
    """

    currency: Currency
    total_minor: Amount
    lines: Annotated[tuple[OrderLine, ...], Field(min_length=1, max_length=MAX_LINES)]
    fees: Annotated[tuple[Fee, ...], Field(max_length=50)] = ()
    payments: Annotated[tuple[Payment, ...], Field(max_length=50)] = ()
    discount_minor: Amount = 0
    tax_minor: Amount = 0
    number: Word | None = None
    """What people call the order, when it is not its id."""
    placed_at: Moment | None = None
    customer: Customer = Customer()
    billing_address: Address | None = None
    ship_to: Address | None = None
    ship_from: Address | None = None
    hold: Note | None = None
    """Why nothing may be shipped or completed for now."""
    shipments: Annotated[tuple[DoneShipment, ...], Field(max_length=500)] = ()
    refunds: Annotated[tuple[DoneRefund, ...], Field(max_length=100)] = ()
    upstream_version: Annotated[int, Field(ge=0, le=2**63 - 1)] | None = None
    """Upstream's own count of changes. A form older than the one here is left aside."""
    updated_at: Moment | None = None
    """When upstream last changed the order; asked where there is no `upstream_version`."""
