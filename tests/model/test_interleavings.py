"""Two at one order, at every moment of each: one is stopped before each of its statements in turn,
the other goes on until it is done or blocked, then the first goes on. In the end the tables say
what they say when one comes after the other, and every law holds.
"""

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from uuid import UUID, uuid5

import pytest
from sqlalchemy import event

from messages import NewCarrier, Payment
from tests import factories as make
from tests.model import stored
from tests.work import refund_rig, rig
from worker.errors import Terminal
from worker.labels.bought import landed
from worker.postage import purchases
from worker.postage.adapter import Bought
from worker.postage.adapters import Carrier
from worker.postage.buying import Buying
from worker.postage.purchases import Purchase
from worker.postage.rates import Turns
from worker.postage.voiding import Voiding
from worker.refunds.news import hear
from worker.refunds.provider import Settled
from worker.refunds.route import refunds_route
from worker.work.accept import accept
from worker.work.claim import claim, claim_suspect, look
from worker.work.dead import Chosen, replay
from worker.work.followups import followups_route

LEASE_S = 1
SPACE = UUID(int=0)
BLOCKED = """
select count(*) from pg_stat_activity
where datname = current_database() and cardinality(pg_blocking_pids(pid)) > 0
"""


class Shop:
    """A process of its own: connections, routes, and what one turn of its work is."""

    def __init__(self, engine, outside):
        self.engine = engine
        self.routes = {
            "commands": rig.commands(engine),
            "refunds": refunds_route(engine, refund_rig.providers(outside)),
            "labels": followups_route(engine, "labels", Labels(engine, outside)),
        }

    def turn(self, route="commands", limit=1):
        """One claim and what is carried out of it, as a drainer does."""
        route = self.routes[route]
        with self.engine.begin() as connection:
            batch = claim(connection, route.table, route.name, limit=limit, lease_s=LEASE_S)
        if batch:
            route.carry_out(batch)

    def take_over(self, route="commands"):
        """What others hold is late: one row of it is taken away from them and carried out."""
        route = self.routes[route]
        rig.lease_over(self.engine, table=route.table.name)
        with self.engine.begin() as connection:
            batch = claim_suspect(connection, route.table, route.name, lease_s=LEASE_S)
        if batch:
            route.carry_out(batch)

    def accept(self, *commands):
        with self.engine.begin() as connection:
            return [receipt.answer for receipt in accept(connection, commands)]

    def hear(self, part_id, state):
        answer = refund_rig.answered(state, f"r-{part_id}")
        with self.engine.begin() as connection:
            return hear(connection, part_id, answer, provider="scripted")

    def replay(self):
        with self.engine.begin() as connection:
            return len(replay(connection, Chosen(), actor="tests"))

    def finish(self):
        """Until nothing is to be done: whoever held something is late, whatever waits is due."""
        rig.run(self.engine, stored.TIME_PASSES)
        drains = {
            name: rig.drain_of(route, self.engine, lease_s=LEASE_S)
            for name, route in self.routes.items()
        }
        pairs = [(route.table, name) for name, route in self.routes.items()]
        for _ in range(50):
            with self.engine.connect() as connection:
                found = look(connection, pairs, lease_s=LEASE_S)
            found = [one for one in found if one.is_due or one.has_suspects]
            if not found:
                return
            for one in found:
                if one.has_suspects:
                    drains[one.route].has_suspects.set()
                drains[one.route]()
        raise AssertionError("it is never done")


class Outside(refund_rig.Scripted):
    """A provider who settles, and a carrier; it remembers the labels that are alive."""

    can_find, settles_within_s = True, 0.0

    def __init__(self):
        super().__init__()
        self.alive = {}

    def refund(self, part):
        return Settled(f"r-{part.part_id}")

    def buy(self, reference):
        self.alive.setdefault(reference, f"T{len(self.alive)}")
        return Bought(str(reference), "T1", b"", "label_pdf")

    def find(self, one):
        if not isinstance(one, UUID):
            return self.refund(one)
        return self.buy(one) if one in self.alive else None

    def void(self, carrier_id, _):
        self.alive = {k: v for k, v in self.alive.items() if str(k) != carrier_id}


@dataclass
class Labels:
    """Labels bought and given back, without files."""

    engine: object
    outside: Outside

    def __call__(self, task):
        dhl = Carrier("dhl", self.outside, Turns(self.engine, "dhl", 10_000))
        buying = Buying(self.engine, {"dhl": dhl}, lease_s=60)
        if task.name != "label":
            return Voiding(buying)(task)
        with self.engine.connect() as connection:
            shipment = purchases.look(connection, task.subject_id)
        answer = buying(task, shipment, lambda reference, _: reference)
        return landed(task, answer, {}) if isinstance(answer, Purchase) else answer


@dataclass
class Scene:
    """What is there before the two begin; ids come again in the same order each time."""

    shop: Shop
    outside: Outside
    numbers: int = 0

    def command(self, kind, order_id="O-1", **fields):
        self.numbers += 1
        return kind(command_id=uuid5(SPACE, str(self.numbers)), order_id=order_id, **fields)

    def decided(self, *commands, **options):
        self.shop.accept(*commands)
        rig.drainer(self.shop.engine, **options)()

    def placed(self, *more, order_id="O-1"):
        """Three of A, paid with 1.00 by P1 and 2.00 by P2; and more commands."""
        self.decided(self.command(make.place, order_id, order=three_paid()), *more)

    def refunded(self):
        """An order of which a unit is to be paid back; the part."""
        refund = self.command(make.refund, items=make.items(A=1))
        self.placed(refund)
        return uuid5(refund.command_id, "P1")


def three_paid():
    return make.placed_order(
        make.order_line("A", 3),
        payments=(
            Payment(payment_id="P1", captured_minor=100),
            Payment(payment_id="P2", captured_minor=200),
        ),
    )


def two_commands(scene):
    scene.placed()
    scene.shop.accept(
        scene.command(make.ship, items=make.items(A=2)),
        scene.command(make.cancel, items=make.items(A=2), refund="full"),
    )
    return Shop.turn, Shop.turn


def two_claims_of_the_same_rows(scene):
    scene.placed()
    scene.placed(order_id="O-2")
    scene.shop.accept(
        *(
            scene.command(make.ship, order_id, items=make.items(A=2), policy="clamp")
            for order_id in ("O-1", "O-2", "O-2", "O-1")
        )
    )
    return lambda shop: shop.turn(limit=3), lambda shop: shop.turn(limit=3)


def command_and_refund_settles(scene):
    part_id = scene.refunded()
    scene.shop.accept(scene.command(make.refund, items=make.items(A=1)))
    return Shop.turn, lambda shop: shop.hear(part_id, "settled")


def command_and_refund_fails(scene):
    part_id = scene.refunded()
    scene.shop.accept(scene.command(make.refund, amount=make.money(300)))
    return Shop.turn, lambda shop: shop.hear(part_id, "failed")


def command_and_refund_settles_late(scene):
    """Either there is nothing left for the command, or no room for the news."""
    part_id = scene.refunded()
    scene.shop.hear(part_id, "failed")
    scene.shop.accept(scene.command(make.refund, amount=make.money(300)))
    return Shop.turn, lambda shop: shop.hear(part_id, "settled")


def answer_and_news(scene):
    """The provider is asked and settles; it tells of a failure at the same time."""
    part_id = scene.refunded()
    return lambda shop: shop.turn("refunds"), lambda shop: shop.hear(part_id, "failed")


def two_pieces_of_news(scene):
    part_id = scene.refunded()
    return lambda shop: shop.hear(part_id, "settled"), lambda shop: shop.hear(part_id, "settled")


def two_doors(scene):
    """The same ids, in opposite order, one of them with other content."""
    one, two, three = (scene.command(make.ship, items=make.items(A=n)) for n in (1, 2, 3))
    other = two.model_copy(update={"policy": "clamp"})
    return lambda shop: shop.accept(one, two, three), lambda shop: shop.accept(three, other, one)


def replay_and_drain(scene):
    """What is replayed was accepted first, and what is drained takes the units."""
    scene.placed()
    scene.decided(
        scene.command(make.ship, items=make.items(A=2)),
        rules=rig.Raising("O-1", Terminal("odd", "it cannot be")),
    )
    scene.shop.accept(scene.command(make.cancel, items=make.items(A=2)))
    return Shop.replay, lambda shop: shop.turn(limit=2)


def two_replays(scene):
    scene.placed()
    odd = rig.Raising("O-1", Terminal("odd", "it cannot be"))
    scene.decided(*(scene.command(make.ship, items=make.items(A=n)) for n in (1, 2)), rules=odd)
    return Shop.replay, Shop.replay


def void_and_label(scene):
    """The label is called back while it is bought: none is alive in the end."""
    ship = scene.command(make.ship, label="generate", carrier="dhl")
    scene.placed(ship)
    scene.shop.accept(scene.command(make.void, shipment_id=ship))
    return Shop.turn, lambda shop: shop.turn("labels")


def two_places(scene):
    """Of one order, that differ."""
    scene.shop.accept(
        scene.command(make.place, order=three_paid()),
        scene.command(make.place, order=make.placed_order(make.order_line("A", 2))),
    )
    return Shop.turn, Shop.turn


def two_new_carriers(scene):
    """Of one code, brought by commands of two orders."""
    scene.placed()
    scene.placed(order_id="O-2")
    carriers = [NewCarrier(code="cargo", name=name) for name in ("Cargo", "Kargo")]
    scene.shop.accept(
        *(
            scene.command(make.ship, order_id, new_carrier=carrier)
            for order_id, carrier in zip(("O-1", "O-2"), carriers, strict=True)
        )
    )
    claims = [rig.claimed(scene.shop.engine, limit=1) for _ in "12"]
    return tuple(
        lambda shop, batch=batch: shop.routes["commands"].carry_out(batch) for batch in claims
    )


def claim_taken_away(scene):
    scene.placed()
    scene.shop.accept(
        scene.command(make.ship, items=make.items(A=2)),
        scene.command(make.cancel, items=make.items(A=2)),
    )
    return lambda shop: shop.turn(limit=2), Shop.take_over


def label_taken_away(scene):
    scene.placed(scene.command(make.ship, label="generate", carrier="dhl"))
    return lambda shop: shop.turn("labels"), lambda shop: shop.take_over("labels")


def refund_taken_away(scene):
    scene.refunded()
    return lambda shop: shop.turn("refunds"), lambda shop: shop.take_over("refunds")


ALIKE = [
    two_commands,
    two_claims_of_the_same_rows,
    two_pieces_of_news,
    two_doors,
    two_replays,
    two_places,
    two_new_carriers,
]
"""Both do the same: it does not matter which one is stopped."""
UNLIKE = [
    command_and_refund_settles,
    command_and_refund_fails,
    command_and_refund_settles_late,
    answer_and_news,
    replay_and_drain,
    void_and_label,
    claim_taken_away,
    label_taken_away,
    refund_taken_away,
]


@pytest.fixture
def shops(engine, database_url):
    outside = Outside()
    other = rig.other_engine(database_url)
    yield Shop(engine, outside), Shop(other, outside), outside
    other.dispose()


@pytest.mark.parametrize(
    ("scene", "is_first_stopped"),
    [(scene, True) for scene in ALIKE + UNLIKE] + [(scene, False) for scene in UNLIKE],
    ids=lambda value: getattr(value, "__name__", "first" if value else "second"),
)
def test_every_interleaving(engine, emptied, shops, scene, is_first_stopped):
    """Wherever one of the two is stopped, the end is that of one after the other."""
    here, there, outside = shops

    def ended(run):
        emptied("tests")
        outside.alive.clear()
        two = scene(Scene(here, outside))
        one, other = two if is_first_stopped else reversed(two)
        answers = run(one, other)
        if answers is None:
            return None
        here.finish()
        assert not stored.broken(engine)
        return seen(engine, outside), answers

    serial = [
        ended(lambda one, other: [one(here), other(there)]),
        ended(lambda one, other: [other(there), one(here)][::-1]),
    ]
    statements = 0
    while end := ended(partial(interleaved, here=here, there=there, number=statements)):
        assert end in serial, f"stopped before statement {statements + 1}"
        statements += 1
    assert statements > 1


def interleaved(one, other, *, here, there, number):
    """What both return, the first stopped before its statement of this number, from 0, while the
    other runs until it is done or blocked; None if there are not so many.
    """
    answers = [None, None]
    reached, go = threading.Event(), threading.Event()
    left = [number]

    def stop(*_):
        if left[0] == 0:
            reached.set()
            assert go.wait(30)
        left[0] -= 1

    def run(place, function, shop):
        try:
            answers[place] = function(shop)
        except BaseException as error:  # noqa: BLE001 - raised again below
            answers[place] = error
        reached.set()

    first = threading.Thread(target=run, args=(0, one, here), daemon=True)
    second = threading.Thread(target=run, args=(1, other, there), daemon=True)
    with listening(here.engine, stop):
        first.start()
        assert reached.wait(30)
        if left[0] > 0:
            first.join(30)
            return None
        second.start()
        with there.engine.connect() as connection:
            until = time.monotonic() + 30
            while second.is_alive() and not connection.exec_driver_sql(BLOCKED).scalar():
                assert time.monotonic() < until, "it is neither done nor blocked"
                second.join(0.002)
        go.set()
        first.join(30)
        second.join(30)
    assert not first.is_alive()
    assert not second.is_alive()
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return answers


@contextmanager
def listening(engine, stop):
    """Before each statement, and each commit."""
    for name in ("before_cursor_execute", "commit"):
        event.listen(engine, name, stop)
    try:
        yield
    finally:
        for name in ("before_cursor_execute", "commit"):
            event.remove(engine, name, stop)


def seen(engine, outside):
    """What is in the books, and alive outside. Labels come and go in more ways than two; what
    counts of them is what is left.
    """
    work = {key: (state, effect) for key, (state, _, _, effect) in stored.work(engine).items()}
    labels = {key for key in work if key[1:2] in {("labels",), ("tracking",)}}
    assert all(work[key][0] in {"done", "skipped"} for key in labels if key[1] == "labels")
    bought = [row.state for row in rig.rows(engine, "select state from purchases")]
    assert set(bought) <= {"bought", "voided", "none"}
    assert bought.count("bought") == len(outside.alive)
    return (
        stored.orders(engine),
        {key: end for key, end in work.items() if key not in labels},
        rig.count(engine, "strays"),
        len(outside.alive),
        [row.name for row in rig.rows(engine, "select name from carriers where code = 'cargo'")],
    )
