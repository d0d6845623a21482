"""Whole minor units that always add up: the penny rule, and spreading by largest remainder.

Pure arithmetic on ints; nothing here knows an order.
"""

from collections.abc import Sequence
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Final

from babel.numbers import get_currency_precision, list_currencies


def cumulative(total_minor: int, units: int, first: int) -> int:
    """Price of the first `first` of `units` units: each costs total div units, and the first
    total mod units of them one more. All together cost exactly the total.
    """
    base, extra = divmod(total_minor, units)
    return base * first + min(first, extra)


def spread(
    amount_minor: int, weights: Sequence[int], caps: Sequence[int] | None = None
) -> list[int]:
    """The amount over the weights by largest remainder, ties to the earlier place.

    No share exceeds its cap; what a cap turns away is spread over the others, by weight again.
    Without any weight, places count alike.

    Raises:
      ValueError: The caps together hold less than the amount.
    """
    room = list(caps) if caps is not None else [amount_minor] * len(weights)
    if amount_minor > sum(room):
        raise ValueError(f"{amount_minor} is more than the {sum(room)} it can be spread over")
    shares = [0] * len(weights)
    left = amount_minor
    while left:
        open_places = [i for i in range(len(weights)) if shares[i] < room[i]]
        scale = [weights[i] for i in open_places]
        if not any(scale):
            scale = [1] * len(open_places)
        for i, share in zip(open_places, _largest_remainder(left, scale), strict=True):
            taken = min(share, room[i] - shares[i])
            shares[i] += taken
            left -= taken
    return shares


def _largest_remainder(amount_minor: int, weights: Sequence[int]) -> list[int]:
    whole = sum(weights)
    shares = [amount_minor * weight // whole for weight in weights]
    by_remainder = sorted(
        range(len(weights)), key=lambda i: (-(amount_minor * weights[i] % whole), i)
    )
    for i in by_remainder[: amount_minor - sum(shares)]:
        shares[i] += 1
    return shares


_ISO_DIGITS: Final = {"IQD": 3} | dict.fromkeys(
    ["AFN", "ALL", "IRR", "KPW", "LAK", "LBP", "MGA", "MMK", "RSD", "SOS", "SYP", "YER"], 2
)
"""Where Babel's data says 0: it has the decimals that people write, ISO 4217 those of systems."""
_EXACT: Final = Context(prec=28, traps=[Inexact, InvalidOperation])


def is_currency(code: str) -> bool:
    """Whether ISO 4217 has, or once had, this code."""
    return code in list_currencies()


def decimals(currency: str) -> int:
    """Decimals of the currency by ISO 4217: JPY 0, EUR 2, KWD 3."""
    return _ISO_DIGITS.get(currency) or get_currency_precision(currency)


class BadAmount(ValueError):
    """An amount that cannot be a sum of money in its currency."""


def to_minor(amount: str | Decimal, currency: str) -> int:
    """A decimal amount in minor units of its currency.

    Raises:
      BadAmount: Unknown currency, no number, or more decimals than the currency has.
    """
    if not is_currency(currency):
        raise BadAmount(f"{currency!r} is no ISO 4217 currency")
    try:
        value = Decimal(amount)
    except InvalidOperation:
        raise BadAmount(f"{amount!r} is no amount") from None
    digits = decimals(currency)
    # `abs` would overflow: a text has a greater exponent than the context.
    if not value.is_finite() or value.copy_abs() > Decimal(10) ** 15:
        raise BadAmount(f"{amount!r} is no amount")
    try:
        return int(_EXACT.quantize(value, Decimal(1).scaleb(-digits)).scaleb(digits))
    except Inexact:
        raise BadAmount(f"{amount} has more decimals than {currency} allows ({digits})") from None


def to_decimal(amount_minor: int, currency: str) -> str:
    """Minor units as plain decimal text with the currency's digits: `12.50`, `1250`, `1.250`."""
    digits = decimals(currency)
    return f"{Decimal(amount_minor).scaleb(-digits):.{digits}f}"
