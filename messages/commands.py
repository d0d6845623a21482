"""The nine commands and the envelope they share.

A command says what an upstream system has decided. `command_id` is its idempotency key, for ever:
send the same command again and the stored outcome comes back.
"""

from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from messages.fields import (
    Code,
    Id,
    Items,
    Model,
    Moment,
    Money,
    Name,
    Note,
    Quantity,
    Url,
    Weight,
    Word,
)
from messages.order import PlacedOrder
from messages.problems import InvalidCommand, problems

SCHEMA_VERSION: Literal[1] = 1


class Envelope(Model):
    """What every command carries."""

    command_id: UUID
    order_id: Id
    issued_at: Moment | None = None
    issued_by: Name | None = None
    schema_version: Literal[1] = SCHEMA_VERSION
    expected_version: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    """Refuse unless exactly so many commands have been applied to the order."""
    after: UUID | None = None
    """Decide only once this command, of the same order, has been applied."""
    not_before: Moment | None = None
    """Decide then or later; until then it holds up nobody, and may be taken back."""
    notify_customer: bool = True
    policy: Literal["strict", "clamp"] = "strict"
    """`strict` refuses what is more than is left; `clamp` takes what is left."""

    def body(self) -> dict[str, Any]:
        """The canonical JSON body: without what equals a default, so that a later version with
        a new optional field gives the same fingerprint.
        """
        body: dict[str, Any] = {"kind": self.kind}  # type: ignore[attr-defined]  # every command has one
        body.update(self.model_dump(mode="json", exclude_defaults=True))
        return body


class Place(Envelope):
    """Take an order in."""

    kind: Literal["place"] = "place"
    order: PlacedOrder


class NewCarrier(Model):
    """A carrier that is added on the way, unless its code is known already."""

    code: Code
    name: Name
    tracking_url: Url | None = None
    """Template of a tracking page; `{number}` stands for the tracking number."""


class Ship(Envelope):
    """Ship physical lines, all that remains unless items are named; quantity 0 leaves a line."""

    kind: Literal["ship"] = "ship"
    items: Items = ()
    carrier: Code | None = None
    new_carrier: NewCarrier | None = None
    tracking_number: Word | None = None
    tracking_url: Url | None = None
    service: Word | None = None
    """The carrier's service, as it stands on the label: `Express`."""
    label: Literal["none", "generate"] = "none"
    weight_g: Weight | None = None
    """What the parcel weighs, for carriers that ask."""

    @model_validator(mode="after")
    def _one_carrier(self) -> Self:
        if self.carrier is not None and self.new_carrier is not None:
            raise ValueError("give carrier or new_carrier, not both")
        return self


class Complete(Envelope):
    """Complete lines that are not physical, all that remains unless items are named."""

    kind: Literal["complete"] = "complete"
    items: Items = ()


class Cancel(Envelope):
    """Cancel unfulfilled units of any line, all that remains unless items are named.

    `refund` is `none`, `full` (of what is cancelled) or an amount. Every quantity 0 with an amount
    or the shipping fee refunds without cancelling.
    """

    kind: Literal["cancel"] = "cancel"
    items: Items = ()
    refund: Literal["none", "full"] | Money = "none"
    include_shipping: bool = False
    reason: Note | None = None


class Refund(Envelope):
    """Refund an amount, or units of lines; and / or the shipping fee. Nothing is cancelled."""

    kind: Literal["refund"] = "refund"
    amount: Money | None = None
    items: Items = ()
    include_shipping: bool = False
    reason: Note | None = None

    @model_validator(mode="after")
    def _one_measure(self) -> Self:
        if self.amount is not None and self.items:
            raise ValueError("give amount or items, not both")
        return self


class Void(Envelope):
    """Call a shipment back: its units are unfulfilled again, and a bought label is voided.

    Refused once the carrier has the parcel, unless forced.
    """

    kind: Literal["void"] = "void"
    shipment_id: UUID
    force: bool = False
    """Also what is in transit; its units will be sent a second time."""
    reason: Note | None = None


class UpdateTracking(Envelope):
    """Correct how a shipment is tracked. What is left out stays as it is, but an address of a
    tracking page: that one belongs to the number and the carrier it came with.
    """

    kind: Literal["update_tracking"] = "update_tracking"
    shipment_id: UUID
    carrier: Code | None = None
    new_carrier: NewCarrier | None = None
    tracking_number: Word | None = None
    tracking_url: Url | None = None
    notify_customer: bool = False
    """Customers are told only on request."""

    @model_validator(mode="after")
    def _something_new(self) -> Self:
        if self.carrier is not None and self.new_carrier is not None:
            raise ValueError("give carrier or new_carrier, not both")
        given = (self.carrier, self.new_carrier, self.tracking_number, self.tracking_url)
        if all(one is None for one in given):
            raise ValueError("give carrier, new_carrier, tracking_number or tracking_url")
        return self


class Hold(Envelope):
    """Let nothing of the order be shipped or completed until it is released. An order has one hold:
    another reason takes the place of an earlier one.
    """

    kind: Literal["hold"] = "hold"
    reason: Note
    """Why, for whoever wants to ship it. Customers are not told."""


class Release(Envelope):
    """Take the order's hold off, whoever put it on."""

    kind: Literal["release"] = "release"


Command = Place | Ship | Complete | Cancel | Refund | Void | UpdateTracking | Hold | Release

_COMMAND: TypeAdapter[Command] = TypeAdapter(Annotated[Command, Field(discriminator="kind")])


def parse(raw: bytes | str) -> Command:
    """The command in a JSON text.

    Raises:
      InvalidCommand: It is none; each problem names the field and what is allowed.
    """
    try:
        return _COMMAND.validate_json(raw)
    except ValidationError as error:
        raise InvalidCommand(problems(error, Command)) from None


__all__ = [
    "Cancel",
    "Command",
    "Complete",
    "Envelope",
    "Hold",
    "InvalidCommand",
    "NewCarrier",
    "Place",
    "Quantity",
    "Refund",
    "Release",
    "Ship",
    "UpdateTracking",
    "Void",
    "parse",
]
