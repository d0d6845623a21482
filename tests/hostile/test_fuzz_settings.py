"""The environment, broken: whatever stands in any variable, there are settings, or a refusal that
names the variable, of one kind.
"""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError
from sqlalchemy.exc import ArgumentError

from messages import SigningKey
from tests.fakes.ups import CREDENTIALS
from tests.hostile import corpus, fuzz
from worker.cli.exits import failure
from worker.emails.address import BadAddress, checked
from worker.emails.smtp_url import read_smtp_url
from worker.plugins import CannotUse
from worker.postage.adapters import adapters
from worker.postage.karrio import Karrio
from worker.refunds.providers import providers
from worker.settings import Settings
from worker.store.engine import make_engine

SECRET = "s" * 40
URLS = [
    "smtp://user:pass%40word@mail.example:587/?starttls=always",
    "smtps://mail.example",
    "https://connect.squareup.com/v2",
    "postgresql://user:password@db.example:5432/shop?sslmode=require",
    "redis://:password@redis.example:6379/0?ssl_ca_certs=x",
]
USUAL = {
    "DATABASE_URL": URLS[3],
    "REDIS_URL": URLS[4],
    "SMTP_URL": URLS[0],
    "SQUARE_URL": URLS[2],
    "STRIPE_URL": URLS[2],
    "BROKER_DOOR_KINDS": "place,ship",
    "BROKER_DOOR_KEYS": f"one:{SECRET},two:{SECRET}",
    "FULFILLMENT_EMAIL_FROM": "orders@bücher.example",
    "FULFILLMENT_EMAIL_LOCALE": "fr_CA",
    "FULFILLMENT_EMAIL_TIME_ZONE": "Europe/Paris",
    "FULFILLMENT_SHIP_FROM": '{"name": "Shop", "lines": ["1 Street"], "country": "FR"}',
    "FULFILLMENT_REFUND_PROVIDERS": '{"card": "square", "*": "manual"}',
    "FULFILLMENT_CARRIER_ADAPTERS": '{"ups": {"adapter": "karrio", "rate": "5"}}',
    "FULFILLMENT_LEASE_S": "1e1",
}

VARIABLES = sorted(
    USUAL.keys()
    | {
        alias if isinstance(alias := one.validation_alias, str) else f"FULFILLMENT_{name.upper()}"
        for name, one in Settings.model_fields.items()
    }
)
NUMBERS = [
    "0",
    "-1",
    "1",
    "nan",
    "inf",
    "1e308",
    "9" * 30,
    "1_000",
    " 5 ",
    "\u0663",
    "5.0",
    "9" * 5_000,
]
WORDS = [*NUMBERS, *(one.text for one in (corpus.STORED | corpus.REFUSED).values())]


def words(*valid):
    """What an environment can hold: any bytes but NUL."""
    raw = (
        fuzz.broken(st.sampled_from([one.encode() for one in (*valid, *USUAL.values())]))
        | st.sampled_from([one.encode() for one in WORDS])
        | st.binary(max_size=40)
    )
    return raw.map(lambda one: one.replace(b"\0", b"").decode("utf-8", "surrogateescape"))


@st.composite
def environments(draw):
    """One variable broken, or some; each one's own valid value is what is mostly broken."""
    chosen = draw(st.lists(st.sampled_from(VARIABLES), min_size=1, max_size=3, unique=True))
    return {
        name: draw(
            words(USUAL[name])
            if name in USUAL and draw(st.booleans())
            else fuzz.bent(st.just(json.loads(USUAL[name]))).map(_as_text)
            if USUAL.get(name, "").startswith("{")
            else words()
        )
        for name in chosen
    }


def _as_text(raw):
    return raw.replace(b"\0", b"").decode("utf-8", "surrogateescape")


@fuzz.few(40)
@given(environments())
@example({"DATABASE_URL": "0", "FULFILLMENT_STATE_DIR": "\udc80"})
@example({"FULFILLMENT_GRACE_S": "inf"})
@example({"FULFILLMENT_CARRIER_ADAPTERS": '{"ups": {"adapter": ".where:Adapter"}}'})
@example({"FULFILLMENT_LOCK_TIMEOUT_MS": "2147483648"})
def test_environment(environment):
    """Settings that can be a key, with numbers that PostgreSQL and threads take; or a refusal that
    names one of the variables. Providers, adapters and the engine are made of them, or refused.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name, text in environment.items():
            patch.setenv(name, text)
        try:
            found = Settings()
        except ValidationError as error:
            said = failure(error)
            fuzz.told(said)
            assert any(name.removeprefix("FULFILLMENT_") in str(said) for name in environment)
            return

    assert all(abs(one) < 2**32 for _, one in found if isinstance(one, int | float))
    assert hash(found) == hash(found.model_copy())
    for make in (providers, adapters):
        try:
            make(found)
        except CannotUse as error:
            fuzz.told(error)
    if found.database_url:
        try:
            make_engine(found.database_url.get_secret_value(), found).dispose()
        except ArgumentError as error:
            fuzz.told(error)


@fuzz.few()
@given(words(URLS[0], URLS[1]))
def test_smtp_urls(url):
    """A server with a host and a port that there is, or a refusal that does not quote it."""
    try:
        found = read_smtp_url(url)
    except ValueError as error:
        fuzz.told(error, without="pass%40word")
        return

    assert found.host
    assert 0 < found.port < 2**16
    assert bool(found.user) == bool(found.password)
    (found.user or "").encode("ascii")
    found.host.encode("idna")


@fuzz.few()
@given(words("jo.o'hara+x@bücher.example"))
def test_addresses(text):
    """An address whose domain is ASCII, which is its own checked form; or a refusal."""
    try:
        found = checked(text)
    except BadAddress as error:
        fuzz.told(error)
        return

    assert checked(found) == found
    assert found.rpartition("@")[2].isascii()
    assert found.isprintable()


@fuzz.few()
@given(words(f"one:{SECRET}"))
def test_keys(text):
    """A key that signs, or a refusal that quotes nothing of it."""
    try:
        key = SigningKey.of(text)
    except ValueError as error:
        fuzz.told(error, without=SECRET)
        return

    assert key.signed("ship", "{}", key.sign("ship", "{}"))


@fuzz.few(15)
@given(
    st.dictionaries(
        st.sampled_from(
            ["carrier", "service", "service.x", "config.label_type", "config.", "timeout_s", "id",
             "server_url", "test_mode", "account_number", "client_id", "metadata", "cache"]
        )
        | st.text(max_size=5),
        words("ups", "true", "ZPL", "20", "http://127.0.0.1:9"),
        max_size=3,
    )
)  # fmt: skip
def test_settings_of_carriers(settings):
    """An adapter, or a refusal in a sentence."""
    try:
        Karrio("ups", CREDENTIALS | settings)
    except ValueError as error:
        fuzz.told(error)
