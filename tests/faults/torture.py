"""`make torture`: every kind of fault, about one a second, under traffic through every door; then
an independent checker reads all books and a table says what became of what was in flight.

    python -m tests.faults.torture --seed 7 --minutes 20 --commands 100000
    python -m tests.faults.torture --minutes 2 --commands 5000 --only worker_killed --every 5
    python -m tests.faults.torture --list

Everything is on loopback and in a temporary folder, and ends with the program.
"""

import argparse
import json
import os
import random
import secrets
import signal
import sys
import threading
import time
from collections import Counter, deque
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

import psycopg

from tests.fakes.carrier import HARMLESS, FakeCarrier
from tests.faults.doors import DOORS, SAFE_TO_REPEAT, Producer, share
from tests.faults.faults import CATALOGUE, NOT_HERE, NotNow, Scene, clocked, own_disk
from tests.faults.mailbox import Mailbox
from tests.faults.proxy import Proxy
from tests.faults.report import Incident, Report, judge
from tests.faults.script import captured, script
from tests.faults.square import SETTINGS, Account
from tests.faults.world import World, leaf, wait_until
from tests.labels import lab

WRONG_RATE = 0.05
"""Answers of carrier and provider that are wrong by themselves, beside the faults."""
PLAN = (2, 1, 1)
"""Processes of each worker's supervisor."""
SETTLED_S = 240
GRACE_S = 20
"""How long commands wait for an order or a predecessor that is not there."""
TIME_PASSES_EVERY_S = 5

TIME_PASSES = """
-- time_passes: what waits is due, but for those who were told when to come back
update followups set next_at = now() where id in (
  select id from followups
  where state = 'pending' and lease_until is null and route <> 'tracking'
    and waits_for in ('retry', 'provider', 'carrier', 'label', 'email')
    and next_at > now() + interval '2 s'
  order by id for update skip locked)
"""

OPEN = """
-- open: all but parcels that are followed, and e-mails that wait for labels that died
select coalesce(w, 'work'), count(*) from (
  select 'command ' || coalesce(waits_for, '') as w from commands where state = 'pending'
  union all
  select f.route || ' ' || coalesce(waits_for, '') from followups f
  where f.state = 'pending' and f.route <> 'tracking'
    and not (f.route = 'emails' and f.lease_until is null and exists (
      select from followups l where l.route = 'labels' and l.state = 'dead'
        and l.order_id = f.order_id))
) as open group by 1
"""

UNKNOWN = "select part_id::text from refund_parts where state = 'unknown'"

DEAD = """
select route || ' ' || name || ': ' || dead_reason, count(*) from followups where state = 'dead'
group by 1
"""


@dataclass
class Plan:
    """A run. `only` are the kinds of faults, all by default."""

    seed: int
    lasts_s: float
    commands: int
    only: tuple[str, ...] = ()
    every_s: float = 1.0
    lease_s: float = 10.0
    actors: str = "actors"
    """The module that the workers run; another than the real one runs without a supervisor."""
    workers: tuple[int, ...] = PLAN
    own_disk: bool = True
    threads: int = 4
    settled_s: float = SETTLED_S
    say: object = field(default=lambda words: None)


def run(plan: Plan) -> Report:
    """Faults, then quiet, then the books."""
    chance = random.Random(f"torture {plan.seed}")
    commands = script(plan.seed, plan.commands)
    with ExitStack() as stack:
        world = stack.enter_context(World.made(plan.seed, lease_s=plan.lease_s))
        scene = Scene(world)
        mailbox = Mailbox()
        carrier = stack.enter_context(
            FakeCarrier(seed=plan.seed, wrong_rate=WRONG_RATE, kinds=HARMLESS, prefix="UP")
        )
        account = stack.enter_context(Account(plan.seed, wrong_rate=WRONG_RATE))
        for payment_id, (amount_minor, currency) in captured(commands).items():
            account.ledger.capture(payment_id, amount_minor, currency)
        settings = furnish(plan, scene, stack, mailbox, carrier, account)
        producers = [Producer(door, world, {}) for door in DOORS]
        sent = producers[0].sent
        for one in producers:
            one.sent = sent
        published = share(commands, producers, chance, plan.lasts_s)
        scene.producers = producers

        working = stack.enter_context(ExitStack())
        for number, processes in enumerate(plan.workers):
            kept = world.worker(
                number,
                actors=plan.actors,
                processes=processes if plan.actors == "actors" else None,
                **settings(number),
            )
            scene.workers.append(working.enter_context(kept))
        stack.callback(world.over.set)
        wait_until(lambda: all(map(leaf, scene.workers)), 60)
        clerk = threading.Thread(target=back_office, args=(world, account, chance.random()))
        clerk.start()
        stack.callback(clerk.join, 10)
        stack.callback(world.over.set)

        began = time.time()
        for producer in producers:
            producer.start()
        storm = Storm(plan, scene, chance)
        incidents = storm.rage()
        report = Report(plan.seed, began, time.time(), incidents=incidents)
        report.hindered = storm.hindered
        report.not_here = NOT_HERE | missing(plan, scene)
        plan.say(f"faults are over after {time.time() - began:.0f} s; it settles\n")
        settle(world, producers, plan, report)
        by_hand(world, account, carrier, settings(0), plan, report)
        working.close()
        world.over.set()
        judge(
            report,
            world,
            {row_id: one.body() for row_id, one in published.items()},
            sent,
            ledger=account.rows(),
            labels=[dict(one) for one in carrier.labels.values()],
            mailbox=mailbox,
            unheard=[one for proxy in scene.proxies["smtp"] for one in proxy.unheard],
            sending=plan.threads // 2 * max(plan.workers),
        )
        return report


def furnish(plan, scene, stack, mailbox, carrier, account):
    """Proxies before all that is outside, the label disk, the clock; the workers' settings."""
    world = scene.world

    def before(who, port, **options):
        proxy = stack.enter_context(Proxy(port, **options).served())
        scene.proxies[who].append(proxy)
        return proxy.port

    front = before("valkey", world.redis.port)
    world.redis_url = world.redis.url.replace(f":{world.redis.port}/", f":{front}/")
    carrier_port = before("carrier", port_of(carrier.url))
    provider_port = before("provider", port_of(account.url))
    smtp_ports = [
        before("smtp", stack.enter_context(mailbox.served(number)), spares=is_prelude)
        for number in range(len(plan.workers))
    ]
    if plan.own_disk:
        scene.disk = stack.enter_context(own_disk(world.folder / "state" / "labels"))
    clock = clocked(world.folder / "clock")
    scene.clock = world.folder / "clock" if clock else None
    ups = {
        "adapter": "tests.fakes.carrier:FakeAdapter",
        "url": f"http://127.0.0.1:{carrier_port}",
        "rate": "1000",
        "timeout_s": "1",
        "settles_within_s": str(plan.lease_s + 2),  # longer than a worker is stopped
    }
    common = SETTINGS | {
        "SQUARE_URL": f"http://127.0.0.1:{provider_port}",
        "FULFILLMENT_CARRIER_ADAPTERS": json.dumps({"ups": ups}),
        "FULFILLMENT_SHIP_FROM": lab.SHOP.model_dump_json(),
        "FULFILLMENT_PARCEL_WEIGHT_G": "500",
        "FULFILLMENT_GRACE_S": str(GRACE_S),
        "FULFILLMENT_THREADS": str(plan.threads),
        "FULFILLMENT_SMTP_TIMEOUT_S": "2",
        "FULFILLMENT_EMAIL_FROM": "shop@shop.example",
    }

    def settings(number):
        own = {"SMTP_URL": f"smtp://127.0.0.1:{smtp_ports[number]}"}
        return common | own | (clock if number == len(plan.workers) - 1 else {})

    return settings


def is_prelude(asked):
    """Whether a mail server was asked anything but to take an e-mail."""
    return not asked.endswith(b"\r\n.\r\n")


def port_of(url):
    return int(url.rpartition(":")[2])


class Storm:
    """Two lanes: what starts servers is done here, everything else beside it."""

    def __init__(self, plan, scene, chance):
        self.plan, self.scene = plan, scene
        kinds = [CATALOGUE[name] for name in plan.only or CATALOGUE]
        kinds = [one for one in kinds if not one.missing(scene)]
        self.main = Deck([one for one in kinds if one.is_main], random.Random(chance.random()))
        self.beside = Deck([one for one in kinds if not one.is_main], chance)
        self.busy = {one.lane: threading.Lock() for one in CATALOGUE.values()}
        self.incidents = []
        self.hindered = Counter()
        """What could not be done, since another fault was in the way."""
        self.problem = None
        self.until = time.monotonic() + plan.lasts_s
        share = len(self.main.kinds) / len(kinds)
        self.main_every_s = plan.every_s / share if share else None
        self.beside_every_s = plan.every_s / (1 - share) if share < 1 else None

    def rage(self):
        """All that was done."""
        beside = threading.Thread(target=self._beside, name="faults", daemon=True)
        beside.start()
        self._turn(self.main, self.main_every_s, self._do)
        beside.join(120)
        if self.problem:
            raise self.problem
        return sorted(self.incidents, key=lambda one: one.begun_at)

    def _beside(self):
        going = []

        def start(kind, chance):
            one = threading.Thread(target=self._do, args=(kind, chance), daemon=True)
            one.start()
            going.append(one)

        try:
            self._turn(self.beside, self.beside_every_s, start)
        finally:
            for one in going:
                one.join(60)

    def _turn(self, deck, every_s, act):
        due = time.monotonic()
        while (left_s := self.until - time.monotonic()) > 0:
            if not deck.kinds:
                time.sleep(left_s)
                return
            due += deck.chance.uniform(0.5, 1.5) * every_s
            time.sleep(min(left_s, max(0, due - time.monotonic())))
            due = max(due, time.monotonic())
            if (kind := deck.next(self.busy)) and time.monotonic() < self.until:
                act(kind, random.Random(deck.chance.random()))

    def _do(self, kind, chance):
        if not self.busy[kind.lane].acquire(blocking=False):
            return
        try:
            leased = leased_now(self.scene)
            begun_at = time.time()
            hit = kind.act(self.scene, chance)
            self.incidents.append(Incident(kind, begun_at, time.time(), hit or frozenset(), leased))
        except (NotNow, *SAFE_TO_REPEAT):
            self.hindered[kind.name] += 1
        except Exception as error:  # noqa: BLE001  # raised again by the main thread
            self.problem = error
            self.until = 0
        finally:
            self.busy[kind.lane].release()


class Deck:
    """Kinds of faults, shuffled again when all have had their turn."""

    def __init__(self, kinds, chance):
        self.kinds, self.chance = kinds, chance
        self.cards = deque()

    def next(self, busy):
        """The next whose lane is free, or None."""
        for _ in range(2 * len(self.kinds)):
            if not self.cards:
                self.cards.extend(self.chance.sample(self.kinds, len(self.kinds)))
            if not busy[self.cards[0].lane].locked():
                return self.cards.popleft()
            self.cards.rotate(-1)
        return None


def leased_now(scene):
    """Follow-ups that somebody is about; None when PostgreSQL does not tell."""
    try:
        with scene.world.connection() as connection:
            rows = connection.execute(
                "select id from followups where state = 'pending' and lease_until is not null"
            )
            return {row_id for (row_id,) in rows}
    except psycopg.Error:
        return None


def back_office(world, account, seed):
    """What is pending at the provider ends there; and on our side time passes."""
    chance = random.Random(seed)
    passes = time.monotonic()
    while not world.over.wait(0.5):
        with account.ledger.lock:
            pending = [one for one in account.ledger.refunds.values() if one.state == "pending"]
        for refund in pending:
            account.ledger.end(refund.refund_id, "settled" if chance.random() < 0.7 else "failed")
        if time.monotonic() > passes:
            passes = time.monotonic() + TIME_PASSES_EVERY_S
            with suppress(psycopg.Error), world.connection() as connection:
                connection.execute(TIME_PASSES)


def settle(world, producers, plan, report):
    """Until everything is in and nothing is open."""
    began = time.monotonic()
    deadline = began + plan.settled_s
    for producer in producers:
        producer.join(max(0, deadline - time.monotonic()))
        if producer.problem:
            raise producer.problem
        if producer.is_alive():
            report.unsettled.append(f"{producer.name} waits: {producer.doubt}")
    wait_for_quiet(world, deadline, report)
    report.settled_s = time.monotonic() - began
    report.sent_again = {one.name: one.again for one in producers}


def wait_for_quiet(world, deadline, report):
    while found := open_work(world):
        if time.monotonic() > deadline:
            report.unsettled.append(f"open: {found}")
            return
        time.sleep(0.2)


def open_work(world):
    with world.connection() as connection:
        return dict(connection.execute(OPEN).fetchall())


def by_hand(world, account, carrier, settings, plan, report):
    """What died is tried again by a person, who also says how refunds ended of which nobody knows."""
    deadline = time.monotonic() + plan.settled_s
    for _ in range(4):
        dead = selected(world, DEAD)
        report.dead.append(dict(dead))
        if not dead:
            return
        unknown = {part_id for (part_id,) in selected(world, UNKNOWN)}
        settled = {row["key"] for row in account.rows() if row["state"] == "settled"}
        by = ("--by", "operator", "--json")
        if paid := unknown & settled:
            world.fulfillment("refunds", "settle", *paid, *by, **settings)
        if unpaid := unknown - settled:
            world.fulfillment("refunds", "fail", *unpaid, "--because", "not there", *by, **settings)
        if selected(world, DEAD):
            world.fulfillment("dead", "replay", "--all", **settings)
        wait_for_quiet(world, deadline, report)


def selected(world, statement):
    with world.connection() as connection:
        return connection.execute(statement).fetchall()


def missing(plan, scene):
    """Kinds that cannot be injected here, and why."""
    return {name: why for name in plan.only or CATALOGUE if (why := CATALOGUE[name].missing(scene))}


def main():
    arguments = read_arguments()
    if arguments.list:
        for one in CATALOGUE.values():
            sys.stdout.write(f"{one.name:32}{one.lane}\n")
        for name, why in NOT_HERE.items():
            sys.stdout.write(f"not injected: {name}: {why}\n")
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is taken down
    plan = Plan(
        arguments.seed,
        arguments.minutes * 60,
        arguments.commands,
        only=tuple(arguments.only),
        every_s=arguments.every,
        lease_s=arguments.lease,
        say=told,
    )
    told(
        f"torture: seed {plan.seed}, {arguments.minutes:g} minutes, {plan.commands} commands;"
        f" again with --seed {plan.seed}\n"
    )
    report = run(plan)
    told(report.table())
    sys.exit(0 if report.is_good else 1)


def told(words):
    sys.stdout.write(words)
    sys.stdout.flush()


def read_arguments():
    parser = argparse.ArgumentParser(prog="python -m tests.faults.torture", description=__doc__)
    seed = int(os.environ.get("FULFILLMENT_TORTURE_SEED") or secrets.randbelow(10**6))
    parser.add_argument("--seed", type=int, default=seed)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--commands", type=int, default=100_000)
    parser.add_argument("--every", type=float, default=1.0, metavar="S", help="seconds a fault")
    parser.add_argument("--lease", type=float, default=10.0, metavar="S", help="of the workers")
    parser.add_argument("--only", nargs="+", default=[], choices=sorted(CATALOGUE), metavar="KIND")
    parser.add_argument("--list", action="store_true", help="name the kinds of faults, and stop")
    return parser.parse_args()


if __name__ == "__main__":
    main()
