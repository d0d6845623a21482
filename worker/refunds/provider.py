"""What a payment provider is to a refund part, and the one that is a person.

A part's id is the idempotency key: a provider that is asked twice for one part pays once.
"""

from typing import Protocol
from uuid import UUID

from worker.orders.value import value
from worker.work.followups import ByHand


@value
class Part:
    """A refund's share on one payment, as a provider needs it."""

    part_id: UUID
    order_id: str
    payment_id: str
    method: str | None
    amount_minor: int
    currency: str
    state: str


@value
class Settled:
    """The money has gone back."""


@value
class Failed:
    """The provider says no, and it will not say otherwise."""

    reason: str


class Provider(Protocol):
    """Where captured money is given back from."""

    def refund(self, part: Part) -> Settled | Failed | ByHand:
        """Give the part's amount back.

        Raises:
          worker.errors.Transient: Not now; nothing has been paid.
          worker.errors.Terminal: A person must look; nothing has been paid.
        """


class Manual:
    """The money goes back outside of this program; a person says when it has, or that it cannot."""

    def refund(self, part: Part) -> ByHand:
        """Leave the part to `fulfillment refunds settle | fail`."""
        del part
        return ByHand()
