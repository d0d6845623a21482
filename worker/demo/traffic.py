"""A morning's commands for the demo's orders, from a fixed seed: most of them sensible, some not.

Parcels in parts, completions, cancellations with and without money, refunds by unit and by amount,
customers who add something to their order; beside them what must be refused, and every fifth
command sent twice.
"""

from collections.abc import Sequence
from functools import partial
from random import Random
from uuid import UUID

from messages import (
    Cancel,
    Command,
    Complete,
    Item,
    Money,
    NewCarrier,
    OrderLine,
    Payment,
    Place,
    Refund,
    Ship,
)

CARRIERS = ("ups", "dhl", "royal-mail", "la-poste", None)
LOCAL = NewCarrier(code="city-bikes", name="City Bikes")


def traffic(places: Sequence[Place], count: int, seed: int = 2026) -> list[Command]:
    """So many commands for these orders, duplicates among them, in the order of sending."""
    random = Random(seed)  # noqa: S311  # a repeatable demo, no secret
    commands: list[Command] = []
    while len(commands) < count:
        commands.append(_command(random, random.choice(places)))
        if _percent(random, 20):
            commands.append(random.choice(commands[-50:]))
    return commands[:count]


def _command(random: Random, place: Place) -> Command:
    make = random.choices(
        (_ship, _ship_rest, _complete, _cancel, _refund_units, _refund_amount, _add, _mistake),
        weights=(46, 1, 14, 10, 6, 18, 3, 5),
    )[0]
    return make(random, place)


def _ship(random: Random, place: Place) -> Command:
    if not _physical(place):
        return _complete(random, place)
    line = _line(random, place, physical=True)
    units = random.randint(1, max(1, line.quantity // 4))
    return Ship(
        command_id=_id(random),
        order_id=place.order_id,
        items=(Item(line_id=line.line_id, quantity=units),),
        carrier=random.choice(CARRIERS),
        tracking_number=f"T{random.randrange(10**10):010d}" if _percent(random, 70) else None,
        label=random.choice(("none", "generate")),
        notify_customer=_percent(random, 90),
    )


def _ship_rest(random: Random, place: Place) -> Command:
    return Ship(command_id=_id(random), order_id=place.order_id, new_carrier=LOCAL)


def _complete(random: Random, place: Place) -> Command:
    lines = [line for line in place.order.lines if line.item_type != "physical"]
    if not lines:
        return _ship(random, place)
    weights = [line.quantity for line in lines]
    item = Item(line_id=random.choices(lines, weights=weights)[0].line_id, quantity=1)
    return Complete(command_id=_id(random), order_id=place.order_id, items=(item,))


def _cancel(random: Random, place: Place) -> Command:
    line = _line(random, place)
    return Cancel(
        command_id=_id(random),
        order_id=place.order_id,
        items=(Item(line_id=line.line_id, quantity=1),),
        refund=random.choice(("none", "full", "full")),
        include_shipping=_percent(random, 10),
        reason=random.choice(("out of stock", "customer changed their mind", None)),
    )


def _refund_units(random: Random, place: Place) -> Command:
    line = _line(random, place)
    return Refund(
        command_id=_id(random),
        order_id=place.order_id,
        items=(Item(line_id=line.line_id, quantity=1),),
        reason="damaged",
    )


def _refund_amount(random: Random, place: Place) -> Command:
    amount = Money(amount_minor=random.randint(1, 90), currency=place.order.currency)
    return Refund(
        command_id=_id(random),
        order_id=place.order_id,
        amount=amount,
        policy=random.choice(("strict", "clamp")),
        reason="goodwill",
    )


def _add(random: Random, place: Place) -> Command:
    """The order as upstream has it once one, two or three things were added and paid for. The forms
    come in any order; the one with the most is the newest.
    """
    count = random.randint(1, 3)
    added = [
        OrderLine(line_id=f"added-{n}", name="Gift wrapping", quantity=2, net_minor=500)
        for n in range(count)
    ]
    paid = [Payment(payment_id=f"added-{n}", captured_minor=500) for n in range(count)]
    order = place.order.model_copy(
        update={
            "lines": (*place.order.lines, *added),
            "payments": (*place.order.payments, *paid),
            "total_minor": place.order.total_minor + 500 * count,
            "upstream_version": (place.order.upstream_version or 0) + count,
        }
    )
    return Place(command_id=_id(random), order_id=place.order_id, order=order)


def _mistake(random: Random, place: Place) -> Command:
    """What upstream systems get wrong now and then."""
    line = _line(random, place)
    too_many = (Item(line_id=line.line_id, quantity=line.quantity + 1),)
    elsewhere = (Item(line_id="no-such-line", quantity=1),)
    command_id = _id(random)
    ship = partial(Ship, command_id=command_id, order_id=place.order_id)
    refund = partial(Refund, command_id=command_id, order_id=place.order_id)
    return random.choice(
        (
            ship(items=too_many),
            ship(items=elsewhere),
            ship(carrier="no-such-carrier"),
            ship(expected_version=0),
            refund(amount=Money(amount_minor=10**9, currency=place.order.currency)),
            refund(amount=Money(amount_minor=100, currency="CHF")),
            Ship(command_id=command_id, order_id=f"{place.order_id}-typo"),
        )
    )


def _line(random: Random, place: Place, *, physical: bool = False) -> OrderLine:
    """A line, the more likely the more units it has."""
    lines = _physical(place) if physical else place.order.lines
    return random.choices(lines, weights=[line.quantity for line in lines])[0]


def _physical(place: Place) -> Sequence[OrderLine]:
    return [line for line in place.order.lines if line.item_type == "physical"]


def _percent(random: Random, percent: int) -> bool:
    return random.randrange(100) < percent


def _id(random: Random) -> UUID:
    return UUID(int=random.getrandbits(128), version=4)


def parcels_csv(places: Sequence[Place], count: int, seed: int = 2026) -> str:
    """A warehouse's file: one parcel a row, some of them wrong."""
    random = Random(seed)  # noqa: S311  # a repeatable demo, no secret
    rows = ["order,line,quantity,carrier,tracking_number"]
    shippable = [place for place in places if _physical(place)]
    for number in range(count):
        place = random.choice(shippable)
        line = _line(random, place, physical=True)
        quantity = "two" if _percent(random, 2) else 1
        rows.append(f"{place.order_id},{line.line_id},{quantity},dhl,B{number:09d}")
    return "\n".join(rows) + "\n"
