"""Short runs on real servers, each with exactly what brings certain bugs to light: a fault at one
moment, a competitor, a wrong answer. The same worker without a bug passes each.

What is found is what the independent checker says, and some checks of this file: work that never
ends (`settled`) or dies (`dead`), commands of an order that were decided out of turn (`in_order`),
a second copy of an e-mail without a cause (`copies`).
"""

import json
import signal
import threading
import time
from collections import defaultdict
from contextlib import ExitStack, contextmanager, suppress
from math import inf

import psutil
import psycopg
import redis

from messages import Address, Customer, Payment, publish, wire
from tests import factories as make
from tests.fakes.carrier import FakeCarrier
from tests.fakes.server import Wrong
from tests.faults.checker import check
from tests.faults.copies import Interruption, unexplained
from tests.faults.mailbox import Mailbox
from tests.faults.mutants import VARIABLE, plant_in_database
from tests.faults.proxy import Proxy, Way
from tests.faults.report import BUGS
from tests.faults.square import SETTINGS, Account
from tests.faults.test_refunds import HOURS_PASS, KEYS_END
from tests.faults.torture import DEAD
from tests.faults.world import World, leaf, time_passes, wait_until
from worker.broker.hints import Hints
from worker.broker.redis import make_broker
from worker.settings import Settings
from worker.store.engine import make_engine
from worker.work.accept import accept

INBOX = f"{wire.NAMESPACE}:{wire.INBOX}"
HEARTBEATS = f"{wire.NAMESPACE}:__heartbeats__"
SETTLED_S = 12
"""With a bug, which may keep work from ending."""
PATIENT_S = 40
"""Without one: a busy machine is slow."""
LEASE_S = 2

CHECKS = {"settled", "dead", "bugs", "in_order", "copies"}
"""Beside the checker's laws."""

SLOW = """
create function slow() returns trigger language plpgsql as
  $$ begin perform pg_sleep(0.02); return new; end $$;
create trigger slow before update on orders for each row execute function slow();
"""

BOUGHT = """
select count(*) from purchases where shipment_id = %s and state in ('bought', 'voided')
"""

SENDING = """
-- sending: e-mails that are under way, or have been
select id from followups where route = 'emails' and (lease_until is not null or state = 'done')
"""

ENDED = """
select id::text, extract(epoch from decided_at)::float8 from followups
where route = 'emails' and state = 'done'
"""

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
        self.settings = {VARIABLE: mutant or ""}
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
        """So many workers; settings hold for later ones too."""
        self.settings |= settings
        for _ in range(count):
            number = len(self.workers)
            kept = self.world.worker(number, actors="tests.faults.mutated", **self.settings)
            self.workers.append(self.stack.enter_context(kept))

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

    def settle(self):
        """Wait until nothing is open, while time passes for what waits; what is, if that takes too
        long.
        """
        deadline = time.monotonic() + (SETTLED_S if self.mutant else PATIENT_S)
        while self.run(time_passes()) or (found := self.ask(OPEN)):
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
        stage.have_started()
        stage.send(*places, hint=False)
        if open_ := stage.settle():
            return stage.judged(open_)
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
        stage.have_started()
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
        victim = caught(stage, "claim:", held, act=signal.SIGSTOP)
        stage.send(renamed(parcels[0], "C1"))
        wait_until(lambda: all(stage.state(one) != "pending" for one in held), 10)
        stage.settle()
        victim.resume()
        finish(victim)
        return stage.judged(stage.settle())


def crashed(seed, mutant=None):
    """A command's workers are killed three times: first when it was one of several, then twice when
    it was alone.
    """
    with Stage.made(seed, mutant) as stage:
        stage.work(2)
        stage.have_started()
        place = placed("K-0")
        stage.send(place)
        stage.settle()
        caught(stage, "claim:", [make.ship(order_id="K-0")], act=signal.SIGKILL)
        for _ in range(2):
            caught(stage, "claim_suspect:", act=signal.SIGKILL)
        return stage.judged(stage.settle())


def broker(seed, mutant=None):
    """The database is away when messages come; their worker is killed; then all is well again."""
    with Stage.made(seed, mutant) as stage:
        stage.work()
        client = stage.stack.enter_context(redis.Redis.from_url(stage.world.redis_url))
        wait_until(lambda: client.zcard(HEARTBEATS), 10)
        stage.world.database.stop("immediate")
        orders = [placed(f"D-{number}") for number in range(6)]
        sender = make_broker(stage.world.redis_url)
        for one in orders:
            publish(sender, one)
        sender.close()
        stage.published = {str(one.command_id): one.body() for one in orders}
        # It has taken what it fetched in hand, and cannot write it.
        wait_until(lambda: "door_waits" in stage.workers[0].log.read_text(), 20)
        killed(stage.workers)
        stage.world.start_database()
        # Time passes: a broker that is silent for ten seconds is dead.
        client.zadd(HEARTBEATS, dict.fromkeys(client.zrange(HEARTBEATS, 0, -1), 0))
        wait_until(lambda: not client.exists(f"{INBOX}.msgs"), 15)
        return stage.judged(stage.settle())


def endings(seed, mutant=None):
    """Refunds of a few orders end while commands for the same orders are decided; the database is
    slow to write an order.
    """
    with Stage.made(seed, mutant) as stage, provider_of(stage, seed) as account:
        stage.run(SLOW)
        stage.work(2, **paying(account))
        places = [paid(f"E-{number}", account, units=100) for number in range(2)]
        stage.send(*places)
        stage.settle()
        for _ in range(20):
            for place in places:
                fields = {"order_id": place.order_id, "notify_customer": False}
                stage.send(make.refund(amount=make.money(1), **fields))
                stage.send(make.ship(items=make.items(A=1), **fields))
        open_ = stage.settle()
        return stage.judged(open_, ledger=account.rows())


def refunds(seed, mutant=None):
    """The provider pays and its answers are lost, also by a kill; by the time that it is asked
    again it has forgotten keys, and for a while it does not show what it has done.
    """
    with Stage.made(seed, mutant) as stage, provider_of(stage, seed) as account:
        stage.work(**paying(account))
        places = [paid(f"R-{number}", account) for number in range(4)]
        stage.send(*places)
        stage.settle()
        account.held = Held(2)
        parts = [make.refund(order_id=one.order_id, amount=make.money(100)) for one in places]
        stage.send(*parts[:2])
        wait_until(account.held.is_full, 10)
        killed(stage.workers)
        account.release()

        account.ledger.forget_keys()
        account.late.update(one.order.payments[0].payment_id for one in places[:2])
        stage.run(KEYS_END)
        account.refunds_go(Wrong.ERROR_AFTER, Wrong.EMPTY_AFTER)
        stage.send(*parts[2:])
        if_ever(lambda: account.shown_late >= 2 or len(account.rows()) > len(parts))
        account.late.clear()
        stage.run(HOURS_PASS)
        return stage.judged(stage.settle(), ledger=account.rows())


def carrier(seed, mutant=None):
    """A carrier takes long over one label: the order's commands are decided meanwhile. Its worker
    stands still, another finds nothing and buys a second label, then the first one comes after all.
    Answers about other labels are lost.
    """
    fake = FakeCarrier(seed=seed, wrongs=[None], prefix="UP")
    held = fake.before_purchase = Held(1)
    with Stage.made(seed, mutant) as stage, fake:
        ups = {
            "adapter": "tests.fakes.carrier:FakeAdapter",
            "url": fake.url,
            "rate": "1000",
            "timeout_s": "20",
            "settles_within_s": "1",
        }
        stage.work(FULFILLMENT_CARRIER_ADAPTERS=json.dumps({"ups": ups}))
        stack = stage.stack
        stack.callback(held.go.set)
        places = [placed(f"C-{number}") for number in range(3)]
        parcels = [
            make.ship(
                order_id=one.order_id,
                items=make.items(A=1),
                carrier="ups",
                label="generate",
                weight_g=500,
            )
            for one in places
        ]
        stage.send(*places, parcels[0])
        wait_until(held.is_full, 20)
        stage.work()
        beside = make.cancel(order_id="C-0")
        stage.send(beside)
        if not if_ever(lambda: stage.state(beside) != "pending", 4):
            return stage.judged(labels=fake.labels.values())

        victim = leaf(stage.workers[0])
        victim.suspend()
        stack.callback(victim.resume)
        stage.have_started()
        if_ever(lambda: stage.ask(BOUGHT, parcels[0].command_id)[0][0] >= 1)
        held.go.set()
        victim.resume()
        fake.wrongs += [Wrong.ERROR_AFTER, Wrong.CUT_AFTER]
        stage.send(*parcels[1:])
        if_ever(lambda: stage.ask(BOUGHT, parcels[0].command_id)[0][0] >= 2)
        return stage.judged(stage.settle(), labels=fake.labels.values())


def mail(seed, mutant=None):
    """A mail server takes longer than a lease; then both workers are killed while none answers."""
    mailbox = Mailbox()
    with Stage.made(seed, mutant) as stage:
        proxies = []
        for number in range(2):
            port = stage.stack.enter_context(mailbox.served(number))
            proxies.append(stage.stack.enter_context(Proxy(port).served()))
            url = f"smtp://127.0.0.1:{proxies[-1].port}"
            stage.work(SMTP_URL=url, FULFILLMENT_EMAIL_FROM="shop@shop.example")
        stage.have_started()
        places = [placed(f"M-{number}") for number in range(2)]
        stage.send(*places)
        stage.settle()
        with mailbox.lock:  # what it got it keeps, and says nothing
            stage.send(make.ship(order_id="M-0"))
            wait_until(lambda: stage.ask(SENDING), 10)
            time.sleep(LEASE_S + 1.5)
        stage.settle()

        begun_at = time.time()
        with proxies[0].going(Way.HANG), proxies[1].going(Way.HANG):
            stage.send(make.ship(order_id="M-1"))
            wait_until(lambda: len(stage.ask(SENDING)) > 1, 10)
            killed(stage.workers)
        both = Interruption(frozenset({0, 1}), begun_at, time.time())
        open_ = stage.settle()
        ended = dict(stage.ask(ENDED))
        ends = {one.message_id: ended.get(one.message_id[1:37], inf) for one in mailbox.copies}
        open_ += [f"copies: {told}" for told in unexplained(mailbox.copies, ends, [both])]
        return stage.judged(open_, mail=[one.message_id for one in mailbox.copies])


class Held:
    """The first so many calls wait until they may go on."""

    def __init__(self, count):
        self.count, self.came = count, 0
        self.lock = threading.Lock()
        self.go = threading.Event()

    def __call__(self):
        with self.lock:
            self.came += 1
            is_held = self.came <= self.count
        if is_held:
            self.go.wait(30)

    def is_full(self):
        return self.came >= self.count


class Provider(Account):
    """Answers rightly unless told otherwise; its answers can be held up once it has paid."""

    def __init__(self, seed):
        super().__init__(seed, wrong_rate=0)
        self._told["POST"].clear()
        self.held = Held(0)

    def release(self):
        self.held.go.set()

    def serve(self, request, wrong):
        reply = super().serve(request, wrong)
        if request.method == "POST":
            self.held()
        return reply


@contextmanager
def provider_of(stage, seed):
    with Provider(seed) as account:
        stage.stack.callback(account.release)
        yield account


def paying(account):
    """Settings of workers that give money back there."""
    return SETTINGS | {"SQUARE_URL": account.url}


def paid(order_id, account, units=3):
    """An order that is paid in full by a payment of its own, which the provider has."""
    line = make.order_line("A", units)
    payment = Payment(payment_id=f"{order_id}-1", captured_minor=line.net_minor, method="card")
    account.ledger.capture(payment.payment_id, line.net_minor)
    return placed(order_id, line, payments=(payment,))


def if_ever(fact, within_s=SETTLED_S):
    """Whether it becomes true; with a bug it may not."""
    with suppress(AssertionError):
        wait_until(fact, within_s)
    return fact()


def caught(stage, statement, commands=(), *, act):
    """The process that claims: the commands, or what was claimed before. It gets the signal while
    the statement is with PostgreSQL, which carries it out.
    """
    with psycopg.connect(stage.world.database.url) as holder:
        holder.execute("lock table commands in share mode")
        if commands:
            bodies = json.dumps([one.body() for one in commands])
            rows = holder.execute("select answer from accept_commands(%s::jsonb)", [bodies])
            assert {answer for (answer,) in rows} == {"accepted"}
            stage.published |= {str(one.command_id): one.body() for one in commands}
            stage.hints.send(wire.COMMANDS)
        found = []
        wait_until(
            lambda: found.extend(stage.ask(WAITING, f"%-- {statement}%")) or found,
            40,
            every_s=0.01,
        )
        victim = psutil.Process(found[0][0])
        victim.send_signal(act)
        holder.commit()
    wait_until(lambda: stage.ask(LEASED)[0][0] >= max(1, len(commands)), 2, every_s=0.01)
    return victim


def finish(victim):
    """Tell the worker to stop, and wait until it has ended what it held."""
    psutil.Process(victim.ppid()).send_signal(signal.SIGTERM)
    wait_until(lambda: has_ended(victim), 15)


def killed(workers):
    """Kill their processes, and wait until they are dead."""
    victims = [leaf(one) for one in workers]
    for one in victims:
        one.kill()
    wait_until(lambda: all(map(has_ended, victims)), 10, every_s=0.001)


def has_ended(process):
    with suppress(psutil.NoSuchProcess):
        return process.status() == psutil.STATUS_ZOMBIE
    return True


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
