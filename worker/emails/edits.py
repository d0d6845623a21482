"""What an operator may set right in an e-mail that could not be delivered: `followups.edits`.

* `to`      the address to write to, in place of the order's
* `locale`  the language to write in, in place of the order's

The order itself stays as it is, and so does its customer's opt-out.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from messages.fields import Locale
from worker.emails.address import BadAddress, checked
from worker.orders.value import value

_LOCALE: TypeAdapter[str] = TypeAdapter(Locale)


@value
class Edits:
    """An operator's corrections."""

    to: str | None = None
    locale: str | None = None


def read_edits(edits: Mapping[str, Any]) -> Edits:
    """The corrections, checked.

    Raises:
      ValueError: There is no such key, or its value cannot be used. The text does not quote it.
    """
    if unknown := edits.keys() - {"to", "locale"}:
        raise ValueError(f"an e-mail has no {', '.join(sorted(unknown))} to be edited")
    to, locale = edits.get("to"), edits.get("locale")
    try:
        to = None if to is None else checked(str(to))
    except BadAddress as error:
        raise ValueError(f"to: {error}") from None
    try:
        locale = None if locale is None else _LOCALE.validate_python(locale)
    except ValidationError:
        raise ValueError("locale: must be a language tag such as fr or fr-CA") from None
    return Edits(to, locale)
