"""What can be done with an order, as text for a person. Pure."""

from collections.abc import Iterable, Iterator

from worker.cli.show import count, money, plain
from worker.orders.explain import Explained, Possibility

_WORDS = {"refund_amount": "refund an amount", "refund_shipping": "refund the shipping fee"}


def explained_text(order: Explained) -> str:
    """The order, its lines and parcels; what is possible with how much, the rest with a reason."""
    parts = [f"order {order.order_id}, version {order.version}"]
    if order.hold:
        parts.append(f"on hold: {plain(order.hold)}")
    parts += _actions(order.actions, order.currency)
    for line in order.lines:
        parts += ["", f"line {line.line_id} ({line.item_type})"]
        parts += _actions(line.actions, order.currency)
    for parcel in order.shipments:
        parts += ["", f"shipment {parcel.number} ({parcel.shipment_id})"]
        parts += _actions(parcel.actions, order.currency)
    return "\n".join(parts)


def _actions(actions: Iterable[Possibility], currency: str) -> Iterator[str]:
    for one in actions:
        name = _WORDS.get(one.action, one.action)
        if one.is_allowed:
            yield f"  yes  {name:<24}{_how_much(one, currency)}".rstrip()
        else:
            yield f"  no   {name:<24}{one.reason}: {plain(one.message or '')}"


def _how_much(one: Possibility, currency: str) -> str:
    units = count(one.units) if one.units else ""
    paid = f"up to {money(one.amount_minor, currency)} back" if one.amount_minor else ""
    return ", ".join(part for part in (units, paid) if part)
