"""Hostile texts in files: the CSV of shipments, and orders as ours, Square's and Shopify's."""

import csv
import io
import json

import pytest

from messages import PlacedOrder
from tests.cli.cli_tools import json_of, rows_of
from tests.hostile import bodies, corpus
from tests.intake.shopify_shapes import export, first_row, shopify_order
from tests.intake.shopify_shapes import line as shopify_line
from tests.intake.square_shapes import card, line, shipment
from tests.work import rig

TEXTS = list(corpus.STORED.values())
BAD = corpus.REFUSED | corpus.NO_TEXT
COLUMNS = ("order", "sku", "quantity", "tracking_number")


def table(*rows):
    text = io.StringIO(newline="")
    csv.writer(text).writerows([COLUMNS, *rows])
    return text.getvalue().encode("utf-8", "surrogatepass")


def ours(number, text):
    body = bodies.placing(text, f"H-{number}")
    return {"order_id": body["order_id"], **body["order"]}


def test_shipments(cli, engine, drain):
    """Every text as a SKU and as a tracking number: the line is found by it, whatever its spelling,
    and the number is stored exactly.
    """
    orders = [ours(number, one.text) for number, one in enumerate(TEXTS)]
    for order in orders:
        order["lines"][1]["sku"] = "other"
    cli("orders", "import", "-", stdin="\n".join(map(json.dumps, orders)))
    drain()
    rows = [(f"H-{n}", one.text, "1", one.text) for n, one in enumerate(TEXTS)]

    result = cli("bulk", "-", "--no-wait", "--json", stdin=table(*rows))
    drain()

    assert {(row["result"], row["message"]) for row in rows_of(result)} == {("waiting", None)}
    assert dict(rig.rows(engine, "select order_id, tracking_number from shipments")) == {
        f"H-{number}": one.stored for number, one in enumerate(TEXTS)
    }


def test_shipments_that_are_refused(cli, engine):
    """A text that must not be stored is refused, by its column, before anybody carries the job out;
    nothing is sent.
    """
    texts = [one.text for name, one in corpus.REFUSED.items() if name != "blanks"]
    rows = [(order, "x", "1", text) for order, text in zip("ABCDEFGHIJKL", texts, strict=True)]

    result = cli("bulk", "-", "--no-wait", "--json", stdin=table(*rows))

    answers = rows_of(result)
    assert len(answers) == len(texts)
    assert {row["result"] for row in answers} == {"refused"}
    assert {row["message"].partition(":")[0] for row in answers} == {"tracking_number"}
    assert rig.count(engine, "commands") == 0


def test_a_long_name_of_a_column_is_not_repeated(cli):
    """The sentences stay short, and what a terminal would obey is shown."""
    name = "\x1b[31m" + "y" * 100_000

    result = cli("bulk", "-", "--no-wait", stdin=f"order,line,quantity,{name}\n".encode())
    refused = cli("bulk", "-", "--column", f"sku={name}", stdin=b"order,line,quantity\n")

    assert result.stderr.startswith("columns that are not used: \\x1b[31myyy")
    assert len(result.stderr) < 300
    assert refused.exit_code == 2
    assert len(refused.stderr) < 300


def square(number, text):
    return {
        "id": f"H-{number}", "location_id": "L", "state": "OPEN",
        "total_money": {"amount": 1000, "currency": "USD"}, "tenders": [card()],
        "line_items": [line(name=text)],
        "fulfillments": [shipment("PROPOSED", recipient={"display_name": text})],
    }  # fmt: skip


def shopify(number, text):
    return shopify_order(
        shopify_line(name=text), id=1000 + number, shipping_address={"name": text, "city": text}
    )


def shopify_csv(number, text):
    return first_row(Name=f"#{number}", Lineitem_name=text, Shipping_Name=text)


SHAPES = {"ours": ours, "square": square, "shopify": shopify, "csv": shopify_csv}


def written(shape, texts):
    made = [SHAPES[shape](number, text) for number, text in enumerate(texts, start=1)]
    return export(*made) if shape == "csv" else "\n".join(map(json.dumps, made)).encode()


@pytest.mark.parametrize("shape", SHAPES)
def test_orders(cli, engine, drain, shape):
    """Every text as the name of a product and of a person: the orders are there, exactly."""
    result = cli("orders", "import", "-", "--json", stdin=written(shape, [t.text for t in TEXTS]))
    drain()

    assert json_of(result)["refused"] == []
    named = rig.rows(
        engine,
        "select distinct l.name, o.customer_name from orders o join order_lines l using (order_id)",
    )
    assert sorted(named) == sorted((one.stored, one.stored) for one in TEXTS)


@pytest.mark.parametrize("shape", ["ours", "square", "shopify"])
def test_orders_that_are_refused(cli, engine, shape):
    """A text that must not be stored refuses its order, by field; nothing of it is repeated, and
    its neighbour is taken.
    """
    bad = [one.text for name, one in BAD.items() if name != "blanks"]
    result = cli("orders", "import", "-", "--json", stdin=written(shape, [*bad, "good"]))

    report = json_of(result)
    assert (report["accepted"], len(report["refused"])) == (1, len(bad))
    assert {one["reason"] for one in report["refused"]} <= {"invalid", "unreadable"}
    for text in bad:
        assert text not in result.stdout
    assert rig.count(engine, "commands") == 1


@pytest.mark.parametrize("name", corpus.NO_JSON)
def test_bytes_that_are_no_orders(cli, engine, name):
    """One sentence, exit code 5 or 2, nothing is sent."""
    for words, code in ((("orders", "import", "-"), 5), (("bulk", "-"), 2)):
        result = cli(*words, stdin=corpus.NO_JSON[name])
        assert result.exit_code == code
    assert rig.count(engine, "commands") == 0


def test_the_order_of_ours_has_every_field():
    """What is imported here is whole."""
    order = ours(1, "x")
    del order["order_id"]
    assert PlacedOrder.model_validate_json(json.dumps(order))
