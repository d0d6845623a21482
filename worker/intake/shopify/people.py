"""Who ordered, and where it goes: what the order does not say of them, its addresses may."""

from collections.abc import Mapping

from messages import Address, Customer
from worker.intake.locale import locale_of
from worker.intake.node import Node, make


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


def customer_by(
    names: Mapping[str, str],
    billing: Address | None,
    ship_to: Address | None,
    *,
    email: str | None,
    phone: str | None,
    name: str | None = None,
    locale: str | None = None,
) -> Customer:
    """The customer; a name not said is rather whom it is billed to, the rest where it goes."""
    addresses = [one for one in (billing, ship_to) if one is not None]
    country = next((one.country for one in reversed(addresses) if one.country), None)
    return make(
        Customer,
        names,
        name=name or next((one.name for one in addresses if one.name), None),
        email=email,
        phone=phone or next((one.phone for one in reversed(addresses) if one.phone), None),
        locale=locale or locale_of(country),
    )
