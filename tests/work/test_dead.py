"""Dead letters: chosen, replayed and discarded; each act with its row in the audit."""

import threading
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy.exc import IntegrityError

from messages import Payment
from tests import factories as make
from tests.work import rig
from worker.work import dead as module
from worker.work.accept import accept_bodies
from worker.work.dead import Chosen, Letter, ago, count, dead, discard, groups, in_chunks, replay
from worker.work.preview import read_only

FAR = 1_000


def too_new(engine, number=1, order_id=make.ORDER_ID, **fields):
    """So many commands that died of a version that no worker knows."""
    ids = [uuid4() for _ in range(number)]
    body = {"kind": "ship", "order_id": order_id, "schema_version": 2}
    bodies = [body | {"command_id": str(one_id)} | fields for one_id in ids]
    with engine.begin() as connection:
        accept_bodies(connection, bodies)
    rig.drainer(engine)()
    return ids


def dead_followup(engine, route, name=None, reason="gone"):
    """A follow-up of an order, dead of a reason; its id."""
    (row_id,) = rig.one(
        engine,
        "update followups set state = 'dead', dead_reason = %(reason)s, attempts = 3,"
        " decided_at = now(), claim = nextval('work_claim'), errors ="
        " jsonb_build_array(jsonb_build_object('reason', %(reason)s::text, 'message', 'no'))"
        " where id = (select id from followups where route = %(route)s and state = 'pending'"
        " and (%(name)s::text is null or name = %(name)s) limit 1) returning id",
        route=route,
        name=name,
        reason=reason,
    )
    return row_id


def with_refund(engine, order_id=make.ORDER_ID):
    """An order with a label, a refund and e-mails to come."""
    paid = (Payment(payment_id="P1", captured_minor=300),)
    rig.placed(engine, order_id, payments=paid)
    ship = make.ship(order_id=order_id, items=make.items(A=1), label="generate")
    refund = make.refund(order_id=order_id, amount=make.money(100))
    assert rig.decided(engine, ship, refund) == ["applied", "applied"]


def audited(engine):
    with engine.begin() as connection:
        rows = connection.exec_driver_sql(
            "select actor, act, route, work_id, order_id, details from audit order by audit_id"
        )
        return [tuple(row) for row in rows]


def test_older_than(engine):
    """Age counts from the last failure, on the database's clock."""
    old, new = too_new(engine, 2)
    rig.run(engine, "update commands set decided_at = now() - interval '2 hours' where id = %(id)s",
            id=old)  # fmt: skip

    with engine.begin() as connection:
        hour_ago = ago(connection, 3600)
        listed = dead(connection, Chosen(failed_before=hour_ago), limit=FAR)
        now = connection.exec_driver_sql("select now()").scalar_one()

    assert [row["id"] for row in listed] == [old]
    assert now - hour_ago == timedelta(hours=1)
    assert new != old


def test_groups(engine):
    """Letters are counted by queue and reason, most first, with the latest of each."""
    with_refund(engine)
    first, last = too_new(engine, 2)
    rig.run(engine, "update commands set decided_at = now() - interval '1 hour' where id = %(id)s",
            id=first)  # fmt: skip
    email = dead_followup(engine, "emails")

    with engine.begin() as connection:
        found = groups(connection, Chosen())
        emails = groups(connection, Chosen(route="emails"))

    assert [
        (row["route"], row["reason"], row["letters"], row["example"], row["last_error"])
        for row in found
    ] == [
        ("commands", "unsupported_version", 2, last, "this worker knows version 1"),
        ("emails", "gone", 1, email, "no"),
    ]
    assert found[0]["newest"] - found[0]["oldest"] > timedelta(minutes=59)
    assert [row["route"] for row in emails] == ["emails"]


def test_looking_writes_nothing(engine):
    """List, groups and count run where PostgreSQL refuses to write."""
    too_new(engine)

    with engine.begin() as connection:
        read_only(connection)
        assert len(dead(connection, Chosen(), limit=FAR)) == 1
        assert len(groups(connection, Chosen())) == 1
        assert count(connection, Chosen()) == 1


STATEMENTS = {
    "LIST_DEAD", "GROUP_DEAD", "COUNT_DEAD", "REPLAY_COMMANDS", "REPLAY_FOLLOWUPS",
    "DISCARD_COMMANDS", "DISCARD_FOLLOWUPS", "REFUND_PARTS",
}  # fmt: skip


def test_plans(engine):
    """Among many that ended, dead letters are found by the indexes that hold just them, on a
    connection of the command line's.
    """
    rig.run(
        engine,
        "insert into commands (id, kind, order_id, body, fingerprint, state, outcome, decided_at)"
        " select gen_random_uuid(), 'ship', 'F-' || n, '{}', '', 'applied', '{}', now()"
        " from generate_series(1, 5000) n",
    )
    rig.run(
        engine,
        "insert into followups (id, route, name, order_id, command_id, subject_id, state)"
        " select gen_random_uuid(), 'emails', 'shipped', 'F-' || n, gen_random_uuid(),"
        " gen_random_uuid(), 'done' from generate_series(1, 5000) n",
    )
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.exec_driver_sql("vacuum analyze commands, followups")
    unpinned = rig.other_engine(engine.url.render_as_string(hide_password=False))

    parameters = {**Chosen().parameters, "after": None, "limit": 50, "outcome": "{}"}
    found = {}
    with unpinned.connect() as connection:
        for name in STATEMENTS:
            explain = f"explain (format json) {getattr(module, name)}"
            (plan,) = connection.exec_driver_sql(explain, parameters).scalar_one()
            found[name] = scans(plan["Plan"])
    unpinned.dispose()

    meant = {"commands_dead", "followups_dead", "commands_pkey", "followups_pkey"}
    assert [name for name, indexes in found.items() if not indexes or indexes - meant] == []


def scans(node):
    """What a plan reads of tables of work: the index, or the table itself."""
    found = set().union(*map(scans, node.get("Plans", ())))
    if node["Node Type"].endswith("Scan") and node.get("Relation Name") in {
        "commands",
        "followups",
    }:
        found.add(node.get("Index Name", "no index"))
    return found


def test_replay_keeps_id_and_errors(engine):
    """A replayed letter is due at once under its id, with fresh counters and its errors; the audit
    says who, and of what it had died.
    """
    with_refund(engine)
    email = dead_followup(engine, "emails")

    with engine.begin() as connection:
        letters = replay(connection, Chosen(ids=[email]), actor="ann", limit=FAR)

    assert letters == [Letter("emails", email, "O-1", "gone")]
    row = rig.one(
        engine, "select *, next_at <= now() as due from followups where id = %(id)s", id=email
    )
    assert (row.state, row.attempts, row.claim, row.dead_reason, row.due) == (
        "pending", 0, None, None, True,
    )  # fmt: skip
    assert [error["reason"] for error in row.errors] == ["gone"]
    assert audited(engine) == [
        ("ann", "replayed", "emails", email, "O-1", {"dead_reason": "gone"}),
    ]


def test_replay_is_bounded(engine):
    """At most so many are replayed, the oldest first; the rest stays dead."""
    ids = too_new(engine, 3)

    with engine.begin() as connection:
        letters = replay(connection, Chosen(), actor="ann", limit=2)

    assert {letter.id for letter in letters} == set(ids[:2])
    assert rig.count(engine, "commands", "state = 'dead'") == 1
    assert len(audited(engine)) == 2


def test_replay_leaves_what_another_has_in_hand(engine):
    """A letter that another session holds is left to it, without waiting."""
    first, second = too_new(engine, 2)

    with engine.connect() as other:
        other.exec_driver_sql("select 1 from commands where id = %(id)s for update", {"id": first})
        with engine.begin() as connection:
            letters = replay(connection, Chosen(), actor="ann", limit=FAR)

    assert [letter.id for letter in letters] == [second]
    assert [act[3] for act in audited(engine)] == [second]


def test_two_operators_replay_at_once(engine):
    """Two replays of the same letters share them out: each is replayed, and audited, once."""
    ids = too_new(engine, 20)

    def act():
        with engine.begin() as connection:
            return replay(connection, Chosen(), actor="ann", limit=FAR)

    found = rig.together(act, act)

    assert sorted(letter.id for letters in found for letter in letters) == sorted(ids)
    assert sorted(act[3] for act in audited(engine)) == sorted(ids)


def test_chunks(engine):
    """Letters are acted on in chunks of a quarter of a second each, every one committed by itself;
    so many seconds lie between two as keep to the rate.
    """
    too_new(engine, 5)
    dead_after = []
    stop = Stop()

    def act(connection, wanted):
        return replay(connection, Chosen(), actor="ann", limit=wanted)

    chunks = []
    for chunk in in_chunks(engine, act, limit=5, rate_per_s=8, stop=stop):
        chunks.append(len(chunk))
        dead_after.append(rig.count(engine, "commands", "state = 'dead'"))

    assert chunks == [2, 2, 1]
    assert dead_after == [3, 1, 0]
    assert stop.waits_s == [0.25, 0.25]


def test_a_stop_between_chunks(engine):
    """Told to stop, it ends before the next chunk: what was committed is what was yielded."""
    too_new(engine, 5)
    stop = Stop(after=1)

    def act(connection, wanted):
        return replay(connection, Chosen(), actor="ann", limit=wanted)

    chunks = list(in_chunks(engine, act, limit=5, rate_per_s=8, stop=stop))

    assert [len(chunk) for chunk in chunks] == [2]
    assert rig.count(engine, "commands", "state = 'dead'") == 3
    assert len(audited(engine)) == 2


class Stop(threading.Event):
    """An event that no time passes for: it notes the waits, and is set after so many."""

    def __init__(self, after=None):
        super().__init__()
        self.after = after
        self.waits_s = []

    def wait(self, timeout=None):
        self.waits_s.append(timeout)
        if len(self.waits_s) == self.after:
            self.set()
        return self.is_set()


def test_what_dies_again_is_not_replayed_for_ever(engine):
    """Letters chosen as of a moment are replayed once, though they die again meanwhile."""
    too_new(engine, 4)
    with engine.begin() as connection:
        chosen = Chosen(failed_before=ago(connection, 0))

    def act(connection, wanted):
        return replay(connection, chosen, actor="ann", limit=wanted)

    replayed = []
    for chunk in in_chunks(engine, act, limit=FAR, rate_per_s=8, stop=Stop()):
        replayed += chunk
        rig.drainer(engine)()  # dead again

    assert len(replayed) == 4
    assert rig.count(engine, "commands", "state = 'dead'") == 4


def test_discard(engine):
    """A discarded letter has ended: why and by whom is its outcome, of what it died stays, and the
    audit has it; it is no dead letter any more.
    """
    with_refund(engine)
    (command,) = too_new(engine)
    email = dead_followup(engine, "emails")

    with engine.begin() as connection:
        letters = discard(connection, Chosen(), actor="ann", because="test data", limit=FAR)

    outcome = {"discarded": "test data", "by": "ann"}
    assert {letter.id for letter in letters} == {command, email}
    row = rig.command(engine, command)
    assert (row.state, row.outcome, row.dead_reason) == (
        "discarded", outcome, "unsupported_version",
    )  # fmt: skip
    row = rig.one(engine, "select * from followups where id = %(id)s", id=email)
    assert (row.state, row.outcome, row.dead_reason) == ("discarded", outcome, "gone")
    details = {"because": "test data", "dead_reason": "unsupported_version"}
    assert audited(engine)[0] == ("ann", "discarded", "commands", command, "O-1", details)
    with engine.begin() as connection:
        assert dead(connection, Chosen(), limit=FAR) == []
        assert replay(connection, Chosen(ids=[command]), actor="ann", limit=1) == []


def test_a_refund_part_is_never_given_up(engine):
    """Discarding leaves refund parts dead, whatever was chosen, and says which; not even the
    statement could.
    """
    with_refund(engine)
    part = dead_followup(engine, "refunds")
    before = rig.dump(engine)

    with engine.begin() as connection:
        assert discard(connection, Chosen(), actor="ann", because="x", limit=FAR) == []
        subjects = module.refund_parts(connection, Chosen())

    assert rig.dump(engine) == before
    assert subjects == [rig.one(engine, "select part_id from refund_parts")[0]]
    with pytest.raises(IntegrityError):
        rig.run(engine, "update followups set state = 'discarded' where id = %(id)s", id=part)


def test_successors_of_a_discarded_command_are_refused(engine):
    """What waits for a command is woken when that is discarded, and refused at once."""
    rig.placed(engine)
    (first,) = too_new(engine)
    second = make.ship(after=first)
    assert rig.decided(engine, second) == ["pending"]
    assert rig.command(engine, second).waits_for == "predecessor"

    with engine.begin() as connection:
        discard(connection, Chosen(ids=[first]), actor="ann", because="x", limit=1)
    assert rig.command(engine, second).due_in_s <= 0
    rig.drainer(engine)()

    assert rig.reason(engine, second) == "predecessor_failed"


def test_a_later_duplicate_of_a_discarded_command(engine):
    """Sent again, a discarded command is known, as discarded; nothing comes of it."""
    rig.placed(engine)
    (command_id,) = too_new(engine)
    with engine.begin() as connection:
        discard(connection, Chosen(), actor="ann", because="x", limit=1)
    before = rig.dump(engine)

    body = {"kind": "ship", "order_id": "O-1", "schema_version": 2, "command_id": str(command_id)}
    with engine.begin() as connection:
        (receipt,) = accept_bodies(connection, [body])

    assert (receipt.answer, receipt.state) == ("known", "discarded")
    assert receipt.outcome == {"discarded": "x", "by": "ann"}
    assert rig.dump(engine) == before
    assert isinstance(receipt.command_id, UUID)
