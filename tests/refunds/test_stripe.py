"""What is Stripe's own; the rest is in the contract."""

import json
import sys

import pytest

from tests.fakes.ledger import Refund
from tests.fakes.server import Reply, Wrong
from tests.fakes.stripe import FakeStripe, shown
from tests.refunds.providers import PROVIDERS, Rig, make_stripe
from worker.errors import Terminal, Uncertain
from worker.refunds.provider import Failed, News, Settled
from worker.refunds.stripe import Stripe, stripe
from worker.settings import Settings


@pytest.fixture
def rig():
    with FakeStripe() as fake:
        fake.ledger.capture("pi_1", 5_000, "eur")
        provider = make_stripe(fake.url, 5)
        yield Rig(PROVIDERS["stripe"], fake, provider)
        provider.close()


@pytest.mark.parametrize(
    ("currency", "amount_minor", "amount"),
    [
        ("EUR", 1_234, 1_234),
        ("HUF", 1_200, 1_200),
        ("TWD", 1_200, 1_200),
        ("JPY", 500, 500),
        ("KWD", 1_230, 1_230),
        ("MGA", 1_200, 12),
        ("ISK", 12, 1_200),
        ("UGX", 12, 1_200),
    ],
)
def test_amounts_are_in_stripes_units(rig, currency, amount_minor, amount):
    """https://docs.stripe.com/currencies: 12 ISK are 1200, 12.00 MGA are 12."""
    rig.fake.ledger.capture("pi_2", 10_000, currency.lower())
    part = rig.part(amount_minor, payment_id="pi_2", currency=currency)

    answer = rig.provider.refund(part)

    assert answer == Settled(*rig.made(part)) == rig.provider.find(part)
    assert rig.fake.ledger.out("pi_2") == amount


@pytest.mark.parametrize(
    ("currencies", "step_minor"),
    [
        ("BIF CLP DJF GNF JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF ISK HUF TWD EUR", 1),
        ("BHD JOD KWD OMR TND", 10),
        ("MGA", 100),
    ],
)
def test_steps_are_those_that_stripe_has(rig, currencies, step_minor):
    """Thousandths go by tens; the ariary has no hundredths there."""
    assert {rig.provider.step_minor(code) for code in currencies.split()} == {step_minor}


def test_an_amount_between_two_steps_goes_to_a_person(rig):
    """It is not rounded, and nothing is asked for."""
    with pytest.raises(Terminal) as told:
        rig.provider.refund(rig.part(1_234, currency="KWD"))

    assert told.value.reason == "provider_refused"
    assert rig.fake.counts == {}


@pytest.mark.parametrize("payment_id", ["pi_2", "ch_2", "py_2"])
def test_intents_and_charges_are_refunded(rig, payment_id):
    """The id's prefix says which it is."""
    rig.fake.ledger.capture(payment_id, 5_000, "eur")
    part = rig.part(payment_id=payment_id)

    assert rig.provider.refund(part) == Settled(*rig.made(part)) == rig.provider.find(part)


@pytest.mark.parametrize("call", ["refund", "find"])
def test_what_is_no_payment_of_stripes_goes_to_a_person(rig, call):
    """Nothing is asked for."""
    with pytest.raises(Terminal) as told:
        getattr(rig.provider, call)(rig.part(payment_id="P1"))

    assert told.value.reason == "provider_refused"
    assert rig.fake.counts == {}


@pytest.mark.parametrize(
    ("status", "error", "answer"),
    [
        (400, {"type": "invalid_request_error", "code": "charge_disputed"}, "charge_disputed"),
        (
            400,
            {"type": "invalid_request_error", "code": "charge_already_refunded"},
            "charge_already_refunded",
        ),
    ],
)
def test_some_codes_are_stripes_last_word(rig, status, error, answer):
    """The part has failed, its money can be given back otherwise."""
    rig.fake.decline = (status, error)
    rig.fake.refunds_go(Wrong.DECLINED)

    assert rig.provider.refund(rig.part()) == Failed(answer)


@pytest.mark.parametrize(
    ("status", "error", "told"),
    [
        (402, {"type": "card_error", "code": "balance_insufficient"}, "402 (balance_insufficient)"),
        (403, {"type": "invalid_request_error"}, "403 (invalid_request_error)"),
        (400, {"type": "idempotency_error"}, "400 (idempotency_error)"),
    ],
)
def test_other_codes_go_to_a_person(rig, status, error, told):
    """The money stays reserved; the message is status and code."""
    rig.fake.decline = (status, error)
    rig.fake.refunds_go(Wrong.DECLINED)

    with pytest.raises(Terminal) as raised:
        rig.provider.refund(rig.part())

    assert str(raised.value) == f"Stripe answered {told}"


def test_a_first_call_that_still_runs_is_uncertain(rig):
    """409: another call holds the key."""
    rig.fake.decline = (409, {"type": "invalid_request_error", "code": "idempotency_key_in_use"})
    rig.fake.refunds_go(Wrong.DECLINED)

    with pytest.raises(Uncertain):
        rig.provider.refund(rig.part())


def test_a_server_error_that_is_repeated_is_looked_up(rig):
    """Stripe keeps it under the key for a day: asking again tells nothing, a look-up does."""
    rig.fake.refunds_go(Wrong.ERROR_AFTER)
    part = rig.part()
    with pytest.raises(Uncertain):
        rig.provider.refund(part)

    again = rig.provider.refund(part)

    assert again == Settled(*rig.made(part))
    assert rig.fake.counts == {"POST error_after": 1, "POST right": 1, "GET right": 1}


@pytest.mark.parametrize("kind", ["refund.created", "refund.failed", "charge.refund.updated"])
def test_every_event_that_holds_a_refund_is_news(rig, kind):
    """Also the one of API versions before 2024-10-28."""
    part = rig.part()
    rig.provider.refund(part)
    (refund,) = rig.fake.ledger.of("pi_1")

    assert tuple(rig.provider.news(*rig.fake.event(refund, kind))) == (
        News(Settled(refund.refund_id), part.part_id),
    )


def test_an_answer_about_another_amount_is_uncertain(rig):
    """What was paid is not what was asked for: a look-up has to tell."""
    other = Refund("re_9", "pi_1", 900, "eur", "settled", "key", "tag")
    rig.fake.refunds_go(Reply(200, shown(other)))

    with pytest.raises(Uncertain) as told:
        rig.provider.refund(rig.part())

    assert told.value.reason == "provider_mismatch"


def test_stripe_is_made_from_the_settings(rig, monkeypatch):
    """Key, address and what news is believed by."""
    monkeypatch.setenv("STRIPE_API_KEY", FakeStripe.token)
    monkeypatch.setenv("STRIPE_URL", rig.fake.url)
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", FakeStripe.webhook_key)
    part = rig.part()

    provider = stripe(Settings())

    assert isinstance(provider, Stripe)
    assert provider.refund(part) == Settled(*rig.made(part))
    (refund,) = rig.fake.ledger.of("pi_1")
    assert [one.part_id for one in provider.news(*rig.fake.event(refund))] == [part.part_id]
    provider.close()


def test_stripe_needs_a_key():
    """The sentence names the variable."""
    with pytest.raises(ValueError, match=r"^STRIPE_API_KEY must be set"):
        stripe(Settings())


def test_stripe_needs_its_sdk(monkeypatch):
    """The sentence says how to get it."""
    monkeypatch.setenv("STRIPE_API_KEY", "token")
    monkeypatch.setitem(sys.modules, "stripe", None)

    with pytest.raises(ValueError, match=r"pip install 'fulfillment-worker\[stripe\]'$"):
        stripe(Settings())


@pytest.mark.parametrize("reason", [None, 7, "a\0b", "\x1b[31m", "x" * 10_000_000, "two words"])
def test_why_it_failed_is_a_word_or_the_status(rig, reason):
    """Anything else could be somebody's text; it would stand in the history."""
    refund = rig.fake.ledger.refunds[rig.by_others(1_000)]
    _, body = rig.fake.event(rig.fake.ledger.end(refund.refund_id, "failed"))
    event = json.loads(body)
    event["data"]["object"]["failure_reason"] = reason
    body = json.dumps(event).encode()

    (news,) = rig.provider.news(rig.fake.sign(body), body)

    assert news.answer == Failed("failed", refund.refund_id)
