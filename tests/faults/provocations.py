"""Short runs on real servers, each with exactly what brings certain bugs to light: a fault at one
moment, a competitor, a wrong answer. The same worker without a bug passes each.

What is found is what the independent checker says, and some checks of this file: work that never
ends (`settled`) or dies (`dead`), commands of an order that were decided out of turn (`in_order`), a
second copy of an e-mail without a cause (`copies`).
"""

import signal
import time
from collections import defaultdict
from contextlib import ExitStack, contextmanager

import psutil
import psycopg

from messages import Address, Customer, wire
from tests import factories as make
from tests.faults.checker import check
from tests.faults.mutants import VARIABLE, plant_in_database
from tests.faults.report import BUGS
from tests.faults.torture import DEAD
from tests.faults.world import World, leaf, wait_until
from worker.broker.hints import Hints
from worker.settings import Settings
from worker.store.engine import make_engine
from worker.work.accept import accept

SETTLED_S = 8
SOON_S = 3
LEASE_S = 2

CHECKS = {"settled", "dead", "bugs", "in_order", "copies"}
"""Beside the checker's laws."""

OPEN = """
-- open: what has not ended, but parcels that are followed
select coalesce(w, 'nothing'), count(*) from (
  select kind || ' for ' || coalesce(waits_for, 'a worker') as w from commands
  where state = 'pending'
  union all
  select route || ' for ' || coalesce(waits_for, 'a worker') from followups
  where state = 'pending' and route <> 'tracking'
) as open group by 1
"""

DECIDED = """
-- decided: what was applied to each order, as it was accepted
select order_id, id, (outcome ->> 'order_version')::int from commands
where state = 'applied' and outcome ->> 'changed' = 'true' order by order_id, seq
"""

WAITING = """
-- waiting: processes of workers whose claim waits for a lock
select substr(application_name, 13)::int from pg_stat_activity
where application_name like 'fulfillment %%' and wait_event_type = 'Lock' and query like %s
"""

SESSIONS = """
-- sessions: processes of workers that are connected
select distinct substr(application_name, 13)::int from pg_stat_activity
where application_name like 'fulfillment %'
"""

LEASED = "select count(*) from commands where state = 'pending' and lease_until is not null"


class Stage:
    """One run: servers, workers with a bug, and the log of a producer."""

    def __init__(self, world, stack, mutant):
        self.world, self.stack, self.mutant = world, stack, mutant
        self.engine = make_engine(world.database.url, Settings(), pool_size=4)
        stack.callback(self.engine.dispose)
        self.hints = Hints(world.redis_url, limit=1000)
        stack.callback(self.hints.close)
        self.workers = []
        self.published = {}

    @classmethod
    @contextmanager
    def made(cls, seed, mutant):
        with ExitStack() as stack:
            world = stack.enter_context(World.made(seed, lease_s=LEASE_S))
            if mutant:
                with world.connection() as connection:
                    plant_in_database(mutant, connection)
            yield cls(world, stack, mutant)

    def work(self, count=1, **settings):
        """So many workers, which have started when this returns."""
        named = {VARIABLE: self.mutant or ""} | settings
        for _ in range(count):
            number = len(self.workers)
            kept = self.world.worker(number, actors="tests.faults.mutated", **named)
            self.workers.append(self.stack.enter_context(kept))
        self.have_started()

    def have_started(self):
        """Wait until each worker's process has reached the database."""
        wait_until(lambda: len(self.sessions()) >= len(self.workers), 30)

    def sessions(self):
        """Numbers of the workers' processes that are connected."""
        here = {one.pid for one in map(leaf, self.workers) if one}
        return here & {pid for (pid,) in self.ask(SESSIONS)}

    def send(self, *commands, hint=True):
        """Accepted and, where the producer tells of it, hinted. A producer whose command is said to
        be in holds it to be in.
        """
        with self.engine.begin() as connection:
            self.note(commands, accept(connection, commands))
        if hint:
            self.hints.send(wire.COMMANDS)

    def note(self, commands, receipts):
        for one, receipt in zip(commands, receipts, strict=True):
            if receipt.answer in {"accepted", "known"}:
                self.published[str(one.command_id)] = one.body()

    def ask(self, statement, *values):
        with self.world.connection() as connection:
            return connection.execute(statement, values or None).fetchall()

    def run(self, statement, *values):
        with self.world.connection() as connection:
            connection.execute(statement, values or None)

    def state(self, command):
        return self.ask("select state from commands where id = %s", command.command_id)[0][0]

    def settle(self, within_s=SETTLED_S):
        """Wait until nothing is open; what is, if that takes too long."""
        deadline = time.monotonic() + within_s
        while found := self.ask(OPEN):
            if time.monotonic() > deadline:
                return [f"settled: {count} {what}" for what, count in found]
            time.sleep(0.05)
        return []

    def judged(self, open_=(), **books):
        """What every check says."""
        found = check(self.world.database.url, self.published, **books)
        found += [f"bugs: {told}" for (told,) in self.ask(BUGS)]
        found += [f"dead: {count} {what}" for what, count in self.ask(DEAD)]
        return [*found, *in_order(self.ask(DECIDED)), *open_]


def in_order(decided):
    """Commands of one order take effect in the order of their acceptance, in a run where none has
    to wait for another.
    """
    versions = defaultdict(list)
    for order_id, row_id, version in decided:
        before = versions[order_id]
        if before and version < max(before):
            yield f"in_order: command {row_id} of {order_id} was decided out of turn"
        before.append(version)


def unhinted(seed, mutant=None):
    """Nobody sends hints, the worker's clock is an hour slow, and a producer uses an id again for
    something else.
    """
    with Stage.made(seed, mutant) as stage:
        stage.work(MUTANT_CLOCK_S="-3600")
        places = [placed(f"U-{number}") for number in range(4)]
        stage.send(*places, hint=False)
        stage.settle(SOON_S)
        commands = [
            make_one(order_id=place.order_id, items=make.items(A=1), **fields)
            for place in places
            for make_one, fields in (
                (make.ship, {"label": "generate"}),
                (make.ship, {"label": "generate"}),
                (make.cancel, {}),
            )
        ]
        stage.send(*commands, hint=False)
        stage.send(commands[0].model_copy(update={"items": make.items(A=3)}), hint=False)
        open_ = stage.settle()
        return stage.judged(open_, files=stage.world.folder / "state" / "labels")


def stood_still(seed, mutant=None):
    """A worker stands still between its claim and its work; when its lease is over another does
    that work; then it goes on with what it held.
    """
    with Stage.made(seed, mutant) as stage:
        stage.work(2)
        places = [placed(f"S-{number}") for number in range(4)]
        parcels = [
            make.ship(order_id=one.order_id, items=make.items(A=1), tracking_number="A1")
            for one in places
        ]
        stage.send(*places, *parcels)
        wait_until(lambda: not stage.ask(OPEN), 10)
        held = [
            renamed(parcels[0], "B1"),
            renamed(parcels[1], "B1"),
            make.cancel(order_id="S-2"),
            make.ship(order_id="S-3", items=make.items(A=1)),
        ]
        victim = caught_claiming(stage, held)
        stage.send(renamed(parcels[0], "C1"))
        wait_until(lambda: all(stage.state(one) != "pending" for one in held), 10)
        stage.settle()
        victim.resume()
        finish(stage, victim)
        return stage.judged(stage.settle())


def caught_claiming(stage, commands, *, act=signal.SIGSTOP):
    """The process that claims the commands; it gets the signal while the claim is with PostgreSQL,
    which carries it out.
    """
    with psycopg.connect(stage.world.database.url) as holder:
        holder.execute("lock table commands in share mode")
        rows = holder.execute(
            "select answer from accept_commands(%s::jsonb)",
            [psycopg.types.json.Jsonb([one.body() for one in commands])],
        ).fetchall()
        assert {answer for (answer,) in rows} == {"accepted"}
        stage.published |= {str(one.command_id): one.body() for one in commands}
        stage.hints.send(wire.COMMANDS)
        found = []
        wait_until(
            lambda: found.extend(stage.ask(WAITING, "%-- claim%")) or found, 10, every_s=0.01
        )
        victim = psutil.Process(found[0][0])
        victim.send_signal(act)
        holder.commit()
    wait_until(lambda: stage.ask(LEASED)[0][0] == len(commands), 2, every_s=0.01)
    return victim


def finish(stage, victim):
    """Tell the worker to stop, and wait until it has ended what it held."""
    psutil.Process(victim.ppid()).send_signal(signal.SIGTERM)
    wait_until(lambda: not victim.is_running() or victim.status() == psutil.STATUS_ZOMBIE, 15)


def placed(order_id, *lines, **fields):
    """An order whose customer has an address, for parcels and for e-mails."""
    street = {"city": "Springfield", "district": "IL", "postal_code": "62701", "country": "US"}
    customer = Customer(name=f"Customer {order_id}", email=f"{order_id.lower()}@shop.example")
    whole = {
        "customer": customer,
        "ship_to": Address(name=customer.name, lines=("1 Main Street",), **street),
        "ship_from": Address(name="Shop", lines=("2 Side Street",), **street),
    }
    return make.place(order_id=order_id, order=make.placed_order(*lines, **whole | fields))


def renamed(parcel, number):
    """A correction that nobody is told of."""
    return make.update_tracking(
        parcel, order_id=parcel.order_id, tracking_number=number, notify_customer=False
    )
