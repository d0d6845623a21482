"""Words of a command line, and small texts that others write, broken: each is a value that can be
worked with, or a refusal.
"""

from datetime import UTC
from uuid import UUID

from hypothesis import example, given
from hypothesis import strategies as st

from tests.hostile import corpus, fuzz
from worker.carriers.numbers import fits, guess, has_wrong_check_digit
from worker.cli import send
from worker.cli.chosen import fields, seconds
from worker.cli.exits import Code, Failure
from worker.cli.shipment_keys import _key
from worker.cli.times import utc_time
from worker.emails.edits import read_edits
from worker.orders.money import BadAmount, to_decimal, to_minor


def words(*valid):
    """Text as a program is handed it, of bytes that need not be UTF-8."""
    raw = fuzz.broken(st.sampled_from([one.encode() for one in valid])) | st.binary(max_size=20)
    return raw.map(lambda one: one.decode("utf-8", "surrogateescape")[:200]) | st.sampled_from(
        [*corpus.NOT_COUNTABLE.values(), *(one.text for one in corpus.STORED.values())]
    )


def refused(read, *given):
    """What is read; None where that is refused as a mistake of whoever typed it."""
    try:
        return read(*given)
    except Failure as failure:
        fuzz.told(failure)
        code = failure.code
    assert code in {Code.USAGE, Code.NOT_FOUND}
    return None


@fuzz.few()
@given(words("12.50", "12.50 EUR", "7 jpy"))
@example("1_000")
@example("1e2 EUR")
@example("\u0661\u0662 EUR")
@example("1 \u017fos")
def test_amounts(text):
    """Minor units of a currency, with the figures that were typed, in the order's where none is; no
    sign, no exponent, no script but ours.
    """
    found = refused(send._money, _Opened(), "amount", text, "O-1")

    if found:
        amount, _, currency = text.strip().partition(" ")
        assert found["currency"] == (currency.strip().upper() or "EUR")
        assert amount.isascii()
        assert set(amount) <= set("0123456789.")
        written = to_decimal(found["amount_minor"], found["currency"])
        assert float(written) == float(amount)


class _Opened:
    """A session in which every order is in euros."""

    class engine:  # noqa: N801  # as it is named there
        @staticmethod
        def connect():
            return _Opened()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """Nothing is open."""

    def exec_driver_sql(self, *_):
        return self

    def scalar(self):
        return "EUR"


@fuzz.few()
@given(words("12.50", "1e2"), st.sampled_from(["EUR", "JPY", "KWD", "XXX", "eur", ""]))
@example("1e1000000", "EUR")
def test_decimals(text, currency):
    """Whatever number it is to Python: minor units, or no amount."""
    try:
        found = to_minor(text, currency)
    except BadAmount:
        return

    assert abs(found) <= 10**19


@fuzz.few()
@given(words("A=2", "30m", "2026-03-01T12:00+01:00", "dhl=DHL", "1024", str(UUID(int=7)), "a=b"))
def test_words(text):
    """Quantities, lengths of time, moments, carriers, fields and shipments."""
    for one in refused(send._items, [text]) or ():
        assert one["quantity"] < 10**12
        assert one["line_id"]
    assert (refused(seconds, text) or 0) < 2**32
    moment = refused(utc_time, "--placed-from", text)
    assert moment is None or moment.tzinfo is UTC
    carrier = refused(send.new_carrier_of, text, None)
    assert carrier is None or f"{carrier['code']}={carrier['name']}" == text
    for name, value in (refused(fields, [text]) or {}).items():
        assert f"{name}={value}" == text
    key = refused(_key, text)
    assert key is None or isinstance(key, UUID) or 0 <= key < 2**63


@fuzz.few()
@given(words("1Z5R89390357567127", "00340434161094022115", "RB123456785GB", "01015026003653C"))
def test_tracking_numbers(text):
    """No number is refused: it says whose it may be, or nothing."""
    assert guess(text) is None or guess(text) in {fit.form.carrier for fit in fits(text)}
    for carrier in ("ups", "dhl", "royal-mail", "x"):
        assert has_wrong_check_digit(carrier, text) in {True, False}


@fuzz.few()
@given(
    st.dictionaries(
        st.sampled_from(["to", "locale"]) | st.text(max_size=8),
        words("jo@shop.example", "fr-CA") | st.none(),
        max_size=3,
    )
)
def test_edits(edits):
    """What an operator sets right in an e-mail can be used, or is refused."""
    try:
        found = read_edits(edits)
    except ValueError as error:
        fuzz.told(error)
        return

    assert (found.to is None) == (edits.get("to") is None)
    assert found.locale == edits.get("locale")
