"""What producers send: orders in waves, then what happens to them, all from one seed."""

import io
import json
import random
from uuid import UUID

from messages import Hold, Item, Money, Place, Refund, Release, Ship, UpdateTracking, Void
from worker.demo.orders import demo_orders
from worker.demo.traffic import traffic
from worker.intake import read_orders

OF_AN_ORDER = 20
"""Commands; an order has some thirty units."""
WAVE = 150
"""Orders whose commands are mixed."""


def script(seed, count):
    """At least so many different commands in the order of sending; some are there twice."""
    chance = random.Random(f"script {seed}")  # not the generator of the traffic, nor its ids
    file = io.BytesIO(json.dumps(demo_orders(count // OF_AN_ORDER + 3, seed)).encode())
    places = [one for one in read_orders(file) if isinstance(one, Place)]
    commands = []
    for start in range(0, len(places), WAVE):
        commands += wave(places[start : start + WAVE], seed + start, chance)
    known = set()
    for end, one in enumerate(commands):
        known.add(one.command_id)
        if len(known) == count:
            return commands[: end + 1]
    return commands


def wave(places, seed, chance):
    """Orders, then what happens to them; here and there a chain that arrives in any order."""
    size = len(places) * OF_AN_ORDER
    commands = traffic(places, size, seed)
    for hot in traffic(places[: len(places) // 10 + 1], size // 4, ~seed):  # for the same few
        commands.insert(chance.randrange(len(commands)), hot)
    for ship in [one for one in commands if isinstance(one, Ship)][::7]:
        commands.insert(chance.randrange(len(commands)), correction(ship, chance))
    for place in places:  # however the seed falls, there is a parcel with a label to nearly each
        at = chance.randrange(size // 2)
        commands[at:at] = parcel(place, chance)
    for _ in range(len(places) // 6):
        at = chance.randrange(len(commands))
        commands[at:at] = chain(chance.choice(places), chance)
    for _ in range(len(places) // 12 + 1):
        hold, release = holding(chance.choice(places), chance)
        at = chance.randrange(len(commands))
        commands.insert(at + chance.randint(0, 200), release)
        commands.insert(at, hold)
    return [named(one) if isinstance(one, Place) else hushed(one) for one in [*places, *commands]]


def hushed(command):
    """Two thirds of the customers are told nothing: e-mails are most of the work, and all alike."""
    if command.command_id.int % 3:
        return command.model_copy(update={"notify_customer": False})
    return command


def parcel(place, chance):
    """One unit of each physical line, with a label; nothing where there is nothing to carry."""
    items = [
        Item(line_id=line.line_id, quantity=1)
        for line in place.order.lines
        if line.item_type == "physical"
    ]
    if not items:
        return []
    fields = {"command_id": new_id(chance), "order_id": place.order_id}
    return [Ship(items=tuple(items), label="generate", policy="clamp", **fields)]


def correction(ship, chance):
    """A parcel is called back, or gets another number; here and there before it has left."""
    fields = {
        "command_id": new_id(chance),
        "order_id": ship.order_id,
        "shipment_id": ship.command_id,
        "after": ship.command_id if chance.random() < 0.5 else None,
    }
    if chance.random() < 0.5:
        return Void(notify_customer=chance.random() < 0.5, **fields)
    return UpdateTracking(
        tracking_number=f"U{chance.randrange(10**6)}",
        notify_customer=chance.random() < 0.5,
        **fields,
    )


def holding(place, chance):
    """An order is held for a while; through another door the release may come first."""
    fields = [{"command_id": new_id(chance), "order_id": place.order_id} for _ in range(2)]
    return Hold(reason="stock-taking", **fields[0]), Release(**fields[1])


def chain(place, chance):
    """A few commands, each only after the one before; one in three begins after what never was."""
    links = []
    after = new_id(chance) if chance.random() < 0.33 else place.command_id
    for _ in range(chance.randint(2, 5)):
        line = chance.choice(place.order.lines)
        fields = {"command_id": new_id(chance), "order_id": place.order_id, "after": after}
        if line.item_type == "physical":
            items = (Item(line_id=line.line_id, quantity=1),)
            links.append(Ship(items=items, policy="clamp", **fields))
        else:
            amount = Money(amount_minor=chance.randint(1, 20), currency=place.order.currency)
            links.append(Refund(amount=amount, **fields))
        after = fields["command_id"]
    chance.shuffle(links)
    return links


def named(place):
    """The order with payments that no other order has: a provider has them all."""
    payments = [
        paid.model_copy(update={"payment_id": f"{place.order_id}-{paid.payment_id}"})
        for paid in place.order.payments
    ]
    done = [
        refund.model_copy(
            update={
                "parts": tuple(
                    part.model_copy(update={"payment_id": f"{place.order_id}-{part.payment_id}"})
                    for part in refund.parts
                )
            }
        )
        for refund in place.order.refunds
    ]
    fields = {"payments": tuple(payments), "refunds": tuple(done)}
    return place.model_copy(update={"order": place.order.model_copy(update=fields)})


def captured(commands):
    """What a provider has taken in, by payment: amount and currency."""
    return {
        paid.payment_id: (paid.captured_minor, one.order.currency)
        for one in commands
        if isinstance(one, Place)
        for paid in one.order.payments
    }


def new_id(chance):
    return UUID(int=chance.getrandbits(128), version=4)
