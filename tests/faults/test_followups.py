"""Parcels with labels and e-mails, while everything that makes them is killed.

`FULFILLMENT_TORTURE_PARCELS` says how many, 300 for a long run; unset, they are as few as meet
every fault.
"""

import os
import random
import secrets
import sys
import time
from collections import Counter, defaultdict
from contextlib import ExitStack
from hashlib import sha256

import pytest

from messages import Address, Customer
from tests import factories as make
from tests.faults.copies import Interruption, unexplained
from tests.faults.mailbox import Mailbox
from tests.faults.world import (
    World,
    leaf,
    postgres_killed,
    redis_erased,
    redis_killed,
    wait_until,
    worker_killed,
    worker_stopped,
)
from worker.settings import Settings
from worker.store.engine import make_engine
from worker.work.accept import accept

PARCELS = int(os.environ.get("FULFILLMENT_TORTURE_PARCELS") or 100)
FAULTS = max(5, PARCELS // 30)
SETTLED_S = 60
WORKERS = 2
DOCUMENTS = {"label_pdf", "label_zpl", "slip_pdf"}


@pytest.mark.heavy
@pytest.mark.timeout(150)
def test_one_label_per_parcel_and_no_email_missing(capsys):
    """Workers, Valkey and PostgreSQL are killed or stand still again and again: each parcel has one
    label whose file is what its row says, each customer has the e-mail. A second copy has the
    Message-ID of the first, and a cause of its own: an interruption between the server's `250` and
    our commit, or a stop beyond a lease.
    """
    seed = int(os.environ.get("FULFILLMENT_TORTURE_SEED") or secrets.randbelow(10**6))
    chance = random.Random(f"follow-ups {seed}")
    mailbox = Mailbox()
    with ExitStack() as stack:
        world = stack.enter_context(World.made(seed))
        workers = []
        for n in range(WORKERS):
            port = stack.enter_context(mailbox.served(n))
            sending = {
                "SMTP_URL": f"smtp://127.0.0.1:{port}",
                "FULFILLMENT_EMAIL_FROM": "shop@shop.example",
            }
            workers.append(stack.enter_context(world.worker(n, **sending)))
        wait_until(lambda: all(map(leaf, workers)), 30)

        kinds = [worker_killed, worker_stopped, redis_erased, redis_killed, postgres_killed]
        faults = [*kinds, *chance.choices(kinds, k=FAULTS - len(kinds))]
        chance.shuffle(faults)
        interruptions = []
        for share, fault in enumerate(faults):
            ship(world, range(share * PARCELS // FAULTS, (share + 1) * PARCELS // FAULTS))
            time.sleep(chance.uniform(0.1, 0.9))  # into the middle of the work
            begun_at = time.time()
            hit = frozenset(map(workers.index, fault(world, workers, chance)))
            is_stop = fault is worker_stopped
            interruptions.append(Interruption(hit, begun_at, time.time(), is_stop))
        last_fault = time.monotonic()
        while (open_ := still_open(world)) is not None:
            assert time.monotonic() < last_fault + SETTLED_S, world.told(f"open: {open_}")
            time.sleep(0.1)
        settled_s = time.monotonic() - last_fault

        counted = Counter(fault.__name__.replace("_", " ") for fault in faults)
        faults_told = ", ".join(f"{number} {kind}" for kind, number in sorted(counted.items()))
        with capsys.disabled():
            sys.stdout.write(
                f"\nfollow-ups: FULFILLMENT_TORTURE_SEED={seed}, {faults_told}, "
                f"{len(mailbox.copies)} e-mails for {PARCELS} parcels, "
                f"settled in {settled_s:.1f} s\n"
            )
        assert states(world) == {("emails", "done"): PARCELS, ("labels", "done"): PARCELS}
        assert_labels(world)
        assert_emails(world, mailbox, interruptions)


def assert_labels(world):
    with world.connection() as connection:
        rows = connection.execute("select shipment_id, kind, sha256 from documents").fetchall()
        ids = {row[0] for row in connection.execute("select shipment_id from shipments")}
    kinds = defaultdict(set)
    for shipment_id, kind, _ in rows:
        kinds[shipment_id].add(kind)
    assert kinds == dict.fromkeys(ids, DOCUMENTS)
    assert len(ids) == PARCELS
    files = [path for path in (world.folder / "state" / "labels").rglob("*") if path.is_file()]
    stored = {sha256(path.read_bytes()).digest() for path in files}
    assert {digest for _, _, digest in rows} <= stored


def assert_emails(world, mailbox, interruptions):
    with world.connection() as connection:
        rows = connection.execute(
            "select outcome ->> 'message_id', extract(epoch from decided_at)::float8"
            " from followups where route = 'emails'"
        )
        ended = dict(rows.fetchall())
    assert {copy.message_id for copy in mailbox.copies} == ended.keys()
    assert len(ended) == PARCELS
    assert mailbox.recipients == {f"customer{n}@shop.example" for n in range(PARCELS)}
    found = unexplained(mailbox.copies, ended, interruptions)
    assert found == [], world.told("\n".join(found))


def ship(world, numbers):
    """An order for each customer, and a parcel with a label for each order."""
    engine = make_engine(world.database.url, Settings(), pool_size=1)
    try:
        with engine.begin() as connection:
            for n in numbers:
                accept(connection, [placed(n), make.ship(order_id=f"F-{n}", label="generate")])
    finally:
        engine.dispose()


def placed(number):
    order = make.placed_order(
        customer=Customer(name=f"Customer {number}", email=f"customer{number}@shop.example"),
        ship_to=Address(
            name=f"Customer {number}",
            lines=("1 Main Street",),
            city="Utrecht",
            postal_code="3511 AB",
            country="NL",
        ),
        ship_from=Address(
            name="Shop", lines=("2 Side Street",), city="Lyon", postal_code="69001", country="FR"
        ),
    )
    return make.place(order_id=f"F-{number}", order=order)


def still_open(world):
    """What there is, by route and state: nothing yet, perhaps; None when all has ended."""
    counted = states(world)
    ended = sum(counted.values()) - sum(
        number for (_, state), number in counted.items() if state == "pending"
    )
    return None if ended == 2 * PARCELS else counted


def states(world):
    with world.connection() as connection:
        rows = connection.execute("select route, state, count(*) from followups group by 1, 2")
        return {(route, state): number for route, state, number in rows}
