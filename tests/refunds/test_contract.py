"""What every payment provider answers, whatever happens at the other end; over HTTP on loopback."""

import logging
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import pytest

from tests.fakes.provider import PRIVATE, FakeProvider
from tests.fakes.server import Reply, Wrong
from tests.hostile import corpus
from tests.refunds.providers import PROVIDERS, WEBHOOK_URL, Kind, Rig
from worker.errors import Terminal, Transient, Uncertain
from worker.refunds.provider import Answer, Failed, News, NotGenuine, Part, Settled, Underway

PATIENCE_S = 0.2
"""For what never answers."""


@pytest.fixture(params=PROVIDERS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return PROVIDERS[request.param]


@pytest.fixture
def fake(kind: Kind) -> Iterator[FakeProvider]:
    with kind.fake(webhook_url=WEBHOOK_URL) as fake:
        fake.ledger.capture(kind.payment_id, 5_000, kind.currency)
        yield fake


@pytest.fixture
def rig(kind: Kind, fake: FakeProvider) -> Iterator[Rig]:
    with closing(kind.provider(fake.url, 5)) as provider:
        yield Rig(kind, fake, provider)


@pytest.fixture
def impatient(kind: Kind, fake: FakeProvider) -> Iterator[Rig]:
    """It gives up soon."""
    with closing(kind.provider(fake.url, PATIENCE_S)) as provider:
        yield Rig(kind, fake, provider)


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


def test_a_slow_answer_is_an_answer(rig):
    """Lateness within the limit changes nothing."""
    rig.fake.refunds_go(Wrong.SLOW)
    part = rig.part()

    answer = rig.provider.refund(part)

    assert answer == Settled(*rig.made(part))


def test_a_pending_refund_settles_later(rig):
    """It is under way until the provider says otherwise, and the look-up follows it."""
    rig.fake.refunds_go(Wrong.PENDING)
    part = rig.part()

    asked = rig.provider.refund(part)

    (refund_id,) = rig.made(part)
    known = rig.part(part_id=part.part_id, provider_id=refund_id)
    assert asked == Underway(refund_id)
    assert rig.provider.find(known) == Underway(refund_id)
    rig.fake.ledger.end(refund_id, "settled")
    assert rig.provider.find(known) == Settled(refund_id)
    assert rig.out == 1_000


def test_a_pending_refund_fails_later(rig):
    """Its money is back on the payment."""
    rig.fake.refunds_go(Wrong.PENDING)
    part = rig.part()
    rig.provider.refund(part)
    (refund_id,) = rig.made(part)

    rig.fake.ledger.end(refund_id, "failed")

    assert rig.provider.find(part) == Failed(rig.kind.failed, refund_id)
    assert rig.out == 0


def test_a_declined_refund_has_failed(rig):
    """The provider's last word is no: nothing is paid, and its code is the reason."""
    rig.fake.refunds_go(Wrong.DECLINED)

    answer = rig.provider.refund(rig.part())

    assert answer == Failed(rig.kind.declined)
    assert rig.fake.ledger.refunds == {}


def test_a_refund_that_failed_at_once_has_failed(rig):
    """The provider took it on and knows already that it does not succeed."""
    rig.fake.refunds_go(Wrong.FAILED)
    part = rig.part()

    answer = rig.provider.refund(part)

    assert answer == Failed(rig.kind.failed, *rig.made(part))
    assert rig.out == 0


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
def test_what_may_have_been_paid_is_uncertain_until_asked_again(impatient, wrong, paid):
    """Server errors, silence, nonsense and broken connections look alike, paid or not. A look-up
    tells, and the same key again pays once.
    """
    impatient.fake.refunds_go(wrong)
    part = impatient.part()

    with pytest.raises(Uncertain):
        impatient.provider.refund(part)

    assert impatient.out == paid
    found = impatient.provider.find(part)
    assert found == (Settled(*impatient.made(part)) if paid else None)
    assert impatient.provider.refund(part) == Settled(*impatient.made(part))
    assert impatient.out == 1_000


@pytest.mark.parametrize("status", [400, 403, 404])
def test_a_page_by_somebody_else_is_uncertain(rig, status):
    """A gateway's refusal says nothing about what the provider has done."""
    rig.fake.refunds_go(Reply(status, b"<html>not here</html>"))

    with pytest.raises(Uncertain) as told:
        rig.provider.refund(rig.part())

    assert told.value.reason == "provider_error"
    assert str(told.value).endswith(f"answered {status} (no code)")


@pytest.mark.parametrize(
    ("retry_after", "wait_s"),
    [
        ("7", 7.0),
        ("Fri, 31 Dec 2999 23:59:59 GMT", 3600.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("soon", None),
    ],
)
def test_a_busy_provider_says_when_to_come_back(rig, retry_after, wait_s):
    """429 is transient, nothing has been paid; an hour is the longest wait that is believed."""
    rig.fake.retry_after = retry_after
    rig.fake.refunds_go(Wrong.BUSY)

    with pytest.raises(Transient) as told:
        rig.provider.refund(rig.part())

    assert not isinstance(told.value, Uncertain)
    assert (told.value.reason, told.value.retry_after_s) == ("provider_busy", wait_s)
    assert rig.out == 0


def test_a_provider_that_cannot_be_reached_has_paid_nothing(kind, rig):
    """A refused connection is transient: no byte was sent."""
    with kind.fake() as gone:
        url = gone.url

    with (
        closing(kind.provider(url, PATIENCE_S)) as provider,
        pytest.raises(Transient) as told,
    ):
        provider.refund(rig.part())

    assert not isinstance(told.value, Uncertain)
    assert told.value.reason == "provider_unreachable"


def test_a_key_that_was_used_for_another_amount_goes_to_a_person(rig):
    """Nothing more is paid."""
    part = rig.part()
    rig.provider.refund(part)

    with pytest.raises(Terminal) as told:
        rig.provider.refund(rig.part(900, part_id=part.part_id))

    assert told.value.reason == "provider_refused"
    assert rig.out == 1_000


def test_more_than_is_left_has_failed(rig):
    """Somebody else gave back most of the payment."""
    rig.by_others(4_500)

    answer = rig.provider.refund(rig.part())

    assert answer == Failed(rig.kind.too_much)
    assert rig.out == 4_500


def test_nothing_is_left_because_of_our_own_refund(impatient):
    """The answer was lost and the key is forgotten: the refund that used up the payment is found,
    and is the answer.
    """
    impatient.fake.refunds_go(Wrong.SILENT_AFTER)
    part = impatient.part(5_000)
    with pytest.raises(Uncertain):
        impatient.provider.refund(part)
    impatient.fake.ledger.forget_keys()

    answer = impatient.provider.refund(part)

    assert answer == Settled(*impatient.made(part))
    assert impatient.out == 5_000


def test_nothing_is_left_and_the_look_up_fails(rig):
    """Whose refund used up the payment is not known: the part stays uncertain."""
    rig.by_others(4_500)
    rig.fake.lookups_go(Wrong.ERROR_BEFORE)

    with pytest.raises(Uncertain) as told:
        rig.provider.refund(rig.part())

    assert told.value.reason == "provider_error"
    assert rig.out == 4_500


@pytest.mark.parametrize("call", ["refund", "find"])
def test_wrong_credentials_go_to_a_person(kind, fake, rig, call):
    """Nothing is paid, and nobody tries again and again."""
    with (
        closing(kind.provider(fake.url, 5, token="another")) as provider,
        pytest.raises(Terminal) as told,
    ):
        getattr(provider, call)(rig.part())

    assert told.value.reason == "provider_refused"
    assert rig.out == 0


@pytest.mark.parametrize("call", ["refund", "find"])
def test_an_unknown_payment_goes_to_a_person(rig, call):
    """It may be of another account: there a look-up that finds nothing proves nothing."""
    part = rig.part(payment_id=f"{rig.kind.payment_id}9")

    with pytest.raises(Terminal) as told:
        getattr(rig.provider, call)(part)

    assert told.value.reason == "provider_refused"


@pytest.mark.parametrize("payment_id", ["../refunds/re_1", "re_1?x=", "a b", "Ä", "\n"])
def test_a_payments_id_reaches_the_provider_as_it_is(rig, payment_id):
    """It cannot turn one request into another."""
    rig.by_others(1_000)

    with pytest.raises(Terminal) as told:
        rig.provider.find(rig.part(payment_id=payment_id))

    assert told.value.reason == "provider_refused"


def test_a_part_is_found_among_many_refunds(rig):
    """Also on a second page, and not mixed up with refunds of others."""
    part = rig.part()
    rig.provider.refund(part)
    for _ in range(101):
        rig.by_others(10)

    assert rig.provider.find(part) == Settled(*rig.made(part))
    assert rig.provider.find(rig.part()) is None


def test_a_refund_of_another_amount_under_the_parts_id_goes_to_a_person(rig):
    """What was paid is not what we believe: nothing is concluded from it."""
    part = rig.part()
    rig.provider.refund(part)

    with pytest.raises(Terminal) as told:
        rig.provider.find(rig.part(900, part_id=part.part_id))

    assert told.value.reason == "provider_mismatch"


def test_a_state_that_nobody_knows_is_no_answer(rig):
    """Our own refund in such a state is asked for again; another's hinders nothing."""
    part, other = rig.part(), rig.part()
    rig.provider.refund(part)
    rig.provider.refund(other)
    rig.fake.ledger.end(*rig.made(other), "reviewed")

    assert rig.provider.find(part) == Settled(*rig.made(part))
    with pytest.raises(Transient) as told:
        rig.provider.find(other)
    assert told.value.reason == "provider_unclear"


@pytest.mark.parametrize(
    "states", [("failed", "settled"), ("settled", "failed"), ("failed", "pending")]
)
def test_a_refund_that_was_paid_goes_before_one_that_failed(rig, states):
    """Both are under the part's id, asked again after its key was forgotten."""
    part = rig.part()
    rig.fake.refunds_go(Wrong.FAILED)
    rig.provider.refund(part)
    (first,) = rig.fake.ledger.of(rig.kind.payment_id)
    first.state = states[0]
    second_id = rig.by_others(1_000, tag=first.tag, state=states[1])

    found = rig.provider.find(part)

    assert (
        found
        in {
            "failed settled": [Settled(second_id)],
            "settled failed": [Settled(first.refund_id)],
            "failed pending": [Underway(second_id)],
        }[" ".join(states)]
    )


@pytest.mark.parametrize(
    "wrong",
    [
        Wrong.BUSY,
        Wrong.ERROR_BEFORE,
        Wrong.SILENT_BEFORE,
        Wrong.GARBAGE_BEFORE,
        Wrong.EMPTY_AFTER,
        Wrong.CUT_AFTER,
    ],
)
@pytest.mark.parametrize("known", [True, False])
def test_a_look_up_that_fails_says_nothing(impatient, wrong, known):
    """Not now; and a look-up leaves nothing uncertain."""
    part = impatient.part()
    impatient.provider.refund(part)
    (refund_id,) = impatient.made(part)
    part = impatient.part(part_id=part.part_id, provider_id=refund_id if known else None)
    impatient.fake.lookups_go(wrong)

    with pytest.raises(Transient) as told:
        impatient.provider.find(part)

    assert not isinstance(told.value, Uncertain)
    assert impatient.provider.find(part) == Settled(refund_id)


def test_what_providers_write_for_people_goes_nowhere(rig, caplog):
    """It could quote a customer: it is in no error, no reason and no log."""
    caplog.set_level(logging.DEBUG)
    rig.fake.refunds_go(Wrong.DECLINED, Wrong.ERROR_AFTER)
    told = [str(rig.provider.refund(rig.part()))]

    for part in (rig.part(), rig.part(payment_id=f"{rig.kind.payment_id}9")):
        with pytest.raises((Uncertain, Terminal)) as raised:
            rig.provider.refund(part)
        told.append(str(raised.value))

    assert PRIVATE not in caplog.text + "".join(told)
    assert [text for text in told if "answered" in text] == told[1:]


@pytest.mark.parametrize("state", ["settled", "failed", "pending"])
def test_signed_news_is_believed(rig, state):
    """It names the refund, the part and how it stands."""
    rig.fake.refunds_go(Wrong.PENDING)
    part = rig.part()
    rig.provider.refund(part)
    (refund_id,) = rig.made(part)
    headers, body = rig.fake.event(rig.fake.ledger.end(refund_id, state))

    (news,) = rig.provider.news({name.lower(): value for name, value in headers.items()}, body)

    told = {
        "settled": Settled(refund_id),
        "pending": Underway(refund_id),
        "failed": Failed(rig.kind.failed, refund_id),
    }
    assert news == News(told[state], part.part_id)


def test_news_of_a_refund_by_others_names_no_part(rig):
    """It was made in the provider's dashboard."""
    refund_id = rig.by_others(1_000)

    (news,) = rig.provider.news(*rig.fake.event(rig.fake.ledger.refunds[refund_id]))

    assert news == News(Settled(refund_id))


def test_news_of_other_things_is_none(rig):
    """It is genuine, and about no refund."""
    refund_id = rig.by_others(1_000)

    told = rig.provider.news(*rig.fake.event(rig.fake.ledger.refunds[refund_id], "payment.updated"))

    assert tuple(told) == ()


def test_forged_news_is_not_genuine(kind, fake, rig):
    """One letter of the body, another key, no signature at all, bytes that are no text."""
    headers, body = fake.event(fake.ledger.refunds[rig.by_others(1_000)])
    with (
        closing(kind.provider(fake.url, 5, webhook_key="another")) as other,
        closing(kind.provider(fake.url, 5, webhook_key="")) as without,
    ):
        forged = [
            (rig.provider, headers, body.replace(b"re_1", b"re_2")),
            (rig.provider, {}, body),
            (rig.provider, headers, b"\xff"),
            (rig.provider, headers, b""),
            (other, headers, body),
            (without, headers, body),
        ]

        for provider, claimed, told in forged:
            with pytest.raises(NotGenuine):
                provider.news(claimed, told)


@pytest.mark.timeout(60)
def test_signed_nonsense_is_no_news(rig):
    """No document that is none, or in which something else stands where an id should, is believed,
    whoever signed it.
    """
    _, body = rig.fake.event(rig.fake.ledger.refunds[refund_id := rig.by_others(1_000)])
    own = f'"id": "{refund_id}"'.encode()
    wrong = [body.replace(own, b'"id": ' + value) for value in (b"7", b"null", b"{}", b"[]")]

    for one in (*corpus.NO_JSON.values(), *wrong, b"[]", b"{}", b"null", body[:-1]):
        with pytest.raises(NotGenuine):
            rig.provider.news(rig.fake.sign(one), one)


def test_the_smallest_step_of_common_currencies_is_one(rig):
    """Minor units there are minor units here."""
    steps = {code: rig.provider.step_minor(code) for code in ("EUR", "USD", "JPY", "GBP")}

    assert steps == {"EUR": 1, "USD": 1, "JPY": 1, "GBP": 1}


def test_whatever_goes_wrong_each_part_is_paid_once(kind):
    """Four threads share a provider that answers every third request wrongly, in every way; asked
    again until it is clear, nothing is paid twice and nothing is forgotten.
    """
    weights = dict.fromkeys(Wrong, 6.0) | {Wrong.SILENT_AFTER: 1, Wrong.SILENT_BEFORE: 1}
    with (
        kind.fake(wrong_rate=0.33, seed=3, weights=weights, slow_s=0.01) as fake,
        closing(kind.provider(fake.url, PATIENCE_S)) as provider,
        ThreadPoolExecutor(4) as threads,
    ):
        payments = [f"{kind.payment_id}{n}" for n in range(40)]
        for payment_id in payments:
            fake.ledger.capture(payment_id, 1_000, kind.currency)
        rig = Rig(kind, fake, provider)
        parts = [rig.part(100 + n, payment_id=payments[n // 3]) for n in range(120)]

        ended = list(threads.map(lambda part: driven(rig, part), parts))

        settled = [part for part, end in zip(parts, ended, strict=True) if isinstance(end, Settled)]
        assert Counter(type(end).__name__ for end in ended).keys() == {"Settled", "Failed"}
        assert sum(map(fake.ledger.out, payments)) == sum(part.amount_minor for part in settled)
        assert all(len(rig.made(part)) == 1 for part in settled)


def driven(rig: Rig, part: Part) -> Answer:
    """The part's end, asked for again until it is clear; what is pending settles."""
    for _ in range(100):
        try:
            answer = rig.provider.refund(part)
            if not isinstance(answer, Underway):
                return answer
            rig.fake.ledger.end(answer.provider_id, "settled")
            part = replace(part, provider_id=answer.provider_id)
            return rig.provider.find(part)
        except Transient:
            continue
    raise AssertionError("it has no end")
