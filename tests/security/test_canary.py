"""Canaries: secrets and personal data, planted in one run where much fails, are in nothing that is
told of it.
"""

import base64
import hmac
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import psycopg
import pytest
from typer.testing import CliRunner

from messages import Customer, Payment, SigningKey, publish, wire
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
NOTIFIED = "https://shop.example/webhooks/square"


class Quoting(FakeServer):
    """A provider and carrier that refuses everything, and quotes all that it was told."""

    def __init__(self):
        super().__init__()
        self.asked = set()
        """The first words of paths."""

    def answer(self, request):
        self.asked.add(request.path[0])
        answer = self.error(400, f"{request.headers} {request.body!r}")
        if request.path[0] == "labels":
            answer |= {
                "error": "bad_address",
                "fields": ["postal_code"],
                "message": answer["error"],
            }
        return Reply(400, answer)

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
        "SQUARE_WEBHOOK_URL": NOTIFIED,
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
        *(make.place(order_id=name, order=order) for name in BROKEN),
    ]


BROKEN = ("O-BAD-ROW", "O-BAD-CAST")
"""Orders that PostgreSQL refuses, and quotes whom they belong to: in the DETAIL of a constraint's
error, in the message and the CONTEXT of a cast's.
"""
BREAK = """
alter table orders add constraint canary check (order_id <> 'O-BAD-ROW') not valid;
alter table commands add constraint canary check (order_id not in ('O-BAD-DOOR', 'O-BAD-CLI'))
  not valid;
create function canary() returns trigger language plpgsql as $$
begin
  execute format('select %L::int', new.customer_name || new.customer_email);
  return new;
end
$$;
create trigger canary before insert on orders for each row when (new.order_id = 'O-BAD-CAST')
execute function canary()
"""
MEND = """
alter table orders drop constraint canary;
alter table commands drop constraint canary;
drop trigger canary on orders;
drop function canary
"""


@pytest.fixture
def broken(database_url):
    """What a merchant may add to the tables; the database is the folder's, so it goes again."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(BREAK)
        yield
        connection.execute(MEND)


def published(redis_url):
    """What is sent through the broker door: unsigned, unreadable, and signed what no row can be."""
    broker = make_broker(redis_url)
    publish(broker, make.cancel(reason=QUOTED))
    key = SigningKey.of(f"one:{SECRETS['door']}")
    publish(broker, make.cancel(order_id="O-BAD-DOOR", reason=QUOTED), key=key)
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
union all
select 'part', part_id::text, concat(note) from refund_parts
"""


def news(engine):
    """Webhooks' paths, headers and bodies by what is answered: the provider's own, forged, and its
    own but not to be read. All quote people.
    """
    ((stripe,),) = rig.rows(
        engine, "select part_id::text from refund_parts where payment_id = 'pi_1'"
    )
    about = {"description": QUOTED, "receipt": PEOPLE["card"], QUOTED: QUOTED}
    of_stripe = {"id": "re_1", "status": "pending", "metadata": {"part_id": stripe, **about}}
    of_square = {"id": "rf_1", "status": "PENDING", "reason": QUOTED, **about}
    told_stripe = {"type": "refund.updated", "data": {"object": of_stripe | about}, **about}
    told_square = {"type": "refund.updated", "data": {"object": {"refund": of_square}}, **about}
    for told, text in ((200, json.dumps(told_stripe)), (401, f"{{ {QUOTED}")):
        yield told, "stripe", signed_by_stripe(text), text
    for told, text in ((200, json.dumps(told_square)), (401, f"{{ {QUOTED}")):
        yield told, "square", signed_by_square(text), text
    for provider, header in (("stripe", STRIPES), ("square", SQUARES)):
        yield 401, provider, {header: QUOTED}, QUOTED
    yield 404, "nobody", {}, QUOTED


STRIPES, SQUARES = "Stripe-Signature", "x-square-hmacsha256-signature"


def signed_by_stripe(text):
    now = int(time.time())
    secret = SECRETS["stripe_webhook"].encode()
    return {STRIPES: f"t={now},v1={hmac.digest(secret, f'{now}.{text}'.encode(), 'sha256').hex()}"}


def signed_by_square(text):
    secret = SECRETS["square_webhook"].encode()
    signature = hmac.digest(secret, f"{NOTIFIED}{text}".encode(), "sha256")
    return {SQUARES: base64.b64encode(signature).decode()}


def post(url, headers, text):
    """Status and answer."""
    try:
        request = urllib.request.Request(url, text.encode(), headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@contextmanager
def running(environment, log, *words):
    """`fulfillment ...` in a process of its own, until SIGTERM."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    with log.open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "worker", *words],
            env=kept | environment,
            cwd=ROOT,
            stdout=said,
            stderr=said,
        )
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


@pytest.mark.heavy
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("broken")
def test_nothing_is_told_of_people_or_secrets(owner, environment, quoting, mail_server, tmp_path):
    """Neither by the logs of real workers and of the receiver of webhooks, nor by its answers,
    errors and outcomes, the doctor, queues, metrics, dead letters, or what commands that fail say.
    """
    published(environment["REDIS_URL"])
    rig.accepted(owner, *commands())
    invalid(owner)
    with running(environment, tmp_path / "worker.log", "worker", "--processes", "1"):
        until(lambda: is_over(owner), 240, "an end for all")
        metrics = read(f"http://127.0.0.1:{environment['FULFILLMENT_METRICS_PORT']}/metrics")
    log = tmp_path / "webhooks.log"
    with running(environment, log, "webhooks", "--port", "0"):
        until(lambda: "/webhooks/stripe" in log.read_text(), 240, "a receiver")
        base = log.read_text().partition("listening on ")[2].partition("/webhooks/")[0]
        answers = [
            (told, *post(f"{base}/webhooks/{provider}", headers, text))
            for told, provider, headers, text in news(owner)
        ]

    told = {path.name: path.read_text() for path in tmp_path.glob("*.log")}
    told |= {"metrics": metrics, "webhooks": repr(answers)}
    told |= {f"{what} {number}": text for what, number, text in rig.rows(owner, TOLD)}
    (dead, *_) = rig.rows(owner, "select id from followups where state = 'dead'")
    for line in (
        ["doctor"],
        ["queues"],
        ["dead", "list"],
        *(["dead", "show", str(row.id)] for row in rig.rows(owner, DEAD)),
        ["dead", "replay", str(dead.id), "--dry-run"],
        ["strays", "list", "--groups"],
        ["strays", "replay", "--all"],
        ["refunds", "list"],
        ["audit"],
        ["cancel", "O-BAD-CLI", "--reason", QUOTED],
        ["ship", "O-1", "--item", PEOPLE["card"]],
    ):
        result = CliRunner().invoke(app, line, env=environment)
        told[" ".join(line).replace(QUOTED, "...")] = f"{result.output} {result.exception!r}"

    # A command's own body is shown, as by `dead show`: it is what a person has to look at.
    listed = CliRunner().invoke(app, ["dead", "list", "--json"], env=environment).stdout
    letters = [json.loads(line) for line in listed.splitlines()]
    told["dead list --json"] = json.dumps([one | {"body": None} for one in letters])

    # It means something: everybody was asked, and everything that was to fail did.
    assert quoting.asked == {"labels", "v1", "v2"}
    assert len(mail_server.senders) >= 1
    assert {one["order_id"] for one in letters} == {"O-1", *BROKEN}
    assert {row.route for row in rig.rows(owner, DEAD)} >= {"emails", "labels", "refunds"}
    assert [was for _, was, _ in answers] == [due for due, *_ in answers]
    assert 'violates check constraint "canary" (23514)' in told["cancel O-BAD-CLI --reason ..."]
    reasons = rig.rows(owner, "select order_id, errors -> -1 ->> 'reason' from commands"
                              " where order_id like 'O-BAD%%' order by order_id")  # fmt: skip
    assert reasons == [("O-BAD-CAST", "database_22P02"), ("O-BAD-ROW", "database_23514")]
    assert "fulfillment" in metrics
    database = environment["DATABASE_URL"].split(":")[2].split("@")[0]
    canaries = PEOPLE | SECRETS | {"database": database}
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
    commands = rig.count(engine, "commands", "state = 'pending' and errors = '[]'")
    untried = "state = 'pending' and errors = '[]' and waits_for is null"
    fresh = rig.count(engine, "followups", untried)
    return not commands and not fresh and rig.count(engine, "strays") == 3


def read(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()
