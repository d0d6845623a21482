"""`export`: everything as CSV and JSON lines, safe to open in a spreadsheet."""

import csv
import io
import subprocess
import sys

import psycopg
import pytest

from messages import Customer
from tests.cli.cli_tools import own_process, paid_order, rows_of, write
from tests.factories import items, money, order_line, place, refund, ship
from worker.cli.cells import cell

MANY = """
insert into orders (order_id, currency, total_minor, shipping_minor, fulfillment_status,
  payment_status, version, customer_name, placed_at)
select 'B-' || n, 'EUR', 300, 0, 'unfulfilled', 'unpaid', 1, 'Customer ' || n,
  '2026-01-01'::timestamptz + n * interval '1 second'
from generate_series(1, {count}) n
"""
# One export after the other; what the process has needed at most after each, in KiB. Not by
# `getrusage`, which counts what the starter needed before it became this program.
PEAKS = """
import sys
from pathlib import Path
from worker.cli import main
what, *ends = sys.argv[1:]
for until in ends:
    sys.argv[1:] = ["export", what, "--until", until]
    try:
        main()
    except SystemExit:
        pass
    status = Path("/proc/self/status").read_text()
    sys.stderr.write(status.partition("VmHWM:")[2].split()[0] + " ")
"""
FEW, ALL = 2_000, 22_000
KIB_PER_MIB = 1024


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("+1", "'+1"),
        ("-2+3", "'-2+3"),
        ("@SUM(1+1)", "'@SUM(1+1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        (" =1", "' =1"),
        ("＝1", "'＝1"),  # noqa: RUF001  # what some spreadsheets take for the other
        ("Zoé", "Zoé"),
        ("a=1", "a=1"),
        (-5, "-5"),
        (None, ""),
        (True, "true"),
        ([{"line_id": "A"}], '[{"line_id":"A"}]'),
    ],
)
def test_a_cell(value, shown):
    """A text that a spreadsheet would run gets an apostrophe; numbers and other texts get none."""
    assert cell(value) == shown


def csv_of(result):
    assert (result.exit_code, result.stderr) == (0, "")
    return list(csv.DictReader(io.StringIO(result.stdout, newline="")))


@pytest.fixture
def shop(decided):
    """Two orders: O-1, half shipped and partly refunded, of somebody with a formula for a name."""
    name = Customer(name="=HYPERLINK(1)", email="zoe@shop.invalid")
    decided(
        place(order=paid_order(order_line("A", 3), customer=name, number='7, "x"')),
        place(order_id="O-2", order=paid_order(customer=Customer(name="Zoé"))),
    )
    shipped = ship(items=items(A=2), issued_by="desk")
    decided(shipped, refund(amount=money(100)), ship(items=items(A=9)))
    return shipped


def test_orders(cli, shop):
    """A row each with its sums, newest first; what would be run is a text."""
    second, first = csv_of(cli("export", "orders"))

    assert list(first)[:4] == ["order_id", "number", "placed_at", "updated_at"]
    assert (first["order_id"], first["customer_name"]) == ("O-1", "'=HYPERLINK(1)")
    assert first["number"] == '7, "x"'
    sums = [first[f"{name}_minor"] for name in ("total", "captured", "refunded", "settled")]
    assert sums == ["300", "300", "100", "0"]
    assert (first["units"], first["shipped"], first["cancelled"]) == ("3", "2", "0")
    assert (first["refund_pending"], first["hold"]) == ("true", "")
    assert (second["order_id"], second["customer_name"]) == ("O-2", "Zoé")


def test_orders_by_the_filters_of_the_list(cli, shop):
    """Status, search and time are those of `orders list`; mistakes are its sentences."""

    def ids(*words):
        return [row["order_id"] for row in csv_of(cli("export", "orders", *words))]

    assert ids("--status", "partially_fulfilled") == ["O-1"]
    assert ids("--search", "zoe") == ["O-2", "O-1"]
    assert ids("--refund-pending", "--until", "2000-01-01") == []
    assert ids("--from", "2000-01-01") == ["O-2", "O-1"]
    for words in (["--status", "lost"], ["--from", "yesterday"]):
        refused = cli("export", "orders", *words)
        assert (refused.exit_code, refused.stdout) == (2, "")


def test_json_lines(cli, shop):
    """The same fields with their types, and texts as they are."""
    _, first = rows_of(cli("export", "orders", "--format", "jsonl"))

    assert (first["customer_name"], first["shipped"]) == ("=HYPERLINK(1)", 2)
    assert (first["refund_pending"], first["hold"]) == (True, None)


def test_history(cli, shop):
    """What happened to each order, in its order; of one order, of a time."""
    rows = csv_of(cli("export", "history"))

    assert [(row["order_id"], row["event"]) for row in rows] == [
        ("O-1", "placed"),
        ("O-1", "shipped"),
        ("O-1", "refund_requested"),
        ("O-2", "placed"),
    ]
    assert (rows[1]["command_id"], rows[1]["issued_by"]) == (str(shop.command_id), "desk")
    assert (rows[2]["amount_minor"], rows[2]["currency"]) == ("100", "EUR")
    assert len(csv_of(cli("export", "history", "--order", "O-2"))) == 1
    assert csv_of(cli("export", "history", "--until", "2000-01-01")) == []


def test_outcomes(cli, shop):
    """How each command ended, in the order of acceptance, also the refused one."""
    rows = csv_of(cli("export", "outcomes"))

    assert [(row["kind"], row["state"]) for row in rows] == [
        *(("place", "applied"), ("place", "applied"), ("ship", "applied")),
        *(("refund", "applied"), ("ship", "rejected")),
    ]
    assert (rows[2]["order_version"], rows[2]["items"]) == ("2", '[{"line_id":"A","quantity":2}]')
    assert (rows[3]["refund_minor"], rows[3]["currency"]) == ("100", "EUR")
    assert rows[4]["reason"] == "more_than_remains"
    assert len(csv_of(cli("export", "outcomes", "--order", "O-2"))) == 1
    assert csv_of(cli("export", "outcomes", "--until", "2000-01-01")) == []


@pytest.mark.parametrize("what", ["orders", "history", "outcomes"])
def test_nothing(cli, what):
    """An empty shop has headings in CSV, and no line of JSON."""
    assert len(cli("export", what).stdout.splitlines()) == 1
    assert cli("export", what, "--format", "jsonl").stdout == ""


def test_more_than_a_page(cli, engine):
    """Every order once, newest first."""
    write(engine, MANY.format(count=2_500))

    ids = [row["order_id"] for row in csv_of(cli("export", "orders"))]

    assert ids == [f"B-{n}" for n in range(2_500, 0, -1)]


def test_whatever_the_locale_says(environment, shop):
    """A program of its own writes UTF-8, and lines end in one way."""
    command = [sys.executable, "-m", "worker", "export", "orders"]
    environment = own_process(environment, LC_ALL="C", PYTHONIOENCODING="ascii")

    done = subprocess.run(command, env=environment, capture_output=True, check=True, timeout=60)

    assert "Zoé".encode() in done.stdout
    assert b"\r" not in done.stdout


def test_nobody_reads_any_more(environment, engine):
    """A closed pipe ends it without a word."""
    write(engine, MANY.format(count=5_000))
    command = [sys.executable, "-m", "worker", "export", "orders"]
    process = subprocess.Popen(
        command, env=own_process(environment), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )

    process.stdout.readline()
    process.stdout.close()

    assert (process.wait(60), process.stderr.read()) == (0, b"")
    process.stderr.close()


@pytest.mark.heavy
@pytest.mark.parametrize("what", ["orders", "history", "outcomes"])
def test_memory_is_flat(environment, many, tmp_path, what):
    """Eleven times as many rows need no more memory; in memory they would take 11 MiB or more."""
    with (tmp_path / "out.csv").open("wb") as out:
        done = subprocess.run(
            # Two thousand seconds later, and long after.
            [sys.executable, "-c", PEAKS, what, "2026-01-01T00:33:21", "2027-01-01"],
            env=own_process(environment | {"DATABASE_URL": many}),
            stdout=out,
            stderr=subprocess.PIPE,
            check=True,
            timeout=100,
        )

    few_kib, all_kib = map(int, done.stderr.split())
    assert (tmp_path / "out.csv").read_bytes().count(b"\n") == 1 + FEW + 1 + ALL
    assert all_kib < few_kib + 6 * KIB_PER_MIB


@pytest.fixture(scope="module")
def many(emptied):
    """The URL of a database with so many orders, each with a line of history and an outcome."""
    url = emptied("cli_export")
    with psycopg.connect(url) as connection:
        connection.execute(MANY.format(count=ALL))
        connection.execute(
            "insert into history (order_id, at, event, details)"
            " select order_id, placed_at, 'placed', '{}' from orders"
        )
        connection.execute(
            "insert into commands"
            " (id, kind, order_id, body, fingerprint, state, outcome, decided_at)"
            " select gen_random_uuid(), 'place', order_id, '{}', '', 'applied',"
            """ '{"state": "applied"}', placed_at from orders"""
        )
    return url
