"""Canaries: secrets and personal data, planted in one run where much fails, are in nothing that is
told of it.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest
from typer.testing import CliRunner

from messages import Customer, Payment, publish, wire
from messages.order import Address
from tests import factories as make
from tests.acceptance.processes import ROOT, until
from tests.emails.mail_rig import MailServer, event_loop
from tests.fakes.server import FakeServer, Reply
from tests.work import rig
from worker.broker.redis import make_broker
from worker.cli.root import app

PEOPLE = {
    "name": "Canaryname",
    "email": "canarymail@shop.example",
    "phone": "+1 555 0100 4711",
    "street": "77 Canarystreet",
    "card": "4242424242424242",
}
SECRETS = {
    "door": "canary-of-the-door-with-32-bytes-or-more",
    "smtp": "canary-smtp-password",
    "square": "canary-square-token",
    "square_webhook": "canary-square-webhook",
    "stripe": "sk_test_canarystripe",
    "stripe_webhook": "whsec_canarystripe",
    "carrier": "canary-carrier-key",
}
QUOTED = " ".join(PEOPLE.values())


class Quoting(FakeServer):
    """A provider and carrier that refuses everything, and quotes all that it was told."""

    asked = 0

    def answer(self, request):
        self.asked += 1
        return Reply(400, self.error(400, f"{request.headers} {request.body!r}"))

    def error(self, status, told=""):
        del status
        return {"error": {"type": "invalid_request_error", "message": f"{QUOTED} {told}"}}


@pytest.fixture
def quoting():
    with Quoting() as made:
        yield made


@pytest.fixture
def mail_server():
    """It refuses every address, and quotes it."""
    with event_loop() as loop:
        server = MailServer(loop)
        server.answers["RCPT"] = [f"550 5.1.1 no such person: {QUOTED}"] * 20
        yield server
        server.stop()


@pytest.fixture
def environment(database_url, redis_url, quoting, mail_server, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    return {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "BROKER_DOOR_KEYS": f"one:{SECRETS['door']}",
        "SMTP_URL": f"{mail_server.url}?starttls=never",
        "FULFILLMENT_EMAIL_FROM": "orders@shop.example",
        "SQUARE_ACCESS_TOKEN": SECRETS["square"],
        "SQUARE_WEBHOOK_KEY": SECRETS["square_webhook"],
        "STRIPE_API_KEY": SECRETS["stripe"],
        "STRIPE_WEBHOOK_SECRET": SECRETS["stripe_webhook"],
        "STRIPE_URL": quoting.url,
        "SQUARE_URL": quoting.url,
        "FULFILLMENT_REFUND_PROVIDERS": json.dumps({"card": "stripe", "square": "square"}),
        "FULFILLMENT_CARRIER_ADAPTERS": json.dumps(
            {
                "ups": {
                    "adapter": "tests.fakes.carrier:FakeAdapter",
                    "url": quoting.url,
                    "key": SECRETS["carrier"],
                    "rate": "1000",
                    "timeout_s": "20",
                }
            }
        ),
        "FULFILLMENT_PARCEL_WEIGHT_G": "500",
        "FULFILLMENT_LABEL_STORE": str(tmp_path / "labels"),
        "FULFILLMENT_STATE_DIR": str(tmp_path / "state"),
        "FULFILLMENT_RUN_DIR": str(tmp_path / "run"),
        "FULFILLMENT_LOG_LEVEL": "debug",
        "FULFILLMENT_METRICS_PORT": str(port),
        "PYTHONPATH": str(ROOT),
    }


def commands():
    """One order whose parcels, refunds and e-mails all fail, and what is no command."""
    address = Address(
        name=PEOPLE["name"],
        lines=(PEOPLE["street"],),
        city="Springfield",
        district="IL",
        postal_code="62701",
        country="US",
    )
    customer = Customer(name=PEOPLE["name"], email=PEOPLE["email"], phone=PEOPLE["phone"])
    order = make.placed_order(
        make.order_line("A", 6),
        customer=customer,
        ship_to=address,
        ship_from=address,
        payments=(
            Payment(payment_id="pi_1", captured_minor=300, method="card"),
            Payment(payment_id="P2", captured_minor=300, method="square"),
        ),
    )
    one = make.items(A=1)
    return [
        make.place(order=order),
        make.ship(items=one, carrier="ups", label="generate"),
        make.ship(items=one),
        make.refund(amount=make.money(500), reason=PEOPLE["card"]),
        make.cancel(items=make.items(Z=1), reason=QUOTED),
    ]


def published(redis_url):
    """What is sent through the broker door: unsigned, unreadable, and no command at all."""
    broker = make_broker(redis_url)
    publish(broker, make.cancel(reason=QUOTED))
    broker.do_enqueue(wire.INBOX, "1", f"{{ {QUOTED}".encode())
    broker.close()


INVALID = (
    "select * from accept_commands(%(bodies)s::jsonb)",
    [
        {"kind": "ship", "order_id": "O-1", "note": QUOTED},
        {"kind": "refund", "order_id": "O-1", "amount": QUOTED, QUOTED: 1},
        {"kind": "place", "order_id": "O-9", "order": {"customer": {"email": QUOTED}}},
    ],
)


def invalid(engine):
    """Commands that have an id, and bodies that are wrong by what they say of people."""
    statement, bodies = INVALID
    bodies = [body | {"command_id": str(make.ship().command_id)} for body in bodies]
    rig.run(engine, statement, bodies=json.dumps(bodies))


TOLD = """
select 'command', id::text, concat(errors, outcome, dead_reason) from commands
union all
select 'followup', id::text, concat(errors, outcome, dead_reason)
from followups
union all
select 'purchase', purchase_id::text, concat(note) from purchases
union all
select 'stray', stray_id::text, concat(reason, problem) from strays
"""


@pytest.mark.heavy
def test_nothing_is_told_of_people_or_secrets(owner, environment, quoting, mail_server, tmp_path):
    """Neither by the logs of real worker processes, nor by errors and outcomes, the doctor, queues,
    metrics, dead letters, or what commands that fail say.
    """
    published(environment["REDIS_URL"])
    rig.accepted(owner, *commands())
    invalid(owner)
    log = tmp_path / "log"
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    with log.open("wb") as words:
        process = subprocess.Popen(
            [sys.executable, "-m", "worker", "worker", "--processes", "1"],
            env=kept | environment,
            cwd=ROOT,
            stdout=words,
            stderr=words,
        )
    try:
        until(lambda: is_over(owner), 60, "an end for all")
        metrics = read(f"http://127.0.0.1:{environment['FULFILLMENT_METRICS_PORT']}/metrics")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)

    told = {"log": log.read_text(), "metrics": metrics}
    told |= {f"{what} {number}": text for what, number, text in rig.rows(owner, TOLD)}
    (dead, *_) = rig.rows(owner, "select id from followups where state = 'dead'")
    for line in (
        ["doctor"],
        ["queues"],
        ["dead", "list"],
        ["dead", "list", "--json"],
        *(["dead", "show", str(row.id)] for row in rig.rows(owner, DEAD)),
        ["dead", "replay", str(dead.id), "--dry-run"],
        ["strays", "list", "--groups"],
        ["strays", "replay", "--all"],
        ["audit"],
        ["ship", "O-1", "--item", PEOPLE["card"]],
    ):
        result = CliRunner().invoke(app, line, env=environment)
        told[" ".join(line)] = f"{result.output} {result.exception!r}"

    assert quoting.asked >= 2
    assert len(mail_server.senders) >= 1
    assert {row.route for row in rig.rows(owner, DEAD)} >= {"emails", "refunds"}
    database = environment["DATABASE_URL"].split(":")[2].split("@")[0]
    canaries = PEOPLE | SECRETS | {"database": database}
    assert "metrics" in told
    assert "fulfillment" in metrics
    leaks = {
        (where, name)
        for where, text in told.items()
        for name, canary in canaries.items()
        if canary in text
    }
    leaks -= {(f"ship O-1 --item {PEOPLE['card']}", "card")}  # what was typed, said back
    assert leaks == set()


DEAD = "select id, route from followups where state = 'dead'"


def is_over(engine):
    """Commands are decided; follow-ups have ended or wait after a failure."""
    commands = rig.count(engine, "commands", "state = 'pending'")
    untried = "state = 'pending' and errors = '[]' and waits_for is null"
    fresh = rig.count(engine, "followups", untried)
    return not commands and not fresh and rig.count(engine, "strays") == 2


def read(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()
