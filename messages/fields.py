"""Field types of the contract: strict, bounded, and safe to store, print and sign.

Text is NFC without control characters or surrogates, numbers are whole and bounded, so whatever
passes here can be written to PostgreSQL, an e-mail or a label as it is.
"""

import unicodedata
from datetime import datetime, timedelta
from typing import Annotated, Final, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

MAX_QUANTITY: Final = 1_000_000
MAX_AMOUNT_MINOR: Final = 10**12
"""Ten billion in a currency with two decimals; sums of thousands of lines still fit a bigint."""
MAX_LINES: Final = 5_000
MAX_WEIGHT_G: Final = 1_000_000


class Model(BaseModel):
    """Base of everything on the wire: strict types, no unknown fields, immutable."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, ser_json_inf_nan="strings")


def clean_text(text: str) -> str:
    """The text in NFC, trimmed.

    Raises:
      ValueError: It is empty, or holds a control character, a surrogate or a line separator.
    """
    text = unicodedata.normalize("NFC", text).strip()
    if not text:
        raise ValueError("must not be empty")
    if not text.isprintable() and any(
        unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in text
    ):
        raise ValueError("must not hold control characters, line breaks or surrogates")
    return text


def _text(max_length: int) -> StringConstraints:
    return StringConstraints(min_length=1, max_length=max_length)


# Bounded before and after: NFC can lengthen (U+0958 becomes two), and a body must parse again.
Word = Annotated[str, _text(64), AfterValidator(clean_text), _text(64)]
"""A short text: a SKU, a tracking number."""
Name = Annotated[str, _text(255), AfterValidator(clean_text), _text(255)]
"""A line of text: a product, a person, a street, who issued a command."""
Note = Annotated[str, _text(500), AfterValidator(clean_text), _text(500)]
"""A sentence or two: a reason."""

Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$")]
"""An upstream id: letters, digits and `._:-`, at most 64; safe in file names, URLs and logs."""
Code = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]
"""A code of ours, such as a carrier's: lower-case letters, digits, `_` and `-`, at most 32."""
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
"""ISO 4217 code."""
Locale = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}([_-][A-Za-z0-9]{2,8}){0,3}$")]
"""BCP 47 or POSIX language tag: `fr`, `fr-CA`, `zh_Hant_TW`."""
Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
"""ISO 3166-1 alpha-2 code."""
Url = Annotated[str, StringConstraints(pattern=r"^https?://[!-~]{1,1990}$")]
"""A web address in printable ASCII, at most 2,000 characters."""

Quantity = Annotated[int, Field(ge=0, le=MAX_QUANTITY)]
Amount = Annotated[int, Field(ge=0, le=MAX_AMOUNT_MINOR)]
"""Minor units of the order's currency: cents, yen, fils."""
Weight = Annotated[int, Field(ge=1, le=MAX_WEIGHT_G)]
"""Grams, at most a tonne."""
SignedAmount = Annotated[int, Field(ge=-MAX_AMOUNT_MINOR, le=MAX_AMOUNT_MINOR)]


def _in_our_time(moment: datetime) -> datetime:
    # Year 1 and year 9999 leave Python's range once PostgreSQL has moved them to UTC.
    if not 1970 <= moment.year < 3000:  # noqa: PLR2004  # said in the message
        raise ValueError("must be in the years 1970 to 2999")
    # PostgreSQL knows no other; no place on earth does.
    if abs(moment.utcoffset() or timedelta()) >= timedelta(hours=16):
        raise ValueError("must be less than 16 hours from UTC")
    return moment


Moment = Annotated[AwareDatetime, AfterValidator(_in_our_time)]
"""A time with its offset."""


class Item(Model):
    """So many units of one order line."""

    line_id: Id
    quantity: Quantity


_Listed = TypeVar("_Listed", bound=Item)


def sorted_items(items: tuple[_Listed, ...]) -> tuple[_Listed, ...]:
    """Items by line: the order in which they were listed means nothing, so it must not count."""
    return tuple(sorted(items, key=lambda item: (item.line_id, item.quantity)))


Items = Annotated[tuple[Item, ...], Field(max_length=MAX_LINES), AfterValidator(sorted_items)]


class Money(Model):
    """An amount that names its currency, so that a mix-up is refused instead of paid."""

    amount_minor: Amount
    currency: Currency
