"""What a payment provider is to a refund part, and the one that is a person.

A part's id is the idempotency key: a provider that is asked twice for one part pays once, as long
as it keeps keys. After that only a look-up by the part's id can tell.
"""

from collections.abc import Iterable, Mapping
from typing import ClassVar, Final, Literal, Protocol
from uuid import UUID

from worker.orders.value import value
from worker.work.followups import ByHand

MANUAL: Final = "manual"


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
    provider_id: str | None = None
    """The provider's own name for the refund, once it has told."""


@value
class Settled:
    """The money has gone back."""

    state: ClassVar[Literal["settled"]] = "settled"
    provider_id: str | None = None


@value
class Underway:
    """The provider has taken it on, and will know later how it ends."""

    state: ClassVar[Literal["underway"]] = "underway"
    provider_id: str


@value
class Failed:
    """The provider says no, and it will not say otherwise. Nothing has been paid."""

    state: ClassVar[Literal["failed"]] = "failed"
    reason: str
    provider_id: str | None = None


Answer = Settled | Underway | Failed


@value
class News:
    """What a provider tells unasked: how a refund stands by now."""

    answer: Answer
    part_id: UUID | None = None
    """Our own id, where the provider gives it back."""


class NotGenuine(ValueError):
    """News that the provider did not sign."""


class Provider(Protocol):
    """Where captured money is given back from. Made once for a process, used by its threads."""

    keeps_keys_s: float
    """For how long after the first call the same key surely gives the first call's answer."""
    settles_within_s: float
    """After so long a look-up that finds nothing is believed."""

    def step_minor(self, currency: str) -> int:
        """The smallest step of an amount in this currency, in ISO minor units."""

    def refund(self, part: Part) -> Answer | ByHand:
        """Give the part's amount back.

        Raises:
          worker.errors.Uncertain: It may have been paid: a time-out, a server error, no sense.
          worker.errors.Transient: Not now; nothing has been paid.
          worker.errors.Terminal: A person must look; nothing has been paid.
        """

    def find(self, part: Part) -> Answer | None:
        """What became of the part, looked up by its id; None if the provider does not know it.

        Raises:
          worker.errors.Transient: Not now.
          worker.errors.Terminal: It cannot be looked up; a person must.
        """

    def news(self, headers: Mapping[str, str], body: bytes) -> Iterable[News]:
        """What a webhook's request tells; nothing when it is about something else.

        Raises:
          NotGenuine: Its signature is missing or wrong, or it cannot be read.
        """


class Manual:
    """The money goes back outside of this program; a person says when it has, or that it cannot."""

    keeps_keys_s = 0.0
    settles_within_s = 0.0

    def step_minor(self, currency: str) -> int:
        """Whatever the currency has."""
        del currency
        return 1

    def refund(self, part: Part) -> ByHand:
        """Leave the part to `fulfillment refunds settle | fail`."""
        del part
        return ByHand()

    def find(self, part: Part) -> None:
        """Nobody to ask."""
        del part

    def news(self, headers: Mapping[str, str], body: bytes) -> Iterable[News]:
        """A person brings news otherwise."""
        del headers, body
        raise NotGenuine("nobody sends news of refunds that are made by hand")


def manual(settings: object) -> Provider:
    """A person, whatever the settings say."""
    del settings
    return Manual()
