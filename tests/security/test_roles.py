"""The database's roles: each does what it is for, and nothing else."""

import json
import threading

import psycopg
import pytest
from argon2 import PasswordHasher
from sqlalchemy.exc import DBAPIError
from starlette.testclient import TestClient
from typer.testing import CliRunner

from messages import Customer, Payment
from messages.order import Address
from tests import factories as make
from tests.cluster import copied
from tests.console.pages import csrf, send
from tests.retention.conftest import later
from tests.security.conftest import ROLES
from tests.web.application import application
from tests.work import rig
from tests.work.test_dead import dead_followup, too_new
from tests.work.test_strays import stray
from worker.cli.root import app
from worker.embedded import postgres
from worker.errors import sqlstate
from worker.feed.events import events_after, number_for_reading
from worker.orders.rules import decide
from worker.refunds.providers import providers
from worker.retention.schedule import Schedule
from worker.runtime import Runtime, followup_routes, worker_engine
from worker.servers import Servers
from worker.settings import Settings
from worker.store.schema import grant_roles
from worker.web.door import Door
from worker.work.accept import accept

DATED = PasswordHasher(time_cost=1).hash("a long enough one")
"""Of an old version's parameters."""

NOBODY_BUT_THE_OWNER = (
    "truncate strays",
    "create table public.mine (n integer)",
    "alter table orders drop column number",
    "drop table history",
    "create function public.mine() returns integer language sql return 1",
    "create or replace function accept_commands(b jsonb) returns integer language sql return 1",
    "create role mine",
    "delete from commands",
    "delete from orders",
    "delete from followups",
    "delete from refund_parts",
    "delete from history",
    "update history set details = '{}'",
    "update audit set actor = 'somebody else'",
    "delete from audit",
    "update refunds set amount_minor = 1",
    "insert into commands (id, kind, order_id, body) select gen_random_uuid(), 'ship', '1', '{}'",
    "update alembic_version set version_num = '0001'",
    "set session_replication_role = replica",
    "copy orders to program 'cat'",
)
"""What no role may do. Commands come in by `accept_commands` alone."""

FORBIDDEN = {
    "viewer": (
        "select 1 from user_passwords",
        "select 1 from user_sessions",
        "select 1 from sign_in_links",
        "select 1 from sign_in_tries",
        "update orders set hold = 'mine'",
        "insert into strays (reason, body) values ('mine', '')",
        "update commands set state = 'discarded'",
        "update followups set state = 'done'",
        "select nextval('work_claim')",
        "select * from accept_commands('[]')",
        "select 1 from orders for update",
        "select number_events(1, true)",
        "update events set number = 1",
        "insert into events default values",
        "insert into audit (actor, act) values ('mine', 'mine')",
        "create temporary table mine (n integer)",
    ),
    "worker": (
        "delete from strays",
        "update strays set reason = 'mine'",
        "insert into audit (actor, act) values ('mine', 'mine')",
        "insert into paused_routes (route) values ('commands')",
        "delete from paused_routes",
        "update carriers set name = 'mine'",
        "update api_keys set revoked_at = null",
        "insert into api_keys (id) values ('mine')",
        "insert into users (name, role) values ('mine', 'operator')",
        "update users set role = 'operator'",
        "select hash from user_passwords",
        "select sha256 from user_sessions",
        "insert into sign_in_links (sha256) values ('')",
        "update shipment_lines set quantity = 1",
        "update events set type = 'mine'",
        "create temporary table mine (n integer)",
    ),
    "operator": (
        "delete from carriers",
        "delete from documents",
        "delete from purchases",
        "update refund_lines set gross_minor = 1",
        "delete from api_keys",
    ),
    "web": (
        "update orders set hold = 'mine'",
        "update commands set body = '{}'",
        "update followups set subject_id = gen_random_uuid()",
        "update api_keys set revoked_at = null",
        "insert into api_keys (id) values ('mine')",
        "insert into users (name, role) values ('mine', 'operator')",
        "update users set role = 'operator'",
        "delete from users",
        "insert into strays (reason, body) values ('mine', '')",
        "update audit set details = null",
        "select nextval('work_claim')",
        "select 1 from orders for update",
        "create temporary table mine (n integer)",
    ),
    "producer": (
        "select 1 from api_keys",
        "select 1 from commands",
        "select 1 from orders",
        "select 1 from strays",
        "select 1 from history",
        "select 1 from events",
        "select number_events(1, true)",
        "select 1 from alembic_version",
        "select 1 from traces",
        "delete from traces",
        "update commands set state = 'discarded'",
        "insert into orders (order_id) values ('mine')",
        "insert into strays (reason, body) values ('mine', '')",
        "insert into audit (actor, act) values ('mine', 'mine')",
        "select nextval('work_seq')",
        "select command_fingerprint('{}')",
        "select command_problem('{}')",
        "create temporary table mine (n integer)",
    ),
}

CUSTOMER = Customer(name="Customer 1", email="customer@shop.example", locale="en")
ADDRESS = Address(
    name="Customer 1",
    lines=("1 Example Street",),
    city="Springfield",
    district="IL",
    postal_code="62701",
    country="US",
)


def placed(order_id=make.ORDER_ID, **fields):
    """An order with everything that labels and e-mails want."""
    order = make.placed_order(
        make.order_line("A", 3),
        make.order_line("D", 1, item_type="digital"),
        customer=CUSTOMER,
        ship_to=ADDRESS,
        ship_from=ADDRESS,
        payments=(Payment(payment_id="P1", captured_minor=400, method="card"),),
        **fields,
    )
    return make.place(order_id=order_id, order=order)


@pytest.fixture
def worker(urls, redis_url, tmp_path):
    """A worker process's parts, logged in as the worker's role."""
    settings = Settings(label_store=str(tmp_path / "labels"), email_folder=tmp_path / "mail")
    where = Servers(urls["worker"], redis_url)
    engine = worker_engine(settings, where)
    routes = followup_routes(engine, settings, providers(settings))
    made = Runtime(settings, where, engine=engine, routes=routes)
    yield made
    made.hints.close()
    engine.dispose()


@pytest.fixture
def cli(urls, redis_url, tmp_path):
    """Runs a command as a role."""

    def run(role, *words, stdin=None):
        environment = {
            "DATABASE_URL": urls[role],
            "REDIS_URL": redis_url,
            "FULFILLMENT_LABEL_STORE": str(tmp_path / "labels"),
        }
        result = CliRunner().invoke(app, list(words), env=environment, input=stdin)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def drained(worker):
    """Everything that is due, carried out."""
    worker.drains["commands"]()
    for route in ("refunds", "labels", "emails", "tracking"):
        worker.drains[route]()


def handed_in(engine, *commands):
    with engine.begin() as connection:
        return [one.answer for one in accept(connection, commands)]


@pytest.mark.parametrize("role", ROLES)
def test_what_a_role_may_not_do(owner, as_role, role):
    """PostgreSQL refuses each with insufficient_privilege, and nothing was written."""
    handed_in(owner, placed())
    rig.drainer(owner)()
    before = rig.dump(owner)

    statements = (*NOBODY_BUT_THE_OWNER, *FORBIDDEN[role])
    answers = {statement: answer(as_role(role), statement) for statement in statements}

    assert answers == dict.fromkeys(statements, "42501")
    assert rig.dump(owner) == before


def answer(engine, statement):
    """The SQLSTATE of what PostgreSQL said, after a commit if it said yes."""
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql(statement)
    except DBAPIError as error:
        return sqlstate(error)
    return "00000"


def test_a_producer_hands_in_and_hears_what_became_of_it(owner, as_role):
    """The function answers accepted, known and id_reused, of which a stray is left."""
    producer, command = as_role("producer"), placed()

    assert handed_in(producer, command) == ["accepted"]
    assert handed_in(producer, command) == ["known"]
    other = make.ship(command_id=command.command_id)
    assert handed_in(producer, other) == ["id_reused"]

    assert rig.state(owner, command) == "pending"
    assert rig.count(owner, "strays", "reason = 'id_reused'") == 1


def test_a_producer_says_to_which_trace_it_belongs(owner, as_role):
    """It may add that, and see or take away nothing."""
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with as_role("producer").begin() as connection:
        accept(connection, [command := placed()], traceparent=traceparent)

    assert rig.rows(owner, "select command_id, traceparent from traces") == [
        (command.command_id, traceparent)
    ]


def test_a_producer_cannot_lead_the_door_astray(owner, as_role):
    """Tables of its own making do not stand in for ours: it can make none, and the door's
    search_path is fixed.
    """
    command = placed()
    with as_role("producer").begin() as connection:
        connection.exec_driver_sql("set search_path = pg_temp, nowhere")
        connection.exec_driver_sql(
            "select * from public.accept_commands(%(bodies)s::jsonb)",
            {"bodies": f"[{command.model_dump_json(exclude_none=True)}]"},
        )

    assert rig.state(owner, command) == "pending"


def test_a_worker_does_its_work(owner, worker, tmp_path):
    """Placed, shipped with a label, completed, refunded, called back and told of: every route of a
    worker that has nothing but its role.
    """
    ship = make.ship(items=make.items(A=1), label="generate")
    commands = [
        placed(),
        ship,
        make.complete(),
        make.refund(amount=make.money(100)),
        make.cancel(items=make.items(A=1), refund="full"),
    ]
    handed_in(worker.engine, *commands)
    drained(worker)
    handed_in(worker.engine, void := make.void(ship))
    drained(worker)

    assert [rig.state(owner, one) for one in (*commands, void)] == ["applied"] * 6
    states = rig.rows(owner, "select route, name, state, waits_for from followups order by 1, 2, 3")
    assert {(route, state) for route, _, state, waits_for in states if not waits_for} == {
        ("emails", "done"),
        ("labels", "done"),
        ("labels", "skipped"),  # nothing was bought that could be given back
    }
    assert [waits_for for route, *_, waits_for in states if route == "refunds"] == ["hand"] * 2
    assert rig.count(owner, "documents") == 3
    assert len(list((tmp_path / "mail").iterdir())) == sum(
        route == "emails" for route, *_ in states
    )


def test_a_worker_writes_strays_and_keeps_its_leases(owner, worker):
    """The door lists what it cannot accept; the ticker's turn is a worker's as well."""
    assert worker.door.take("ship", {"kind": "ship"})
    assert worker.door.stray("undecodable", "{")
    worker.ticker.tick()

    assert rig.count(owner, "strays") == 2


def test_a_worker_empties_what_is_old(owner, worker, urls, tmp_path):
    """The hourly run of retention needs no more than the worker's role."""
    commands = [placed(), ship := make.ship(label="generate")]
    handed_in(worker.engine, *commands)
    drained(worker)
    worker.door.stray("undecodable", "{")
    details = json.dumps({"body": "old"})
    act = f"insert into audit (actor, act, details) values ('tests', 'replay', '{details}')"  # ours
    rig.run(owner, act)
    rig.run(owner, "insert into users (name, role) values ('kim', 'agent')")
    rig.run(owner, "insert into user_sessions select sha256(''), 'kim', now(), now(), now()")
    later(owner, 400)

    config = Settings(label_store=str(tmp_path / "labels"), email_folder=tmp_path / "mail")
    gone = Schedule(urls["worker"], config, threading.Event()).look()

    assert gone["bodies"] == 1  # the order's last form stays
    assert (gone["strays"], gone["audit"], gone["labels"]) == (1, 1, 3)
    assert gone["sign_ins"] == 1
    assert rig.count(owner, "user_sessions") == 0
    assert "command_id" not in rig.command(owner, ship).body


def test_an_operator_decides(owner, worker, cli):
    """Commands, dead letters, strays, queues, refunds, carriers: what people decide, each by the
    command line.
    """
    refund = make.refund(amount=make.money(100))
    handed_in(worker.engine, placed(), make.ship(items=make.items(A=1)), refund)
    drained(worker)
    rig.run(owner, "update followups set state = 'dead', decided_at = now() where route = 'emails'")
    rig.run(owner, "insert into strays (reason, body) values ('invalid', '{}'), ('invalid', '{}')")
    stray = rig.one(owner, "select min(stray_id) from strays")[0]
    body = make.ship(order_id=make.ORDER_ID).model_dump_json(exclude_none=True)

    done = [
        cli("operator", "ship", "O-1", "--item", "A=1"),
        cli("operator", "pause", "emails", "--reason", "new templates"),
        cli("operator", "resume", "emails"),
        cli("operator", "dead", "replay", "--queue", "emails"),
        cli("operator", "strays", "replay", str(stray), "--body", "-", stdin=body),
        cli("operator", "strays", "discard", "--all", "--yes", "--because", "noise"),
        cli("operator", "refunds", "settle", str(refund.command_id), "--by", "till"),
        cli("operator", "carriers", "add", "own-van", "Own van"),
        cli("operator", "orders", "list"),
        cli("operator", "queues"),
        cli("operator", "audit"),
        cli("operator", "keys", "add", "shop", "--read"),
        cli("operator", "keys", "list"),
    ]

    assert [one.exit_code for one in done] == [0] * len(done), [one.output for one in done]
    assert rig.count(owner, "strays") == 0
    assert rig.one(owner, "select state, ended_by from refund_parts") == ("settled", "till")


def test_the_http_door_takes_commands_and_tells_of_orders(owner, as_role, cli):
    """With the web's role: a key that an operator made is found and its use noted, a command is
    accepted, orders are read.
    """
    handed_in(owner, placed())
    rig.drainer(owner)()
    key = cli("operator", "keys", "add", "shop", "--kinds", "ship", "--read").stdout.strip()
    door = Door(Settings(), as_role("web"), Nobody(), decide)

    with TestClient(application(door), headers={"Authorization": f"Bearer {key}"}) as client:
        sent = client.post("/v1/commands", json=make.ship().body())
        seen = client.get("/v1/orders/O-1")
        ready = client.get("/readyz")

    assert (sent.status_code, seen.status_code, ready.status_code) == (202, 200, 200)
    assert rig.count(owner, "commands", "kind = 'ship'") == 1
    assert rig.count(owner, "api_keys", "last_used_at is not null") == 1


def test_the_console_signs_in_and_lists_orders(owner, as_role, cli):
    """With the web's role: a link that an operator made signs in, orders are listed, printed and
    left again; a password is checked and its hash renewed, a try counted.
    """
    handed_in(owner, placed())
    rig.drainer(owner)()
    cli("operator", "users", "add", "kim", "--role", "agent")
    cli("operator", "users", "password", "kim", stdin="a long enough one")
    link = cli("operator", "users", "link", "kim", "--url", "").stdout.strip()
    rig.run(owner, "update user_passwords set hash = %(dated)s", dated=DATED)
    door = Door(Settings(), as_role("web"), Nobody(), decide)

    with TestClient(application(door), headers={"Accept": "text/html"}) as client:
        signed_in = send(client, link)
        listed = client.get("/orders?search=O-1")
        send(client, "/sign-out", listed)
        again = send(client, "/sign-in", name="kim", password="a long enough one")

    assert (signed_in.status_code, listed.status_code, again.status_code) == (200, 200, 200)
    assert "O-1" in listed.text
    assert rig.count(owner, "user_passwords", f"hash <> '{DATED}'") == 1
    acts = "select act from audit where actor = 'kim' order by audit_id"
    assert rig.rows(owner, acts) == [("signed_in",), ("signed_out",), ("signed_in",)]


def test_an_operator_decides_by_the_console(owner, as_role, cli):
    """With the web's role: dead letters are replayed, set right and given up, a stray is taken in
    and another given up, a queue is held up and goes on, a file is judged.
    """
    handed_in(owner, placed(), make.ship(items=make.items(A=1)))
    rig.drainer(owner)()
    replayed, edited = dead_followup(owner, "emails"), too_new(owner)[0]
    given_up = too_new(owner)[0]
    taken, left = stray(owner, make.hold().body()), stray(owner, "{")
    cli("operator", "users", "add", "kim", "--role", "operator")
    link = cli("operator", "users", "link", "kim", "--url", "").stdout.strip()
    body = rig.command(owner, edited).body | {"schema_version": 1}
    door = Door(Settings(), as_role("web"), Nobody(), decide)

    with TestClient(application(door), headers={"Accept": "text/html"}) as client:
        shown = send(client, link)
        answers = [
            send(client, path, shown, **fields)
            for path, fields in (
                (f"/dead/{replayed}/replay", {}),
                (f"/dead/{edited}/edit", {"act": "send", "body": json.dumps(body)}),
                (f"/dead/{given_up}/discard", {"because": "a test"}),
                (f"/strays/{taken}/replay", {"act": "send"}),
                (f"/strays/{left}/discard", {"because": "a test"}),
                ("/queues/pause", {"queue": "labels", "reason": "a test"}),
                ("/queues/resume", {"queue": "labels"}),
            )
        ]
        token = {"X-CSRF-Token": csrf(shown), "Content-Type": "application/octet-stream"}
        file = b"order,line,quantity\nO-1,A,1\n"
        answers.append(client.post("/jobs?check=true", content=file, headers=token))

    assert [one.status_code for one in answers] == [200] * 8
    acts = "select act from audit where actor = 'kim' order by audit_id offset 1"
    assert [act for (act,) in rig.rows(owner, acts)] == [
        "replayed", "edited", "discarded", "stray_replayed", "stray_discarded", "paused", "resumed",
    ]  # fmt: skip


class Nobody:
    """Wakes no worker."""

    def send(self, route="commands"):
        return True


def test_an_operator_imports_orders(owner, cli, tmp_path):
    """An import needs a table of its own for as long as it runs."""
    file = tmp_path / "orders.ndjson"
    lines = [{"line_id": "1", "name": "Mug", "quantity": 1, "net_minor": 100}]
    order = {"order_id": "O-7", "currency": "EUR", "total_minor": 100, "lines": lines}
    file.write_text(json.dumps(order))

    result = cli("operator", "orders", "import", str(file))

    assert result.exit_code == 0, result.output
    assert rig.count(owner, "commands", "order_id = 'O-7'") == 1


@pytest.mark.parametrize(
    "words",
    [
        ("orders", "list"),
        ("orders", "show", "O-1"),
        ("commands", "list"),
        ("queues",),
        ("events",),
        ("export", "history"),
        ("dead", "list"),
        ("strays", "list"),
        ("refunds", "list"),
        ("audit",),
        ("carriers", "list"),
        ("keys", "list"),
        ("users", "list"),
        ("ship", "O-1", "--dry-run"),
    ],
)
def test_a_viewer_looks(owner, cli, words):
    """Whatever only looks works with the viewer's role, dry runs as well."""
    handed_in(owner, placed())
    rig.drainer(owner)()

    assert cli("viewer", *words).exit_code == 0


@pytest.mark.parametrize("role", ROLES)
def test_forgetting_takes_the_owner(owner, cli, role):
    """History is rewritten by it, which no role may: a sentence, and nobody is forgotten."""
    handed_in(owner, placed())
    rig.drainer(owner)()
    before = rig.dump(owner)

    result = cli(role, "orders", "forget", "O-1", "--yes")

    assert result.exit_code == 1
    assert "error: the database refused: permission denied for table " in result.stderr
    assert rig.dump(owner) == before


@pytest.mark.parametrize(
    "words",
    [
        ("ship", "O-1"),
        ("pause", "emails"),
        ("carriers", "add", "own-van", "Own van"),
        ("keys", "add", "mine", "--read"),
        ("users", "add", "mine", "--role", "operator"),
    ],
)
def test_a_viewer_that_tries_to_act(owner, cli, words):
    """A sentence and an exit code, and nothing was written."""
    handed_in(owner, placed())
    before = rig.dump(owner)

    result = cli("viewer", *words)

    assert result.exit_code == 1
    assert "the database refused: permission denied" in result.stderr
    assert rig.dump(owner) == before


def test_each_table_is_decided(owner):
    """A migration's new table has a line in roles.sql: who looks may look at it, unless people sign
    in with what it holds, and nothing is left to everybody.
    """
    tables = [name for (name,) in rig.rows(owner, TABLES)]

    seen = rig.rows(owner, SEEN, tables=tables)
    assert {name: viewer for name, viewer, _ in seen} == {
        name: name not in SECRETS for name in tables
    }
    assert {name: everybody for name, _, everybody in seen} == dict.fromkeys(tables, False)


SECRETS = {"user_passwords", "user_sessions", "sign_in_links", "sign_in_tries"}
TABLES = "select tablename from pg_tables where schemaname = 'public'"
SEEN = """
select name, has_table_privilege('fulfillment_viewer', name, 'select'),
  has_table_privilege('public', name, 'select, insert, update, delete, truncate')
from unnest(%(tables)s::text[]) as name
"""


def test_functions_are_nobodys_by_default(owner):
    """Each function of the schema is granted by name; one that runs as its owner has a fixed
    search_path that ends in pg_temp.
    """
    found = rig.rows(owner, FUNCTIONS)

    assert [name for name, everybody, *_ in found if everybody] == []
    assert {name: path for name, _, definer, path in found if definer} == {
        "accept_commands": ["search_path=public, pg_temp"]
    }


FUNCTIONS = """
select proname, has_function_privilege('public', oid, 'execute'), prosecdef, proconfig
from pg_proc where pronamespace = 'public'::regnamespace
"""


def test_granting_again_takes_what_is_too_much(owner, as_role):
    """What was granted beside the file is gone after the next run; what it grants is there."""
    rig.run(owner, "grant delete on orders to fulfillment_worker")

    grant_roles(owner)

    granted = rig.one(
        owner,
        "select has_table_privilege('fulfillment_worker', 'orders', 'delete'),"
        " has_table_privilege('fulfillment_worker', 'orders', 'update')",
    )
    assert granted == (False, True)


def test_a_viewer_reads_the_feed(owner, as_role):
    """A viewer reads what a worker, or an operator, has numbered; it numbers nothing."""

    def read(role):
        with as_role(role).begin() as connection:
            number_for_reading(connection)
            return [event.type for event in events_after(connection, 0, limit=10)]

    handed_in(owner, placed())
    rig.drainer(as_role("worker"))()
    assert read("viewer") == []
    assert rig.count(owner, "events", "number is null") == 1

    assert read("operator") == ["command.applied"]
    assert read("viewer") == ["command.applied"]


def test_migrate_grants_roles(database_url, redis_url):
    """`migrate --roles` says so, and twice is fine."""
    environment = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}

    runs = [CliRunner().invoke(app, ["migrate", "--roles"], env=environment) for _ in range(2)]

    assert [one.exit_code for one in runs] == [0, 0], runs[0].output
    assert runs[0].stdout.splitlines()[-1] == "roles: granted what they need"


def test_only_the_owner_grants(owner, urls, redis_url):
    """Anybody else gets a sentence and an exit code, and nothing has changed."""
    before = privileges(owner)
    environment = {"DATABASE_URL": urls["operator"], "REDIS_URL": redis_url}

    result = CliRunner().invoke(app, ["migrate", "--roles"], env=environment)

    assert result.exit_code == 1
    assert "the roles were not granted anything: login_operator does not own" in result.stderr
    assert privileges(owner) == before


def privileges(engine):
    return rig.rows(
        engine,
        "select relname, relacl::text from pg_class"
        " where relnamespace = 'public'::regnamespace order by 1",
    )


@pytest.mark.heavy
def test_an_owner_who_may_not_make_roles(server_dir):
    """Where the roles are missing and the owner may not make them, a sentence says what to do."""
    server = postgres.start(copied(server_dir / "roles"), fsync=False)
    try:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("create role shop login password 'secret'")
            connection.execute("create database shop owner shop")
        url = f"postgresql://shop:secret@127.0.0.1:{server.port}/shop"
        environment = {"DATABASE_URL": url, "REDIS_URL": "redis://127.0.0.1:1"}

        result = CliRunner().invoke(app, ["migrate", "--roles"], env=environment)

        assert result.exit_code == 1
        assert result.stderr == (
            "error: the roles were not granted anything: permission denied to create role: "
            "use the database's owner, with CREATEROLE as long as the roles are not there\n"
        )
        with psycopg.connect(server.url) as connection:
            roles = connection.execute("select rolname from pg_roles where rolname ~ 'fulfil'")
            assert roles.fetchall() == []
            # With the right to make them the same owner makes them.
            connection.execute("alter role shop createrole")
        assert CliRunner().invoke(app, ["migrate", "--roles"], env=environment).exit_code == 0
    finally:
        server.stop()
