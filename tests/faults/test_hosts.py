"""Workers on two hosts, each with a network of its own to Redis; one of the two is cut."""

from contextlib import contextmanager

import psutil
import pytest

from messages import publish
from tests import factories as make
from tests.faults.checker import check
from tests.faults.proxy import Proxy, Way
from tests.faults.torture import are_at_work, open_work
from tests.faults.world import World, leaf, wait_until
from worker.broker.redis import make_broker
from worker.settings import Settings
from worker.store.engine import make_engine
from worker.work.accept import accept

ORDERS = 5
UNITS = 1_000
PARCELS = 40
"""At each step."""


@pytest.mark.heavy
@pytest.mark.timeout(240)
def test_a_host_without_redis_and_with_it_again(database_url, redis_url, tmp_path):
    """Two supervisors work. One host's way to Redis is cut in the middle of it: what it holds and
    what comes meanwhile is done, by whoever can. When the way is there again, either host alone
    takes what comes by Redis. Each command takes effect once.
    """
    world = World.lent(tmp_path, 0, database_url, redis_url)
    published = {}
    broker = make_broker(redis_url)

    def send():
        """Single units of a few orders, so that both hosts want the same ones."""
        some = [
            make.ship(order_id=f"H-{n % ORDERS}", items=make.items(A=1), notify_customer=False)
            for n in range(PARCELS)
        ]
        published.update({str(one.command_id): one.body() for one in some})
        for one in some:
            publish(broker, one)

    def are_done():
        return decided(world) == published.keys()

    with (
        Proxy(world.redis.port).served() as first,
        Proxy(world.redis.port).served() as second,
        world.worker(0, processes=1, REDIS_URL=through(first, world)) as cut,
        world.worker(1, processes=1, REDIS_URL=through(second, world)) as whole,
    ):
        published.update(placed(world))
        wait_until(lambda: are_at_work(world, [cut, whole], 2), 60)
        send()
        with first.going(Way.HANG):
            send()
            wait_until(are_done, 60)
        for other in (whole, cut):
            with standing_still(leaf(other)):
                send()
                wait_until(are_done, 60)
        wait_until(lambda: not open_work(world), 60)
    broker.close()

    assert check(database_url, published) == []
    with world.connection() as connection:
        states = connection.execute("select state, count(*) from commands group by 1").fetchall()
        shipped = connection.execute("select sum(shipped)::int from order_lines").fetchone()
    assert states == [("applied", ORDERS + 4 * PARCELS)]
    assert shipped == (4 * PARCELS,)


def through(proxy, world):
    """Redis, by way of the proxy."""
    return world.redis_url.replace(f":{world.redis.port}/", f":{proxy.port}/")


def placed(world):
    """Orders with units enough."""
    orders = [
        make.place(order_id=f"H-{n}", order=make.placed_order(make.order_line("A", UNITS)))
        for n in range(ORDERS)
    ]
    engine = make_engine(world.database.url, Settings(), pool_size=1)
    with engine.begin() as connection:
        accept(connection, orders)
    engine.dispose()
    return {str(one.command_id): one.body() for one in orders}


def decided(world):
    with world.connection() as connection:
        rows = connection.execute("select id::text from commands where state <> 'pending'")
        return {row_id for (row_id,) in rows}


@contextmanager
def standing_still(process: psutil.Process):
    process.suspend()
    try:
        yield
    finally:
        process.resume()
