"""The memory of a worker process over many commands of all kinds, through both doors."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import psycopg

from messages import Cancel, Command, Item, Money, Refund, Ship, new_command_id, publish_many, wire
from tests.bench.lab import BenchFailed, Lab, Worker
from tests.bench.measurements import CHUNK, Client, one_by_one
from tests.bench.result import Result

MIB: Final = 2**20
GROWTH_MIB: Final = 2.0
"""What the process may grow by in the second half."""
PER_ORDER: Final = 5

UNDECIDED: Final = (
    "select exists (select from commands where state = 'pending' and decided_at is null)"
)


def memory(lab: Lab, *, commands: int, steps: int, say: Callable[[str], None]) -> Iterator[Result]:
    """One worker process; how much memory it has after each step, when it rests."""
    step = commands // steps
    seen = []
    with (
        lab.database() as url,
        psycopg.connect(url, autocommit=True) as connection,
        Client(lab, url) as client,
        lab.worker("actors", url) as worker,
    ):
        for number in range(1, steps + 1):
            _send(lab, client, _commands(lab, url, step))
            _wait(lab, connection, worker)
            used = worker.leaf().memory_full_info()
            seen.append((used.rss / MIB, used.uss / MIB))
            say(f"after {number * step:>7,}  RSS {seen[-1][0]:.1f} MiB, own {seen[-1][1]:.1f} MiB")
        (applied,) = connection.execute(
            "select count(*) from commands where state = 'applied'"
        ).fetchone()
    if applied != step * steps:
        raise BenchFailed(f"{step * steps} commands were to be applied, {applied} were")
    half = steps // 2
    for name, n in (("half", half), ("all", steps)):
        yield Result(f"worker's RSS after {name}", seen[n - 1][0], "MiB", note=f"{n * step:,}")
    for name, column in (("RSS", 0), ("its own", 1)):
        yield Result(
            f"growth in the second half, {name}",
            seen[-1][column] - seen[half - 1][column],
            "MiB",
            at_most=GROWTH_MIB,
            note=" ".join(f"{one[column]:.1f}" for one in seen),
        )


def _commands(lab: Lab, url: str, count: int) -> list[Command]:
    """Five commands for each of so many new orders; all of them can be applied."""
    made: list[Command] = []
    for ship in lab.place(url, count // PER_ORDER):
        envelope = {"order_id": ship.order_id}
        line_b = (Item(line_id="B", quantity=1),)
        cent = Money(amount_minor=1, currency="EUR")
        made += [
            ship,
            Ship(command_id=new_command_id(), items=line_b, **envelope),
            Refund(command_id=new_command_id(), amount=cent, reason="goodwill", **envelope),
            Cancel(command_id=new_command_id(), items=line_b, refund="full", **envelope),
            Ship(command_id=new_command_id(), items=ship.items, notify_customer=False, **envelope),
        ]
    return made


def _send(lab: Lab, client: Client, commands: Sequence[Command]) -> None:
    """Half through the store's door, and of the rest half in chunks through the broker's."""
    half, rest = len(commands) // 2, len(commands) * 3 // 4
    for start in range(0, half, CHUNK):
        client.send(commands[start : min(start + CHUNK, half)])
    broker = lab.broker()
    broker.declare_queue(wire.INBOX)
    publish_many(broker, commands[half:rest])
    one_by_one(broker, commands[rest:])
    broker.close()


def _wait(lab: Lab, connection: psycopg.Connection, worker: Worker) -> None:
    messages = f"{wire.NAMESPACE}:{wire.INBOX}.msgs"
    worker.wait(lambda: not lab.redis.exists(messages), "memory, acknowledged")
    worker.wait(lambda: not connection.execute(UNDECIDED).fetchone()[0], "memory, decided")
