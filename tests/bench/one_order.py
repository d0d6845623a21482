"""One order that everything hits: with very many lines, or from several processes at once."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Final

import psycopg

from messages import (
    Command,
    Item,
    OrderLine,
    Payment,
    Place,
    PlacedOrder,
    Ship,
    new_command_id,
    wire,
)
from tests.bench.endurance import UNDECIDED
from tests.bench.lab import BenchFailed, Lab
from tests.bench.measurements import CHUNK, Client
from tests.bench.result import Result

ORDER_ID: Final = "ONE"
WITHIN_S: Final = 240.0

# What must be so afterwards, and what it took.
FOUND: Final = """
select
  (select count(*) from commands where state = 'applied'),
  (select count(*) from commands where attempts > 0 or crashes > 0 or errors <> '[]'),
  (select count(*) from (
     select (outcome ->> 'order_version')::int - row_number() over (order by seq) as off
     from commands) as numbered where off <> 0),
  (select sum(shipped) from order_lines),
  (select max(n) from (select count(*) as n from commands group by claim) as batches)
"""
UPDATES: Final = """
select t.n_tup_upd, d.deadlocks
from pg_stat_user_tables t, pg_stat_database d
where t.relname = 'commands' and d.datname = current_database()
"""


def many_lines(lab: Lab, *, lines: int, commands: int) -> Iterator[Result]:
    """An order of very many lines, a unit of one of them by each command."""
    rate, _, largest = _hit(lab, lines=lines, commands=commands, processes=1)
    yield Result(f"an order of {lines:,} lines", rate, "/s", note=f"{commands:,} commands")
    yield Result("its largest batch", largest, "commands")


def hot(lab: Lab, *, commands: int, runs: int) -> Iterator[Result]:
    """An order of one line, from one worker process and from two; the slowest of some runs."""
    for processes, said in ((1, "one process"), (2, "two processes")):
        hits = sorted(
            _hit(lab, lines=1, commands=commands, processes=processes) for _ in range(runs)
        )
        rate, given_back, largest = hits[0]
        rates = " ".join(f"{one:,.0f}" for one, _, _ in hits)
        yield Result(
            f"one order, {said}, slowest", rate, "/s", note=f"runs of {commands:,}: {rates}"
        )
        yield Result("its largest batch", largest, "commands")
        shares = " ".join(f"{share:.2f}" for _, share, _ in hits)
        yield Result("given back for its place", given_back, "of decided", note=shares)


def _hit(lab: Lab, *, lines: int, commands: int, processes: int) -> tuple[float, float, int]:
    """Commands per second, rows given back for each decided one, and the largest batch.

    Raises:
      BenchFailed: Not all were applied in the order of acceptance, or something failed.
    """
    place, ships = _commands(lines, commands)
    with lab.database() as url, psycopg.connect(url, autocommit=True) as connection:
        with Client(lab, url) as client, ExitStack() as stack:
            workers = [
                stack.enter_context(lab.worker("actors", url, processes=processes))
                for _ in range(processes)
            ]
            beats = f"{wire.NAMESPACE}:__heartbeats__"
            workers[0].wait(lambda: lab.redis.zcard(beats) == processes, "workers are there")

            def is_done() -> bool:
                return not connection.execute(UNDECIDED).fetchone()[0]

            client.send([place])
            workers[0].wait(is_done, "the order is placed")
            began = time.monotonic()
            for start in range(0, commands, CHUNK):
                client.send(ships[start : start + CHUNK])
            workers[0].wait(is_done, "one order", WITHIN_S)
            took_s = time.monotonic() - began
        # Only a session's end is sure to have told its statistics.
        _wait_for_sessions(connection)
        updates, deadlocks = connection.execute(UPDATES).fetchone()
        applied, failed, out_of_order, shipped, largest = connection.execute(FOUND).fetchone()
    if (applied, failed, out_of_order, shipped, deadlocks) != (commands + 1, 0, 0, commands, 0):
        raise BenchFailed(
            f"one order: {applied - 1} of {commands} applied, {shipped} shipped, {failed} failed,"
            f" {out_of_order} out of order, {deadlocks} deadlocks"
        )
    # Each claim is an update and so is what becomes of the row: decided, or given back.
    given_back = (updates - 2 * (commands + 1)) / 2
    return commands / took_s, given_back / commands, largest


def _commands(lines: int, commands: int) -> tuple[Place, Sequence[Command]]:
    each = -(-commands // lines)
    order = PlacedOrder(
        currency="EUR",
        total_minor=lines * each,
        lines=tuple(
            OrderLine(line_id=f"L{n}", name=f"Product {n}", quantity=each, net_minor=each)
            for n in range(lines)
        ),
        payments=(Payment(payment_id="P1", captured_minor=lines * each),),
    )
    ships = [
        Ship(
            command_id=new_command_id(),
            order_id=ORDER_ID,
            items=(Item(line_id=f"L{n % lines}", quantity=1),),
        )
        for n in range(commands)
    ]
    return Place(command_id=new_command_id(), order_id=ORDER_ID, order=order), ships


def _wait_for_sessions(connection: psycopg.Connection) -> None:
    """Until ours is the only session of this database."""
    deadline = time.monotonic() + 10
    others = (
        "select count(*) from pg_stat_activity"
        " where datname = current_database() and pid <> pg_backend_pid()"
        " and backend_type = 'client backend'"
    )
    while connection.execute(others).fetchone()[0]:
        if time.monotonic() > deadline:
            raise BenchFailed("workers ended, and their sessions did not")
        time.sleep(0.05)
