"""`bulk`: a file becomes shipments, each row has its answer, and a second run changes nothing."""

import io
import re

import pytest

from tests.cli.cli_tools import one, paid_order, rows_of, table_of
from tests.factories import order_line, place
from worker.jobs.badfile import BadFile
from worker.jobs.reading import File

HEADER = "order,line,sku,quantity,carrier,tracking_number\n"


@pytest.fixture
def orders(decided):
    """O-1 with lines A and B, three units each; O-2 with two lines of the same SKU."""
    decided(
        place(order=paid_order(order_line("A", 3, sku="MUG"), order_line("B", 3, sku="CUP"))),
        place(
            order_id="O-2",
            order=paid_order(order_line("A", 1, sku="MUG"), order_line("B", 1, sku="MUG")),
        ),
    )


def shipments(engine):
    with engine.connect() as connection:
        return connection.exec_driver_sql(
            "select s.order_id, s.tracking_number, json_object_agg(line_id, quantity)::text "
            "from shipments s join shipment_lines using (shipment_id) group by 1, 2 order by 1, 2"
        ).all()


def summary(result):
    return [(row["row"], row["result"], row["reason"] or row["message"]) for row in rows_of(result)]


def test_one_shipment_per_parcel(cli, orders, worker, engine):
    """Rows with the same order, carrier and tracking number are one shipment, by line or by SKU."""
    rows = "O-1,A,,1,,T1\nO-1,A,,1,,T2\nO-1,,CUP,2,,T1\n"

    result = cli("bulk", "-", stdin=HEADER + rows)

    assert result.exit_code == 0
    assert shipments(engine) == [
        ("O-1", "T1", '{ "A" : 1, "B" : 2 }'),
        ("O-1", "T2", '{ "A" : 1 }'),
    ]


def test_rows_that_are_not_applied_are_listed(cli, orders, worker):
    """Each row that was not applied is listed with why, the summary goes to stderr with how many
    came to what, and one refusal means 5.
    """
    result = cli("bulk", "-", stdin=HEADER + "O-1,A,,1,,T1\nO-1,B,,4,,T2\nO-1,B,,x,,T3\n")

    assert [" ".join(words) for words in table_of(result)] == [
        "row order line sku quantity result why",
        "3 O-1 B 4 rejected more_than_remains: line B: 4 asked, 3 of 3 left",
        "4 O-1 B x refused quantity: must be a whole number from 1 to 1000000",
    ]
    assert re.sub("[0-9a-f-]{36}", "ID", result.stderr).splitlines() == [
        "refused: quantity 1",
        "rejected: more_than_remains 1",
        "job ID: 1 applied; 1 refused; 1 rejected",
    ]
    assert result.exit_code == 5


def test_the_same_file_again_changes_nothing(cli, orders, worker, engine):
    """The second run finds every parcel sent before, ships nothing, and succeeds."""
    stdin = HEADER + "O-1,A,,1,,T1\nO-1,A,,1,,\n"
    first = cli("bulk", "-", "--json", stdin=stdin)

    again = cli("bulk", "-", "--json", stdin=stdin)

    assert [row["is_repeated"] for row in rows_of(first)] == [False, False]
    assert [row["is_repeated"] for row in rows_of(again)] == [True, True]
    assert summary(again) == [(2, "applied", None), (3, "applied", None)]
    assert again.exit_code == 0
    assert one(engine, "select sum(shipped) from order_lines") == 2


def test_another_batch_ships_equal_rows_again(cli, orders, worker, engine):
    """--batch tells equal shipments of two files apart."""
    stdin = HEADER + "O-1,A,,1,,\n"

    cli("bulk", "-", "--batch", "monday", stdin=stdin)
    cli("bulk", "-", "--batch", "tuesday", stdin=stdin)

    assert one(engine, "select sum(shipped) from order_lines") == 2


BAD_ROWS = {
    "O-1,,,1,,T2": "line, sku: exactly one of them must be given",
    "O-1,A,MUG,1,,T3": "line, sku: exactly one of them must be given",
    ",A,,1,,T4": "order: must not be empty",
    "O-1,A,,0,,T5": "quantity: must be a whole number from 1 to 1000000",
    "O-1,A,,1.5,,T6": "quantity: must be a whole number from 1 to 1000000",
    "O-1,A,,1000001,,T7": "quantity: must be a whole number from 1 to 1000000",
    "O-1,A,,1": "has 4 cells, the first line names 6 columns",
    "O-1,,CAP,1,,T8": "sku: no line of the order has it",
    "O-9,,MUG,1,,T9": "order: is not here, so its SKUs are not known",
    "O-2,,MUG,1,,T10": "sku: lines A, B have it; give the line",
    "O-1,A\x00,,1,,T11": "line: must not hold control characters or line breaks",
    "O-1,A,,1,DHL,T12": "carrier: DHL is none, or several, of `fulfillment carriers list`",
    "no id,A,,1,,T13": "order_id: String should match pattern '^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$'",
}


def test_a_bad_row_says_why(cli, orders, worker, engine):
    """A row that cannot be a shipment is refused with its line number; its neighbour is shipped."""
    rows = "\n".join([*BAD_ROWS, "O-1,B,,1,,T99"])

    result = cli("bulk", "-", "--json", stdin=f"{HEADER}{rows}\n")

    expected = [(row, "refused", why) for row, why in enumerate(BAD_ROWS.values(), start=2)]
    assert summary(result) == [*expected, (15, "applied", None)]
    assert result.exit_code == 5
    assert [shipment.tracking_number for shipment in shipments(engine)] == ["T99"]


def test_a_parcel_is_sent_whole_or_not_at_all(cli, orders, worker, engine):
    """One bad row refuses its whole parcel: its rest would be a second shipment later."""
    rows = "O-1,A,,1,,T1\nO-1,B,,x,,T1\n"

    result = cli("bulk", "-", "--json", stdin=HEADER + rows)

    assert summary(result) == [
        (2, "refused", "row 3 of the same shipment is refused"),
        (3, "refused", "quantity: must be a whole number from 1 to 1000000"),
    ]
    assert shipments(engine) == []


def test_a_line_twice_in_a_parcel(cli, orders, worker):
    """A line that is twice in one parcel may be a repeated row or two units: it is refused."""
    rows = "O-1,A,,1,,T1\nO-1,,MUG,1,,T1\n"

    result = cli("bulk", "-", "--json", stdin=HEADER + rows)

    message = "line A is in this shipment already, row 2: add them up"
    assert summary(result)[1] == (3, "refused", message)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "the file is empty; the first line must name the columns: order, line or sku,"),
        (b"order,line\n", "there is no column 'quantity'; the first line must name"),
        (b"order,quantity\n", "there is no column 'line' or 'sku'; the first line must name"),
        (b"order,order,line,quantity\n", "a column is named twice; the first line must name"),
        (b'order,line,quantity\nO-1,"A,1\n', "after line 1: unexpected end of data"),
    ],
)
def test_a_file_that_is_none(content, sentence):
    """A file that cannot be read is refused as a whole, and the sentence says what is wrong."""
    with pytest.raises(BadFile) as refused:
        list(File(io.BytesIO(content)).rows())

    assert str(refused.value).startswith(sentence)


def test_nothing_of_a_bad_file_is_sent(cli, orders, engine):
    """A file that turns out bad after good rows exits 2, and none of its rows was sent."""
    result = cli("bulk", "-", stdin='order,line,quantity\nO-1,B,1\nO-1,"A,1\n')

    assert result.stderr == "error: after line 2: unexpected end of data; nothing was sent\n"
    assert result.exit_code == 2
    assert one(engine, "select count(*) from commands where kind = 'ship'") == 0


def test_what_spreadsheets_write(cli, orders, worker, engine):
    """A byte order mark, semicolons, CRLF, capitals and blank lines are read as meant."""
    content = "\ufeffOrder;SKU;Quantity;Tracking_Number\r\nO-1; MUG ;1;T1\r\n;;;\r\n"

    result = cli("bulk", "-", stdin=content.encode())

    assert result.exit_code == 0
    assert shipments(engine) == [("O-1", "T1", '{ "A" : 1 }')]


def test_without_wait(cli, orders, engine):
    """--no-wait only loads the job: rows are waiting, and the exit code is 0."""
    result = cli("bulk", "-", "--no-wait", "--json", stdin=HEADER + "O-1,A,,1,,T1\n")

    assert summary(result) == [(2, "waiting", None)]
    assert result.exit_code == 0


def test_more_than_one_transaction(cli, orders, worker, engine):
    """1,200 parcels go in chunks and every row gets its answer, in the file's order."""
    rows = "".join(f"O-1,A,,1,,T{n}\n" for n in range(1200))

    result = cli("bulk", "-", "--json", stdin=HEADER + rows)

    found = rows_of(result)
    assert [row["row"] for row in found] == list(range(2, 1202))
    assert [row["result"] for row in found].count("applied") == 3
    assert [row["reason"] for row in found].count("more_than_remains") == 1197
    assert one(engine, "select count(distinct accepted_at) from commands where kind = 'ship'") == 3
    assert one(engine, "select (state, rows, sent)::text from jobs") == "(done,1200,1200)"
