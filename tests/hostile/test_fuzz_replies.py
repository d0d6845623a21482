"""What providers and carriers answer, and tell unasked, broken and bent: an answer with an id that
can be kept, or an error of ours that says what it means. Over HTTP, against their fakes.
"""

import base64
import hashlib
import hmac
import time
from email.utils import formatdate
from uuid import UUID

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.fakes import square as squares
from tests.fakes import stripe as stripes
from tests.fakes import ups
from tests.fakes.ledger import Refund
from tests.fakes.provider import PRIVATE
from tests.fakes.server import Reply
from tests.fakes.square import FakeSquare
from tests.fakes.stripe import FakeStripe
from tests.fakes.ups import CREDENTIALS, FakeUps
from tests.hostile import fuzz
from tests.postage.test_karrio import order
from tests.refunds.providers import PROVIDERS, WEBHOOK_URL, Rig
from worker.errors import Terminal, Transient
from worker.postage.adapter import Bought, Transit
from worker.postage.karrio import Karrio
from worker.refunds.provider import Failed, NotGenuine, Settled, Underway
from worker.retry_after import LONGEST_S, retry_after_s

PART_ID = UUID(int=7)
STATUSES = [200, 200, 200, 200, 201, 302, 400, 401, 402, 404, 409, 422, 429, 500, 503, 599]
RETRY_AFTER = ["1", "-1", "9" * 400, "", "soon", "Fri, 31 Dec 9999 23:59:59 -9999", "1e5", "\xb2"]


def made(refund_id="R1", tag=f"Order O-1, refund {PART_ID}", amount=1_000, currency="EUR"):
    return Refund(refund_id, "P1", amount, currency, "key", tag, "settled")


SQUARE = [
    {"refund": squares.shown(made())},
    {"payment": {"id": "P1", "refund_ids": ["R1", "R2"]}},
    squares.refusal(squares.DECLINED).body,
    squares.refusal(squares.WHY["too_much"]).body,
]
STRIPE = [
    stripes.shown(made(tag=str(PART_ID), currency="eur")),
    {"object": "list", "url": "/v1/refunds", "has_more": False,
     "data": [stripes.shown(made(tag=str(PART_ID), currency="eur"))]},
    stripes.refusal(stripes.DECLINED).body,
    stripes.refusal(stripes.TOO_MUCH).body,
]  # fmt: skip
REPLIES = {"square": SQUARE, "stripe": STRIPE}


@pytest.fixture(scope="module", params=PROVIDERS)
def rig(request):
    """A provider and its fake, for all that is tried."""
    kind = PROVIDERS[request.param]
    with kind.fake(webhook_url=WEBHOOK_URL) as fake:
        fake.ledger.capture(kind.payment_id, 5_000, kind.currency)
        provider = kind.provider(fake.url, 5)
        yield request.param, Rig(kind, fake, provider)
        provider.close()


def replies(*documents):
    return st.builds(
        Reply,
        st.sampled_from(STATUSES),
        fuzz.documents(*documents),
        st.fixed_dictionaries(
            {},
            optional={
                "Retry-After": st.sampled_from(RETRY_AFTER),
                "Idempotent-Replayed": st.just("true"),
            },
        ),
    )


def told(error):
    """Our own words, with the provider's code at most."""
    fuzz.told(error, without=PRIVATE)
    assert error.reason


@fuzz.few_calls(10)
@given(data=st.data())
def test_refunds(rig, data):
    """A refund, and a look-up, whatever the replies: an answer under an id that can be stored, or
    one of our errors, in our own words.
    """
    name, rig = rig
    found = data.draw(st.lists(replies(*REPLIES[name]), min_size=3, max_size=3), "replies")
    part = rig.part(part_id=PART_ID, provider_id=data.draw(st.sampled_from([None, "R1"]), "id"))

    for ask, told_first in ((rig.provider.refund, found[:1]), (rig.provider.find, [])):
        rig.fake.refunds_go(*told_first)
        rig.fake.lookups_go(*found)
        try:
            answer = ask(part)
        except (Transient, Terminal) as error:
            told(error)
        else:
            assert answer is None or sound(answer)
        rig.fake._told = {"POST": [], "GET": []}


def sound(answer):
    """It can be stored."""
    assert isinstance(answer, Settled | Underway | Failed)
    if answer.provider_id is not None or not isinstance(answer, Failed):
        assert answer.provider_id.isascii()
        assert answer.provider_id.isprintable()
        assert 0 < len(answer.provider_id) < 256
    assert not isinstance(answer, Failed) or 0 < len(answer.reason) <= 64
    return True


EVENTS = {
    "square": {
        "type": "refund.updated",
        "data": {"type": "refund", "object": {"refund": squares.shown(made())}},
    },
    "stripe": {
        "type": "refund.updated",
        "data": {"object": stripes.shown(made(tag=str(PART_ID)))},
    },
}


def signed(name, body):
    """As the provider signs it."""
    if name == "square":
        key, signing = FakeSquare.webhook_key, WEBHOOK_URL.encode() + body
        digest = hmac.digest(key.encode(), signing, hashlib.sha256)
        return {"x-square-hmacsha256-signature": base64.b64encode(digest).decode()}
    now = str(int(time.time()))
    digest = hmac.digest(FakeStripe.webhook_key.encode(), f"{now}.".encode() + body, hashlib.sha256)
    return {"Stripe-Signature": f"t={now},v1={digest.hex()}"}


@fuzz.few_calls()
@given(data=st.data())
def test_news(rig, data):
    """What is signed is news of refunds that can be stored, none, or refused; a signature that is
    another, or of another body, is refused.
    """
    name, rig = rig
    body = data.draw(fuzz.documents(EVENTS[name]), "body")
    headers = signed(name, body)
    try:
        for one in rig.provider.news(headers, body):
            assert sound(one.answer)
            assert one.part_id is None or isinstance(one.part_id, UUID)
    except NotGenuine as error:
        fuzz.told(error)

    ((header, right),) = headers.items()
    wrong = data.draw(
        fuzz.broken(st.just(right.encode())).map(lambda raw: raw.decode("latin-1"))
        | st.text(max_size=80),
        "signature",
    )
    genuine = orjson.dumps(EVENTS[name])
    with pytest.raises(NotGenuine) as refused:
        rig.provider.news({header: wrong}, genuine)
    fuzz.told(refused.value)


@pytest.fixture(scope="module")
def carrier():
    """UPS through karrio, and its fake."""
    with FakeUps() as fake:
        usual = {"server_url": fake.url, "service": "ups_ground", "timeout_s": "5"}
        yield fake, lambda: Karrio("ups", CREDENTIALS | usual)


NUMBER = "1Z999AA10000000001"
SHIPPED = ups._shipped(NUMBER, "ZPL")
VOIDED = {"VoidShipmentResponse": {"SummaryResult": {"Status": {"Code": "1"}}}}
TOKEN = {"access_token": "token-1", "issued_at": "1790000000000", "expires_in": "14399"}
REFUSED = ups.BAD_POSTAL_CODE.body


@fuzz.few_calls(5)
@given(data=st.data())
def test_carriers(carrier, data):
    """A label, its void, a parcel's way and the login before each, whatever the answers: a value
    that can be stored, or one of our errors.
    """
    fake, make = carrier
    if data.draw(st.integers(0, 4), "login") == 0:
        fake.login = data.draw(replies(TOKEN), "token")
    fake.wrongs = [data.draw(replies(SHIPPED, REFUSED), "label")]
    fake.void_answer = data.draw(replies(VOIDED, REFUSED), "void")
    fake.track_answer = data.draw(
        replies(ups.tracked(NUMBER, "D", "DELIVERED").body, REFUSED), "track"
    )
    adapter = make()

    for ask in (
        lambda: adapter.buy(order()),
        lambda: adapter.void(NUMBER, NUMBER),
        lambda: adapter.track(NUMBER),
    ):
        try:
            found = ask()
        except (Transient, Terminal) as error:
            told(error)
        else:
            assert found is None or isinstance(found, Transit) or kept(found)
    fake.login = None
    fake.wrongs = []


def kept(bought):
    """It can be stored, and voided."""
    assert isinstance(bought, Bought)
    for one in (bought.carrier_id, bought.tracking_number):
        assert 0 < len(one) <= 64
        assert one.isprintable()
    assert isinstance(bought.label, bytes)
    assert (bought.cost_minor is None) == (bought.currency is None)
    assert bought.cost_minor is None or 0 <= bought.cost_minor <= 10**12
    return True


@fuzz.few()
@given(
    st.text(max_size=40)
    | fuzz.broken(st.sampled_from([b"120", formatdate(usegmt=True).encode()])).map(
        lambda raw: raw.decode("latin-1")
    )
)
@example("9" * 400)
@example("Fri, 31 Dec 9999 23:59:59 -9999")
def test_retry_after(text):
    """Seconds up to an hour, or nothing."""
    found = retry_after_s(text)

    assert found is None or 0 <= found <= LONGEST_S
