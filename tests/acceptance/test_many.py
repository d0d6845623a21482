"""Thousands of commands, doubled and shuffled, through both doors, while workers are killed."""

from collections import Counter
from random import Random
from uuid import UUID

import psycopg
import pytest

from messages import Command, Fee, OrderLine, Payment, publish_many
from tests import factories as make
from tests.acceptance import processes
from tests.work import rig
from worker.broker.hints import Hints
from worker.broker.redis import make_broker
from worker.store import laws
from worker.work.accept import accept

pytestmark = pytest.mark.heavy

SENT = 5_000
DISTINCT = SENT * 4 // 5
ORDERS = 250
CHUNK = 50


def order(random, number):
    """An order of two physical lines and a digital one, with a shipping fee, paid in two parts."""
    lines = [
        make.order_line(
            line_id,
            quantity=random.randint(3, 12),
            net_minor=random.randint(0, 5000),
            tax_minor=random.randint(0, 400),
            item_type=item_type,
        )
        for line_id, item_type in (("A", "physical"), ("B", "physical"), ("C", "digital"))
    ]
    fees = (Fee(kind="shipping", net_minor=490),)
    total_minor = make.placed_order(*lines, fees=fees).total_minor
    first = total_minor // 3
    payments = (
        Payment(payment_id="P1", captured_minor=first),
        Payment(payment_id="P2", captured_minor=total_minor - first),
    )
    paid = make.placed_order(*lines, fees=fees, payments=payments)
    return make.place(command_id=_id(random), order_id=f"M-{number}", order=paid)


def command(random, place):
    """One of the four for that order; most of them can be applied when they come early enough."""
    line: OrderLine = random.choice(place.order.lines)
    units = {line.line_id: random.choice((1, 1, 1, 2, 3))}
    policy = random.choice(("strict", "strict", "clamp"))
    fields = {"command_id": _id(random), "order_id": place.order_id, "policy": policy}
    match random.choices(("ship", "complete", "cancel", "refund", "typo"), (45, 20, 15, 18, 2))[0]:
        case "ship":
            return make.ship(**fields, items=make.items(**units), label=random.choice(LABELS))
        case "complete":
            return make.complete(**fields, items=make.items(**units))
        case "cancel":
            return make.cancel(
                **fields,
                items=make.items(**units),
                refund=random.choice(("none", "full", make.money(random.randint(1, 99)))),
                include_shipping=random.random() < 0.1,
            )
        case "refund":
            what = random.choice(
                ({"items": make.items(**units)}, {"amount": make.money(random.randint(1, 300))})
            )
            return make.refund(**fields, **what)
        case _:
            return make.ship(**fields | {"order_id": f"{place.order_id}-typo"})


LABELS = ("none", "generate")


def commands(random, places):
    """`SENT` commands in random order, a fifth of them said twice."""
    distinct = [command(random, random.choice(places)) for _ in range(DISTINCT)]
    sent = distinct + random.choices(distinct, k=SENT - DISTINCT)
    random.shuffle(sent)
    return sent


def _id(random: Random) -> UUID:
    return UUID(int=random.getrandbits(128), version=4)


class Doors:
    """Both doors, taken in turns."""

    def __init__(self, engine, redis_url):
        self.engine = engine
        self.broker = make_broker(redis_url)
        self.hints = Hints(redis_url, limit=8)

    def store(self, chunk):
        with self.engine.begin() as connection:
            receipts = accept(connection, chunk)
        receipts.hint(self.hints)

    def redis(self, chunk):
        publish_many(self.broker, chunk)

    def close(self):
        self.hints.close()
        self.broker.close()


@pytest.fixture
def doors(engine, redis_url):
    both = Doors(engine, redis_url)
    yield both
    both.close()


def chunks(some):
    return [some[start : start + CHUNK] for start in range(0, len(some), CHUNK)]


def fold(outcomes, counter):
    """Units by order and line, as the outcomes of one kind of command tell it."""
    units = Counter()
    for kind, order_id, outcome in outcomes:
        if kind == counter and outcome["state"] == "applied":
            for item in outcome["items"]:
                units[order_id, item["line_id"]] += item["quantity"]
    return units


def test_each_takes_effect_once(doors, engine, database_url, redis_url, tmp_path):
    """5,000 commands in random order, a fifth of them duplicates, through both doors, to four
    processes of which two are killed half-way: each has one outcome, every law of the books holds,
    every counter is what the outcomes say, none is pending. All of it sent again, through both
    doors, changes no row.
    """
    random = Random(5000)
    places = [order(random, number) for number in range(ORDERS)]
    sent = commands(random, places)
    assert len({one.command_id for one in sent}) == DISTINCT
    doors.store(places)

    with processes.groups(4, database_url, redis_url, tmp_path) as groups:
        for number, chunk in enumerate(chunks(sent)):
            if number == SENT // CHUNK // 2:
                # In the midst of it: something is held, in Redis or by a lease.
                processes.until(lambda: in_hands(database_url, redis_url), 10, "work in hand")
                for group in groups[:2]:
                    group.kill()
            (doors.store if random.random() < 0.5 else doors.redis)(chunk)
        # A killed worker's messages are taken back ten seconds after its last heartbeat.
        processes.until(lambda: processes.is_quiet(database_url, redis_url), 60, "all decided")
        check(engine, database_url, {one.command_id: one for one in (*places, *sent)})

        # Numbering goes on for a second after the last outcome.
        processes.until(
            lambda: rig.count(engine, "events", "number is null") == 0, 30, "all numbered"
        )
        open_followups = "state = 'pending' and route <> 'refunds'"  # those nobody settles here
        processes.until(
            lambda: rig.count(engine, "followups", open_followups) == 0, 30, "all followed up"
        )
        before = rig.dump(engine)
        for chunk in chunks([*places, *sent]):
            doors.redis(chunk)
            doors.store(chunk)
        processes.until(lambda: processes.is_quiet(database_url, redis_url), 30, "inbox empty")
        assert rig.dump(engine) == before
        assert [group.is_running() for group in groups] == [False, False, True, True]


def in_hands(database_url, redis_url):
    if processes.in_redis(redis_url)["held"]:
        return True
    with psycopg.connect(database_url) as connection:
        query = "select exists (select from commands where lease_until is not null)"
        (leased,) = connection.execute(query).fetchone()
    return leased


def check(engine, database_url, distinct: dict[UUID, Command]):
    """One outcome for each, and books that say the same as the outcomes together."""
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("select id, kind, order_id, state, outcome from commands")
        rows = rows.fetchall()
        lines = connection.execute(
            "select order_id, line_id, shipped, completed, cancelled from order_lines"
        ).fetchall()
        versions = dict(connection.execute("select order_id, version from orders").fetchall())
        history = connection.execute("select count(distinct command_id) from history").fetchone()
        strays = connection.execute("select count(*) from strays").fetchone()

    assert len(rows) == len(distinct) == ORDERS + DISTINCT
    assert {row[0]: row[1:3] for row in rows} == {
        one.command_id: (one.kind, one.order_id) for one in distinct.values()
    }
    assert all(state == outcome["state"] for *_, state, outcome in rows)
    states = Counter((kind, state) for _, kind, _, state, _ in rows)
    assert states.keys() == {
        ("place", "applied"),
        *((kind, state) for kind in KINDS for state in ("applied", "rejected")),
    }, "the traffic has something of everything"
    assert {
        outcome["reason"] for _, _, order_id, _, outcome in rows if order_id.endswith("-typo")
    } == {"order_not_found"}

    with engine.begin() as connection:
        assert laws.broken(connection) == dict.fromkeys(laws.LAWS, 0)
    outcomes = [(kind, order_id, outcome) for _, kind, order_id, _, outcome in rows]
    for column, kind in ((2, "ship"), (3, "complete"), (4, "cancel")):
        found = Counter({(row[0], row[1]): row[column] for row in lines})
        assert +found == fold(outcomes, kind)
    applied = Counter(order_id for _, order_id, one in outcomes if one["state"] == "applied")
    assert versions == applied
    assert history == (applied.total(),)
    assert strays == (0,)


KINDS = ("ship", "complete", "cancel", "refund")
