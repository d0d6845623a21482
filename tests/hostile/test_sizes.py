"""What is too large, too deep or too many, through the doors of commands and in files: refused with
its reason, and its neighbours go through.
"""

import io
import json
import tracemalloc
from functools import cache

import pytest
from sqlalchemy.exc import DBAPIError

from messages import InvalidCommand, Place, parse
from messages.fields import MAX_LINES
from tests import factories as make
from tests.hostile.door import message
from tests.intake.shopify_shapes import HEADER, export, first_row
from tests.work import rig
from worker.broker.reading import EXCERPT_BYTES
from worker.intake import Refused, read_orders
from worker.intake.loading import load
from worker.intake.shopify.export_rows import MAX_COLUMNS, MAX_ROW_BYTES
from worker.jobs.badfile import BadFile
from worker.jobs.reading import File
from worker.work.accept import accept_bodies

TEN_MB = 10_000_000
MANY = 100_000
DEEP = "[" * MANY + "]" * MANY


def shipping(**fields):
    """The body of a shipment of its own, with more fields."""
    return make.ship().body() | fields


@cache
def placing(lines):
    """An order with so many lines."""
    body = make.place(order_id="MANY").body()
    (line,) = body["order"]["lines"]
    body["order"]["lines"] = [line | {"line_id": f"L{n}"} for n in range(lines)]
    return body


def with_quantity(raw):
    """A shipment of so many units; its id, and its JSON."""
    command = make.ship(items=make.items(A=7))
    return command, json.dumps(command.body()).replace('"quantity": 7', f'"quantity": {raw}')


@pytest.mark.timeout(60)
def test_messages(engine, inbox, drain):
    """Messages above a mebibyte are strays that keep their beginning; one just below it is rejected
    although each field of it is a problem. Neighbours are applied.
    """
    first, last = make.place(), make.place(order_id="O-2")
    chunk = [shipping()] * (TEN_MB // 100)
    keys = {f"k{n:05}": 0 for n in range(20_000)}
    empty = make.place(order_id="O-3").body()
    empty["order"]["lines"] = [{}] * 100_000
    large = [shipping(tracking_number="x" * TEN_MB), placing(MANY)]

    inbox.put(
        message("place", first.body()),
        *(message(body["kind"], body) for body in large),
        message("ship", chunk),
        message("ship", shipping(**keys)),
        message("place", empty),
        message("place", last.body()),
    )
    drain()

    strays = rig.rows(engine, "select reason, length(body), count(*) from strays group by 1, 2")
    assert strays == [("too_large", EXCERPT_BYTES, 3)]
    assert rig.rows(
        engine, "select outcome ->> 'message' from commands where state = 'rejected' order by 1"
    ) == [
        ("body: has 20000 problems, too many to name",),
        ("body: has 400001 problems, too many to name",),
    ]
    assert [rig.state(engine, one) for one in (first, last)] == ["applied", "applied"]
    assert rig.count(engine, "orders") == 2


REFUSED = {
    "a long text": (lambda: json.dumps(shipping(tracking_number="x" * TEN_MB)), "tracking_number"),
    "many lines": (lambda: json.dumps(placing(MANY)), "order.lines"),
    "a line too many": (lambda: json.dumps(placing(MAX_LINES + 1)), "order.lines"),
    "many keys": (lambda: json.dumps(shipping(**{f"k{n}": 0 for n in range(MANY)})), "body"),
    "deep": (lambda: with_quantity(DEEP)[1], "body"),
    "digits": (lambda: with_quantity("9" * MANY)[1], "body"),
    "exponent": (lambda: with_quantity("1e131000")[1], "items.0.quantity"),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", REFUSED)
def test_python(name):
    """`parse` refuses each, and names the field where there is one."""
    raw, field = REFUSED[name]

    with pytest.raises(InvalidCommand) as refused:
        parse(raw())

    assert str(refused.value).startswith(f"{field}: ")
    assert len(str(refused.value)) < 300


def test_problems_of_the_longest_order_are_named():
    """5,000 lines that each have one are no reason to name none: the first twenty are."""
    body = placing(MAX_LINES)
    lines = [line | {"sku": ""} for line in body["order"]["lines"]]

    with pytest.raises(InvalidCommand) as refused:
        parse(json.dumps(body | {"order": body["order"] | {"lines": lines}}))

    assert [one.field for one in refused.value.problems] == [
        f"order.lines.{n}.sku" for n in range(20)
    ]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["a long text", "many lines", "many keys"])
def test_bodies_by_sql(engine, drain, name):
    """A body above a mebibyte is refused with that sentence; its neighbour in the same call is
    accepted and applied.
    """
    good = make.place()

    with engine.begin() as connection:
        answers = accept_bodies(connection, [json.loads(REFUSED[name][0]()), good.body()])
    drain()

    assert [(one.answer, one.problem) for one in answers] == [
        ("refused", "a command may not exceed 1 MiB"),
        ("accepted", None),
    ]
    assert rig.state(engine, good) == "applied"
    assert (rig.count(engine, "commands"), rig.count(engine, "orders")) == (1, 1)


@pytest.mark.timeout(60)
def test_numbers_by_sql(engine, drain):
    """PostgreSQL takes numbers of 131,000 digits; they are rejected as invalid, ship nothing and
    hold nobody up. What nests 100,000 deep is an error for who sends it, and nothing is accepted.
    """
    rig.placed(engine)
    good = make.ship()
    sent = [
        with_quantity(raw)
        for raw in ("1e131000", "1e-16000", "9" * MANY, "[" * 3_000 + "]" * 3_000)
    ]
    before = rig.dump(engine, rig.EFFECTS)
    statement = "select answer from accept_commands(%(raw)s::jsonb)"

    with pytest.raises(DBAPIError, match="stack depth"):
        rig.rows(engine, statement, raw=f"[{with_quantity(DEEP)[1]}]")
    answers = rig.rows(engine, statement, raw=f"[{','.join(text for _, text in sent)}]")
    drain()

    assert answers == [("accepted",)] * len(sent)
    assert {rig.reason(engine, command) for command, _ in sent} == {"invalid"}
    assert rig.count(engine, "commands", "kind = 'ship'") == len(sent)
    assert rig.dump(engine, rig.EFFECTS) == before
    assert rig.decided(engine, good) == ["applied"]


def test_many_numbers_by_sql(engine, drain):
    """Twenty numbers of 131,001 digits take 300 bytes as jsonb and 2.6 MB as text: the body is
    refused as too long, its neighbour in the same call is accepted and applied.
    """
    good = make.place()
    _, text = with_quantity(f"[{','.join(['1e131000'] * 20)}]")

    answers = rig.rows(
        engine,
        "select answer, problem from accept_commands(%(raw)s::jsonb)",
        raw=f"[{text}, {json.dumps(good.body())}]",
    )
    drain()

    assert answers == [("refused", "a command may not exceed 1 MiB"), ("accepted", None)]
    assert rig.state(engine, good) == "applied"
    assert (rig.count(engine, "commands"), rig.count(engine, "orders")) == (1, 1)


def test_a_key_that_is_there_often(engine, inbox):
    """The last one counts, at each door alike: the same command, sent again, is known."""
    command, text = with_quantity("1" + ', "quantity": 2' * 10_000 + ', "quantity": 7')

    inbox.put(message("ship", "@").replace(b'"@"', text.encode()))
    answers = rig.rows(
        engine, "select answer from accept_commands(%(raw)s::jsonb)", raw=f"[{text}]"
    )

    assert parse(text) == command
    assert answers == [("known",)]
    assert rig.command(engine, command).body["items"] == [{"line_id": "A", "quantity": 7}]


def found_in(raw):
    """What becomes of a file: the order ids, and the refusals as position, reason and beginning."""
    return [
        one.order_id
        if isinstance(one, Place)
        else (one.position, str(one.reason), one.message.partition(":")[0])
        for one in read_orders(io.BytesIO(raw))
    ]


@pytest.mark.timeout(60)
def test_files_of_json():
    """An order of 100,000 lines, a line of 10 MB and one that nests 100,000 deep are refused, each
    by itself.
    """

    def ours(body):
        return json.dumps({"order_id": body["order_id"], **body["order"]})

    good = ours(make.place().body())
    lines = [ours(placing(MANY)), '"' + "x" * TEN_MB + '"', DEEP, good]

    assert found_in("\n".join(lines).encode()) == [
        (1, "invalid", "lines"),
        (2, "invalid", "an order must be a JSON object"),
        (3, "unreadable", "is no JSON"),
        "O-1",
    ]


@pytest.mark.timeout(60)
def test_files_of_shopify():
    """A line of 10 MB is refused where it stands, also one of nothing but commas or within quotes;
    the lines behind it keep their numbers and the order behind it is taken.
    """
    header, order = export(first_row(Name="#7")).splitlines(keepends=True)
    longest = [b'"' + b"x" * TEN_MB + b'"\n', b"," * TEN_MB + b"\n"]

    for line in longest:
        assert found_in(header + line + order) == [
            (2, "unreadable", "is no row of a CSV"),
            "7",
        ]


def test_columns():
    """A header of a million columns is none of an export, and none of a file of shipments; a
    thousand columns are.
    """
    wide = ",".join([*HEADER, *(f"c{n}" for n in range(1_000_000))])
    just = ",".join([*HEADER, *("c" for _ in range(MAX_COLUMNS - len(HEADER)))])
    order = export(first_row(Name="#7")).splitlines(keepends=True)[1]

    assert found_in(f"{wide}\n".encode() + order)[0][:2] == (0, "unreadable")
    assert found_in(f"{just},c\n".encode() + order)[0][:2] == (0, "unreadable")
    assert found_in(f"{just}\n".encode() + order) == ["7"]
    with pytest.raises(BadFile) as refused:
        list(File(io.BytesIO(b"order,line,quantity" + b",order" * 1_000_000)).rows())
    assert len(str(refused.value)) < 300


def test_shipments_of_10_mb():
    """A line of 10 MB ends the file with one sentence; nothing of it is repeated."""
    raw = b"order,line,quantity\nO-1,A,1\nO-1," + b"x" * TEN_MB + b",1\n"

    with pytest.raises(BadFile) as refused:
        list(File(io.BytesIO(raw)).rows())

    assert str(refused.value) == "line 3 is longer than 1048576 characters"


def test_a_row_ends():
    """A quote that never closes, over many lines that each end a cell, is refused after a mebibyte,
    and what comes then is read again.
    """
    torn = b'#1,"a\n' + b'","\n' * (MAX_ROW_BYTES // 4 + 10)
    raw = export(first_row(Name="#7")) + torn

    found = found_in(raw)

    assert found[0] == (2, "unreadable", "the row after it cannot be read, and may be one of it")
    assert found[1] == (3, "unreadable", "is no row of a CSV")


class BadLines(io.RawIOBase):
    """A file of bad lines that is nowhere in memory."""

    def __init__(self, header, line, count):
        self._line, self._left = line, count
        self._rest = header

    def readable(self):
        return True

    def readinto(self, buffer):
        if not self._rest:
            some = min(self._left, 500)
            self._left -= some
            self._rest = self._line * some
        part, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)


def peak_of(engine, header, line, count):
    """How many bytes are in use at most while so many lines are refused."""
    stream = io.BufferedReader(BadLines(header, line, count))
    tracemalloc.start()
    try:
        with engine.begin() as connection:
            report = load(connection, stream)
        refused = sum(isinstance(one, Refused) for one in report.refused)
        assert refused == len(report.refused) >= count
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.heavy
@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("header", "line"),
    [(export(), b'"a"b,c\r\n'), (b"{}\n", b"[\n")],
    ids=["shopify", "lines"],
)
def test_refusals_take_no_memory(engine, header, line):
    """Ten times as many bad lines take no more memory, of a CSV and of JSON lines."""
    few = peak_of(engine, header, line, 2_000)
    many = peak_of(engine, header, line, 20_000)

    assert many < 1.3 * few
    assert rig.count(engine, "commands") == 0
