"""Loading: all of a file or nothing of it, once; and which order a row means."""

import pytest

from tests import factories as make
from tests.jobs import job_rig
from tests.jobs.client import client
from tests.jobs.job_rig import HEADER, carried_out, fates, loaded
from tests.work import rig
from tests.work.process import worker
from worker.jobs.badfile import BadFile

WAITING = "select count(*) from pg_locks where relation = 'job_rows'::regclass and not granted"
SESSIONS = (
    "select count(*) from pg_stat_activity where application_name = 'fulfillment ' || %(pid)s"
)


def test_the_same_file_is_the_same_job(engine):
    """Sent again, by somebody else and under another name, it changes nothing; with another option
    it is another job.
    """
    rig.placed(engine)
    content = HEADER + "O-1,A,,1,,T1\n"
    first = carried_out(engine, content)
    before = rig.dump(engine)

    again = carried_out(engine, content, issued_by="somebody else")

    assert again == first
    assert rig.dump(engine) == before
    others = [{"batch": "b"}, {"notify_customer": False}, {"encoding": "utf-8"}]
    assert len({first, *(loaded(engine, content, **one) for one in others)}) == 4


def test_two_who_send_one_file(engine):
    """At one moment: one loads it, the other finds the job."""
    content = HEADER + "".join(f"O-{n},A,,1,,\n" for n in range(300))

    both = rig.together(lambda: loaded(engine, content), lambda: loaded(engine, content))

    assert both[0] == both[1]
    assert rig.count(engine, "job_rows") == 300


def test_a_file_that_ends_badly(engine):
    """What is wrong with its last line refuses all of it: nothing is there."""
    with pytest.raises(BadFile):
        loaded(engine, HEADER + "O-1,A,,1,,T1\n" * 2000 + '"O-2')

    assert rig.count(engine, "jobs") == rig.count(engine, "job_rows") == 0


def test_carriers_by_name(engine):
    """A carrier's name, however it is spelt, means its code, so rows that spell it differently are
    one parcel; what is no carrier's name, or several carriers', is refused.
    """
    rig.placed(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "insert into carriers (code, name) values ('dhl', 'DHL'), ('cargo', 'Cargo Lads'),"
            " ('bikes-1', 'City Bikes'), ('bikes-2', 'City Bikes'), ('ups', 'Uncle Pete')"
        )
    rows = ["DHL Express", "dhl", "CARGO-LADS", "City Bikes", "UPS", "ups", "Nobody"]

    loaded(engine, HEADER + "".join(f"O-1,A,,1,{name},T\n" for name in rows))

    with engine.connect() as connection:
        told = connection.exec_driver_sql(
            "select row, carrier, parcel, problem from job_rows order by row"
        ).all()
    why = "carrier: {} is none, or several, of `fulfillment carriers list`"
    assert [tuple(one) for one in told] == [
        (2, "dhl", 2, None),
        (3, "dhl", 2, None),
        (4, "cargo", 4, None),
        (5, "City Bikes", 5, why.format("City Bikes")),
        (6, "UPS", 6, why.format("UPS")),
        (7, "ups", 7, None),
        (8, "Nobody", 8, why.format("Nobody")),
    ]


@pytest.mark.heavy
def test_a_client_that_is_killed_before_its_commit(engine, database_url, tmp_path):
    """SIGKILL while it copies: nothing is there, and the next one loads it whole."""
    file = tmp_path / "parcels.csv"
    file.write_text(HEADER + "O-1,A,,1,,T1\n")
    with engine.connect() as other:
        other.exec_driver_sql("lock table job_rows in share mode")
        with worker(database_url, run=client, file=str(file)) as process:
            pid = process.pid
            rig.until(lambda: rig.one(engine, WAITING)[0])
            process.kill()
        other.rollback()
    rig.until(lambda: rig.one(engine, SESSIONS, pid=str(pid))[0] == 0)

    assert rig.count(engine, "jobs") == rig.count(engine, "job_rows") == 0
    loaded(engine, file.read_bytes())
    assert rig.count(engine, "job_rows") == 1


@pytest.mark.heavy
def test_a_client_that_is_killed_after_its_commit(engine, database_url, tmp_path):
    """SIGKILL while it waits for outcomes: the job goes on without it."""
    rig.placed(engine)
    file = tmp_path / "parcels.csv"
    file.write_text(HEADER + "O-1,A,,1,,T1\nO-1,A,,1,,T2\n")
    with worker(database_url, run=client, file=str(file)) as process:
        rig.until(lambda: rig.count(engine, "jobs"))
        process.kill()

    job_rig.drain(engine)()
    rig.drainer(engine)()

    assert rig.one(engine, "select state, rows, sent from jobs") == ("done", 2, 2)
    assert rig.line(engine).shipped == 2


ORDERS = {
    "O-1": "1001",
    "O-2": "#1002",
    "1003": "x",
    "O-4": "1003",
    "O-5": "twice",
    "O-6": "twice",
    "00123": None,
    "O-8": "0077",
}
ROWS = {
    "1001,A,,1,,a": "applied",
    "#1001,A,,1,,b": "applied",
    "1002,A,,1,,c": "applied",
    "1003,A,,1,,d": "applied",
    "twice,A,,1,,e": "order: several orders have this number; give the id",
    "123,A,,1,,f": "order: its leading zeros are lost; 00123 is here",
    "77,A,,1,,g": "order: its leading zeros are lost; O-8 is here",
    "O-1,,7,1,,h": "sku: its leading zeros are lost; the order has 007",
    "O-1,,07,1,,i": "sku: its leading zeros are lost; the order has 007",
    "O-1,,8,1,,j": "sku: no line of the order has it",
    "O-9,,8,1,,k": "order: is not here, so its SKUs are not known",
    "x y,A,,1,,l": "order_id: String should match pattern '^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$'",
}


@pytest.fixture
def orders(engine):
    """Orders by id and number; each has nine of line A, whose SKU is 007."""
    line = make.order_line("A", 9, sku="007")
    for order_id, number in ORDERS.items():
        rig.with_lines(engine, line, order_id=order_id, number=number)


def test_orders_by_id_and_by_number(engine, orders):
    """An order is meant by its id, else by its number if exactly one has it; zeros that a
    spreadsheet cut off are told where the order's own data shows them.
    """
    found = carried_out(engine, HEADER + "".join(f"{row}\n" for row in ROWS))

    assert [why if result == "refused" else result for _, result, why in fates(engine, found)] == [
        *ROWS.values()
    ]
    shipped = "select order_id, sum(shipped)::integer from order_lines where shipped > 0 group by 1"
    assert dict(rig.rows(engine, shipped)) == {"O-1": 2, "O-2": 1, "1003": 1}


def test_one_order_by_two_names(engine, orders):
    """Rows that mean one order by its id and by its number are one parcel."""
    rig.with_lines(engine, *map(make.order_line, "AB"), order_id="O-10", number="1010")

    found = carried_out(engine, HEADER + "O-10,A,,1,,T\n1010,B,,1,,T\n")

    assert fates(engine, found) == [(2, "applied", None), (3, "applied", None)]
    assert rig.count(engine, "shipments") == 1


def test_a_parcel_without_end(engine):
    """More rows than a shipment may have are refused, in whatever place; others are sent."""
    rig.placed(engine)
    rows = [f"O-2,L{n},,1,,T\n" for n in range(5_001)]

    found = carried_out(engine, HEADER + "".join([*rows, "O-1,A,,1,,\n"]))

    results = fates(engine, found)
    assert {why for _, _, why in results[:-1]} == {"a shipment of 5001 rows: 5000 at most"}
    assert results[-1] == (5003, "applied", None)
    assert job_rig.job(engine, found).sent == 5_002
