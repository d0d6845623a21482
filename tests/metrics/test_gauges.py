"""What only the database knows, and a scrape while it does not answer."""

import socket

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import NullPool, create_engine

from tests import factories as make
from tests.metrics.reading import exposed, value, where
from tests.work import rig
from tests.work.refund_rig import one_part
from worker import __version__
from worker.metrics.gauges import RedisGauge, WorkGauges
from worker.probe import redis_answers
from worker.settings import Settings
from worker.store.engine import make_engine
from worker.work.queues import pause


def gauges(engine, **options):
    registry = CollectorRegistry()
    registry.register(WorkGauges(engine, **options))
    return lambda: exposed(registry)


def test_work(engine):
    """Per queue: due, waiting and for what, in progress, and how old the oldest is."""
    rig.placed(engine)
    rig.decided(engine, make.ship(items=make.items(A=1)), make.ship(order_id="O-2"))
    rig.run(engine, "update followups set staged_at = now() - interval '100 s'")
    rig.accepted(engine, make.ship(items=make.items(A=1)))
    rig.claimed(engine, lease_s=60)
    with engine.begin() as connection:
        pause(connection, "labels", "the printer is out of the customer's paper", actor="operator")

    series = gauges(engine)()

    assert where(series, "fulfillment_work_due") == {("emails",): 1}
    assert where(series, "fulfillment_work_waiting") == {("commands", "order"): 1}
    assert where(series, "fulfillment_work_in_progress") == {("commands",): 1}
    assert value(series, "fulfillment_work_oldest_seconds", queue="emails") == pytest.approx(
        100, abs=20
    )
    assert value(series, "fulfillment_work_oldest_seconds", queue="refunds") == 0
    assert where(series, "fulfillment_work_overdue_seconds").keys() == {("emails",)}
    assert where(series, "fulfillment_queue_paused") == {("labels",): 1}
    assert value(series, "fulfillment_database_up") == 1
    assert value(series, "fulfillment_build_info", version=__version__) == 1


def test_dead_by_reason(engine):
    """By queue and class of reason; what is no class is counted under `other`, all together."""
    rig.placed(engine)
    rig.accepted(engine, *[make.ship() for _ in range(4)])
    reasons = ["bug", "bug", "550 <ada@example.com>", "Ada Example"]
    for number, reason in enumerate(reasons):
        rig.run(
            engine,
            "update commands set state = 'dead', decided_at = now(), dead_reason = %(reason)s"
            " where id = (select id from commands where state = 'pending' limit 1)",
            reason=reason,
            number=number,
        )

    assert where(gauges(engine)(), "fulfillment_dead_letters") == {
        ("commands", "bug"): 2,
        ("commands", "other"): 2,
    }


def test_strays(engine):
    """What came in and is no command."""
    rig.run(engine, "insert into strays (reason, body) values ('unreadable', 'x')")

    assert value(gauges(engine)(), "fulfillment_strays") == 1


def test_refund_parts(engine):
    """Those that are not as they should be, by what went wrong; none shows as 0."""
    one_part(engine)
    assert value(gauges(engine)(), "fulfillment_refund_parts", state="failed") == 0

    rig.run(engine, "update refund_parts set state = 'failed'")

    assert where(gauges(engine)(), "fulfillment_refund_parts") == {("failed",): 1}


def test_scrapes_in_quick_succession_ask_once(engine):
    """Several Prometheus servers, or a person who reloads, cost the database one reading."""
    scrape = gauges(engine, fresh_s=60)

    with rig.statements(engine) as sent:
        first, again = scrape(), scrape()

    assert first == again
    assert [rig.name(statement) for statement, _ in sent].count("queues") == 1


def test_a_database_that_is_away():
    """One gauge says so, and the build; nothing stale is shown for it."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        away = make_engine(f"postgresql://x@127.0.0.1:{port}/x", Settings())
        series = gauges(away)()

    assert {name for name, _ in series} == {"fulfillment_database_up", "fulfillment_build_info"}
    assert value(series, "fulfillment_database_up") == 0


def test_a_database_that_says_nothing(capsys):
    """A scrape waits for it as long as it has patience, not as long as the driver; once the driver
    gave up, the log says why.
    """
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        engine = create_engine(f"postgresql+psycopg://x@127.0.0.1:{port}/x?connect_timeout=60")
        series = gauges(engine, patience_s=0.05)()

    assert value(series, "fulfillment_database_up") == 0
    rig.until(lambda: "reason=database_away" in capsys.readouterr().out)


def test_a_database_that_comes_back(engine):
    """Gauges are there again with the next scrape."""
    scrape = gauges(engine, fresh_s=60)
    rig.run(engine, "alter table strays rename to away")
    missing = scrape()
    rig.run(engine, "alter table away rename to strays")

    assert value(missing, "fulfillment_database_up") == 0
    assert value(missing, "fulfillment_strays") is None
    assert value(scrape(), "fulfillment_strays") == 0


def test_redis(redis_url):
    """Whether somebody answers at its address, be it "no" for want of a password."""
    registry = CollectorRegistry()
    registry.register(RedisGauge(redis_url))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.listen()
        ups = [
            value(exposed(registry), "fulfillment_redis_up"),
            redis_answers(redis_url),
            redis_answers("redis://127.0.0.1:1/0"),
            redis_answers(f"redis://127.0.0.1:{silent.getsockname()[1]}"),
            redis_answers("redis://127.0.0.1:port"),
            redis_answers("unix:///nowhere"),
        ]

    assert ups == [1, True, False, False, False, False]


def test_nothing_old_is_shown(engine, database_url):
    """A database that answered once, and then keeps a scrape waiting, counts as away."""
    url = database_url.replace("postgresql://", "postgresql+psycopg://")
    patient = create_engine(url, poolclass=NullPool)
    scrape = gauges(patient, fresh_s=0.3, patience_s=0.05)
    rig.until(lambda: value(scrape(), "fulfillment_database_up") == 1)

    with engine.connect() as other:
        other.exec_driver_sql("lock table strays")
        rig.until(lambda: value(scrape(), "fulfillment_database_up") == 0)
        during = scrape()
        other.rollback()

    assert value(during, "fulfillment_strays") is None
    rig.until(lambda: value(scrape(), "fulfillment_strays") == 0)
