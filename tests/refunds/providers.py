"""Payment providers with their fakes, for tests: a provider joins by its line in `PROVIDERS`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from tests.fakes.provider import FakeProvider
from tests.fakes.square import FakeSquare
from tests.fakes.stripe import FakeStripe
from worker.refunds.provider import Part
from worker.refunds.square import Square
from worker.refunds.stripe import Stripe

WEBHOOK_URL = "https://shop.example/news"


@dataclass
class Kind:
    """How a provider and its fake are made, and where they differ from others."""

    fake: type[FakeProvider]
    provider: Callable[..., Any]
    payment_id: str
    currency: str
    declined: str
    too_much: str
    failed: str


def make_square(url: str, timeout_s: float, **fields: Any) -> Square:
    defaults = {
        "token": FakeSquare.token,
        "webhook_key": FakeSquare.webhook_key,
        "webhook_url": WEBHOOK_URL,
    }
    return Square(url=url, timeout_s=timeout_s, **defaults | fields)


def make_stripe(url: str, timeout_s: float, **fields: Any) -> Stripe:
    if "token" in fields:
        fields["api_key"] = fields.pop("token")
    if "webhook_key" in fields:
        fields["webhook_secret"] = fields.pop("webhook_key")
    defaults = {"api_key": FakeStripe.token, "webhook_secret": FakeStripe.webhook_key}
    return Stripe(url=url, timeout_s=timeout_s, **defaults | fields)


PROVIDERS = {
    "square": Kind(
        fake=FakeSquare,
        provider=make_square,
        payment_id="P1",
        currency="EUR",
        declined="REFUND_DECLINED",
        too_much="REFUND_AMOUNT_INVALID",
        failed="FAILED",
    ),
    "stripe": Kind(
        fake=FakeStripe,
        provider=make_stripe,
        payment_id="pi_1",
        currency="eur",
        declined="refund_disputed_payment",
        too_much="invalid_request_error_amount",
        failed="lost_or_stolen_card",
    ),
}


@dataclass
class Rig:
    """A provider, its fake, and one captured payment of 50.00 EUR."""

    kind: Kind
    fake: FakeProvider
    provider: Any

    def part(self, amount_minor: int = 1_000, **fields: Any) -> Part:
        """A share of ten euros on that payment."""
        defaults = {
            "part_id": uuid4(),
            "order_id": "O-1",
            "payment_id": self.kind.payment_id,
            "method": "card",
            "amount_minor": amount_minor,
            "currency": "EUR",
            "state": "pending",
        }
        return Part(**defaults | fields)

    @property
    def out(self) -> int:
        """What has left the payment."""
        return self.fake.ledger.out(self.kind.payment_id)

    def made(self, part: Part) -> list[str]:
        """Ids of the refunds under the part's key."""
        return [one.refund_id for one in self.fake.ledger.by_key(str(part.part_id))]

    def by_others(self, amount: int, tag: str = "by hand", state: Any = "settled") -> str:
        """A refund on the same payment that we have not asked for."""
        return self.fake.ledger.refund(
            self.kind.payment_id, amount, self.kind.currency, key=str(uuid4()), tag=tag, state=state
        ).refund_id
