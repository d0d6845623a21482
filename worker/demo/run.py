"""`make demo`: two hundred orders and some thousand commands through real servers and workers.

One of the workers is killed on the way; then it shows what a newcomer wants to see. It brings its
own servers in a folder of its own, and empties them first, so it can be run again. Of the settings
of the shop it takes only where it may be: its orders and customers are made up, so nobody outside
must hear of them, and its messages are signed by nobody.
"""

import io
import json
import os
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from uuid import UUID

import psutil
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from sqlalchemy import Connection, Engine, text

from messages import Command, Place, publish, publish_many
from worker.broker.redis import make_broker
from worker.console import links, users
from worker.demo import aftermath
from worker.demo.orders import demo_orders
from worker.demo.traffic import parcels_csv, traffic
from worker.embedded.keeper import EmbeddedPair, use
from worker.intake import Refused, read_orders
from worker.intake.loading import load
from worker.jobs.job import Options, job_id
from worker.jobs.jobs import job
from worker.jobs.loading import load as load_job
from worker.jobs.reading import File
from worker.jobs.results import results
from worker.orders.money import to_decimal
from worker.settings import Settings, settings
from worker.store.engine import make_engine
from worker.store.laws import broken
from worker.store.schema import migrate
from worker.work.accept import accept

COMMANDS: Final = 3000
PARCELS: Final = 200
CHUNK: Final = 200
SETTLED_LIMIT_S: Final = 60
DEMO_USER: Final = "demo"
OF_THE_SHOP: Final = (
    "FULFILLMENT_", "DATABASE_URL", "REDIS_URL", "BROKER_DOOR_", "SMTP_", "SQUARE_", "STRIPE_",
)  # fmt: skip
"""How names of settings begin."""
KEPT: Final = ("FULFILLMENT_METRICS_HOST", "FULFILLMENT_METRICS_PORT", "FULFILLMENT_LOG_LEVEL")
"""They tell nothing of the shop, but where there is room for the demo and how much it says."""
DECIDED: Final = "select count(*) filter (where state <> 'pending'), count(*) from commands"
FOLLOWED: Final = """
select count(*) filter (where state <> 'pending'), count(*) from followups
where waits_for is distinct from 'hand'
"""


def main() -> int:
    """Run the demo; 0 when every law holds."""
    console = Console()
    folder = settings().state_dir / "demo"
    with use(folder) as pair:
        environment = own_environment(os.environ, folder, pair)
        os.environ.clear()  # what is asked here goes by the same settings
        os.environ.update(environment)
        shutil.rmtree(folder / "mail", ignore_errors=True)
        engine = make_engine(pair.database_url, Settings())
        console.print("[bold]Real servers[/]: PostgreSQL and Valkey from wheels, on loopback.")
        _empty(engine, pair.redis_url)
        with _workers(folder / "worker.log") as supervisor:
            return _show(console, engine, pair.redis_url, supervisor, folder)


def own_environment(given: Mapping[str, str], folder: Path, pair: EmbeddedPair) -> dict[str, str]:
    """The environment without what the shop has set, such as its keys, mail server, providers and
    carriers, and with what the demo sets.
    """
    own = {
        "DATABASE_URL": pair.database_url,
        "REDIS_URL": pair.redis_url,
        "FULFILLMENT_STATE_DIR": str(folder),  # labels are kept in it
        "FULFILLMENT_RUN_DIR": str(folder / "run"),
        # A typo's order never comes; the demo does not wait a quarter of an hour for it.
        "FULFILLMENT_GRACE_S": "3",
        "FULFILLMENT_LEASE_S": "3",
        "FULFILLMENT_EMAIL_FOLDER": str(folder / "mail"),
        "FULFILLMENT_EMAIL_FROM": aftermath.EMAIL_FROM,
        "FULFILLMENT_SHOP_NAME": aftermath.SHOP_NAME,
        "FULFILLMENT_SHIP_FROM": aftermath.SHIP_FROM.model_dump_json(exclude_none=True),
    }
    kept = {
        name: value
        for name, value in given.items()
        if name in KEPT or not name.upper().startswith(OF_THE_SHOP)  # settings know no case
    }
    return kept | own


def _show(
    console: Console, engine: Engine, redis_url: str, supervisor: psutil.Popen, folder: Path
) -> int:
    orders = json.dumps({"orders": demo_orders()}).encode()
    places = [one for one in read_orders(io.BytesIO(orders)) if isinstance(one, Place)]
    commands = traffic(places, COMMANDS)
    console.print(
        f"[bold]{len(places)} orders[/] in Square's format, [bold]{len(commands)} commands[/] by "
        f"two doors, a fifth of them sent twice, a CSV of {PARCELS} parcels; one of two workers is "
        "killed half-way."
    )
    with _bar(console) as bar:
        with engine.begin() as connection:
            report = load(connection, io.BytesIO(orders))
        taken_in = bar.add_task("orders taken in", total=len(places))
        _wait(engine, bar, taken_in, DECIDED, len(places))
        decided = bar.add_task("commands decided")
        half = len(commands) // 2
        _through_redis(redis_url, commands[:half])
        killed = _kill_one(supervisor)
        _through_the_store(engine, commands[half:])
        aftermath.order_without_city(engine)
        parcels = _bulk(engine, parcels_csv(places, PARCELS))
        sent = {command.command_id for command in commands} | parcels
        _wait(engine, bar, decided, DECIDED, len(places) + 2 + len(sent))
        followed = bar.add_task("labels, slips and e-mails")
        settled, failed = aftermath.settle_refunds(engine)
        _wait(engine, bar, followed, FOLLOWED)
        mended = aftermath.set_right(engine, lambda: _wait(engine, bar, followed, FOLLOWED))
        shown = aftermath.look(engine, Settings(), folder / "look")

    with engine.connect() as connection:
        _print_refused_orders(console, report.refused)
        _print_statuses(console, connection)
        _print_history(console, connection)
        _print_refusals(console, connection)
        busiest = _busiest_second(connection)
        laws = broken(connection)
    table = Table("law", "broken by", title="Conservation, checked in the database")
    for law, count in laws.items():
        table.add_row(law, "[green]nothing[/]" if count == 0 else f"[red]{count} rows[/]")
    console.print(table)
    console.print(
        f"{len(sent)} different commands, each with one outcome; {busiest} decided in the busiest "
        f"second; worker {killed} was killed by SIGKILL on the way."
    )
    console.print(
        f"{settled} refunds were settled by hand, {failed} failed. A dead label, {mended}.",
        highlight=False,
    )
    console.print(f"Look at {', '.join(shown)} in [bold]{folder / 'look'}[/].", highlight=False)
    link = _sign_in_link(engine)
    console.print(
        "Look around:  "
        f"[bold]export FULFILLMENT_STATE_DIR={folder}[/]  and then  "
        "[bold].venv/bin/fulfillment orders list[/]  or  [bold].venv/bin/fulfillment web[/]"
    )
    console.print(
        f"The console, while the latter runs; the link signs in once, for ten minutes:\n{link}",
        highlight=False,
        soft_wrap=True,  # or the link would be broken
    )
    return 0 if not any(laws.values()) else 1


def _sign_in_link(engine: Engine) -> str:
    with engine.begin() as connection:
        users.add(connection, "demo", DEMO_USER, "operator")
        return f"http://127.0.0.1:8080{links.make(connection, 'demo', DEMO_USER)}"


def _empty(engine: Engine, redis_url: str) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("drop schema public cascade"))
        connection.execute(text("create schema public"))
    migrate(engine)
    broker = make_broker(redis_url)
    broker.client.flushall()


@contextmanager
def _workers(log_file: Path) -> Iterator[psutil.Popen]:
    argv = [sys.executable, "-m", "worker", "worker", "--processes", "2", "--threads", "4"]
    with log_file.open("wb") as log:
        supervisor = psutil.Popen(argv, stderr=log, stdout=log)
    try:
        yield supervisor
    finally:
        supervisor.terminate()
        try:
            supervisor.wait(40)
        except psutil.TimeoutExpired:
            supervisor.kill()


def _through_the_store(engine: Engine, commands: Sequence[Command]) -> None:
    for start in range(0, len(commands), CHUNK):
        with engine.begin() as connection:
            accept(connection, commands[start : start + CHUNK])


def _through_redis(redis_url: str, commands: Sequence[Command]) -> None:
    broker = make_broker(redis_url)
    publish_many(broker, commands[: len(commands) // 2])
    for command in commands[len(commands) // 2 :]:
        publish(broker, command)


def _bulk(engine: Engine, csv_text: str) -> set[UUID]:
    """Load the file as `fulfillment bulk` does; the ids of its commands, once all are sent."""
    file = File(io.BytesIO(csv_text.encode()))
    options = Options({})
    sent_id = job_id(file.content.digest, options)
    with engine.begin() as connection:
        load_job(connection, file, sent_id, options, name="parcels.csv")
    deadline = time.monotonic() + SETTLED_LIMIT_S
    while True:
        with engine.connect() as connection:
            if job(connection, sent_id).state == "done":
                rows = results(connection, sent_id, is_all=True)
                return {row.command_id for row in rows if row.command_id}
        if time.monotonic() > deadline:
            raise SystemExit(f"the file's job is not done within {SETTLED_LIMIT_S} s")
        time.sleep(0.1)


def _busiest_second(connection: Connection) -> int:
    return int(
        connection.execute(
            text(
                "select max(n) from (select count(*) as n from commands"
                " where decided_at is not null group by date_trunc('second', decided_at)) as rates"
            )
        ).scalar_one()
    )


def _kill_one(supervisor: psutil.Popen) -> int:
    """SIGKILL for one worker process, as the out-of-memory killer would do it."""
    children = supervisor.children(recursive=True)  # the exposition of metrics is among them
    leaves = [one for one in children if "dramatiq" in one.cmdline() and not one.children()]
    victim = max(leaves, key=lambda child: child.memory_info().rss)
    victim.kill()
    return int(victim.pid)


def _wait(
    engine: Engine, bar: Progress, task: TaskID, counts: str, total: int | None = None
) -> None:
    """Follow the work until all of it has ended: what is there, or `total` if more is on its way.

    Raises:
      TimeoutError: It has not, after a minute.
    """
    deadline = time.monotonic() + SETTLED_LIMIT_S
    while True:
        with engine.connect() as connection:
            ended, there = connection.execute(text(counts)).one()
        wanted = total or there
        bar.update(task, completed=ended, total=wanted)
        if ended >= wanted:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"only {ended} of {wanted} have ended; see worker.log")
        time.sleep(0.1)


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )


def _print_refused_orders(console: Console, refused: Iterable[Refused]) -> None:
    for one in refused:
        console.print(f"Order {one.order_id} was not taken in: {one.message}.")


def _print_statuses(console: Console, connection: Connection) -> None:
    table = Table("fulfillment", "payment", "orders", title="Orders by status")
    rows = connection.execute(
        text(
            "select fulfillment_status, payment_status, count(*)::text from orders"
            " group by 1, 2 order by 1, 2"
        )
    )
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _print_history(console: Console, connection: Connection) -> None:
    order_id = connection.execute(
        text("select order_id from history group by 1 order by count(*) desc, order_id limit 1")
    ).scalar_one()
    table = Table("when", "what", "units", "amount", title=f"Every transaction of {order_id}")
    rows = connection.execute(
        text(
            "select at, event, details, amount_minor, currency from history"
            " join orders using (order_id) where order_id = :order_id order by history_id"
        ),
        {"order_id": order_id},
    )
    for at, event, details, amount_minor, currency in rows:
        units = ", ".join(f"{k} x {v}" for k, v in details.get("items", {}).items())
        amount = "" if amount_minor is None else f"{to_decimal(amount_minor, currency)} {currency}"
        table.add_row(f"{at:%H:%M:%S.%f}"[:-3], event, units, amount)
    console.print(table)


def _print_refusals(console: Console, connection: Connection) -> None:
    table = Table("reason", "commands", "for example", title="Refused, and why")
    rows = connection.execute(
        text(
            "select outcome ->> 'reason', count(*)::text, min(outcome ->> 'message')"
            " from commands where state = 'rejected' group by 1 order by count(*) desc"
        )
    )
    for row in rows:
        table.add_row(*row)
    console.print(table)
