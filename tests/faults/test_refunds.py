"""Hundreds of refunds at a provider that answers one time in five wrongly, while everything that
makes them is killed; then both ledgers are compared.

`FULFILLMENT_TORTURE_REFUNDS` says how many refunds, 1,000 for a long run; unset, they are as few as
meet every fault and every wrong answer. `FULFILLMENT_TORTURE_SEED` repeats a run as far as the
clock allows.
"""

import json
import os
import random
import secrets
import sys
import time
from collections import Counter
from contextlib import ExitStack

import pytest

from messages import Customer, Payment
from tests import factories as make
from tests.fakes.server import Wrong
from tests.faults.checker import check
from tests.faults.square import SETTINGS, Account, Clerk, receiving
from tests.faults.world import World, mostly_workers, time_passes, wait_until
from worker.settings import Settings
from worker.store import laws
from worker.store.engine import make_engine
from worker.work.accept import accept

REFUNDS = int(os.environ.get("FULFILLMENT_TORTURE_REFUNDS") or 200)
EACH = 4
"""Refunds of an order."""
ORDERS = REFUNDS // EACH
FAULTS = max(5, REFUNDS // 40)
LATE = 8
WORKERS = 2
SETTLED_S = 90

SLOW = "route = 'refunds' and waits_for = 'retry' and left(subject_id::text, 1) < '4'"
"""A quarter of the parts, when they wait for a back-off."""

STILL_OPEN = """
-- still_open: commands, and refund parts but the slow
select (select count(*) from commands where state = 'pending') + (
  select count(*) from followups where state = 'pending'
    and not (lease_until is null and {slow}
      and next_at > now() + interval '2 seconds'))
"""

RECENT = """
-- recent: a part that may be being asked for at this moment
select from refund_parts
where state in ('pending', 'unknown') and last_asked_at > now() - interval '3 seconds' limit 1
"""

KEYS_END = """
-- keys_end: parts of which nobody knows were first asked for long ago, and again just now
update refund_parts set asked_at = asked_at - interval '2 hours',
  last_asked_at = clock_timestamp() where state = 'unknown'
"""

HOURS_PASS = """
-- hours_pass: for the parts of which nobody knows
update refund_parts set last_asked_at = last_asked_at - interval '2 hours' where state = 'unknown'
"""


@pytest.mark.heavy
@pytest.mark.timeout(400)
def test_our_books_are_the_providers_to_the_cent(capsys):
    """Refunds over one to three payments: what is booked as settled has settled, no part was paid
    twice, what nobody knows is listed, and once a person has looked at it the ledgers are equal.

    The test acts as the passage of time. Back-offs of a minute and more are due at once. A quarter
    of the parts wait for hours, by their ages, until the provider has forgotten their keys: they
    are looked up. A few of those it does not find any more: they stay unknown.
    """
    seed = int(os.environ.get("FULFILLMENT_TORTURE_SEED") or secrets.randbelow(10**6))
    chance = random.Random(f"refunds {seed}")
    began = time.monotonic()
    with ExitStack() as stack:
        world = stack.enter_context(World.made(seed))
        account = stack.enter_context(Account(seed))
        port = stack.enter_context(receiving(world.database.url, account))
        settings = SETTINGS | {"SQUARE_URL": account.url}
        workers = [stack.enter_context(world.worker(n, **settings)) for n in range(WORKERS)]
        clerk = Clerk(account, port, random.Random(seed), late=LATE)
        stack.callback(clerk.stop)
        places = [placed(n, chance) for n in range(ORDERS)]
        for place in places:
            for paid in place.order.payments:
                account.ledger.capture(paid.payment_id, paid.captured_minor)
        commands = [*places, *(one for place in places for one in refunds(place, chance))]
        published = {str(one.command_id): one.body() for one in commands}
        send(world, commands)
        clerk.start()

        faults = mostly_workers(chance, FAULTS)
        for number, fault in enumerate(faults):
            due = (number + 1) * REFUNDS // FAULTS
            wait_until(lambda due=due: is_through(world, account, due), SETTLED_S, every_s=0.1)
            fault(world, workers, chance)
        faults_s = time.monotonic() - began
        rest = [rest_of(place, chance) for place in places]
        published |= {str(one.command_id): one.body() for one in rest}
        send(world, rest)

        wait_until(lambda: is_through(world, account), SETTLED_S, every_s=0.1)
        gone = hours_pass(world, account)
        wait_until(lambda: is_through(world, account, slow=True), SETTLED_S, every_s=0.1)
        clerk.stop()
        overpay(world, clerk)
        settled_s = time.monotonic() - began

        found = check(world.database.url, published, ledger=account.rows())
        states = parts(world)
        with capsys.disabled():
            sys.stdout.write(
                f"\nrefunds: FULFILLMENT_TORTURE_SEED={seed}, {REFUNDS} refunds, {FAULTS} faults in"
                f" {faults_s:.1f} s, all ended after {settled_s:.1f} s\n"
                f"  parts {dict(states)}, {len(clerk.flipped)} ended a second time,"
                f" {len(gone)} payments were not found\n"
                f"  requests {dict(account.counts)}, keys used again {account.repeated},"
                f" webhooks sent again {clerk.unheard}\n"
            )
        assert found == [], world.told("\n".join(found))
        assert_laws(world)
        assert all(account.counts[f"POST {wrong}"] for wrong in Wrong), account.counts
        assert account.repeated
        settle_by_hand(world, account, unknown_and_listed(world))
        assert not parts(world)["unknown"]
        assert check(world.database.url, published, ledger=account.rows()) == []


def placed(number, chance):
    """An order of two lines with one to three payments."""
    order_id = f"R-{number}"
    lines = (
        make.order_line("A", 3, net_minor=chance.randint(300, 9_000)),
        make.order_line("B", 2, net_minor=chance.randint(300, 9_000)),
    )
    total_minor = sum(line.net_minor for line in lines)
    cuts = sorted(chance.sample(range(1, total_minor), chance.randint(0, 2)))
    amounts = [
        after - before for before, after in zip([0, *cuts], [*cuts, total_minor], strict=True)
    ]
    payments = tuple(
        Payment(payment_id=f"{order_id}-{n}", captured_minor=amount, method="card")
        for n, amount in enumerate(amounts)
    )
    customer = Customer(name=f"Customer {number}", email=f"customer{number}@shop.example")
    order = make.placed_order(*lines, payments=payments, customer=customer)
    return make.place(order_id=order_id, order=order)


def refunds(place, chance):
    """Of units, of an amount, and of an amount that may be more than there is."""
    fields = {"order_id": place.order_id, "notify_customer": chance.random() < 0.25}
    total_minor = place.order.total_minor
    yield make.refund(items=make.items(A=1, B=chance.randint(0, 1)), **fields)
    yield make.refund(amount=make.money(chance.randint(1, total_minor // 4)), **fields)
    yield make.refund(
        amount=make.money(chance.randint(1, total_minor // 2)), policy="clamp", **fields
    )


def rest_of(place, chance):
    """All that is left, also what failed before."""
    fields = {"order_id": place.order_id, "notify_customer": chance.random() < 0.25}
    return make.refund(amount=make.money(10**7), policy="clamp", **fields)


def send(world, commands):
    engine = make_engine(world.database.url, Settings(), pool_size=1)
    try:
        for start in range(0, len(commands), 200):
            with engine.begin() as connection:
                accept(connection, commands[start : start + 200])
    finally:
        engine.dispose()


def is_through(world, account, due=None, *, slow=False):
    """Whether so many refunds were asked for, or nothing is open; time passes meanwhile."""
    left_out = "false" if slow else SLOW
    with world.connection() as connection:
        connection.execute(time_passes(left_out))
        (still,) = connection.execute(STILL_OPEN.format(slow=left_out)).fetchone()
    return not still or (due is not None and account.asked >= due)


def hours_pass(world, account):
    """Keys are forgotten, and a third of the payments with parts of which nobody knows are not
    found any more. Only now, when no call can be under way. The others show their refunds late:
    nothing is believed of what is not found so soon.
    """
    with world.connection() as connection:
        wait_until(lambda: not connection.execute(RECENT).fetchone(), 20)
        unknown = connection.execute(
            "select payment_id from refund_parts where state = 'unknown' order by part_id"
        ).fetchall()
        account.gone.update(payment_id for (payment_id,) in unknown[::3])
        account.late.update(payment_id for (payment_id,) in unknown)
        account.ledger.forget_keys()
        connection.execute(KEYS_END)
        enough = 3 * len(unknown)
        wait_until(
            lambda: is_through(world, account, slow=True) or account.shown_late >= enough,
            SETTLED_S,
            every_s=0.1,
        )
        account.late.clear()
        connection.execute(HOURS_PASS)
    return account.gone


def overpay(world, clerk):
    """Refunds that had failed settle after all, when their payments have no room for them."""
    with world.connection() as connection:
        rows = connection.execute(
            "select part_id from refund_parts p join payments y using (order_id, payment_id)"
            " where p.state = 'failed' and y.refunded_minor + p.amount_minor > y.captured_minor"
        ).fetchall()
    full = {str(part_id) for (part_id,) in rows}
    clerk.over.clear()
    for _ in range(3):
        clerk.flip([one for one in clerk.of("failed") if one.key in full])


def parts(world):
    with world.connection() as connection:
        rows = connection.execute("select state, count(*) from refund_parts group by 1")
        return Counter(dict(rows.fetchall()))


def assert_laws(world):
    engine = make_engine(world.database.url, Settings(), pool_size=1)
    with engine.connect() as connection:
        broken = {law: count for law, count in laws.broken(connection).items() if count}
    engine.dispose()
    assert broken == {}


def unknown_and_listed(world):
    """Ids of parts of which nobody knows: `refunds list` names each, and each is a dead letter."""
    with world.connection() as connection:
        rows = connection.execute(
            "select p.part_id::text, w.state from refund_parts p join followups w"
            " on w.route = 'refunds' and w.subject_id = p.part_id where p.state = 'unknown'"
        ).fetchall()
    assert rows
    assert {state for _, state in rows} == {"dead"}
    command = "refunds list --state unknown --limit 1000 --json"
    shown = world.fulfillment(*command.split())
    named = {json.loads(line)["part_id"] for line in shown.splitlines()}
    assert named == {part_id for part_id, _ in rows}
    return named


def settle_by_hand(world, account, named):
    """A person looks in the provider's books, and says how each went."""
    settled = {row["key"] for row in account.rows() if row["state"] == "settled"}
    if paid := named & settled:
        world.fulfillment("refunds", "settle", *paid, "--by", "operator", "--json")
    if unpaid := named - settled:
        because = ("--because", "not there", "--by", "operator", "--json")
        world.fulfillment("refunds", "fail", *unpaid, *because)
