"""`jobs`: how far files of shipments are; and what `bulk` says and leaves beside them."""

from uuid import UUID, uuid4

import pytest

from messages.wire import COMMANDS, JOBS
from tests.cli.cli_tools import json_of, one, paid_order, rows_of, table_of, write
from tests.factories import order_line, place
from tests.work import rig

HEADER = "order,line,quantity,tracking_number,note\n"


@pytest.fixture
def file(tmp_path, decided):
    """Five rows for O-1, three units of A: two are applied, two refused, one rejected."""
    decided(place(order=paid_order(order_line("A", 3))))
    path = tmp_path / "parcels.csv"
    rows = "O-1,A,1,T1,a\nO-1,A,x,T2,=b\nO-1,A,2,T3,c\nO-1,A,1,T4,d\n,A,1,T5,e\n"
    path.write_text(HEADER + rows)
    return path


def drain(runtime):
    runtime.drains[JOBS]()
    runtime.drains[COMMANDS].has_bulk.set()  # as a ticker would
    runtime.drains[COMMANDS]()


def job_of(engine):
    return str(one(engine, "select id from jobs"))


def test_what_bulk_leaves(cli, file, worker):
    """Rows that were not applied are in a file beside it, as they came, with the reason; what it
    says first is which columns are not used.
    """
    result = cli("bulk", str(file))

    rejects = file.with_name("parcels.rejects.csv")
    assert result.exit_code == 5
    lines = result.stderr.splitlines()
    assert lines[0] == "columns that are not used: note"
    assert lines[-1] == f"3 rows to correct and send again: {rejects}"
    assert rejects.read_text("utf-8-sig").splitlines() == [
        "order,line,quantity,tracking_number,note,reason",
        "O-1,A,x,T2,'=b,quantity: must be a whole number from 1 to 1000000",
        'O-1,A,1,T4,d,"more_than_remains: line A: 1 asked, 0 of 3 left"',
        ",A,1,T5,e,order: must not be empty",
    ]


def test_a_reject_file_that_is_being_corrected_stays(cli, file, worker):
    """The same file again leaves an untouched reject file as it is, and writes beside a corrected
    one; a name that is asked for is written over.
    """
    cli("bulk", str(file))
    rejects = file.with_name("parcels.rejects.csv")
    as_it_was = rejects.read_text()
    cli("bulk", str(file))
    assert sorted(p.name for p in file.parent.iterdir()) == ["parcels.csv", "parcels.rejects.csv"]
    rejects.write_text("corrected")

    cli("bulk", str(file))

    assert rejects.read_text() == "corrected"
    assert file.with_name("parcels.rejects-2.csv").read_text() == as_it_was
    cli("bulk", str(file), "--rejects", str(rejects))
    assert rejects.read_text() == as_it_was


def test_a_reject_file_that_cannot_be_written(cli, file, worker):
    """It is a sentence; what was sent is sent."""
    result = cli("bulk", str(file), "--rejects", str(file / "x.csv"))

    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == f"error: {file / 'x.csv'}: Not a directory"


def test_a_dry_run_leaves_nothing(cli, file, engine):
    """Every row is judged, in the database and beside the file nothing is written, unless asked."""
    before = rig.dump(engine)

    result = cli("bulk", "--dry-run", str(file))

    assert [line[:5] for line in table_of(result)[1:]] == [
        ["3", "O-1", "A", "x", "refused"],
        ["5", "O-1", "A", "1", "rejected"],
        ["6", "A", "1", "refused", "order:"],
    ]
    assert result.stderr.splitlines()[-1] == (
        "nothing was sent; it would be: 2 applied; 2 refused; 1 rejected"
    )
    assert result.exit_code == 5
    assert rig.dump(engine) == before
    assert [path.name for path in file.parent.iterdir()] == ["parcels.csv"]
    rejects = file.parent / "r.csv"
    cli("bulk", "--dry-run", str(file), "--rejects", str(rejects))
    assert len(rejects.read_text().splitlines()) == 4


def test_columns_by_option(cli, file, worker, engine):
    """--column says which is which; the wrong one exits 2, and nothing is sent."""
    wrong = cli("bulk", str(file), "--column", "sku=nothing")
    assert (wrong.exit_code, wrong.stderr) == (
        2,
        "error: --column sku: no column is named 'nothing'; nothing was sent\n",
    )
    assert one(engine, "select count(*) from jobs") == 0

    cli("bulk", str(file), "--column", "tracking_number=note")

    numbers = rig.rows(engine, "select tracking_number from shipments order by 1")
    assert [number for (number,) in numbers] == ["a", "c"]


def test_only_some_rows_are_printed(cli, worker, placed, engine):
    """Of many that were not applied the first twenty are printed, and all are counted."""
    rows = "".join(f"O-1,A,x,T{n},\n" for n in range(50))

    result = cli("bulk", "-", stdin=HEADER + rows)

    assert len(table_of(result)) == 21
    assert "only the first 20 that were not applied" in result.stderr.splitlines()
    assert f"job {job_of(engine)}: 50 refused" in result.stderr.splitlines()


def test_list_and_show(cli, file, runtime, engine):
    """A job is shown with how far it is, and with what became of its rows."""
    cli("bulk", str(file), "--no-wait", "--issued-by", "ann", "--batch", "monday")
    (listed,) = rows_of(cli("jobs", "list", "--json"))
    assert (listed["name"], listed["state"], listed["rows"], listed["sent"]) == (
        "parcels.csv",
        "pending",
        5,
        0,
    )

    drain(runtime)
    shown = json_of(cli("jobs", "show", job_of(engine), "--json"))

    assert shown["results"] == {"applied": 2, "refused": 2, "rejected": 1}
    assert shown["reasons"] == {
        "applied": {},
        "refused": {"order": 1, "quantity": 1},
        "rejected": {"more_than_remains": 1},
    }
    facts = {"state": "done", "rows": 5, "sent": 5, "issued_by": "ann", "batch": "monday"}
    assert facts.items() <= shown.items()
    assert shown["rate_per_s"] > 0
    assert shown["left_s"] is None
    text = cli("jobs", "show", job_of(engine)).stdout
    assert "results   2 applied; 2 refused; 1 rejected\n" in text
    assert "  rejected: more_than_remains 1\n" in text
    assert rows_of(cli("jobs", "list", "--state", "dead", "--json")) == []


def test_a_dead_job(cli, file, engine):
    """Dead letters are listed with word of the jobs that died, which `jobs` resumes or cancels."""
    cli("bulk", str(file), "--no-wait")
    write(engine, "update jobs set state = 'dead', dead_reason = 'bug', decided_at = now()")

    result = cli("dead", "list")

    said = "nothing\njobs that died too: 1; see fulfillment jobs list --state dead\n"
    assert result.stderr == said
    (job,) = rows_of(cli("jobs", "list", "--state", "dead", "--json"))
    assert str(job["job_id"]) == job_of(engine)


def test_cancel_and_resume(cli, file, runtime, engine):
    """A job that is cancelled before anything is sent says so of each row, and its reject file
    holds them; resumed it goes on. What cannot be done now is a sentence.
    """
    cli("bulk", str(file), "--no-wait")
    found = job_of(engine)

    cancelled = cli("jobs", "cancel", found, "--by", "ann")
    assert cancelled.stdout == "cancelled: 0 of 5 rows were looked at before\n"
    drain(runtime)
    assert json_of(cli("jobs", "show", found, "--json"))["results"] == {
        "not sent": 3,
        "refused": 2,
    }
    assert cli("jobs", "rejects", found).stdout.count("not sent") == 3
    assert cli("jobs", "cancel", found).stderr == "error: the job is cancelled\n"

    resumed = cli("jobs", "resume", found, "--by", "ann")
    assert resumed.stdout == "goes on: 5 of 5 rows are left\n"
    drain(runtime)
    assert json_of(cli("jobs", "show", found, "--json"))["results"] == {
        "applied": 2,
        "refused": 2,
        "rejected": 1,
    }
    assert cli("jobs", "resume", found).exit_code == 1


@pytest.mark.parametrize("act", ["show", "cancel", "resume", "rejects"])
def test_no_such_job(cli, act):
    """It exits 4."""
    nobody = uuid4()

    result = cli("jobs", act, str(nobody))

    assert (result.exit_code, result.stderr) == (4, f"error: there is no job {nobody}\n")


def test_pausing_jobs(cli, file, runtime, engine):
    """The queue of jobs is paused and resumed like any other, and shown."""
    cli("pause", "jobs")
    cli("bulk", str(file), "--no-wait")
    drain(runtime)

    listed = cli("jobs", "list").stdout

    assert "pending, paused" in listed
    assert one(engine, "select count(*) from commands where kind = 'ship'") == 0
    queues = {row["route"]: row for row in json_of(cli("queues", "--json"))["queues"]}
    assert queues["jobs"]["due"] == 1
    assert UUID(job_of(engine))
