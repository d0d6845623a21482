"""Whom a parcel goes to, and in which language they are likely written to."""

from collections.abc import Mapping

from babel.core import Locale, get_global

from messages import Address
from worker.intake.node import Node, make


def address_of(recipient: Node) -> Address:
    address = recipient.node("address")
    keys = ("address_line_1", "address_line_2", "address_line_3", "sublocality")
    lines = {key: line for key in keys if (line := address.text(key))}
    parts = (address.text("first_name"), address.text("last_name"))
    named = " ".join(part for part in parts if part) or None
    return make(
        Address,
        {
            "name": recipient.at("display_name"),
            "company": address.at("organization"),
            **{f"lines.{place}": address.at(key) for place, key in enumerate(lines)},
            "city": address.at("locality"),
            "district": address.at("administrative_district_level_1"),
            "postal_code": address.at("postal_code"),
            "country": address.at("country"),
            "phone": recipient.at("phone_number"),
        },
        name=recipient.text("display_name") or named,
        company=address.text("organization"),
        lines=tuple(lines.values()),
        city=address.text("locality"),
        district=address.text("administrative_district_level_1"),
        postal_code=address.text("postal_code"),
        country=country_of(address),
        phone=recipient.text("phone_number"),
    )


def address_by(node: Node, keys: Mapping[str, str]) -> Address | None:
    """The address whose parts have these keys; None when not one of them is there.

    Parts are those of `Address`, with `line_1`, `line_2` and `district_code`. The code is taken
    where it is what people write (`KY`); where it is a number (`JP-13`) the name is.
    """
    found = {part: text for part, key in keys.items() if (text := node.text(key))}
    if not found:
        return None
    lines = [part for part in ("line_1", "line_2") if part in found]
    code = found.get("district_code")
    district = "district_code" if code and code.isalpha() else "district"
    at = {part: node.at(key) for part, key in keys.items()}
    return make(
        Address,
        at | {f"lines.{place}": at[part] for place, part in enumerate(lines)},
        name=found.get("name"),
        company=found.get("company"),
        lines=tuple(found[part] for part in lines),
        city=found.get("city"),
        district=found.get(district) or code,
        postal_code=found.get("postal_code"),
        country=found.get("country"),
        phone=found.get("phone"),
    )


def country_of(address: Node) -> str | None:
    """The ISO code; `ZZ` is Square's word for unknown."""
    country = address.text("country")
    return None if country == "ZZ" else country


def locale_of(country: str | None) -> str | None:
    """The language most likely written there, by Unicode's likely subtags: `FR` -> `fr-FR`."""
    if country is None or country not in Locale("en").territories:
        return None
    # English is what CLDR leaves out as the default, so US, GB and CA are not in the table.
    language = get_global("likely_subtags").get(f"und_{country}", "en").partition("_")[0]
    return f"{language}-{country}" if language.isalpha() and language != "und" else None
