"""The route of jobs: chunk by chunk, and exactly on from wherever somebody was stopped."""

import pytest

from tests import factories as make
from tests.jobs import job_rig
from tests.jobs.job_rig import HEADER, drain, fates, job, loaded
from tests.work import rig
from tests.work.process import worker
from worker.jobs.jobs import NotNow, cancel, resume
from worker.jobs.route import chunk
from worker.work.claim import JOBS_TABLE, claim

WAITING = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"


def parcels(count):
    return HEADER + "".join(f"O-{n},A,,1,,T{n}\n" for n in range(count))


def claimed(engine):
    with engine.begin() as connection:
        return claim(connection, JOBS_TABLE, "jobs", limit=1, lease_s=5)


def sent(engine):
    return rig.count(engine, "commands", "kind = 'ship'")


def test_a_chunk_and_its_position_are_one(engine):
    """Each chunk is 500 commands, accepted with the position behind them; the job is due again at
    once, and done when nothing is left.
    """
    found = loaded(engine, parcels(1_100))
    seen = []

    while (batch := claimed(engine)) is not None:
        chunk(engine, batch)
        row = job(engine, found)
        seen.append((sent(engine), row.sent, row.position, row.state))

    assert seen == [
        (500, 500, 501, "pending"),
        (1000, 1000, 1001, "pending"),
        (1100, 1100, 1101, "pending"),
        (1100, 1100, 1101, "done"),
    ]


def test_who_lost_the_claim_sends_nothing(engine):
    """A worker that stood still beyond its lease finds the job in other hands."""
    found = loaded(engine, parcels(600))
    late = claimed(engine)
    rig.run(engine, "update jobs set lease_until = null")
    chunk(engine, claimed(engine))
    before = rig.dump(engine)

    assert chunk(engine, late) is None

    assert rig.dump(engine) == before
    assert job(engine, found).sent == 500


@pytest.mark.heavy
def test_a_worker_that_is_killed_in_a_chunk(engine, database_url):
    """SIGKILL when two chunks are sent and the third is accepted but not committed: whoever comes
    next goes on after the second, and each row is sent once.
    """
    found = loaded(engine, parcels(1_700))
    with engine.connect() as other:
        other.exec_driver_sql("select 1 from job_rows where row = 1200 for update")
        with worker(database_url, lease_s=600, lock_timeout_ms=60_000) as process:
            rig.until(lambda: job(engine, found).sent == 1_000 and rig.one(engine, WAITING)[0])
            process.kill()
        other.rollback()
    rig.until(lambda: rig.one(engine, WAITING)[0] == 0)
    assert (sent(engine), job(engine, found).sent) == (1_000, 1_000)

    rig.lease_over(engine, table="jobs")
    successor = drain(engine)
    successor.has_suspects.set()
    successor()

    row = job(engine, found)
    assert (row.state, row.sent, row.crashes, sent(engine)) == ("done", 1_700, 0, 1_700)
    assert rig.one(engine, "select count(distinct command_id) from job_rows")[0] == 1_700


def test_cancelled_and_resumed(engine):
    """What is sent stays; the rest says `not sent`, until the job is resumed and goes on there.
    Both acts are in the audit.
    """
    found = loaded(engine, parcels(700))
    chunk(engine, claimed(engine))

    with engine.begin() as connection:
        cancel(connection, found, actor="desk")
    drain(engine)()

    assert sent(engine) == 500
    results = [result for _, result, _ in fates(engine, found)]
    assert (results.count("waiting"), results.count("not sent")) == (500, 200)
    with engine.begin() as connection:
        resume(connection, found, actor="desk")
    drain(engine)()
    assert (sent(engine), job(engine, found).state) == (700, "done")
    audit = rig.rows(
        engine, "select actor, act, work_id, details ->> 'sent' from audit order by 1, 2"
    )
    assert audit == [
        ("desk", "job_cancelled", found, "500"),
        ("desk", "job_resumed", found, "500"),
    ]


def test_cancelled_between_claim_and_chunk(engine):
    """A worker that has the job in its hands sends no more of it."""
    found = loaded(engine, parcels(10))
    batch = claimed(engine)

    with engine.begin() as connection:
        cancel(connection, found, actor="desk")

    assert chunk(engine, batch) is None
    assert sent(engine) == 0


def test_what_cannot_be_done_now(engine):
    """A job that is done is neither cancelled nor resumed, one that goes on is not resumed; nothing
    changes.
    """
    found = loaded(engine, parcels(1))
    with engine.begin() as connection, pytest.raises(NotNow, match=r"^the job is pending$"):
        resume(connection, found, actor="desk")
    drain(engine)()
    before = rig.dump(engine)

    for act in (cancel, resume):
        with engine.begin() as connection, pytest.raises(NotNow, match=r"^the job is done$"):
            act(connection, found, actor="desk")

    assert rig.dump(engine) == before


def test_a_dead_job_goes_on(engine):
    """A job that failed too often is dead, says why, and is resumed from where it stood."""
    found = loaded(engine, parcels(3))
    rig.run(engine, "alter table job_rows add constraint planted check (command_id is null)")
    try:
        drain(engine)()
        row = job(engine, found)
        assert (row.state, row.dead_reason, sent(engine)) == ("dead", "database_23514", 0)
        assert {result for _, result, _ in fates(engine, found)} == {"not sent"}
    finally:
        rig.run(engine, "alter table job_rows drop constraint planted")

    with engine.begin() as connection:
        resume(connection, found, actor="desk")
    drain(engine)()

    assert (job(engine, found).state, sent(engine)) == ("done", 3)


def test_two_jobs_share_the_workers(engine):
    """After a chunk of one job it is the other's turn."""
    first = loaded(engine, parcels(1_200))
    second = loaded(engine, parcels(3), batch="second")

    chunk(engine, claimed(engine))
    chunk(engine, claimed(engine))

    assert (job(engine, first).sent, job(engine, second).sent) == (500, 3)


def test_a_parcel_is_never_cut(engine):
    """Rows of a parcel that stand far apart are in one chunk, in the place of the first."""
    rig.with_lines(engine, *(make.order_line(name, 3) for name in "AB"))
    text = HEADER + "O-1,A,,1,,T\n" + parcels(900)[len(HEADER) :] + "O-1,B,,1,,T\n"
    found = loaded(engine, text)

    chunk(engine, claimed(engine))

    ids = rig.rows(engine, "select distinct command_id from job_rows where tracking_number = 'T'")
    assert len(ids) == 1
    assert ids[0].command_id is not None
    assert job(engine, found).sent == 501


@pytest.mark.parametrize("statement", ["next_rows", "store", "move", "look_at_job"])
def test_a_chunk_reads_its_own_rows_only(engine, statement):
    """Each statement finds its rows by an index, whatever statistics say."""
    loaded(engine, parcels(600))
    with rig.statements(engine) as said:
        job_rig.drain(engine)()
    text, parameters = next(one for one in said if rig.name(one[0]) == statement)

    with engine.connect() as connection:
        (plan,) = connection.exec_driver_sql(
            f"explain (format json) {text}", parameters
        ).scalar_one()
        connection.rollback()

    assert "Seq Scan" not in scans(plan["Plan"])


def scans(node):
    """Kinds of scans in a plan."""
    return {node["Node Type"]}.union(*map(scans, node.get("Plans", ())))
