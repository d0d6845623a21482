"""The ticker: hints for what is due, drains where Redis is silent, renews leases, never dies."""

import threading

import psycopg
import pytest
from sqlalchemy import event

from tests import factories as make
from tests.work import rig
from worker.work.claim import COMMANDS_TABLE
from worker.work.drain import Drain, Held
from worker.work.followups import Ended, followups_route
from worker.work.ticker import Ticker


class Hints:
    """Notes the hints; Redis is there or is not."""

    def __init__(self, *, heard=True):
        self.heard = heard
        self.sent = []

    def __call__(self, route):
        self.sent.append(route)
        return self.heard


def ticker_of(engine, drains=None, *, held=None, hints=None, **options):
    drains = drains if drains is not None else {"commands": rig.drainer(engine)}
    options = {"lease_s": 1, "batch_limit_s": 60} | options
    return Ticker(engine, drains, held or Held(), hint=hints or Hints(), **options)


def lease(engine, command):
    """Seconds until the command's lease ends."""
    return rig.one(
        engine,
        "select extract(epoch from lease_until - now())::float8 from commands where id = %(id)s",
        id=command.command_id,
    )[0]


@pytest.mark.parametrize("number", [1, 300])
def test_any_number_of_due_rows_makes_one_hint(engine, number):
    """One look gives one hint for a route with due rows, however many; none for a route without."""
    rig.accepted(engine, *[make.ship(order_id=f"O-{n}") for n in range(number)])
    route = followups_route(engine, "emails", lambda _: Ended({}))
    drains = {"commands": rig.drainer(engine), "emails": rig.drain_of(route, engine)}
    hints = Hints()

    ticker_of(engine, drains, hints=hints).tick()

    assert hints.sent == ["commands"]


def test_look_is_one_statement_for_all_routes(engine):
    """A look costs one statement, whatever the number of routes, and another for the feed; once in
    a few seconds one says that the process is there, and before the first of these one sweeps.
    """
    routes = [followups_route(engine, name, lambda _: Ended({})) for name in ("emails", "labels")]
    drains = {route.name: rig.drain_of(route, engine) for route in routes}
    ticker = ticker_of(engine, {"commands": rig.drainer(engine), **drains})

    with rig.statements(engine) as sent:
        ticker.tick()
        ticker.tick()

    assert [rig.name(statement)[:13] for statement, _ in sent] == [
        *("look", "number_events", "sweep", "tell"),
        *("look", "number_events"),
    ]


def test_nothing_due_no_hint(engine):
    """What waits, is leased or has ended is not due: no hint."""
    rig.placed(engine)
    waiting = make.ship(order_id="O-9")
    rig.decided(engine, waiting, make.ship(items=make.items(A=1)))
    rig.accepted(engine, make.ship())
    rig.claimed(engine)
    hints = Hints()

    ticker_of(engine, hints=hints).tick()

    assert hints.sent == []
    assert rig.state(engine, waiting) == "pending"


def test_drains_itself_when_redis_does_not_answer(engine):
    """A hint that nobody heard: the ticker's process drains, beside the ticker's thread."""
    rig.placed(engine)
    command = make.ship()
    rig.accepted(engine, command)
    seen = []

    def rules(order, one, world):
        seen.append(threading.current_thread().name)
        return rig.decide(order, one, world)

    drains = {"commands": rig.drainer(engine, rules=rules)}
    ticker = ticker_of(engine, drains, hints=Hints(heard=False))
    ticker.tick()

    ticker._helper.join(10)
    assert rig.state(engine, command) == "applied"
    assert seen == ["ticker-drain"]


def test_does_not_drain_when_the_hint_was_heard(engine):
    """A hint that Redis took leaves the work to the workers."""
    rig.placed(engine)
    command = make.ship()
    rig.accepted(engine, command)

    ticker = ticker_of(engine)
    ticker.tick()

    assert ticker._helper is None
    assert rig.state(engine, command) == "pending"


def test_renews_leases_while_it_drains_itself(engine):
    """A drain that the ticker began, and that stands still, does not keep it from renewing."""
    rig.placed(engine)
    command = make.ship()
    rig.accepted(engine, command)
    held, rules = Held(), rig.Rules()
    drains = {"commands": rig.drainer(engine, rules=rules, held=held, lease_s=0.5)}
    ticker = ticker_of(engine, drains, held=held, hints=Hints(heard=False), lease_s=30)

    ticker.tick()
    assert rules.reached.wait(10)
    ticker.tick()
    ticker.tick()
    rules.go.set()
    ticker._helper.join(10)

    assert rig.state(engine, command) == "applied"


def test_renews_what_this_process_holds(engine):
    """A look prolongs the leases of the batches in progress here, and of no others."""
    mine, others = make.ship(), make.ship(order_id="O-2")
    held = Held()
    rig.accepted(engine, mine)
    batch = rig.claimed(engine, lease_s=1)
    rig.accepted(engine, others)
    rig.claimed(engine, lease_s=1)

    with held.hold(batch):
        ticker_of(engine, held=held, lease_s=30).tick()

    assert 20 < lease(engine, mine) <= 30
    assert lease(engine, others) <= 1


def test_does_not_renew_what_was_taken_away(engine):
    """A batch of which rows went to another claim: their lease is that one's affair."""
    command, held = make.ship(), Held()
    rig.accepted(engine, command)
    batch = rig.claimed(engine)
    rig.run(engine, "update commands set claim = nextval('work_claim')")

    with held.hold(batch):
        ticker_of(engine, held=held, lease_s=30).tick()

    assert lease(engine, command) <= 1


def test_does_not_wait_for_rows_that_b_holds(engine):
    """Rows that B has locked need no renewing, and the ticker does not wait for them."""
    command, held = make.ship(), Held()
    rig.accepted(engine, command)
    batch = rig.claimed(engine)

    with engine.connect() as b, held.hold(batch):
        b.exec_driver_sql("select 1 from commands for update")
        ticker_of(engine, held=held, lease_s=30).tick()
        b.rollback()

    assert lease(engine, command) <= 1


def test_batch_beyond_its_limit_is_a_problem(engine):
    """A batch that takes longer than its limit is no longer renewed, and is the reason to end the
    process.
    """
    command, held = make.ship(), Held()
    rig.accepted(engine, command)
    batch = rig.claimed(engine)
    ticker = ticker_of(engine, held=held, lease_s=30, batch_limit_s=0.01, every_s=60)
    ticker.start()

    with held.hold(batch):
        rig.until(lambda: held.now()[0][1] > 0.01)
        ticker.tick()
        assert ticker.problem() == "a batch of 1 commands runs for 0 s"
    assert ticker.problem() is None

    ticker.stop()
    assert lease(engine, command) <= 1


def test_dead_thread_is_a_problem(engine):
    """Not started, the ticker is a reason to end the process; stopped in good order it is none."""
    ticker = ticker_of(engine, every_s=0.01)
    assert ticker.problem() == "the ticker's thread is dead"

    ticker.start()
    assert ticker.problem() is None

    ticker.stop()
    assert ticker.problem() is None


def test_tells_the_drain_of_suspects(engine):
    """Rows whose lease expired are told to the drain, with a hint; then they run alone."""
    rig.placed(engine)
    command = make.ship()
    rig.accepted(engine, command)
    rig.claimed(engine)
    rig.lease_over(engine)
    drain = rig.drainer(engine)
    hints = Hints()

    ticker_of(engine, {"commands": drain}, hints=hints).tick()

    assert drain.has_suspects.is_set()
    assert hints.sent == ["commands"]
    with rig.statements(engine) as sent:
        drain()
    assert rig.name(sent[0][0]) == "claim_suspect"
    assert rig.state(engine, command) == "applied"
    assert not drain.has_suspects.is_set()


def test_does_not_die_of_database_errors(engine, database_url):
    """While the database is away the ticker goes on looking; when it is back it hints again."""
    rig.accepted(engine, make.ship())
    refusals = []
    hints = Hints()
    own = rig.other_engine(database_url)
    ticker = ticker_of(own, hints=hints, every_s=0.01)

    @event.listens_for(own, "do_connect")
    def away(*_):
        if len(refusals) < 5:
            refusals.append(1)
            raise psycopg.OperationalError("planted: the database is away")

    ticker.start()
    rig.until(lambda: hints.sent)

    assert len(refusals) == 5
    assert ticker.problem() is None
    ticker.stop()
    own.dispose()


def test_does_not_die_of_anything(engine):
    """Not even a bug in a hint ends the ticker's thread."""
    rig.accepted(engine, make.ship())
    raised = []

    def hint(route):
        raised.append(route)
        raise KeyError(route)

    ticker = ticker_of(engine, hints=hint, every_s=0.01)
    ticker.start()
    rig.until(lambda: len(raised) > 3)

    assert ticker.problem() is None
    ticker.stop()


def test_every_part_of_the_runtime_together(runtime):
    """A runtime by hand: the ticker finds what is due, hints into Redis, its drain decides."""
    rig.placed(runtime.engine)
    command = make.ship()
    rig.accepted(runtime.engine, command)

    runtime.ticker.tick()
    runtime.drains["commands"]()

    assert isinstance(runtime.drains["commands"], Drain)
    assert runtime.drains["commands"].route.table is COMMANDS_TABLE
    assert rig.state(runtime.engine, command) == "applied"


def test_stuck_ticker_is_a_problem(engine):
    """A ticker that hangs in a tick, twice as long as a batch may take, ends its process."""
    rig.accepted(engine, make.ship())
    released = threading.Event()
    ticker = ticker_of(engine, hints=lambda _: released.wait(10), batch_limit_s=0.05, every_s=0.01)

    ticker.start()
    rig.until(lambda: str(ticker.problem()).startswith("the ticker has not turned for"))

    released.set()
    ticker.stop()
    assert ticker.problem() is None
