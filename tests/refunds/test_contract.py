"""What every payment provider answers, whatever happens at the other end; over HTTP on loopback.

A provider joins by its line in `PROVIDERS`.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from tests.fakes.server import PRIVATE, FakeProvider, Wrong
from tests.fakes.square import FakeSquare
from worker.errors import Transient, Uncertain
from worker.refunds.provider import (
    Failed,
    Part,
    Provider,
    Settled,
    Underway,
)
from worker.refunds.square import Square

PATIENCE_S = 0.3
"""For what never answers."""
URL = "https://shop.example/news"


@dataclass
class Rig:
    """A provider, its fake, and one captured payment of 50.00 EUR."""

    fake: FakeProvider
    provider: Provider
    payment_id: str

    def part(self, amount_minor: int = 1_000, **fields: Any) -> Part:
        """A share of ten euros on that payment."""
        defaults = {
            "part_id": uuid4(),
            "order_id": "O-1",
            "payment_id": self.payment_id,
            "method": "card",
            "amount_minor": amount_minor,
            "currency": "EUR",
            "state": "pending",
        }
        return Part(**defaults | fields)

    @property
    def out(self) -> int:
        """What has left the payment."""
        return self.fake.ledger.out(self.payment_id)

    def made(self, part: Part) -> list[str]:
        """Ids of the refunds under the part's key."""
        return [one.refund_id for one in self.fake.ledger.by_key(str(part.part_id))]


@dataclass
class Kind:
    """How a provider and its fake are made, and where they differ from others."""

    payment_id: str
    fake: Callable[[], FakeProvider]
    provider: Callable[[str, float], Provider]
    declined: str
    too_much: str


def make_square(url: str, timeout_s: float) -> Provider:
    return Square(
        FakeSquare.token,
        url=url,
        webhook_key=FakeSquare.webhook_key,
        webhook_url=URL,
        timeout_s=timeout_s,
    )


PROVIDERS = {
    "square": Kind(
        "P1",
        lambda: FakeSquare(webhook_url=URL),
        make_square,
        declined="REFUND_DECLINED",
        too_much="REFUND_AMOUNT_INVALID",
    ),
}


@pytest.fixture(params=PROVIDERS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return PROVIDERS[request.param]


@pytest.fixture
def fake(kind: Kind) -> Iterator[FakeProvider]:
    with kind.fake() as fake:
        fake.ledger.capture(kind.payment_id, 5_000)
        yield fake


@pytest.fixture
def rig(kind: Kind, fake: FakeProvider) -> Iterator[Rig]:
    with closing(kind.provider(fake.url, 5)) as provider:
        yield Rig(fake, provider, kind.payment_id)


@pytest.fixture
def impatient(kind: Kind, fake: FakeProvider) -> Iterator[Rig]:
    """It gives up soon."""
    with closing(kind.provider(fake.url, PATIENCE_S)) as provider:
        yield Rig(fake, provider, kind.payment_id)


def test_a_refund_is_paid_once_however_often_it_is_asked_for(rig):
    """The part's id is the key: the second answer is the first one."""
    part = rig.part()

    answers = [rig.provider.refund(part), rig.provider.refund(part)]

    (refund_id,) = rig.made(part)
    assert answers == [Settled(refund_id), Settled(refund_id)]
    assert rig.out == 1_000


def test_two_parts_are_two_refunds(rig):
    """Equal amounts on one payment are told apart by their keys."""
    first, second = rig.part(), rig.part()

    rig.provider.refund(first)
    rig.provider.refund(second)

    assert (len(rig.made(first)), len(rig.made(second)), rig.out) == (1, 1, 2_000)


def test_a_pending_refund_settles_later(rig):
    """It is under way until the provider says otherwise, and the look-up follows it."""
    rig.fake.refunds_go(Wrong.PENDING)
    part = rig.part()

    asked = rig.provider.refund(part)

    (refund_id,) = rig.made(part)
    known = rig.part(part_id=part.part_id, provider_id=refund_id)
    assert asked == Underway(refund_id)
    assert rig.provider.find(known) == Underway(refund_id)
    rig.fake.settle(refund_id)
    assert rig.provider.find(known) == Settled(refund_id)
    assert rig.out == 1_000


def test_a_declined_refund_has_failed(kind, rig):
    """The provider's last word is no: nothing is paid, and its code is the reason."""
    rig.fake.refunds_go(Wrong.DECLINED)

    answer = rig.provider.refund(rig.part())

    assert answer == Failed(kind.declined)
    assert rig.fake.ledger.refunds == {}


@pytest.mark.parametrize(
    ("wrong", "paid"),
    [
        (Wrong.ERROR_BEFORE, 0),
        (Wrong.ERROR_AFTER, 1_000),
        (Wrong.SILENT_BEFORE, 0),
        (Wrong.SILENT_AFTER, 1_000),
        (Wrong.GARBAGE_BEFORE, 0),
        (Wrong.GARBAGE_AFTER, 1_000),
        (Wrong.EMPTY_AFTER, 1_000),
        (Wrong.CUT_AFTER, 1_000),
    ],
)
def test_what_may_have_been_paid_is_uncertain(impatient, wrong, paid):
    """Server errors, silence, nonsense and broken connections look alike, paid or not."""
    impatient.fake.refunds_go(wrong)

    with pytest.raises(Uncertain) as told:
        impatient.provider.refund(impatient.part())

    assert PRIVATE not in str(told.value)
    assert impatient.out == paid


def test_a_busy_provider_says_when_to_come_back(rig):
    """429 is transient, nothing has been paid."""
    rig.fake.retry_after = "7"
    rig.fake.refunds_go(Wrong.BUSY)

    with pytest.raises(Transient) as told:
        rig.provider.refund(rig.part())

    assert not isinstance(told.value, Uncertain)
    assert (told.value.reason, told.value.retry_after_s) == ("provider_busy", 7.0)
    assert rig.out == 0
