"""Labels bought while the workers that buy them, and PostgreSQL, are killed."""

import json
import os
import random
import secrets
import sys
import time
from functools import partial

import pytest

from messages import Customer
from tests import factories as make
from tests.fakes.carrier import FakeCarrier
from tests.fakes.serving import serving
from tests.faults.world import World, leaf, postgres_killed, wait_until, worker_killed
from tests.labels import lab as labels
from worker.settings import Settings
from worker.store.engine import make_engine
from worker.work.accept import accept

PARCELS = 60
FAULTS = 5


@pytest.mark.heavy
@pytest.mark.timeout(150)
def test_one_label_is_alive_for_each_parcel(capsys):
    """A carrier that is often wrong, workers that are killed: one label is alive for each parcel,
    its number is the parcel's, what was bought beside it was given back, and every label that was
    ever bought is known.
    """
    seed = int(os.environ.get("FULFILLMENT_TORTURE_SEED") or secrets.randbelow(10**6))
    chance = random.Random(f"postage {seed}")
    carrier = FakeCarrier(seed=seed, wrong_rate=0.2)
    carrier.before_answer = lambda: time.sleep(0.1)  # long enough to be killed in
    with serving(carrier) as url, World.made(seed) as world:
        ups = {
            "adapter": "tests.fakes.carrier:FakeAdapter",
            "url": url,
            "rate": "100",
            "timeout_s": "0.5",
            "settles_within_s": "2",
        }
        settings = {
            "FULFILLMENT_CARRIER_ADAPTERS": json.dumps({"ups": ups}),
            "FULFILLMENT_SHIP_FROM": labels.SHOP.model_dump_json(),
            "FULFILLMENT_PARCEL_WEIGHT_G": "500",
        }
        with world.worker(1, **settings) as one, world.worker(2, **settings) as two:
            workers = [one, two]
            wait_until(lambda: all(map(leaf, workers)), 30)
            ship_all(world)
            for _ in range(FAULTS):
                # In the middle of it: while some labels more are bought.
                enough = carrier.bought + chance.randint(2, 6)
                wait_until(partial(has_bought, carrier, enough), 40)
                fault = chance.choices([worker_killed, postgres_killed], [4, 1])[0]
                fault(world, workers, chance)
            deadline = time.monotonic() + 60
            while still := open_(world):
                assert time.monotonic() < deadline, world.told(f"open: {still}")
                time.sleep(0.2)

        with world.connection() as connection:
            rows = connection.execute("select purchase_id, state from purchases").fetchall()
            numbers = connection.execute("select tracking_number from shipments").fetchall()
        with capsys.disabled():
            sys.stdout.write(
                f"\npostage: FULFILLMENT_TORTURE_SEED={seed}, {FAULTS} faults,"
                f" {dict(carrier.calls)}, wrong {dict(carrier.done_wrong)}\n"
            )
        told = world.told(f"{carrier.done_wrong}")
        known = {state: {row[0].hex for row in rows if row[1] == state} for _, state in rows}
        assert set(carrier.alive.values()) == {1}, told
        assert known["bought"] == set(carrier.alive), told
        assert len(known["bought"]) == PARCELS, told
        assert {number for (number,) in numbers} == set(carrier.numbers()), told
        assert carrier.bought == PARCELS + len(known.get("voided", ())), told


def has_bought(carrier, count):
    return carrier.bought >= count


def ship_all(world):
    engine = make_engine(world.database.url, Settings())
    placed = [
        make.place(
            order_id=f"O-{n}",
            order=make.placed_order(
                ship_to=labels.address(), customer=Customer(email=f"customer{n}@shop.example")
            ),
        )
        for n in range(PARCELS)
    ]
    shipped = [
        labels.ship(order_id=f"O-{n}", carrier="ups", tracking_number=None) for n in range(PARCELS)
    ]
    with engine.begin() as connection:
        accept(connection, [*placed, *shipped])
    engine.dispose()


def open_(world):
    """How much is not done, by route and state; what waits after a failure is tried again now."""
    with world.connection() as connection:
        connection.execute(
            "update followups set next_at = now() where state = 'pending' and waits_for = 'retry'"
        )
        return connection.execute(
            "select route, state, waits_for, dead_reason, count(*) from followups"
            " where route <> 'tracking' and state in ('pending', 'dead') group by 1, 2, 3, 4"
            " union all select 'commands', state, waits_for, dead_reason, count(*) from commands"
            " where state <> 'applied' group by 2, 3, 4"
        ).fetchall()
