"""What is Square's own; the rest is in the contract."""

import sys

import pytest

from tests.fakes.ledger import Refund
from tests.fakes.server import Reply, Wrong
from tests.fakes.square import FakeSquare, shown
from tests.faults.proxy import Proxy, Way
from tests.refunds.providers import PROVIDERS, Rig, make_square
from worker.errors import Terminal, Transient, Uncertain
from worker.refunds.provider import Failed, Settled, Underway
from worker.refunds.square import Square, square
from worker.settings import Settings


@pytest.fixture
def rig():
    with FakeSquare() as fake:
        fake.ledger.capture("P1", 5_000)
        provider = make_square(fake.url, 5)
        yield Rig(PROVIDERS["square"], fake, provider)
        provider.close()


@pytest.mark.parametrize(
    "code",
    [
        "REFUND_DECLINED",
        "REFUND_AMOUNT_INVALID",
        "PAYMENT_NOT_REFUNDABLE",
        "PAYMENT_NOT_REFUNDABLE_DUE_TO_DISPUTE",
    ],
)
def test_some_codes_are_squares_last_word(rig, code):
    """The part has failed, its money can be given back otherwise."""
    rig.fake.decline = (400, "REFUND_ERROR", code)
    rig.fake.refunds_go(Wrong.DECLINED)

    assert rig.provider.refund(rig.part()) == Failed(code)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "ACCESS_TOKEN_EXPIRED"),
        (403, "INSUFFICIENT_SCOPES"),
        (403, "INSUFFICIENT_PERMISSIONS_FOR_REFUND"),
        (400, "REFUND_ERROR_PAYMENT_NEEDS_COMPLETION"),
        (400, "IDEMPOTENCY_KEY_REUSED"),
        (400, "CURRENCY_MISMATCH"),
        (400, "A_CODE_OF_NEXT_YEAR"),
        (404, "NOT_FOUND"),
    ],
)
def test_other_codes_go_to_a_person(rig, status, code):
    """The money stays reserved; the message is status and code."""
    rig.fake.decline = (status, "REFUND_ERROR", code)
    rig.fake.refunds_go(Wrong.DECLINED)

    with pytest.raises(Terminal) as told:
        rig.provider.refund(rig.part())

    assert str(told.value) == f"Square answered {status} ({code})"
    assert rig.out == 0


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "not a code: somebody's words"),
        (408, "REQUEST_TIMEOUT"),
        (409, "CONFLICT"),
        (501, "NOT_IMPLEMENTED"),
        (503, "SERVICE_UNAVAILABLE"),
    ],
)
def test_what_may_be_done_all_the_same_is_uncertain(rig, status, code):
    """A time-out there, a first call that still runs, and whoever is not Square."""
    rig.fake.decline = (status, "API_ERROR", code)
    rig.fake.refunds_go(Wrong.DECLINED)

    with pytest.raises(Uncertain) as told:
        rig.provider.refund(rig.part())

    assert told.value.reason == "provider_error"
    assert "words" not in str(told.value)


def test_a_refund_that_is_pending_already_may_be_our_own(rig):
    """Its answer was lost and its key forgotten: it is found, and still under way."""
    rig.fake.refunds_go(Wrong.PENDING, Wrong.DECLINED)
    rig.fake.decline = (400, "REFUND_ERROR", "REFUND_ALREADY_PENDING")
    part = rig.part()
    rig.provider.refund(part)
    rig.fake.ledger.forget_keys()

    assert rig.provider.refund(part) == Underway(*rig.made(part))


def test_a_refund_that_is_pending_already_may_be_anothers(rig):
    """Ours has its turn after that one."""
    rig.by_others(1_000, state="pending")
    rig.fake.refunds_go(Wrong.DECLINED)
    rig.fake.decline = (400, "REFUND_ERROR", "REFUND_ALREADY_PENDING")
    part = rig.part()

    with pytest.raises(Transient) as told:
        rig.provider.refund(part)

    assert not isinstance(told.value, Uncertain)
    assert told.value.reason == "refund_already_pending"
    assert rig.made(part) == []
    assert rig.provider.refund(part) == Settled(*rig.made(part))


def test_the_longest_order_id_leaves_room_for_the_parts(rig):
    """Square takes reasons of 192 characters."""
    part = rig.part(order_id="O" * 64)

    rig.provider.refund(part)

    (refund,) = rig.fake.ledger.of("P1")
    assert refund.tag == f"Order {'O' * 64}, refund {part.part_id}"
    assert rig.provider.find(part) == Settled(refund.refund_id)


def test_a_handshake_that_fails_has_paid_nothing(rig):
    """No byte of the request leaves before TLS."""
    provider = make_square(rig.fake.url.replace("http:", "https:"), 5)

    with pytest.raises(Transient) as told:
        provider.refund(rig.part())
    provider.close()

    assert not isinstance(told.value, Uncertain)
    assert told.value.reason == "provider_unreachable"


def test_an_answer_about_another_amount_is_uncertain(rig):
    """What was paid is not what was asked for: a look-up has to tell."""
    other = Refund("re_9", "P1", 900, "EUR", "settled", "key", "tag")
    rig.fake.refunds_go(Reply(200, {"refund": shown(other)}))

    with pytest.raises(Uncertain) as told:
        rig.provider.refund(rig.part())

    assert told.value.reason == "provider_mismatch"


def test_a_reply_that_comes_twice_is_not_the_next_refunds():
    """A refusal names no refund: another's must never be heard as this one's."""
    with FakeSquare() as fake, Proxy(int(fake.url.rpartition(":")[2])).served() as proxy:
        fake.ledger.capture("P1", 5_000)
        fake.refunds_go(Wrong.DECLINED)
        provider = make_square(f"http://127.0.0.1:{proxy.port}", 5)
        rig = Rig(PROVIDERS["square"], fake, provider)

        with proxy.going(Way.TWICE):
            answers = [provider.refund(rig.part()) for _ in range(2)]

        provider.close()
        assert answers == [Failed("REFUND_DECLINED"), Settled("re_1")]


def test_a_redirect_is_not_followed(rig):
    """It would turn the request for a refund into a question."""
    rig.fake.refunds_go(Reply(302, b"", {"Location": "/v2/refunds/re_1"}))

    with pytest.raises(Uncertain) as told:
        rig.provider.refund(rig.part())

    assert str(told.value) == "Square answered 302 (no code)"
    assert rig.fake.counts == {"POST told": 1}


def test_square_is_made_from_the_settings(rig, monkeypatch):
    """Token, address and what news is believed by."""
    monkeypatch.setenv("SQUARE_ACCESS_TOKEN", FakeSquare.token)
    monkeypatch.setenv("SQUARE_URL", rig.fake.url)
    monkeypatch.setenv("SQUARE_WEBHOOK_KEY", FakeSquare.webhook_key)
    monkeypatch.setenv("SQUARE_WEBHOOK_URL", rig.fake.webhook_url)
    part = rig.part()

    provider = square(Settings())

    assert isinstance(provider, Square)
    assert provider.refund(part) == Settled(*rig.made(part))
    (refund,) = rig.fake.ledger.of("P1")
    assert [one.part_id for one in provider.news(*rig.fake.event(refund))] == [part.part_id]
    provider.close()


def test_square_needs_a_token():
    """The sentence names the variable."""
    with pytest.raises(ValueError, match=r"^SQUARE_ACCESS_TOKEN must be set"):
        square(Settings())


def test_square_needs_its_sdk(monkeypatch):
    """The sentence says how to get it."""
    monkeypatch.setenv("SQUARE_ACCESS_TOKEN", "token")
    monkeypatch.setitem(sys.modules, "square", None)

    with pytest.raises(ValueError, match=r"pip install 'fulfillment-worker\[square\]'$"):
        square(Settings())
