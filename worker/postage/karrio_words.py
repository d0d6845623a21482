"""What carriers say through karrio when they refuse, in words that an operator can act on."""

import re
from typing import Any, Final

from worker.postage.adapter import Order

_FIELDS: Final = {
    "postal_code": re.compile(r"postal ?code|postcode|\bzip"),
    "city": re.compile(r"\bcity"),
    "district": re.compile(r"\bstate\b|\bprovince|stateprovince"),
    "country": re.compile(r"\bcountry"),
    "lines": re.compile(r"address ?line|\bstreet"),
    "phone": re.compile(r"\bphone"),
    "name": re.compile(r"attention ?name|recipient'?s? name"),
}
"""What carriers call the parts of an address."""


def said(messages: list[Any]) -> str:
    """Codes and texts, as the carrier put them."""
    return "; ".join(
        " ".join(str(part) for part in (one.code, one.message) if part) for one in messages
    )


def bad_address(messages: list[Any]) -> str | None:
    """Which fields of which address to correct; None if the refusal is about something else. The
    carrier's own words may quote the address, so only its codes are given.
    """
    lowered = said(messages).lower()
    fields = [name for name, words in _FIELDS.items() if words.search(lowered)]
    if not fields and "address" not in lowered:
        return None
    is_ours = any(word in lowered for word in ("shipper", "ship from", "shipfrom"))
    codes = " ".join(str(one.code) for one in messages if one.code)
    told = f"correct {'ship_from' if is_ours else 'ship_to'}: "
    told += ", ".join(fields) or "the whole address"
    return f"{told}; code {codes}" if codes else told


def without(text: str, order: Order | None) -> str:
    """The carrier's words without what they may quote of people, in whatever case."""
    for one in (order.ship_to, order.ship_from) if order else ():
        for part in (*one.lines, one.name, one.company, one.city, one.postal_code, one.phone):
            text = re.sub(re.escape(part), "...", text, flags=re.IGNORECASE) if part else text
    return text
