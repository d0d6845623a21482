"""Whom a parcel goes to, and who ordered it."""

from collections.abc import Iterable

from messages import Address, Customer
from worker.intake.locale import locale_of
from worker.intake.node import Node, make
from worker.intake.square.fulfillments import details_of


def recipient_of(fulfillments: Iterable[Node]) -> tuple[Node, Address | None]:
    """The first recipient, and the address of the first that parcels go to."""
    recipients = [(one.text("type"), details_of(one).node("recipient")) for one in fulfillments]
    recipients = [(kind, recipient) for kind, recipient in recipients if recipient.value]
    first = recipients[0][1] if recipients else Node({}, "recipient")
    for kind, recipient in recipients:
        if kind in {"SHIPMENT", "DELIVERY"} and recipient.node("address").value:
            return first, _address(recipient)
    return first, None


def customer_of(root: Node, recipient: Node) -> Customer:
    metadata = root.node("metadata")
    return make(
        Customer,
        {
            "name": recipient.at("display_name"),
            "email": recipient.at("email_address"),
            "phone": recipient.at("phone_number"),
            "locale": metadata.at("locale"),
        },
        name=recipient.text("display_name"),
        email=recipient.text("email_address"),
        phone=recipient.text("phone_number"),
        locale=metadata.text("locale") or locale_of(_country(recipient.node("address"))),
    )


def _address(recipient: Node) -> Address:
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
        country=_country(address),
        phone=recipient.text("phone_number"),
    )


def _country(address: Node) -> str | None:
    """The ISO code; `ZZ` is Square's word for unknown."""
    country = address.text("country")
    return None if country == "ZZ" else country
