"""What a carrier's API is to a parcel: labels are bought, found, voided, and parcels followed.

A purchase's id is sent along as our reference: where a carrier can look it up, a call whose answer
was lost is never repeated blindly.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

from messages.order import Address
from worker.orders.value import value


@value
class Order:
    """One label to be bought."""

    purchase_id: UUID
    """Our reference; in hexadecimal, without dashes, where people meet it."""
    reference: str
    """The order's number, for people."""
    ship_from: Address
    ship_to: Address
    service: str | None
    weight_g: int


LabelKind = Literal["label_pdf", "label_zpl"]


@value
class Bought:
    """A label that is alive at the carrier."""

    carrier_id: str
    """What the carrier wants to hear to void it."""
    tracking_number: str
    label: bytes
    label_kind: LabelKind
    cost_minor: int | None = None
    currency: str | None = None


State = Literal["announced", "in_transit", "delivered", "returned", "exception"]
"""Where a parcel can be. `announced`: the carrier has not got it yet."""


@value
class Transit:
    """What the carrier says of a parcel."""

    state: State
    at: datetime | None = None


class Adapter(Protocol):
    """A carrier's API. Made once for a process, used by its threads.

    Every method raises `worker.errors.Transient` for what may heal: 408, 409, 425, 429 with what
    `Retry-After` says, 5xx where nothing can have happened, and a connection that was refused.
    """

    can_find: bool
    """Whether the carrier can look a purchase up by our reference."""
    settles_within_s: float
    """After so long a look-up that finds nothing is believed."""

    def buy(self, order: Order) -> Bought:
        """Buy a label.

        Raises:
          worker.errors.Uncertain: It may have been bought: a time-out, a server error, no sense.
          worker.errors.Terminal: Nothing has been bought, and never will be so; `bad_address` names
            the fields to correct.
        """

    def find(self, purchase_id: UUID) -> Bought | None:
        """What was bought under our reference, with its label; None if the carrier knows nothing.
        Only where `can_find`.
        """

    def void(self, carrier_id: str, tracking_number: str) -> None:
        """Give the label back; one that was given back before is no error.

        Raises:
          worker.errors.Terminal: `in_transit`, or another reason why it cannot be.
        """

    def track(self, tracking_number: str) -> Transit:
        """Where the parcel is."""


class Factory(Protocol):
    """What an entry point in `fulfillment.carrier_adapters` names."""

    def __call__(self, carrier: str, settings: Mapping[str, str]) -> Adapter:
        """The adapter of this carrier, with what `FULFILLMENT_CARRIER_ADAPTERS` says beside its
        name.
        """
