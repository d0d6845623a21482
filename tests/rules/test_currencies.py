"""Decimals at the doors: by the ISO exponent, and never rounded."""

from decimal import Decimal

import pytest

from worker.orders.money import BadAmount, decimals, is_currency, to_decimal, to_minor


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("1250", "JPY", 1250),
        ("1250.00", "JPY", 1250),
        ("12.5", "EUR", 1250),
        ("12.50", "EUR", 1250),
        ("-0.05", "EUR", -5),
        ("0", "EUR", 0),
        ("1.25", "KWD", 1250),
        ("1.250", "KWD", 1250),
        ("10.50", "RSD", 1050),
        ("1.5", "IQD", 1500),
        ("1.0001", "CLF", 10001),
        (Decimal("12.50"), "USD", 1250),
        ("10000000000.01", "EUR", 1000000000001),
    ],
)
def test_decimals_become_minor_units(text, currency, minor):
    """JPY has 0 decimals, EUR 2, KWD 3; zeros beyond them are no digits."""
    assert to_minor(text, currency) == minor


@pytest.mark.parametrize(
    ("text", "currency", "message"),
    [
        ("12.5", "JPY", "12.5 has more decimals than JPY allows (0)"),
        ("12.505", "EUR", "12.505 has more decimals than EUR allows (2)"),
        ("0.0001", "KWD", "0.0001 has more decimals than KWD allows (3)"),
        (
            "12.00000000000000000000000000000001",
            "EUR",
            "12.00000000000000000000000000000001 has more decimals than EUR allows (2)",
        ),
        ("1e-999999", "EUR", "1e-999999 has more decimals than EUR allows (2)"),
        ("1e999999", "EUR", "'1e999999' is no amount"),
        ("1e1000000", "EUR", "'1e1000000' is no amount"),
        ("NaN", "EUR", "'NaN' is no amount"),
        ("-Infinity", "EUR", "'-Infinity' is no amount"),
        ("12,50", "EUR", "'12,50' is no amount"),
        ("", "EUR", "'' is no amount"),
        ("1", "ABC", "'ABC' is no ISO 4217 currency"),
        ("1", "eur", "'eur' is no ISO 4217 currency"),
    ],
)
def test_what_is_no_amount_is_refused(text, currency, message):
    """Surplus digits are refused, not rounded, however small they are."""
    with pytest.raises(BadAmount) as refused:
        to_minor(text, currency)

    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [
        (1250, "JPY", "1250"),
        (1250, "EUR", "12.50"),
        (1250, "KWD", "1.250"),
        (-5, "EUR", "-0.05"),
        (0, "EUR", "0.00"),
        (10**15 + 1, "EUR", "10000000000000.01"),
    ],
)
def test_minor_units_become_text(minor, currency, text):
    """All of the currency's digits, no exponent, no grouping."""
    assert to_decimal(minor, currency) == text
    assert to_minor(text, currency) == minor


def test_exponents_are_those_of_iso_4217():
    """Where Babel has the decimals that people write, ISO's count: systems exchange those."""
    by_decimals = {0: ["JPY", "KRW", "CLP", "VUV"], 2: ["EUR", "IDR", "RSD", "AFN", "LBP", "CZK"]}

    for expected, codes in by_decimals.items():
        assert {code: decimals(code) for code in codes} == dict.fromkeys(codes, expected)
    assert {code: decimals(code) for code in ("KWD", "BHD", "IQD")} == {
        "KWD": 3,
        "BHD": 3,
        "IQD": 3,
    }


def test_currencies_are_known_by_their_code():
    """A code that looks right is not enough."""
    assert is_currency("EUR")
    assert not is_currency("ABC")
