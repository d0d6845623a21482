"""Labels bought from carriers that answer one time in five wrongly, while everything
that buys them is killed; then what is alive there is compared with what is bought here.

`FULFILLMENT_TORTURE_LABELS` says how many parcels, 600 for a long run; unset, they are as few as
meet every fault and every wrong answer. `FULFILLMENT_TORTURE_SEED` repeats a run as far as the
clock allows.
"""

import json
import os
import random
import re
import secrets
import sys
import time
from base64 import b64decode
from collections import Counter
from contextlib import ExitStack
from email import message_from_bytes, policy

import pytest
from psycopg.rows import dict_row

from messages import Address, Customer
from tests import factories as make
from tests.fakes.carrier import WRONGS, FakeAdapter, FakeCarrier
from tests.faults.checker import check
from tests.faults.world import World, mostly_workers, time_passes, wait_until, worker_killed
from worker.postage import purchases as ours
from worker.settings import Settings
from worker.store.engine import make_engine
from worker.work.accept import accept

PARCELS = int(os.environ.get("FULFILLMENT_TORTURE_LABELS") or 80)
FAULTS = max(5, PARCELS // 20)
WORKERS = 2
SETTLED_S = 60
FILES = ["label_pdf", "slip_pdf"]

STILL_OPEN = """
-- still_open: all but parcels that are followed, and e-mails that wait for labels that died
select count(*) from (
  select order_id from commands where state = 'pending'
  union all
  select f.order_id from followups f where f.state = 'pending' and f.route <> 'tracking'
    and not (f.route = 'emails' and f.lease_until is null and exists (
      select from followups l where l.route = 'labels' and l.state = 'dead'
        and l.order_id = f.order_id))
) as open
"""

NOT_FOUND = """
-- not_found: purchases that a look-up did not find, some of which are made after all
select purchase_id, order_id from purchases
where carrier = 'ups' and state = 'none' and note = 'not found at the carrier'
order by asked_at limit 5
"""

DEAD = """
select f.id, f.name, f.dead_reason, f.errors -> -1 ->> 'message' as message,
  coalesce(p.shipment_id, f.subject_id) as shipment_id, s.carrier
from followups f left join purchases p on p.purchase_id = f.subject_id
join shipments s on s.shipment_id = coalesce(p.shipment_id, f.subject_id)
where f.state = 'dead'
"""


@pytest.mark.heavy
@pytest.mark.timeout(300)
def test_labels_at_the_carrier_are_those_that_are_bought(capsys):
    """Labels from a carrier that can be asked what became of a purchase, and from one that cannot,
    whose unknown ones become dead letters that a person ends. Some parcels are called back
    meanwhile. Nothing is alive at a carrier but the one label of each parcel that stands, and what
    is unknown; the e-mail carries its number.

    The test acts as the passage of time: back-offs are due at once.
    """
    seed = int(os.environ.get("FULFILLMENT_TORTURE_SEED") or secrets.randbelow(10**6))
    chance = random.Random(f"labels {seed}")
    began = time.monotonic()
    carriers = {
        "ups": FakeCarrier(seed=seed, wrong_rate=0.2, wrongs=WRONGS, prefix="UP"),
        "usps": FakeCarrier(seed=~seed, wrong_rate=0.2, wrongs=WRONGS, prefix="US"),
    }
    with ExitStack() as stack:
        world = stack.enter_context(World.made(seed))
        urls = {code: stack.enter_context(fake).url for code, fake in carriers.items()}
        settings = {"FULFILLMENT_CARRIER_ADAPTERS": adapters(urls)}
        workers = [stack.enter_context(world.worker(n, **settings)) for n in range(WORKERS)]

        commands = script(chance)
        published = {str(one.command_id): one.body() for one in commands}
        faults = mostly_workers(chance, FAULTS)
        for number, fault in enumerate(faults):
            send(world, share(commands, number))
            due = (number + 1) * PARCELS * 3 // 4 // FAULTS
            wait_until(lambda due=due: is_through(world, carriers, due), SETTLED_S, every_s=0.1)
            fault(world, workers, chance)
        faults_s = time.monotonic() - began
        wait_until(lambda: is_through(world, carriers), SETTLED_S, every_s=0.1)
        late = come_late(world, carriers["ups"])
        assert late
        worker_killed(world, workers, chance)
        wait_until(lambda: is_through(world, carriers), SETTLED_S, every_s=0.1)

        dead = dead_letters(world)
        found = check(world.database.url, published, labels=rows(carriers))
        assert found == [], world.told("\n".join(found))
        while letters := dead_letters(world):
            end_by_hand(world, carriers, settings, letters)
            wait_until(lambda: is_through(world, carriers), SETTLED_S, every_s=0.1)
        settled_s = time.monotonic() - began

        with capsys.disabled():
            wrong = {code: dict(fake.done_wrong) for code, fake in carriers.items()}
            sys.stdout.write(
                f"\nlabels: FULFILLMENT_TORTURE_SEED={seed}, {PARCELS} parcels, {FAULTS} faults in"
                f" {faults_s:.1f} s, all ended after {settled_s:.1f} s\n"
                f"  {dict(Counter(row['state'] for row in purchases(world)))}, dead"
                f" {dict(Counter((one['carrier'], one['dead_reason']) for one in dead))}\n"
                f"  {dict(Counter(followups(world)))}\n  {wrong}\n"
            )
        found = check(world.database.url, published, labels=rows(carriers))
        assert found == [], world.told("\n".join(found))
        assert {row["state"] for row in purchases(world)} == {"bought", "none", "voided"}
        assert all(fake.done_wrong.keys() == {*WRONGS} for fake in carriers.values())
        assert_numbers(world, carriers)


def adapters(urls):
    """UPS can be asked what became of a purchase, USPS cannot."""
    common = {
        "adapter": "tests.fakes.carrier:FakeAdapter",
        "rate": "1000",
        "timeout_s": "0.4",
        "settles_within_s": "4",  # longer than a worker is stopped
    }
    can_find = {"ups": "yes", "usps": "no"}
    return json.dumps(
        {code: common | {"url": url, "can_find": can_find[code]} for code, url in urls.items()}
    )


def script(chance):
    """An order and its parcel for each customer; one in six is called back a little later."""
    commands = []
    voids = []
    for number in range(PARCELS):
        carrier = "usps" if number % 5 == 0 else "ups"
        order_id = f"B-{number}"
        ship = make.ship(order_id=order_id, carrier=carrier, label="generate", weight_g=500)
        commands += [placed(order_id, number), ship]
        if chance.random() < 1 / 6:
            voids.append(
                (len(commands) + chance.randint(0, 120), make.void(ship, order_id=order_id))
            )
    for at, void in reversed(voids):
        commands.insert(at, void)
    return commands


def placed(order_id, number):
    order = make.placed_order(
        customer=Customer(name=f"Customer {number}", email=f"customer{number}@shop.example"),
        ship_to=Address(
            name=f"Customer {number}",
            lines=("1 Main Street",),
            city="Springfield",
            district="IL",
            postal_code="62701",
            country="US",
        ),
        ship_from=Address(
            name="Shop",
            lines=("2 Side Street",),
            city="Portland",
            district="OR",
            postal_code="97201",
            country="US",
        ),
    )
    return make.place(order_id=order_id, order=order)


def share(commands, number):
    """What is sent before this fault."""
    return commands[len(commands) * number // FAULTS : len(commands) * (number + 1) // FAULTS]


def send(world, commands):
    engine = make_engine(world.database.url, Settings(), pool_size=1)
    try:
        with engine.begin() as connection:
            accept(connection, commands)
    finally:
        engine.dispose()


def is_through(world, carriers, due=None):
    """Whether so many labels were asked for, or nothing is open; time passes meanwhile."""
    with world.connection() as connection:
        connection.execute(time_passes())
        (still,) = connection.execute(STILL_OPEN).fetchone()
    asked = sum(fake.calls["buy"] for fake in carriers.values())
    return not still or (due is not None and asked >= due)


def come_late(world, carrier):
    """Purchases that were given up are made after all, and who stood still in its call hears it:
    what such a process does is done here. How many.
    """
    adapter = FakeAdapter("ups", {"url": carrier.url})
    engine = make_engine(world.database.url, Settings(), pool_size=1)
    late = selected(world, NOT_FOUND)
    for one in late:
        carrier.buy(one["purchase_id"].hex)
        label = adapter.find(one["purchase_id"])
        with engine.begin() as connection:
            assert ours.bought(connection, one["purchase_id"], one["order_id"], label)
    engine.dispose()
    return len(late)


def dead_letters(world):
    return selected(world, DEAD)


def end_by_hand(world, carriers, settings, letters):
    """A person looks in the carrier's books for the reference that the letter names, says what was
    found, and has what is dead tried again.
    """
    unknown = [one for one in letters if one["dead_reason"] == "unknown_outcome"]
    # A parcel that was called back has two letters that name the same purchase.
    for letter in {one["shipment_id"]: one for one in unknown}.values():
        (reference,) = re.findall(r"reference ([0-9a-f]{32})", letter["message"])
        labels = [
            one
            for one in carriers[letter["carrier"]].labels.values()
            if one["reference"] == reference
        ]
        shipment_id = str(letter["shipment_id"])
        if labels:
            (label,) = labels
            file = world.folder / "label.pdf"
            file.write_bytes(b64decode(label["label"]))
            named = ("--tracking-number", label["tracking_number"], "--carrier-id", label["id"])
            command = ("labels", "bought", shipment_id, *named, "--file", str(file))
            world.fulfillment(*command, **settings)
        else:
            world.fulfillment("labels", "not-bought", shipment_id, **settings)
    if dead_letters(world):
        world.fulfillment("dead", "replay", "--all", **settings)


def assert_numbers(world, carriers):
    """Each parcel that stands has the number of its one label, its file, and its e-mail says so."""
    alive = {number for fake in carriers.values() for number in fake.numbers()}
    parcels = selected(
        world,
        "select s.shipment_id, s.tracking_number, s.voided_at, e.id as email_id, e.state as email,"
        " l.state as label, array(select d.kind from documents d"
        "   where d.shipment_id = s.shipment_id order by 1) as files"
        " from shipments s"
        " join followups e on e.route = 'emails' and e.subject_id = s.shipment_id"
        "   and e.name = 'shipped'"
        " join followups l on l.route = 'labels' and l.subject_id = s.shipment_id"
        "   and l.name = 'label'",
    )
    assert len(parcels) == PARCELS
    standing = [one for one in parcels if one["voided_at"] is None]
    assert {one["tracking_number"] for one in standing} == alive
    assert len(alive) == len(standing)
    for one in standing:
        assert (one["label"], one["email"], one["files"]) == ("done", "done", FILES), one
        content = (world.folder / "state" / "mail" / f"{one['email_id']}.eml").read_bytes()
        body = message_from_bytes(content, policy=policy.default).get_body(("plain",))
        assert one["tracking_number"] in body.get_content()


def purchases(world):
    return selected(world, "select * from purchases")


def followups(world):
    rows = selected(world, "select route, name, state from followups")
    return [(one["route"], one["name"], one["state"]) for one in rows]


def rows(carriers):
    """Every label there ever was, as the checker reads them."""
    return [dict(label) for fake in carriers.values() for label in fake.labels.values()]


def selected(world, statement):
    with world.connection() as connection:
        return connection.cursor(row_factory=dict_row).execute(statement).fetchall()
