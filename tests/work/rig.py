"""What tests of the work mechanism share: drainers by hand, threads with a deadline, dumps."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, event

from messages import Command, Place
from tests import factories as make
from worker.orders.rules import decide
from worker.settings import Settings
from worker.store.engine import make_engine
from worker.work.accept import URGENT, Lane, Receipts, accept
from worker.work.claim import COMMANDS_TABLE, Batch, claim
from worker.work.commands import commands_route
from worker.work.drain import Drain, Gate, Held, Route

TABLES = (
    "orders",
    "order_lines",
    "order_fees",
    "order_words",
    "payments",
    "shipments",
    "shipment_lines",
    "refunds",
    "refund_lines",
    "refund_parts",
    "history",
    "commands",
    "followups",
    "strays",
    "retention",
    "retention_left",
    "paused_routes",
    "carriers",
    "documents",
    "audit",
    "call_rates",
    "purchases",
    "events",
    "jobs",
    "job_rows",
    "api_keys",
    "traces",
    "users",
    "user_passwords",
    "user_sessions",
    "sign_in_links",
    "sign_in_tries",
    "worker_processes",
)
KEPT = tuple(table for table in TABLES if table != "worker_processes")
"""What does not change by itself while a worker is there."""
EFFECTS = tuple(table for table in KEPT if table not in {"commands", "strays", "events", "traces"})
"""Everything that a command can change beside its own row."""


def until(fact: Callable[[], object], *, within_s: float = 20) -> None:
    """Wait until `fact` is true."""
    deadline = time.monotonic() + within_s
    while not fact():
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(0.01)


def together(*functions: Callable[[], Any], within_s: float = 40) -> list[Any]:
    """Run the functions in a thread each, all at one moment; their results, or what one raised."""
    barrier = threading.Barrier(len(functions))
    results: list[Any] = [None] * len(functions)
    raised: list[BaseException] = []

    def run(number: int) -> None:
        try:
            barrier.wait(10)
            results[number] = functions[number]()
        except BaseException as error:  # noqa: BLE001 - raised again in the test's thread
            raised.append(error)

    threads = [threading.Thread(target=run, args=(n,), daemon=True) for n in range(len(functions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(within_s)
        assert not thread.is_alive(), "a thread still waits"
    if raised:
        raise raised[0]
    return results


@contextmanager
def running(function: Callable[[], Any]) -> Iterator[threading.Thread]:
    """The function in a thread of its own; at the end it must have returned."""
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    yield thread
    thread.join(40)
    assert not thread.is_alive(), "the thread still runs"


def other_engine(url: str, **settings: Any) -> Engine:
    """A pool of its own, as another process would have it."""
    return make_engine(url, Settings(**settings))


def drainer(engine: Engine, **options: Any) -> Drain:
    """A drainer of commands, as a process of its own would have it."""
    return drain_of(commands(engine, **options), engine, **options)


def commands(
    engine: Engine,
    *,
    rules: Any = decide,
    batch_size: int = 200,
    grace_s: float = 900,
    staged: Callable[[str], object] = lambda _: None,
    **_: Any,
) -> Route:
    return commands_route(
        engine, batch_size=batch_size, grace_s=grace_s, staged=staged, rules=rules
    )


def drain_of(
    route: Route,
    engine: Engine,
    *,
    lease_s: float = 1,
    gate: Gate | None = None,
    held: Held | None = None,
    hint: Callable[[str], object] = lambda _: True,
    turn_s: float = 60,
    alone_s: float = 60,
    bulk_look_s: float = 0,
    room: threading.Semaphore | None = None,
    **_: Any,
) -> Drain:
    return Drain(
        engine,
        route,
        lease_s=lease_s,
        gate=gate or Gate(),
        held=held or Held(),
        hint=hint,
        stopping=threading.Event(),
        turn_s=turn_s,
        alone_s=alone_s,
        bulk_look_s=bulk_look_s,
        room=room,
    )


def accepted(engine: Engine, *commands: Command, lane: Lane = URGENT) -> Receipts:
    """Accept and commit."""
    with engine.begin() as connection:
        return accept(connection, commands, lane=lane)


def decided(engine: Engine, *commands: Command) -> list[str]:
    """Accept, drain; the states."""
    accepted(engine, *commands)
    drainer(engine)()
    return [state(engine, command) for command in commands]


def placed(engine: Engine, order_id: str = make.ORDER_ID, **fields: Any) -> Place:
    """An order that is there."""
    command = make.place(order_id=order_id, order=make.placed_order(**fields))
    assert decided(engine, command) == ["applied"]
    return command


def with_lines(engine: Engine, *lines: Any, order_id: str = make.ORDER_ID, **fields: Any) -> Place:
    """An order with these lines that is there."""
    command = make.place(order_id=order_id, order=make.placed_order(*lines, **fields))
    assert decided(engine, command) == ["applied"]
    return command


def claimed(engine: Engine, *, limit: int = 200, lease_s: float = 1) -> Batch:
    """A batch, claimed as a worker does that will not carry it out."""
    with engine.begin() as connection:
        batch = claim(connection, COMMANDS_TABLE, "commands", limit=limit, lease_s=lease_s)
    assert batch is not None
    return batch


def one(engine: Engine, statement: str, **parameters: Any) -> Any:
    """The first row."""
    with engine.begin() as connection:
        return connection.exec_driver_sql(statement, parameters).first()


def rows(engine: Engine, statement: str, **parameters: Any) -> list[Any]:
    """Every row."""
    with engine.begin() as connection:
        return list(connection.exec_driver_sql(statement, parameters))


def run(engine: Engine, statement: str, **parameters: Any) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(statement, parameters)


def command(engine: Engine, command: Command | UUID) -> Any:
    """The command's row, by column, with the seconds until it is due as `due_in_s`."""
    row_id = command if isinstance(command, UUID) else command.command_id
    return one(
        engine,
        "select *, extract(epoch from next_at - now())::float8 as due_in_s from commands"
        " where id = %(id)s",
        id=row_id,
    )


def state(engine: Engine, one_command: Command) -> str:
    return ended(engine, one_command).state


def ended(engine: Engine, one_command: Command) -> Any:
    """State and outcome; unlike the whole row they can be read whatever the body holds."""
    return one(
        engine,
        "select state, outcome, errors from commands where id = %(id)s",
        id=one_command.command_id,
    )


def reason(engine: Engine, one_command: Command) -> str:
    """The reason of a rejection."""
    row = ended(engine, one_command)
    assert row.state == "rejected", (row.state, row.errors)
    return row.outcome["reason"]


def line(engine: Engine, line_id: str = "A", order_id: str = make.ORDER_ID) -> Any:
    return one(
        engine,
        "select * from order_lines where order_id = %(order_id)s and line_id = %(line_id)s",
        order_id=order_id,
        line_id=line_id,
    )


def count(engine: Engine, table: str, where: str = "true") -> int:
    return one(engine, f"select count(*) from {table} where {where}")[0]


def due_now(engine: Engine, where: str = "true") -> None:
    """Let time pass for what waits."""
    run(engine, f"update commands set next_at = now() where state = 'pending' and {where}")


def lease_over(engine: Engine, where: str = "true", table: str = "commands") -> None:
    """Let time pass for leases: their holders are late."""
    run(
        engine,
        f"update {table} set lease_until = now() - interval '1 millisecond'"
        f" where lease_until is not null and {where}",
    )


def older(engine: Engine, seconds: float, *commands: Command) -> None:
    """As if the commands had been accepted so much earlier, and were due now."""
    run(
        engine,
        "update commands set next_at = now(), accepted_at = accepted_at"
        " - %(seconds)s * interval '1 second' where id = any(%(ids)s)",
        seconds=seconds,
        ids=[one.command_id for one in commands],
    )


def dump(engine: Engine, tables: tuple[str, ...] = KEPT) -> dict[str, list[str]]:
    """Every row of the tables, whole, in an order of their own."""
    with engine.begin() as connection:
        return {
            table: sorted(
                row
                for (row,) in connection.exec_driver_sql(f"select t::text from {table} as t").all()
            )
            for table in tables
        }


@contextmanager
def statements(engine: Engine) -> Iterator[list[tuple[str, Any]]]:
    """What is sent to the server meanwhile: statement and parameters."""
    sent: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        sent.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)


def name(statement: str) -> str:
    """The name that our statements begin with: `-- name: what it is for`; empty for others."""
    _, dashes, rest = statement.partition("-- ")
    return rest.split("\n", 1)[0].split(":", 1)[0].strip() if dashes else ""


@contextmanager
def holding(engine: Engine, order_id: str) -> Iterator[Connection]:
    """The order's row locked by another session, for as long as the block runs."""
    with engine.connect() as connection:
        connection.exec_driver_sql(
            "select 1 from orders where order_id = %(id)s for update", {"id": order_id}
        )
        yield connection
        connection.rollback()


class Rules:
    """The rules, with a stop: `reached` is set at the marked order, which waits there for `go`."""

    def __init__(self, order_id: str = make.ORDER_ID) -> None:
        self.order_id = order_id
        self.reached = threading.Event()
        self.go = threading.Event()

    def __call__(self, order: Any, command: Command, world: Any) -> Any:
        if command.order_id == self.order_id:
            self.reached.set()
            assert self.go.wait(30)
        return decide(order, command, world)


class Raising:
    """The rules, with a bug: the marked order makes them raise."""

    def __init__(self, order_id: str, error: Exception) -> None:
        self.order_id = order_id
        self.error = error

    def __call__(self, order: Any, command: Command, world: Any) -> Any:
        if command.order_id == self.order_id:
            raise self.error
        return decide(order, command, world)
