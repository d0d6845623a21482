"""The doors to the work: accepted, known, id_reused, refused; in Python and in SQL alike."""

import json
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege
from sqlalchemy.exc import DBAPIError

from tests import factories as make
from tests.work import rig
from worker.work.accept import Receipt, accept, accept_bodies


def raw(engine, *bodies):
    """What `accept_commands` answers, called as any program can."""
    with engine.begin() as connection:
        return connection.exec_driver_sql(
            "select n, command_id, answer, state, outcome, problem"
            " from accept_commands(%(bodies)s::jsonb)",
            {"bodies": json.dumps(bodies)},
        ).all()


def test_new_command_is_accepted(engine):
    """A command that is new is accepted: one pending row, due at once, with nothing decided."""
    command = make.ship()

    receipts = rig.accepted(engine, command)

    assert list(receipts) == [Receipt(command.command_id, "accepted", state="pending")]
    row = rig.command(engine, command)
    assert (row.kind, row.order_id, row.state) == ("ship", "O-1", "pending")
    assert (row.attempts, row.crashes, row.claim, row.lease_until) == (0, 0, None, None)
    assert (row.outcome, row.decided_at, row.after_id) == (None, None, None)
    assert row.body == command.body()
    assert row.due_in_s <= 0


def test_known_command_gives_its_outcome(engine):
    """The same command again is known, with the stored outcome, and changes nothing."""
    rig.placed(engine)
    command = make.ship(items=make.items(A=2))
    assert rig.decided(engine, command) == ["applied"]
    before = rig.dump(engine)

    (receipt,) = rig.accepted(engine, command)

    outcome = {
        "state": "applied",
        "order_version": 2,
        "changed": True,
        "items": [{"line_id": "A", "quantity": 2}],
        "refund": None,
    }
    assert receipt == Receipt(command.command_id, "known", state="applied", outcome=outcome)
    assert rig.dump(engine) == before


def test_undecided_command_is_known_without_outcome(engine):
    """A command that was accepted and not decided yet is known and pending."""
    command = make.ship()
    rig.accepted(engine, command)

    (receipt,) = rig.accepted(engine, command)

    assert receipt == Receipt(command.command_id, "known", state="pending", outcome=None)
    assert rig.count(engine, "commands") == 1


def test_reused_id_changes_nothing_and_is_listed(engine):
    """Another command under a used id is answered id_reused and listed as a stray."""
    command = make.ship(items=make.items(A=1))
    rig.accepted(engine, command)
    before = rig.dump(engine, ("commands",))
    other = make.ship(command_id=command.command_id, items=make.items(A=2))

    (receipt,) = rig.accepted(engine, other)

    assert receipt == Receipt(command.command_id, "id_reused")
    assert rig.dump(engine, ("commands",)) == before
    stray = rig.one(engine, "select * from strays")
    assert (stray.reason, stray.command_id) == ("id_reused", command.command_id)
    assert stray.problem == "another command has this id"
    assert json.loads(stray.body) == other.body()
    assert rig.count(engine, "strays") == 1


BAD = {
    "a command is a JSON object": [7, "ship", None, [], True],
    "command_id must be a UUID": [
        {},
        {"command_id": 7},
        {"command_id": "x", "kind": "ship", "order_id": "O-1"},
        {"command_id": None, "kind": "ship", "order_id": "O-1"},
    ],
    (
        "kind must be one of place, ship, complete, cancel, refund, void, update_tracking, hold,"
        " release"
    ): [
        {"command_id": str(uuid4())},
        {"command_id": str(uuid4()), "kind": "explode", "order_id": "O-1"},
        {"command_id": str(uuid4()), "kind": ["ship"], "order_id": "O-1"},
    ],
    "order_id must be 1 to 64 letters, digits or ._:-": [
        {"command_id": str(uuid4()), "kind": "ship"},
        {"command_id": str(uuid4()), "kind": "ship", "order_id": ""},
        {"command_id": str(uuid4()), "kind": "ship", "order_id": "a b"},
        {"command_id": str(uuid4()), "kind": "ship", "order_id": "x" * 65},
        {"command_id": str(uuid4()), "kind": "ship", "order_id": "ok\n"},
    ],
    "after must be a UUID": [
        {"command_id": str(uuid4()), "kind": "ship", "order_id": "O-1", "after": "yesterday"}
    ],
}


@pytest.mark.parametrize(("problem", "bodies"), BAD.items())
def test_what_cannot_be_accepted_is_refused(engine, problem, bodies):
    """Without a readable id, kind and order a value is refused, and nothing is written."""
    before = rig.dump(engine)

    with engine.begin() as connection:
        receipts = accept_bodies(connection, bodies)

    assert set(receipts) == {Receipt(None, "refused", problem=problem)}
    assert len(receipts) == len(bodies)
    assert rig.dump(engine) == before


def test_refused_command_leaves_its_neighbours(engine):
    """One that is refused does not keep the others of its call out."""
    first, last = make.ship(), make.ship()

    with engine.begin() as connection:
        receipts = accept_bodies(connection, [first.body(), {"kind": "ship"}, last.body()])

    assert [receipt.answer for receipt in receipts] == ["accepted", "refused", "accepted"]
    assert rig.count(engine, "commands") == 2


def test_command_of_more_than_a_mebibyte_is_refused(engine):
    """Size is judged at the door; nothing of it is stored."""
    body = make.ship().body() | {"tracking_number": "x" * (1024 * 1024)}

    (row,) = raw(engine, body)

    assert (row.answer, row.problem) == ("refused", "a command may not exceed 1 MiB")
    assert rig.count(engine, "commands") == 0


def test_call_takes_an_array_of_at_most_5000(engine):
    """Anything but a JSON array of up to 5,000 is an error of the caller."""
    for bodies in ({}, 7, None, [make.ship().body()] * 5001):
        with pytest.raises(DBAPIError, match="JSON array of at most 5000"):
            rig.run(engine, "select accept_commands(%(bodies)s::jsonb)", bodies=json.dumps(bodies))

    assert rig.count(engine, "commands") == 0


def test_duplicates_inside_one_call(engine):
    """Of equal commands in one call the first is accepted and the others are known; one that only
    shares the id is id_reused, and listed.
    """
    command = make.ship(items=make.items(A=1))
    other = make.ship(command_id=command.command_id, items=make.items(A=2))

    receipts = rig.accepted(engine, command, command, other, command)

    answers = [receipt.answer for receipt in receipts]
    assert answers == ["accepted", "known", "id_reused", "known"]
    assert rig.command(engine, command).body == command.body()
    assert rig.count(engine, "commands") == 1
    assert json.loads(rig.one(engine, "select body from strays")[0]) == other.body()
    assert rig.count(engine, "strays") == 1


def test_first_of_a_reused_id_in_one_call_wins(engine):
    """Whichever stands first in the caller's order is accepted, also when it sorts behind."""
    twos = [make.ship(items=make.items(A=2)) for _ in range(20)]
    ones = [make.ship(command_id=two.command_id, items=make.items(A=1)) for two in twos]

    receipts = rig.accepted(engine, *twos, *ones)

    assert [receipt.answer for receipt in receipts] == ["accepted"] * 20 + ["id_reused"] * 20
    assert rig.count(engine, "commands", "body -> 'items' -> 0 ->> 'quantity' = '2'") == 20
    assert rig.count(engine, "strays") == 20


def test_seq_is_the_callers_order(engine):
    """Rows are inserted by id, yet `seq`, the order of acceptance, is that of the caller."""
    commands = [make.ship() for _ in range(500)]
    commands.sort(key=lambda command: command.command_id, reverse=True)

    rig.accepted(engine, *commands)

    with engine.begin() as connection:
        rows = connection.exec_driver_sql("select id from commands order by seq").all()
    assert [row_id for (row_id,) in rows] == [command.command_id for command in commands]


def test_inserts_by_id(engine):
    """Rows go in sorted by id: unsorted, 9 of 10 pairs of batches of the same ids deadlocked."""
    commands = [make.ship() for _ in range(200)]

    rig.accepted(engine, *commands)

    with engine.begin() as connection:
        rows = connection.exec_driver_sql("select id from commands order by ctid").all()
    assert [row_id for (row_id,) in rows] == sorted(command.command_id for command in commands)


def test_two_connections_accept_one_id_once(engine):
    """The same command from two connections at once: one is told accepted, the other known."""
    for _ in range(10):
        command = make.ship()

        answers = rig.together(*[lambda c=command: rig.accepted(engine, c)[0].answer] * 2)

        assert sorted(answers) == ["accepted", "known"]
    assert rig.count(engine, "commands") == 10


def test_second_connection_waits_for_the_first(engine, database_url):
    """A command that another connection has accepted and not committed is not answered before that
    one's end: a rollback makes it new, a commit makes it known.
    """
    second = rig.other_engine(database_url)
    for commits, expected in ((False, "accepted"), (True, "known")):
        command = make.ship()
        answers = []
        with engine.connect() as first:
            accept(first, [command])
            with rig.running(
                lambda c=command, a=answers: a.append(rig.accepted(second, c)[0].answer)
            ):
                rig.until(
                    lambda: rig.count(engine, "pg_stat_activity", "wait_event_type = 'Lock'") == 1
                )
                assert answers == []
                if commits:
                    first.commit()
                else:
                    first.rollback()
        assert answers == [expected]
    second.dispose()


def test_different_commands_of_one_id_at_once(engine):
    """Two commands under one id at the same time: one is accepted, the other id_reused."""
    first = make.ship(items=make.items(A=1))
    second = make.ship(command_id=first.command_id, items=make.items(A=2))

    answers = rig.together(
        lambda: rig.accepted(engine, first)[0].answer,
        lambda: rig.accepted(engine, second)[0].answer,
    )

    assert sorted(answers) == ["accepted", "id_reused"]
    assert rig.count(engine, "strays") == 1


def test_opposite_orders_do_not_deadlock(engine):
    """5,000 ids, forwards by one thread and backwards by another: both return, each id is accepted
    by one of them.
    """
    commands = [make.ship() for _ in range(5000)]

    one, other = rig.together(
        lambda: rig.accepted(engine, *commands),
        lambda: rig.accepted(engine, *reversed(commands)),
    )

    answers = {receipt.command_id: [receipt.answer] for receipt in one}
    for receipt in other:
        answers[receipt.command_id].append(receipt.answer)
    assert len(answers) == 5000
    assert all(sorted(pair) == ["accepted", "known"] for pair in answers.values())
    assert rig.count(engine, "commands") == 5000


def test_rollback_accepts_nothing(engine):
    """Acceptance is the caller's transaction: rolled back, no command and no stray is left."""
    command = make.ship()
    rig.accepted(engine, command)
    before = rig.dump(engine)

    with engine.connect() as connection:
        receipts = accept(
            connection, [make.ship(), make.ship(command_id=command.command_id, order_id="O-2")]
        )
        connection.rollback()

    assert [receipt.answer for receipt in receipts] == ["accepted", "id_reused"]
    assert rig.dump(engine) == before


def test_callers_own_rows_commit_with_the_command(engine):
    """A caller's own table and the command are one transaction."""
    rig.run(engine, "create table decisions (id int)")
    command = make.ship()

    with engine.begin() as connection:
        connection.exec_driver_sql("insert into decisions values (1)")
        accept(connection, [command])

    assert rig.count(engine, "decisions") == 1
    assert rig.state(engine, command) == "pending"
    rig.run(engine, "drop table decisions")


def test_no_commands_no_statement(engine):
    """Nothing to accept is answered without asking the server."""
    with engine.begin() as connection, rig.statements(engine) as sent:
        assert list(accept(connection, [])) == []

    assert sent == []


SAME = [
    {"issued_at": "2026-01-01T00:00:00Z"},
    {"issued_by": "warehouse"},
    {"issued_at": None, "issued_by": 7},
]
OTHER = [
    {"kind": "complete"},
    {"order_id": "O-2"},
    {"schema_version": 1},
    {"expected_version": 1},
    {"after": "00000000-0000-4000-8000-000000000001"},
    {"notify_customer": False},
    {"policy": "clamp"},
    {"items": [{"line_id": "A", "quantity": 1}]},
    {"carrier": "dhl"},
    {"tracking_number": "1Z"},
    {"tracking_url": "https://x"},
    {"label": "generate"},
    {"new_carrier": {"code": "x", "name": "X"}},
    {"Issued_at": "2026-01-01T00:00:00Z"},
    {"nested": {"issued_at": 1}},
    {"note": None},
]


def test_fingerprint_ignores_when_and_by_whom(engine):
    """When and by whom a command was issued are not part of what it is."""
    body = make.ship().body()
    raw(engine, body | {"issued_at": "2025-05-05T05:05:05Z", "issued_by": "admin panel"})

    answers = [row.answer for row in raw(engine, *[body | extra for extra in SAME])]

    assert answers == ["known"] * len(SAME)
    assert rig.count(engine, "strays") == 0


def test_fingerprint_counts_everything_else(engine):
    """Any other field makes another command, wherever it stands."""
    body = make.ship().body()
    raw(engine, body)

    answers = [row.answer for row in raw(engine, *[body | extra for extra in OTHER])]

    assert answers == ["id_reused"] * len(OTHER)
    assert rig.command(engine, UUID(body["command_id"])).body == body
    assert rig.count(engine, "strays") == len(OTHER)


def test_fingerprint_is_of_the_value_not_the_text(engine):
    """Key order, spaces and escapes are not content: the fingerprint is of the canonical jsonb."""
    command_id = str(uuid4())
    texts = [
        '{"command_id": "%s", "kind": "ship", "order_id": "O-1", "carrier": "dh\\u006c"}',
        '{"carrier":"dhl","order_id":"O-1","kind":"ship","command_id":"%s"}',
    ]

    with engine.begin() as connection:
        answers = [
            connection.exec_driver_sql(
                "select answer from accept_commands(%(bodies)s::jsonb)",
                {"bodies": f"[{text % command_id}]"},
            ).scalar_one()
            for text in texts
        ]

    assert answers == ["accepted", "known"]


def test_fingerprint_of_two_ids_is_one(engine):
    """Equal content under two ids is two commands with one fingerprint."""
    first, second = make.ship(), make.ship()

    rig.accepted(engine, first, second)

    prints = {rig.command(engine, one).fingerprint for one in (first, second)}
    assert len(prints) == 1
    assert len(prints.pop()) == 32


def test_python_and_sql_doors_agree(engine):
    """A command that came in by Python is known by SQL, and the other way round."""
    by_python, by_sql = make.ship(), make.refund(amount=make.money(5))
    rig.accepted(engine, by_python)
    raw(engine, by_sql.body())

    assert [row.answer for row in raw(engine, by_python.body())] == ["known"]
    assert [receipt.answer for receipt in rig.accepted(engine, by_sql)] == ["known"]


def test_order_of_items_is_no_content(engine):
    """Python doors sort items by line, so the same items in another order are the same command."""
    command = make.ship(items=make.items(A=1, B=2))
    shuffled = make.ship(command_id=command.command_id, items=make.items(B=2, A=1))
    rig.accepted(engine, command)

    (receipt,) = rig.accepted(engine, shuffled)

    assert receipt.answer == "known"


@pytest.fixture
def producer(engine, database_url):
    """A database role whose only grant is EXECUTE on accept_commands."""
    role = f"producer_{uuid4().hex}"
    rig.run(engine, f"create role {role} login password 'p'")
    rig.run(engine, f"grant execute on function accept_commands(jsonb, integer) to {role}")
    host = database_url.rsplit("@", 1)[1]
    with psycopg.connect(f"postgresql://{role}:p@{host}", autocommit=True) as connection:
        yield connection
    rig.run(engine, f"revoke execute on function accept_commands(jsonb, integer) from {role}")
    rig.run(engine, f"drop role {role}")


def test_producer_role_can_publish(engine, producer):
    """EXECUTE on accept_commands is enough to publish and to learn the outcome."""
    rig.placed(engine)
    command = make.ship()
    call = "select answer, state, outcome ->> 'state' from accept_commands(%s::jsonb)"
    bodies = json.dumps([command.body()])

    first = producer.execute(call, [bodies]).fetchone()
    rig.drainer(engine)()
    second = producer.execute(call, [bodies]).fetchone()

    assert first == ("accepted", "pending", None)
    assert second == ("known", "applied", "applied")


@pytest.mark.parametrize(
    "what", ["select 1 from {}", "delete from {}", "insert into {} default values"]
)
def test_producer_role_can_nothing_else(producer, what):
    """The role reads and writes no table directly."""
    for table in (*rig.TABLES, "alembic_version"):
        with pytest.raises(InsufficientPrivilege):
            producer.execute(what.format(table))


def test_producer_role_cannot_take_numbers_or_shadow(producer):
    """Neither sequences nor the schema are the role's, and nobody else gets the function."""
    for statement in (
        "select nextval('work_seq')",
        "select nextval('work_claim')",
        "create table public.mine (id int)",
        "create function public.sha256(bytea) returns bytea language sql as 'select null::bytea'",
    ):
        with pytest.raises(InsufficientPrivilege):
            producer.execute(statement)


def test_other_roles_cannot_publish(engine, database_url):
    """EXECUTE is granted, never inherited from PUBLIC."""
    role = f"stranger_{uuid4().hex}"
    rig.run(engine, f"create role {role} login password 'p'")
    host = database_url.rsplit("@", 1)[1]

    with (
        psycopg.connect(f"postgresql://{role}:p@{host}", autocommit=True) as connection,
        pytest.raises(InsufficientPrivilege),
    ):
        connection.execute("select * from accept_commands('[]')")

    rig.run(engine, f"drop role {role}")


def test_role_cannot_redirect_the_function(engine, producer):
    """The function runs with its owner's rights on its own tables, whatever the caller's
    search_path or temporary tables say.
    """
    producer.execute("create temporary table commands (id uuid, body jsonb)")
    producer.execute("set search_path = pg_temp, public")
    command = make.ship()

    (answer,) = producer.execute(
        "select answer from public.accept_commands(%s::jsonb)", [json.dumps([command.body()])]
    ).fetchone()

    assert answer == "accepted"
    assert rig.state(engine, command) == "pending"
    producer.execute("drop table pg_temp.commands")


class Hints:
    def __init__(self):
        self.sent = []

    def send(self, route):
        self.sent.append(route)
        return True


def test_receipts_hint_once_and_only_for_news(engine):
    """A receipt wakes the commands' workers once for many, and not for what was known."""
    hints = Hints()
    command = make.ship()

    rig.accepted(engine, command, make.ship()).hint(hints)
    assert hints.sent == ["commands"]

    rig.accepted(engine, command).hint(hints)
    assert hints.sent == ["commands"]
