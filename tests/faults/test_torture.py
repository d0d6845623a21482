"""Half a minute of faults of every kind under traffic through both doors; then the books are read.

The seed is printed; `FULFILLMENT_TORTURE_SEED` repeats a run as far as the clock allows.
"""

import io
import json
import os
import random
import secrets
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
import redis
from dramatiq.errors import BrokerConnectionError
from sqlalchemy.exc import SQLAlchemyError

from messages import Item, Money, Place, Refund, Ship, UpdateTracking, Void, publish, publish_many
from tests.fakes.carrier import FakeCarrier
from tests.faults.checker import check
from tests.faults.square import SETTINGS, Account
from tests.faults.world import (
    World,
    leaf,
    postgres_killed,
    redis_erased,
    redis_killed,
    wait_until,
    worker_killed,
)
from tests.labels import lab
from worker.broker.redis import make_broker
from worker.demo.orders import demo_orders
from worker.demo.traffic import traffic
from worker.intake import read_orders
from worker.settings import Settings
from worker.store.engine import make_engine
from worker.work.accept import accept

ROOT = Path(__file__).parents[2]
ORDERS = 150
COMMANDS = 3000
HOT = 15
FAULT_EVERY_S = 1.5
FAULTS = 12
SETTLED_S = 120
SAFE_TO_REPEAT = (psycopg.Error, SQLAlchemyError, redis.RedisError, BrokerConnectionError, OSError)


@pytest.mark.heavy
@pytest.mark.timeout(240)
def test_nothing_is_lost_or_done_twice_whatever_is_killed(capsys):
    """Workers, Redis and PostgreSQL are killed again and again under traffic through both doors:
    every command that was published ends once, and the books are what an independent model says.
    Money goes back at a provider, and UPS's labels are bought, which both err; whatever is still
    under way when the workers stop is known to be, in both books.
    """
    seed = int(os.environ.get("FULFILLMENT_TORTURE_SEED") or secrets.randbelow(10**6))
    say(capsys, f"\ntorture: FULFILLMENT_TORTURE_SEED={seed}\n")
    chance = random.Random(f"torture {seed}")  # not the generator of the traffic, nor its ids
    commands = script(seed, chance)
    published = {str(one.command_id): one.body() for one in commands}
    carrier = FakeCarrier(seed=seed, wrong_rate=0.2, prefix="UP")

    with ExitStack() as stack:
        world = stack.enter_context(World.made(seed))
        bursts = [threading.Event() for _ in range(FAULTS)]
        stack.callback(lambda: [burst.set() for burst in bursts])
        account = stack.enter_context(Account(seed))
        capture(account, commands)
        outside = SETTINGS | {"SQUARE_URL": account.url}
        outside |= buying(stack.enter_context(carrier).url)
        working = stack.enter_context(ExitStack())
        workers = [working.enter_context(world.worker(n, **outside)) for n in range(3)]
        wait_until(lambda: all(map(leaf, workers)), 30)
        producers = [Producer(door, world, bursts) for door in (store_door, broker_door)]
        share(commands, producers, chance)
        for producer in producers:
            producer.start()

        faults = plan(chance)
        started = time.monotonic()
        for number, fault in enumerate(faults):
            time.sleep(max(0, started + number * FAULT_EVERY_S - time.monotonic()))
            bursts[number].set()
            time.sleep(chance.uniform(0.01, 0.4))  # into the middle of the work
            fault(world, workers, chance)
        last_fault = time.monotonic()

        deadline = last_fault + SETTLED_S
        for producer in producers:
            producer.join(max(0, deadline - time.monotonic()))
            assert not producer.is_alive(), world.told(f"{producer.name} waits: {producer.doubt}")
            assert producer.problem is None, world.told(repr(producer.problem))
        while still := undecided(world, len(published)):
            assert time.monotonic() < deadline, world.told(f"undecided: {still}")
            time.sleep(0.1)
        settled_s = time.monotonic() - last_fault

        working.close()
        ledger, labels = account.rows(), list(carrier.labels.values())
        found = check(world.database.url, published, ledger=ledger, labels=labels)
        kinds = Counter(fault.__name__ for fault in faults)
        say(capsys, summary(world, kinds, producers, settled_s))
        assert len(ledger) > 100
        assert len(labels) > 10
        assert found == [], world.told("\n".join(found))
        assert bugs(world) == []


def say(capsys, words):
    """Tell whoever runs the test, whatever pytest keeps to itself."""
    with capsys.disabled():
        sys.stdout.write(words)


def script(seed, chance):
    """Orders, then what happens to them; here and there a chain that arrives in any order."""
    file = io.BytesIO(json.dumps(demo_orders(ORDERS + 2, seed)).encode())
    places = [one for one in read_orders(file) if isinstance(one, Place)]
    assert len(places) == ORDERS
    commands = traffic(places, COMMANDS, seed)
    for hot in traffic(places[:HOT], COMMANDS // 4, seed + 1):  # many for the same few orders
        commands.insert(chance.randrange(len(commands)), hot)
    for ship in [one for one in commands if isinstance(one, Ship)][::7]:
        commands.insert(chance.randrange(len(commands)), correction(ship, chance))
    for _ in range(25):
        at = chance.randrange(len(commands))
        commands[at:at] = chain(chance.choice(places), chance)
    return [named(one) if isinstance(one, Place) else one for one in [*places, *commands]]


def correction(ship, chance):
    """A parcel is called back, or gets another number; here and there before it has left."""
    fields = {
        "command_id": UUID(int=chance.getrandbits(128), version=4),
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


def chain(place, chance):
    """A few commands, each only after the one before; one in three begins after what never was."""

    def new_id():
        return UUID(int=chance.getrandbits(128), version=4)

    links = []
    after = new_id() if chance.random() < 0.33 else place.command_id
    for _ in range(chance.randint(2, 5)):
        line = chance.choice(place.order.lines)
        fields = {"command_id": new_id(), "order_id": place.order_id, "after": after}
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


def capture(account, commands):
    """The provider has taken in whatever an order says it has."""
    taken = {
        paid.payment_id: (paid.captured_minor, one.order.currency)
        for one in commands
        if isinstance(one, Place)
        for paid in one.order.payments
    }
    for payment_id, (amount_minor, currency) in taken.items():
        account.ledger.capture(payment_id, amount_minor, currency)


def buying(url):
    """Settings of workers that buy UPS's labels."""
    ups = {
        "adapter": "tests.fakes.carrier:FakeAdapter",
        "url": url,
        "rate": "1000",
        "timeout_s": "0.4",
        "settles_within_s": "4",
    }
    return {
        "FULFILLMENT_CARRIER_ADAPTERS": json.dumps({"ups": ups}),
        "FULFILLMENT_SHIP_FROM": lab.SHOP.model_dump_json(),
        "FULFILLMENT_PARCEL_WEIGHT_G": "500",
    }


def share(commands, producers, chance):
    """Give the commands out in chunks, to one door or to both, each with its burst."""
    start = 0
    while start < len(commands):
        size = chance.randint(1, 40)
        burst = FAULTS * start // len(commands)
        for producer in chance.choices([producers[:1], producers[1:], producers], (45, 45, 10))[0]:
            producer.chunks.append((burst, commands[start : start + size]))
        start += size


class Producer(threading.Thread):
    """Sends its chunks burst by burst through one door, each again until it is accepted."""

    def __init__(self, door, world, bursts):
        super().__init__(name=door.__name__, daemon=True)
        self.door, self.world, self.bursts = door, world, bursts
        self.chunks = []
        self.again = 0
        self.doubt = None
        self.problem = None

    def run(self):
        try:
            with self.door(self.world) as send:
                for burst, chunk in self.chunks:
                    self.bursts[burst].wait(60)
                    self.deliver(send, chunk)
        except Exception as error:  # noqa: BLE001 - raised again by the test
            self.problem = error

    def deliver(self, send, chunk):
        while not self.world.over.is_set():
            try:
                if send(chunk):
                    return
            except SAFE_TO_REPEAT as error:
                self.doubt = error
            self.again += 1
            self.world.over.wait(0.05)


@contextmanager
def store_door(world):
    """Commands become rows in the producer's own transaction. In doubt, all of it again."""
    engine = make_engine(world.database.url, Settings(), pool_size=1)

    def send(chunk):
        with engine.begin() as connection:
            receipts = accept(connection, chunk)
        answers = {receipt.answer for receipt in receipts}
        assert answers <= {"accepted", "known"}, answers
        return True

    try:
        yield send
    finally:
        engine.dispose()


@contextmanager
def broker_door(world):
    """Commands are messages in a Redis that forgets; in doubt, what is no row is sent again."""
    broker = make_broker(world.redis_url)
    chance = random.Random(0)

    def send(chunk):
        missing = not_there(world, chunk)
        if len(missing) > 1 and chance.random() < 0.5:
            publish_many(broker, missing)
        else:
            for command in missing:
                publish(broker, command)
        until = time.monotonic() + 1
        while missing and time.monotonic() < until and not world.over.wait(0.03):
            missing = not_there(world, missing)
        return not missing

    try:
        yield send
    finally:
        broker.close()


def plan(chance):
    """Each kind of fault at least twice, in any order."""
    kinds = [worker_killed, redis_erased, redis_killed, postgres_killed]
    faults = [*kinds, *kinds, *chance.choices(kinds, k=FAULTS - 2 * len(kinds))]
    chance.shuffle(faults)
    return faults


def not_there(world, commands):
    """Those of the commands that are no rows yet."""
    ids = [one.command_id for one in commands]
    with world.connection() as connection:
        rows = connection.execute("select id from commands where id = any(%s)", [ids])
        there = {row_id for (row_id,) in rows}
    return [one for one in commands if one.command_id not in there]


def undecided(world, wanted):
    """How many of so many commands are not decided, and what they wait for."""
    with world.connection() as connection:
        rows = connection.execute("select state, waits_for, attempts, crashes from commands")
        rows = rows.fetchall()
    pending = Counter(row[1:] for row in rows if row[0] == "pending")
    return dict(pending) or wanted - len(rows)


def bugs(world):
    """Work that failed for a reason that no fault explains, and commands that were given up."""
    with world.connection() as connection:
        return connection.execute(
            "select id, state, errors from commands"
            " where state = 'dead' or jsonb_path_exists(errors, '$[*] ? (@.reason == \"bug\")')"
            " union all select id, state, errors from followups"
            " where jsonb_path_exists(errors, '$[*] ? (@.reason == \"bug\")')"
        ).fetchall()


def summary(world, faults, producers, settled_s):
    with world.connection() as connection:
        rows = connection.execute("select state, count(*) from commands group by 1 order by 1")
        states = dict(rows.fetchall())
    rows = {f"fault: {name.replace('_', ' ')}": count for name, count in sorted(faults.items())}
    rows |= {f"commands {state}": count for state, count in states.items()}
    rows |= money_and_labels(world)
    rows |= {f"{one.name.replace('_', ' ')}, sent again": one.again for one in producers}
    rows["seconds to settle"] = round(settled_s, 1)
    return "".join(f"  {name:28}{value:>8}\n" for name, value in rows.items())


def money_and_labels(world):
    with world.connection() as connection:
        rows = connection.execute(
            "select 'refund parts ' || state, count(*) from refund_parts group by 1"
            " union all select 'labels ' || state, count(*) from purchases group by 1 order by 1"
        )
        return dict(rows.fetchall())
